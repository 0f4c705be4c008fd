"""RFB: both handshakes, and which of a browser's messages pass."""

import struct

import pytest

from earthshine.protocols.rfb import (
    EXTENDED_CLIPBOARD,
    LEFT_OUT,
    MAX_CUT_TEXT,
    MAX_HELD,
    MAX_NAME,
    VERSION,
    BadMessageError,
    BrowserHandshake,
    BrowserStage,
    ClientMessages,
    RefusedError,
    RfbError,
    ServerHandshake,
    ServerInit,
    ServerStage,
    UnsupportedError,
    vnc_response,
)

FORMAT = bytes.fromhex("20180001 00ff00ff00ff100800000000".replace(" ", ""))
DESKTOP = ServerInit(1024, 768, FORMAT, "desk")
CHALLENGE = bytes(range(16))


def init(name):
    return struct.pack(">HH16sI", 1024, 768, FORMAT, len(name)) + name


def reason(text):
    return len(text).to_bytes(4) + text


# --- Towards the server -----------------------------------------------------------------------


def test_a_password_stays_between_gateway_and_server():
    handshake = ServerHandshake("secret")
    assert handshake.receive(VERSION) == VERSION
    assert handshake.receive(b"\x02\x10\x02") == b"\x02"
    # As `openssl enc -des-ecb` has it, with the mirrored bytes of the password as key.
    assert handshake.receive(CHALLENGE).hex() == "ee22539f33a5983ec12f9c2edbc995dd"
    assert handshake.receive(bytes(4)) == b"\x01"
    assert handshake.receive(init(b"desk") + b"\0more") == b""
    assert handshake.stage is ServerStage.DONE
    assert handshake.desktop == DESKTOP
    assert handshake.early == b"\0more"
    assert handshake.early == b""


def test_eight_bytes_of_a_password_count():
    assert vnc_response(b"12345678", CHALLENGE) == vnc_response(b"123456789", CHALLENGE)
    assert vnc_response(b"1234567", CHALLENGE) != vnc_response(b"12345678", CHALLENGE)
    assert len(vnc_response(b"", CHALLENGE)) == 16


def test_a_server_without_a_password():
    for password in (None, "unused"):
        handshake = ServerHandshake(password)
        assert handshake.receive(VERSION + b"\x01\x01") == VERSION + b"\x01"
        assert handshake.receive(bytes(4) + init(b"")) == b"\x01"
        assert handshake.stage is ServerStage.DONE


def test_one_byte_at_a_time_is_the_same():
    handshake = ServerHandshake("secret")
    data = VERSION + b"\x01\x02" + CHALLENGE + bytes(4) + init(b"desk") + b"early"
    sent = b"".join(handshake.receive(bytes((byte,))) for byte in data)
    assert sent == VERSION + b"\x02" + vnc_response(b"secret", CHALLENGE) + b"\x01"
    assert (handshake.desktop, handshake.early) == (DESKTOP, b"early")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"<img src=x onerror=alert(1)>", "\u2039img src=x onerror=alert(1)\u203a"),
        (b"a\x00\x1b[31m\n", "a[31m"),
        ("\u202eevil".encode(), "evil"),
        (b"caf\xe9", "café"),
        (b"x" * 4096, "x" * MAX_NAME),
    ],
)
def test_a_desktops_name_is_text(name, shown):
    handshake = ServerHandshake(None)
    handshake.receive(VERSION + b"\x01\x01" + bytes(4) + init(name))
    assert handshake.desktop is not None
    assert handshake.desktop.name == shown


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9", BadMessageError, "not a VNC server"),
        (b"R", None, "ended the connection before its version"),
        (b"RFB x03.008\n", BadMessageError, "not a VNC server"),
        (b"RFB 003.003\n", UnsupportedError, "3.3; 3.8 is needed"),
        (VERSION + b"\x00" + reason(b"Too many\x07 failures"), RefusedError, "Too many failures"),
        (VERSION + b"\x00" + b"\xff" * 4, RefusedError, "refuses connections"),
        (VERSION + b"\x02\x13\x12", UnsupportedError, r"19, 18.*allow VncAuth"),
        (VERSION + b"\x01\x02" + CHALLENGE + b"\0\0\0\1" + reason(b"no"), RefusedError, "password"),
        (VERSION + b"\x01\x02" + CHALLENGE + b"\0\0\0\1", None, "refused the password"),
        (VERSION + b"\x01\x02" + CHALLENGE, None, "verdict on the password"),
        (VERSION + b"\x01\x01" + bytes(4) + b"\xff" * 24, BadMessageError, "impossible name"),
    ],
)
def test_a_failed_handshake_says_why(data, kind, words):
    handshake = ServerHandshake("secret")
    if kind is None:
        handshake.receive(data)
        assert words in str(handshake.refused_at_end())
    else:
        with pytest.raises(kind, match=words):
            handshake.receive(data)


def test_a_password_that_is_wanted_and_not_there():
    with pytest.raises(UnsupportedError, match="wants a password"):
        ServerHandshake(None).receive(VERSION + b"\x01\x02")


# --- Towards the browser ----------------------------------------------------------------------


def test_the_browser_is_asked_for_nothing():
    handshake = BrowserHandshake(DESKTOP)
    assert handshake.begin() == VERSION
    assert handshake.receive(VERSION) == b"\x01\x01"
    assert handshake.receive(b"\x01") == bytes(4)
    assert handshake.receive(b"\x00\x03") == init(b"desk")
    assert (handshake.stage, handshake.early) == (BrowserStage.DONE, b"\x03")


def test_the_browser_is_told_why_there_is_no_desktop():
    handshake = BrowserHandshake(None, refusal="The VNC server refused the password.")
    assert handshake.receive(VERSION) == b"\0" + reason(b"The VNC server refused the password.")
    assert handshake.stage is BrowserStage.DONE


@pytest.mark.parametrize("data", [b"RFB 003.003\n", VERSION + b"\x02", b"GET / HTTP/1.1\r\n"])
def test_a_browser_that_speaks_otherwise(data):
    with pytest.raises(BadMessageError):
        BrowserHandshake(DESKTOP).receive(data)


# --- The browser's messages -------------------------------------------------------------------

KEY_DOWN = b"\x04\x01\0\0\0\0\0A"
KEY_UP = b"\x04\x00\0\0\0\0\0A"
CLICK = b"\x05\x01\0\x07\0\x09"
QEMU_DOWN = b"\xff\x00\0\x01\0\0\0B\0\0\0\x30"
QEMU_UP = b"\xff\x00\0\x00\0\0\0B\0\0\0\x30"
WATCHING = [
    b"\x00\0\0\0" + FORMAT,
    b"\x02\0\0\x02" + struct.pack(">2i", 7, -239),
    b"\x03\x01\0\0\0\0\x04\0\x03\0",
    b"\x96\x01\0\0\0\0\x04\0\x03\0",
    b"\xf8\0\0\0\x80\0\0\x03\x04abcd",
]
INPUT = [
    KEY_DOWN,
    CLICK,
    b"\x06\0\0\0" + reason(b"\x04\x01 text that looks like messages"),
    b"\xfb\0\x04\0\x03\0\x01\0" + bytes(16),
    QEMU_DOWN,
]
XVP = b"\xfa\x00\x01\x02"


def test_a_viewer_may_watch_and_nothing_else():
    messages = ClientMessages(view_only=True)
    stream = b"".join(one + two for one, two in zip(INPUT, WATCHING, strict=True))
    assert messages.receive(stream) == b"".join(WATCHING)


def test_who_controls_may_do_all_but_switch_off():
    messages = ClientMessages(view_only=False)
    stream = b"".join([*INPUT, XVP, *WATCHING])
    assert messages.receive(stream) == b"".join([*INPUT, *WATCHING])


@pytest.mark.parametrize("view_only", [True, False])
def test_any_chunking_is_the_same(view_only):
    stream = b"".join([*INPUT, XVP, *WATCHING, KEY_UP])
    whole = ClientMessages(view_only=view_only).receive(stream)
    for size in (1, 3, 7, 20):
        messages = ClientMessages(view_only=view_only)
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(map(messages.receive, pieces)) == whole


def test_encodings_that_change_the_rules_are_left_out():
    encodings = [7, -316, -307, -309, -259, -305, EXTENDED_CLIPBOARD, -223]
    stream = b"\x02\0" + struct.pack(f">H{len(encodings)}i", len(encodings), *encodings)
    assert ClientMessages(view_only=False).receive(stream) == b"\x02\0\0\x02" + struct.pack(
        ">2i", 7, -223
    )
    extended = ClientMessages(view_only=False, extended_clipboard=True).receive(stream)
    assert extended == b"\x02\0\0\x03" + struct.pack(">3i", 7, EXTENDED_CLIPBOARD, -223)
    assert EXTENDED_CLIPBOARD not in LEFT_OUT


def test_extended_clipboard_only_where_it_is_understood():
    message = b"\x06\0\0\0" + struct.pack(">i", -5) + b"12345"
    assert ClientMessages(view_only=False, extended_clipboard=True).receive(message) == message
    assert ClientMessages(view_only=True, extended_clipboard=True).receive(message) == b""
    for view_only in (True, False):
        with pytest.raises(BadMessageError, match="not offered"):
            ClientMessages(view_only=view_only).receive(message)


@pytest.mark.parametrize(
    "message",
    [
        b"\x01",
        b"\x07",
        b"\x02\0\xff\xff",
        b"\x06\0\0\0" + struct.pack(">i", MAX_CUT_TEXT + 1),
        b"\x06\0\0\0" + struct.pack(">i", -(1 << 31)),
        b"\xf8\0\0\0\0\0\0\0\x41",
        b"\xfb\0\0\0\0\0\x11\0",
        b"\xff\x01" + bytes(10),
    ],
)
@pytest.mark.parametrize("view_only", [True, False])
def test_limits(message, view_only):
    with pytest.raises(BadMessageError):
        ClientMessages(view_only=view_only, extended_clipboard=True).receive(message)


def test_a_large_clipboard_of_a_viewer_is_not_kept():
    messages = ClientMessages(view_only=True)
    assert messages.receive(b"\x06\0\0\0" + (1 << 20).to_bytes(4)) == b""
    for _ in range(1 << 4):
        assert messages.receive(b"\x04" * (1 << 16)) == b""
        assert len(messages._buffer) == 0
    assert messages.receive(WATCHING[2]) == WATCHING[2]


def test_losing_control_releases_what_is_held_down():
    messages = ClientMessages(view_only=False)
    messages.receive(KEY_DOWN + QEMU_DOWN + CLICK + b"\x04\x01\0\0\0\0\0C" + b"\x04\0\0\0\0\0\0C")
    assert messages.take_control() == KEY_UP + QEMU_UP + b"\x05\x00\0\x07\0\x09"
    assert messages.take_control() == b""
    assert messages.receive(KEY_DOWN + WATCHING[2]) == WATCHING[2]


def test_what_is_declined_is_dropped_but_for_letting_go():
    asked = []

    def steering(size):
        asked.append(size)
        return len(asked) == 1

    messages = ClientMessages(view_only=False, steering=steering)
    assert messages.receive(KEY_DOWN + WATCHING[0]) == KEY_DOWN + WATCHING[0]
    released = b"\x05\x00\0\x07\0\x09"
    assert messages.receive(KEY_DOWN + CLICK + QEMU_DOWN + KEY_UP + released) == KEY_UP + released
    assert asked == [8, 8, 6, 12], "keys that are let go, and watching, are not asked about"
    assert messages.take_control() == b"", "nothing is held down"


def test_control_is_lost_in_the_middle_of_a_message():
    messages = ClientMessages(view_only=False)
    assert messages.receive(INPUT[2][:20]) == b""
    assert messages.take_control() == b""
    assert messages.receive(INPUT[2][20:] + WATCHING[2]) == WATCHING[2]


def test_no_more_keys_than_can_be_released():
    messages = ClientMessages(view_only=False)
    for keysym in range(MAX_HELD + 5):
        passed = messages.receive(b"\x04\x01\0\0" + keysym.to_bytes(4))
        assert bool(passed) is (keysym < MAX_HELD)
    assert len(messages.take_control()) == 8 * MAX_HELD


def test_every_error_is_an_rfb_error():
    assert all(issubclass(kind, RfbError) for kind in (BadMessageError, RefusedError))
