"""Guacamole: instructions in both countings, the handshake with guacd, a tunnel's rules."""

import pytest

from earthshine.protocols.guacamole import (
    FROM_BROWSER,
    MAX_ELEMENTS,
    MAX_HELD,
    MAX_INSTRUCTION,
    WORDS,
    BadInstructionError,
    GuacamoleError,
    GuacdReader,
    GuacdRefusedError,
    Handshake,
    Instruction,
    NewConnection,
    RunningConnection,
    Screen,
    Sender,
    Stage,
    Status,
    Tunnel,
    Viewer,
    close_of,
    parse_message,
)

SATELLITE = "🛰"  # one code point, two UTF-16 units, four bytes
VIEWER = Viewer(Screen(1024, 768), audio=("audio/L16",), timezone="Europe/Rome", name="Zoë 🛰")


def said(data):
    return GuacdReader().feed(data)


# --- Instructions -----------------------------------------------------------------------------


def test_each_end_counts_in_its_own_way():
    instruction = Instruction("name", (f"a{SATELLITE}é",))
    assert instruction.to_guacd().decode() == f"4.name,3.a{SATELLITE}é;"
    assert instruction.to_browser() == f"4.name,4.a{SATELLITE}é;"
    assert said(instruction.to_guacd()) == [instruction]
    assert parse_message(instruction.to_browser()) == [instruction]


def test_bytes_from_guacd_may_be_cut_anywhere():
    instructions = [Instruction("name", (SATELLITE, "", "x,1.;")), Instruction("sync", ("12",))]
    data = b"".join(one.to_guacd() for one in instructions)
    reader = GuacdReader()
    got = [one for byte in data for one in reader.feed(bytes((byte,)))]
    assert got == instructions


@pytest.mark.parametrize(
    "data",
    [
        b"4sync;",
        b"x.sync;",
        b"-1.a;",
        b"+4.sync;",
        b"4.syncx",
        b"000004.sync;",
        b"99999.",
        b"9999",
        b"\xff",
        "٤.sync;".encode(),
        b"1.a," * (MAX_ELEMENTS + 1),
        b"3000." + b"x" * 3000 + b",3000." + b"x" * 3000 + b",3000." + b"x" * 3000 + b";",
    ],
)
def test_what_is_not_an_instruction_is_an_error_as_soon_as_it_shows(data):
    with pytest.raises(BadInstructionError):
        said(data + b"0" * 8)


def test_an_endless_instruction_is_not_collected():
    reader = GuacdReader()
    with pytest.raises(BadInstructionError):
        for _ in range(MAX_INSTRUCTION):
            reader.feed(b"1.a,")


def test_limits_hold_for_what_is_written_too():
    with pytest.raises(BadInstructionError):
        Instruction("x", ("y",) * MAX_ELEMENTS).to_guacd()
    with pytest.raises(BadInstructionError):
        Instruction("x", ("y" * MAX_INSTRUCTION,)).to_guacd()
    with pytest.raises(BadInstructionError):
        Instruction("x", ("\ud800",)).to_guacd()


@pytest.mark.parametrize("message", ["4.sync", "4.sync,", f"1.{SATELLITE};", "4.sync;4.s", "\n"])
def test_a_message_holds_whole_instructions(message):
    with pytest.raises(BadInstructionError):
        parse_message(message)


# --- Handshake --------------------------------------------------------------------------------

ARGS = b"4.args,13.VERSION_1_3_0,8.hostname,4.port,8.password,9.read-only;"
ID = "$dead1065-ac56-44c4-ba14-3dfa42a1c629"
READY = Instruction("ready", (ID,)).to_guacd()


def test_values_go_where_their_names_are():
    parameters = {"password": "s3cret", "hostname": "10.0.0.7", "colour-depth": "8"}
    handshake = Handshake(NewConnection("vnc", parameters), VIEWER)
    assert handshake.begin() == b"6.select,3.vnc;"
    assert said(handshake.receive(ARGS)) == [
        Instruction("size", ("1024", "768", "96")),
        Instruction("audio", ("audio/L16",)),
        Instruction("video"),
        Instruction("image", ("image/png", "image/jpeg")),
        Instruction("timezone", ("Europe/Rome",)),
        Instruction("name", ("Zoë 🛰",)),
        Instruction("connect", ("VERSION_1_3_0", "10.0.0.7", "", "s3cret", "")),
    ]
    assert handshake.unused == {"colour-depth"}
    assert handshake.receive(READY + b"4.sync,1.1;4.sy") == b""
    assert (handshake.stage, handshake.connection_id) == (Stage.READY, ID)
    assert handshake.early == [Instruction("sync", ("1",))]
    assert handshake.reader.feed(b"nc,1.2;") == [Instruction("sync", ("2",))]
    assert "s3cret" not in repr(NewConnection("vnc", parameters))


def test_an_old_guacd_is_not_told_what_it_does_not_know():
    handshake = Handshake(NewConnection("vnc", {"port": "1"}), VIEWER)
    opcodes = [one.opcode for one in said(handshake.receive(b"4.args,8.hostname,4.port;"))]
    assert opcodes == ["size", "audio", "video", "image", "connect"]
    handshake = Handshake(NewConnection("vnc"), VIEWER)
    opcodes = [one.opcode for one in said(handshake.receive(b"4.args,13.VERSION_1_1_0;"))]
    assert opcodes == ["size", "audio", "video", "image", "timezone", "connect"]


def test_a_viewer_joins_read_only():
    viewer = Viewer(Screen(800, 600), read_only=True)
    handshake = Handshake(RunningConnection(ID, {"read-only": "false"}), viewer)
    assert handshake.begin() == Instruction("select", (ID,)).to_guacd()
    connect = said(handshake.receive(ARGS))[-1]
    assert connect.arguments == ("VERSION_1_3_0", "", "", "", "true")


@pytest.mark.parametrize("name", ["", "VNC", "$x", "vnc;", "a" * 33, "vnc\n"])
def test_a_protocol_is_a_name(name):
    with pytest.raises(GuacamoleError):
        Handshake(NewConnection(name), VIEWER).begin()


@pytest.mark.parametrize("name", ["", "vnc", "$", "$a.b", "$" + "a" * 65])
def test_only_an_id_can_be_joined(name):
    with pytest.raises(GuacamoleError):
        Handshake(RunningConnection(name), VIEWER).begin()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"5.error,11.No luck\x1b<b>,3.519;", Status.UPSTREAM_NOT_FOUND, "password is wrong"),
        (b"5.error,0.,3.769;", Status.CLIENT_UNAUTHORIZED, "user name or the password"),
        (b"5.error,0.,5.99999;", None, "guacd refused"),
        (b"5.error;", None, "guacd refused"),
        (b"10.disconnect;", Status.UPSTREAM_UNAVAILABLE, "refused"),
    ],
)
@pytest.mark.parametrize("before", [b"", ARGS])
def test_errors_have_words(before, data, status, words):
    handshake = Handshake(NewConnection("vnc"), VIEWER)
    with pytest.raises(GuacdRefusedError, match=words) as caught:
        handshake.receive(before + data)
    assert caught.value.status is status
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"5.ready,2.$a;", b"3.img;", b"4.args;4.args;", ARGS + b"5.ready;"]
)
def test_guacd_keeps_to_the_order(data):
    with pytest.raises(BadInstructionError):
        Handshake(NewConnection("vnc"), VIEWER).receive(data)


def test_what_means_nothing_may_come_at_any_time():
    handshake = Handshake(NewConnection("vnc"), VIEWER)
    handshake.receive(b"3.nop;" + ARGS + b"3.log,2.hi;" + READY)
    assert handshake.stage is Stage.READY


def test_values_that_do_not_fit_are_an_error_of_ours():
    handshake = Handshake(NewConnection("vnc", {"password": "x" * MAX_INSTRUCTION}), VIEWER)
    with pytest.raises(BadInstructionError, match="at most 8192"):
        handshake.receive(ARGS)


# --- Tunnel -----------------------------------------------------------------------------------


def test_a_tunnel_opens_with_its_id_and_echoes_pings():
    tunnel = Tunnel("5ce5cd9c", read_only=False)
    assert tunnel.opened() == "0.,8.5ce5cd9c;"
    assert tunnel.from_browser("0.,4.ping,3.123;3.nop;") == (b"3.nop;", "0.,4.ping,3.123;")
    assert tunnel.from_browser("0.,5.hello;") == (b"", "")
    assert tunnel.from_guacd([Instruction("", ("x",)), Instruction("nop")]) == "3.nop;"


def test_text_is_framed_again_both_ways():
    tunnel = Tunnel("t", read_only=False)
    to_guacd, _ = tunnel.from_browser(f"4.blob,1.0,2.{SATELLITE};")
    assert to_guacd.decode() == f"4.blob,1.0,1.{SATELLITE};"
    assert tunnel.from_guacd(said(f"4.name,1.{SATELLITE};".encode())) == f"4.name,2.{SATELLITE};"


@pytest.mark.parametrize("opcode", [*FROM_BROWSER, "select", "connect", "args", "", "MOUSE"])
def test_viewers_send_only_what_keeps_the_picture_coming(opcode):
    message = Instruction(opcode, ("1", "2", "3")).to_browser()
    viewers = FROM_BROWSER.get(opcode) is Sender.VIEWERS
    assert bool(Tunnel("t", read_only=True).from_browser(message)[0]) is viewers
    assert bool(Tunnel("t", read_only=False).from_browser(message)[0]) is (opcode in FROM_BROWSER)


def test_losing_control_releases_what_is_held_down():
    tunnel = Tunnel("t", read_only=False)
    tunnel.from_browser("3.key,2.65,1.1;3.key,2.66,1.1;3.key,2.65,1.0;5.mouse,1.7,1.9,1.1;")
    assert said(tunnel.take_control()) == [
        Instruction("key", ("66", "0")),
        Instruction("mouse", ("7", "9", "0")),
    ]
    assert tunnel.take_control() == b""
    assert tunnel.from_browser("3.key,2.65,1.1;") == (b"", "")


def test_what_is_declined_is_dropped_but_for_letting_go():
    asked = []

    def steering(size):
        asked.append(size)
        return len(asked) == 1

    tunnel = Tunnel("t", read_only=False, steering=steering)
    passed, _ = tunnel.from_browser("3.key,2.65,1.1;4.sync,1.9;")
    assert said(passed) == [Instruction("key", ("65", "1")), Instruction("sync", ("9",))]
    passed, _ = tunnel.from_browser("3.key,2.66,1.1;5.mouse,1.7,1.9,1.1;3.key,2.65,1.0;")
    assert said(passed) == [Instruction("key", ("65", "0"))]
    assert asked == [3, 3, 3]
    assert tunnel.take_control() == b""


def test_no_more_keys_than_can_be_released():
    tunnel = Tunnel("t", read_only=False)
    for keysym in range(MAX_HELD + 5):
        message = Instruction("key", (str(keysym), "1")).to_browser()
        passed, _ = tunnel.from_browser(message)
        assert bool(passed) is (keysym < MAX_HELD)
    assert len(said(tunnel.take_control())) == MAX_HELD


def test_every_status_has_words_and_closes_with_its_number():
    assert set(WORDS) == set(Status)
    assert close_of(Status.SUCCESS) == (1000, "0")
    assert close_of(Status.UPSTREAM_NOT_FOUND) == (1011, "519")
    assert close_of(Status.CLIENT_UNAUTHORIZED) == (1008, "769")
