"""RDP: what a gateway changes in a recorded client's stream, and what it holds back."""

import json
import struct
from pathlib import Path

import pytest

from earthshine.protocols.rdcleanpath import decode
from earthshine.protocols.rdp import (
    ClientStream,
    Login,
    NegotiationError,
    RdpError,
    check_confirm,
    connection_request,
    is_connection_request,
    tpkt_length,
    with_deep_colour,
    with_login,
)

RECORDED = json.loads((Path(__file__).parents[2] / "data/rdp/ironrdp.json").read_text())
LOGIN = Login("ada", "pässwörd 🛰", "HOUSE")


def recorded(name):
    value = RECORDED[name]
    if isinstance(value, list):
        return [bytes.fromhex(one) for one in value]
    return bytes.fromhex(value)


CONNECT_INITIAL, CLIENT_INFO = recorded("connect_initial"), recorded("client_info")
OPENING = [CONNECT_INITIAL, *recorded("joining"), CLIENT_INFO]
AFTER = [recorded("license"), recorded("confirm_active"), *recorded("finalization")]
WATCHING = [*AFTER, recorded("frame_acknowledge")]
INPUT = recorded("fast_path")


def confirm(kind, value):
    negotiation = struct.pack("<BBHI", kind, 0, 8, value)
    return struct.pack(">BBHB", 3, 0, 19, 14) + b"\xd0\0\0\x12\x34\0" + negotiation


def send_data(content, channel=1003):
    body = b"\x02\xf0\x80\x64\0\x03" + channel.to_bytes(2) + b"\x70"
    body += (0x8000 | len(content)).to_bytes(2) + content
    return struct.pack(">BBH", 3, 0, 4 + len(body)) + body


# --- X.224 ------------------------------------------------------------------------------------


def test_the_gateway_asks_for_tls_in_the_browsers_place():
    assert connection_request().hex() == "030000130ee000000000000100080001000000"
    assert is_connection_request(connection_request())
    asked = decode(recorded("request")).x224
    assert asked is not None
    assert is_connection_request(asked)
    assert b"mstshash=nobody" in asked
    assert not is_connection_request(asked[:-1])
    assert not is_connection_request(b"")


def test_a_confirm_for_tls():
    check_confirm(confirm(2, 1))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (confirm(3, 5), "network level authentication"),
        (confirm(3, 2), "security_layer=tls"),
        (confirm(3, 99), r"refused the connection \(99\)"),
        (confirm(2, 2), "not asked for"),
        (confirm(2, 0), "not asked for"),
        (bytes.fromhex("0300000b06d00000123400"), "does not do TLS"),
    ],
)
def test_other_confirms_say_what_to_do(answer, words):
    with pytest.raises(NegotiationError, match=words) as caught:
        check_confirm(answer)
    assert caught.value.confirm == answer


@pytest.mark.parametrize("answer", [b"SSH-2.0-x", b"", connection_request(), b"\x03\0\0\x05"])
def test_what_is_not_rdp(answer):
    with pytest.raises(RdpError, match="RDP"):
        check_confirm(answer)


# --- Rewriting --------------------------------------------------------------------------------


def test_deep_colour_changes_six_bytes_and_no_length():
    deep = with_deep_colour(CONNECT_INITIAL)
    changed = [at for at, (a, b) in enumerate(zip(CONNECT_INITIAL, deep, strict=True)) if a != b]
    core = CONNECT_INITIAL.index(b"\x01\xc0\xea\x00")
    assert set(changed) <= set(range(core + 140, core + 146))
    high, depths, capabilities = struct.unpack_from("<HHH", deep, core + 140)
    assert (high, depths & 0x0F, capabilities & 0x02) == (24, 0x0F, 0x02)
    assert with_deep_colour(deep) == deep


def test_the_login_is_replaced_and_the_rest_kept():
    rewritten = with_login(CLIENT_INFO, LOGIN)
    assert tpkt_length(rewritten) == len(rewritten)
    for gone in ("nobody", "nothing"):
        assert gone.encode("utf-16-le") in CLIENT_INFO
        assert gone.encode("utf-16-le") not in rewritten
    at = 15 + 4 + 4  # MCS, security header, code page
    flags, *lengths = struct.unpack_from("<I5H", rewritten, at)
    assert flags & 0x08
    texts = []
    at += 14
    for length in lengths:
        texts.append(rewritten[at : at + length].decode("utf-16-le"))
        at += length + 2
    assert texts == ["HOUSE", "ada", "pässwörd 🛰", "", ""]
    assert CLIENT_INFO.endswith(rewritten[at:])
    assert "pässwörd" not in repr(LOGIN)


def test_the_browser_starts_no_program():
    shell = "evil.sh\0".encode("utf-16-le")
    info = struct.pack("<II5H", 0, 0x10, 0, 0, 0, len(shell) - 2, 0) + bytes(6) + shell + bytes(2)
    assert shell not in with_login(send_data(b"\x40\0\0\0" + info), LOGIN)


@pytest.mark.parametrize("user", ["x" * 257, "a\0b", "\ud800"])
def test_a_login_that_does_not_fit(user):
    with pytest.raises(RdpError):
        with_login(CLIENT_INFO, Login(user, ""))


@pytest.mark.parametrize("message", [CONNECT_INITIAL, CLIENT_INFO])
def test_a_shortened_message_is_an_error(message):
    rewrite = with_deep_colour if message is CONNECT_INITIAL else lambda m: with_login(m, LOGIN)
    for end in range(len(message) - 1):
        with pytest.raises(RdpError):
            rewrite(message[:end])


# --- The stream -------------------------------------------------------------------------------


def opened(view_only):
    stream = ClientStream(LOGIN, view_only=view_only)
    expected = [with_deep_colour(CONNECT_INITIAL), *OPENING[1:-1], with_login(CLIENT_INFO, LOGIN)]
    assert stream.receive(b"".join(OPENING)) == b"".join(expected)
    return stream


def test_one_byte_at_a_time_is_the_same():
    whole = b"".join([*OPENING, *WATCHING, *INPUT])
    expected = ClientStream(LOGIN, view_only=False).receive(whole)
    stream = ClientStream(LOGIN, view_only=False)
    assert b"".join(stream.receive(bytes((byte,))) for byte in whole) == expected


def test_who_controls_may_do_all():
    rest = b"".join([*WATCHING, *INPUT, send_data(b"clipboard", 1004)])
    assert opened(view_only=False).receive(rest) == rest


def slow_path(kind):
    return send_data(struct.pack("<HHHIBBHB", 19, 0x17, 1002, 1, 0, 1, 4, kind) + bytes(4))


def test_a_viewer_may_watch_and_nothing_else():
    held_back = [
        *INPUT,
        send_data(b"clipboard", 1004),
        send_data(struct.pack("<HH", 6, 0x17) + b"\0\0"),
        slow_path(28),
        bytes.fromhex("0300000c02f08038000103ec"),
    ]
    stream = opened(view_only=True)
    assert stream.receive(b"".join(AFTER)) == b"".join(AFTER)
    assert stream.receive(b"".join(held_back)) == b""
    assert stream.receive(recorded("license")) == b""
    acknowledged = recorded("frame_acknowledge")
    assert stream.receive(INPUT[0] + acknowledged + INPUT[1]) == acknowledged
    goodbye = bytes.fromhex("0300000902f0802180")
    assert stream.receive(goodbye) == goodbye


@pytest.mark.parametrize(
    "messages",
    [
        [CLIENT_INFO],
        [CONNECT_INITIAL, CONNECT_INITIAL],
        [CONNECT_INITIAL, INPUT[0]],
        [INPUT[0]],
        [CONNECT_INITIAL, recorded("license")],
        [*OPENING, b"\x01\x03\x00"],
        [*OPENING, b"\x04\x02\x00"],
        [*OPENING, b"\xc4\x03\x00"],
        [*OPENING, bytes.fromhex("040300e0")[:3] + b"\0"],
        [*OPENING, b"\x04\x04\xe0\0"],
        [*OPENING, b"\x04\x05\x00\x1e\x00"],
    ],
)
def test_what_breaks_the_order_is_an_error(messages):
    stream = ClientStream(LOGIN, view_only=False)
    with pytest.raises(RdpError):
        stream.receive(b"".join(messages))


def key(code, *, up):
    return bytes((4, 4, up, code))


def mouse(flags, *, extended=False):
    return b"\x04\x09" + bytes((0x40 if extended else 0x20,)) + struct.pack("<HHH", flags, 5, 6)


def test_losing_control_releases_what_is_held_down():
    stream = opened(view_only=False)
    for message in (key(30, up=0), key(31, up=0), key(30, up=1), mouse(0x9000), mouse(0xA000)):
        assert stream.receive(message) == message
    stream.receive(mouse(0x2000) + mouse(0x8001, extended=True))
    released = key(31, up=1) + mouse(0x1000) + mouse(0x0001, extended=True)
    assert stream.take_control() == released
    assert stream.take_control() == b""
    assert stream.receive(key(30, up=0)) == b""


def test_input_that_is_declined_is_dropped_and_nothing_stays_down():
    sizes = []

    def steering(size):
        sizes.append(size)
        return len(sizes) < 2

    stream = ClientStream(LOGIN, view_only=False, steering=steering)
    stream.receive(b"".join(OPENING))
    assert stream.receive(key(30, up=0)) == key(30, up=0)
    assert stream.receive(key(31, up=0)) == key(30, up=1) + key(31, up=1)
    assert stream.receive(b"".join(WATCHING)) == b"".join(WATCHING), "is not asked about"
    assert sizes == [4, 4]


def test_several_events_in_one_message():
    stream = opened(view_only=False)
    message = b"\x00\x80\x08\x02\x00\x1e\x00\x1f"
    assert stream.receive(message) == message
    assert stream.take_control() == key(30, up=1) + key(31, up=1)
