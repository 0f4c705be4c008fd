"""The .rdp file that native clients open."""

from earthshine.control.desktops.rdp_file import rdp_file


def fields(text):
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    return {name: value for name, _, value in (line.split(":", 2) for line in lines)}


def test_it_names_address_user_and_size():
    found = fields(rdp_file("desk.example", 15900, "earthshine", (1920, 1080)))
    assert found["full address"] == "desk.example:15900"
    assert found["username"] == "earthshine"
    assert (found["desktopwidth"], found["desktopheight"]) == ("1920", "1080")


def test_it_shares_nothing_of_the_clients_machine_but_the_clipboard():
    found = fields(rdp_file("127.0.0.1", 1, "u"))
    shared = {name for name, value in found.items() if name.startswith("redirect") and value == "1"}
    assert shared == {"redirectclipboard"}
    assert found["drivestoredirect"] == ""
    assert found["authentication level"] == "2", "the certificate is shown"


def test_an_ipv6_address_has_brackets():
    assert fields(rdp_file("::1", 15900, "u"))["full address"] == "[::1]:15900"


def test_a_size_that_is_not_known_has_a_default():
    assert fields(rdp_file("a", 1, "u", (0, 0)))["desktopwidth"] == "1280"
