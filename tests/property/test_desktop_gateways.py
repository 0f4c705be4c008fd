"""Whatever comes in whatever pieces: documented errors only, and no input of those who watch."""

import contextlib
import json
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import guacamole, rdcleanpath, rdp, rfb
from earthshine.protocols.guacamole import Counting, Instruction, NewConnection, Screen, Viewer

RECORDED = json.loads((Path(__file__).parents[1] / "data/rdp/ironrdp.json").read_text())


def chunked(draw, data):
    """The same bytes in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# --- Guacamole --------------------------------------------------------------------------------

TEXT = st.text(max_size=30)
INSTRUCTIONS = st.lists(
    st.builds(Instruction, TEXT, st.lists(TEXT, max_size=6).map(tuple)), max_size=6
)
GUACISH = st.lists(
    st.sampled_from([b"4.", b"sync", b",", b";", b"1.a", b"5.error", b"3.519", b"0.", b"\xf0\x9f",
                     b"9", b"4.args,13.VERSION_1_3_0;", b"5.ready,2.$a;", b"\xff", b"99999."])
).map(b"".join)  # fmt: skip


@given(INSTRUCTIONS, st.data())
def test_guacd_and_browser_understand_the_same(instructions, data):
    reader = guacamole.GuacdReader()
    stream = b"".join(one.to_guacd() for one in instructions)
    got = [one for piece in chunked(data.draw, stream) for one in reader.feed(piece)]
    assert got == instructions
    message = "".join(one.to_browser() for one in instructions)
    assert guacamole.parse_message(message) == instructions
    for one in instructions:
        assert one.encode(Counting.UTF16_UNITS) == _as_javascript(one)


def _as_javascript(instruction):
    values = (instruction.opcode, *instruction.arguments)
    return ",".join(f"{len(v.encode('utf-16-le')) // 2}.{v}" for v in values) + ";"


@given(GUACISH | st.binary(max_size=300), st.data())
def test_guacd_may_send_anything(stream, data):
    viewer = Viewer(Screen(1, 1))
    handshake = guacamole.Handshake(NewConnection("vnc"), viewer)
    with contextlib.suppress(guacamole.GuacamoleError):
        for piece in chunked(data.draw, stream):
            handshake.receive(piece)


@given(st.text(max_size=200) | GUACISH.map(lambda data: data.decode("latin-1")), st.booleans())
def test_a_browser_may_say_anything_to_guacamole(message, read_only):
    tunnel = guacamole.Tunnel("t", read_only=read_only)
    try:
        to_guacd, _ = tunnel.from_browser(message)
    except guacamole.GuacamoleError:
        return
    opcodes = {one.opcode for one in guacamole.GuacdReader().feed(to_guacd)}
    assert opcodes <= {"sync", "ack", "nop", "disconnect"} or not read_only


# --- RFB --------------------------------------------------------------------------------------

RFBISH = st.lists(
    st.sampled_from([rfb.VERSION, b"\x01\x01", b"\x02\x01\x02", b"\0\0\0\0", b"\0\0\0\1", bytes(16),
                     b"\0", b"\xff\xff\xff\xff", b"\x01\x13", b"desk"])
).map(b"".join)  # fmt: skip
FORMAT = bytes(16)


@given(RFBISH | st.binary(max_size=200), st.data())
def test_a_vnc_server_may_send_anything(stream, data):
    handshake = rfb.ServerHandshake("secret")
    try:
        for piece in chunked(data.draw, stream):
            handshake.receive(piece)
    except rfb.RfbError:
        return
    error = handshake.refused_at_end()
    assert (error is None) is (handshake.stage is rfb.ServerStage.DONE)


@given(RFBISH | st.binary(max_size=60), st.data())
def test_a_browser_may_begin_rfb_with_anything(stream, data):
    handshake = rfb.BrowserHandshake(rfb.ServerInit(1, 1, FORMAT, "x"))
    with contextlib.suppress(rfb.RfbError):
        for piece in chunked(data.draw, stream):
            handshake.receive(piece)


ENCODINGS = st.lists(
    st.sampled_from([0, 7, -239, -316, -307, 0xC0A1E5CE - (1 << 32)]), max_size=5
).map(lambda all_: struct.pack(f">BxH{len(all_)}i", 2, len(all_), *all_))
RECTANGLE = st.binary(min_size=9, max_size=9)
WATCHING = st.one_of(
    st.binary(min_size=19, max_size=19).map(lambda rest: b"\x00" + rest),
    ENCODINGS,
    RECTANGLE.map(lambda rest: b"\x03" + rest),
    RECTANGLE.map(lambda rest: b"\x96" + rest),
    st.binary(max_size=64).map(lambda load: b"\xf8" + bytes(7) + bytes((len(load),)) + load),
)
INPUT = st.one_of(
    st.binary(min_size=7, max_size=7).map(lambda rest: b"\x04" + rest),
    st.binary(min_size=5, max_size=5).map(lambda rest: b"\x05" + rest),
    st.binary(max_size=90).map(lambda text: b"\x06\0\0\0" + len(text).to_bytes(4) + text),
    st.binary(min_size=1, max_size=90).map(
        lambda text: b"\x06\0\0\0" + struct.pack(">i", -len(text)) + text
    ),
    st.binary(max_size=3).map(
        lambda n: b"\xfb" + bytes(5) + bytes((len(n), 0)) + bytes(16 * len(n))
    ),
    st.binary(min_size=10, max_size=10).map(lambda rest: b"\xff\0" + rest),
    st.binary(min_size=3, max_size=3).map(lambda rest: b"\xfa" + rest),
)
MESSAGES = st.lists(st.tuples(st.booleans(), WATCHING, INPUT), max_size=8)


@given(MESSAGES, st.data())
def test_viewers_of_vnc_send_no_input_however_it_is_cut(messages, data):
    stream = b"".join(one if watches else other for watches, one, other in messages)
    wanted = b"".join(_kept(one) for watches, one, _ in messages if watches)
    viewer = rfb.ClientMessages(view_only=True, extended_clipboard=True)
    assert b"".join(map(viewer.receive, chunked(data.draw, stream))) == wanted


@given(MESSAGES, st.data())
def test_once_control_is_gone_no_input_passes(messages, data):
    stream = b"".join(one if watches else other for watches, one, other in messages)
    pieces = chunked(data.draw, stream)
    lost = data.draw(st.integers(0, len(pieces)))
    browser = rfb.ClientMessages(view_only=False, extended_clipboard=True)
    before = b"".join(map(browser.receive, pieces[:lost]))
    released = browser.take_control()
    after = b"".join(map(browser.receive, pieces[lost:]))

    def watched(sent):
        return rfb.ClientMessages(view_only=True, extended_clipboard=True).receive(sent)

    assert watched(after) == after
    # Whole messages before it, and releases that the server reads as input and nothing else.
    assert watched(before + released + after) == watched(before) + after
    again = rfb.ClientMessages(view_only=False)
    again.receive(released)
    assert again.take_control() == b""


def _kept(message):
    if message[0] != 2:
        return message
    count = (len(message) - 4) // 4
    kept = [one for one in struct.unpack(f">{count}i", message[4:]) if one not in rfb.LEFT_OUT]
    return struct.pack(f">BxH{len(kept)}i", 2, len(kept), *kept)


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_a_browser_may_send_anything_to_vnc(pieces, view_only):
    whole, cut = _outcomes(
        lambda: rfb.ClientMessages(view_only=view_only), pieces, rfb.BadMessageError
    )
    assert whole == cut


def _outcomes(make, pieces, error):
    """What passes at once, and in pieces; the second is b"" where there was an error."""

    def run(parts):
        filter_ = make()
        passed = b""
        for part in parts:
            try:
                passed += filter_.receive(part)
            except error as reason:
                return None, str(reason)
        return passed, ""

    return run([b"".join(pieces)]), run(pieces)


# --- RDP --------------------------------------------------------------------------------------

NAMES = ("connect_initial", "client_info", "license", "confirm_active", "frame_acknowledge")
GENUINE = [bytes.fromhex(RECORDED[name]) for name in NAMES]
GENUINE += [bytes.fromhex(one) for one in RECORDED["fast_path"] + RECORDED["joining"]]
REQUEST = bytes.fromhex(RECORDED["request"])
LOGIN = rdp.Login("ada", "secret")


@st.composite
def spoilt(draw, genuine):
    """A recorded message with some of its bytes changed, or cut."""
    message = bytearray(draw(genuine))
    for _ in range(draw(st.integers(0, 4))):
        message[draw(st.integers(0, len(message) - 1))] = draw(st.integers(0, 255))
    return bytes(message[: draw(st.integers(1, len(message)))])


@given(st.lists(st.sampled_from(GENUINE) | spoilt(st.sampled_from(GENUINE)), max_size=8),
       st.booleans(), st.booleans())  # fmt: skip
def test_a_browser_may_send_anything_to_rdp(messages, view_only, opens):
    opening = [GENUINE[0], GENUINE[1]] if opens else []
    whole, cut = _outcomes(
        lambda: rdp.ClientStream(LOGIN, view_only=view_only), [*opening, *messages], rdp.RdpError
    )
    assert whole == cut


RDP_INPUT = [bytes.fromhex(one) for one in RECORDED["fast_path"]]
RDP_INPUT += [bytes.fromhex("0300001202f08064000103ec7004") + b"clip"]


@given(st.lists(st.sampled_from([*GENUINE[3:5], *RDP_INPUT]), max_size=12), st.data())
def test_viewers_of_rdp_send_no_input_however_it_is_cut(messages, data):
    viewer = rdp.ClientStream(LOGIN, view_only=True)
    viewer.receive(GENUINE[0] + GENUINE[1])
    pieces = chunked(data.draw, b"".join(messages))
    wanted = b"".join(one for one in messages if one not in RDP_INPUT)
    assert b"".join(map(viewer.receive, pieces)) == wanted


@given(st.binary(max_size=40) | st.just(bytes.fromhex("0300001300d0")))
def test_an_rdp_server_may_send_anything(data):
    with contextlib.suppress(rdp.RdpError):
        rdp.check_confirm(data)


OPTIONAL = st.none() | TEXT
NUMBERS = st.none() | st.integers(0, 0xFFFF)
PDUS = st.builds(
    rdcleanpath.Pdu,
    version=st.integers(0, 0xFFFF),
    failure=st.none()
    | st.builds(rdcleanpath.Failure, st.integers(0, 0xFFFF), NUMBERS, NUMBERS, NUMBERS),
    destination=OPTIONAL,
    proxy_auth=OPTIONAL,
    server_auth=OPTIONAL,
    preconnection_blob=OPTIONAL,
    x224=st.none() | st.binary(max_size=300),
    certificates=st.none() | st.lists(st.binary(max_size=300), max_size=4).map(tuple),
    server_address=OPTIONAL,
)


@given(PDUS)
def test_rdcleanpath_is_read_as_it_was_written(pdu):
    data = pdu.encode()
    assert rdcleanpath.pdu_length(data) == len(data)
    assert rdcleanpath.decode(data) == pdu


@given(
    st.binary(max_size=200) | spoilt(st.just(REQUEST)) | spoilt(PDUS.map(rdcleanpath.Pdu.encode))
)
def test_what_is_read_as_rdcleanpath_is_exactly_what_would_be_written(data):
    try:
        pdu = rdcleanpath.decode(data)
    except rdcleanpath.RdCleanPathError:
        return
    assert pdu.encode() == data
