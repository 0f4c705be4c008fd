"""RTSP, ENet, control and media: any bytes end in the documented errors, good bytes survive."""

import contextlib
import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthshine.protocols.moonlight import fec, sdp
from earthshine.protocols.moonlight import input as inputs
from earthshine.protocols.moonlight.audio import (
    AudioCipher,
    AudioDepacketiser,
    AudioError,
    AudioPacketiser,
    AudioReceived,
)
from earthshine.protocols.moonlight.control import (
    ControlError,
    decode_client_message,
    decode_host_message,
    encode_message,
)
from earthshine.protocols.moonlight.control_cipher import (
    ControlCipher,
    ControlCipherError,
    IvScheme,
)
from earthshine.protocols.moonlight.depacketiser import Frame, VideoDepacketiser
from earthshine.protocols.moonlight.enet import EnetClient, EnetError, EnetServer, Received, wire
from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.handshake import (
    ClientHandshake,
    HostHandshake,
    HostOffer,
    Wishes,
)
from earthshine.protocols.moonlight.input import InputError
from earthshine.protocols.moonlight.launch import SessionUrl
from earthshine.protocols.moonlight.nal import without_prefix
from earthshine.protocols.moonlight.ping import PingError, parse_ping
from earthshine.protocols.moonlight.rtsp import (
    Headers,
    MessageReader,
    Role,
    RtspCipher,
    RtspError,
    RtspRequest,
    SealedMessage,
    parse_request,
    parse_response,
)
from earthshine.protocols.moonlight.sdp import Codec, Describe, SdpError
from earthshine.protocols.moonlight.video import (
    FrameType,
    VideoCipher,
    VideoError,
    VideoPacketiser,
)

EXAMPLES = settings(max_examples=150, deadline=None)
FEW = settings(max_examples=40, deadline=None)
KEY = bytes(range(16))
OFFER = HostOffer(Describe(), "S", "0123456789ABCDEF", 1)
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 260)), max_size=6)


def mutate(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """``data`` with bytes replaced, or cut where the value is above 255."""
    changed = bytearray(data)
    for at, value in changes:
        if changed:
            if value > 255:
                del changed[at % len(changed) :]
            else:
                changed[at % len(changed)] = value
    return bytes(changed)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


# -- RTSP -------------------------------------------------------------------------------------


@EXAMPLES
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.booleans())
def test_any_bytes_as_rtsp(data, cuts, until_close):
    reader = MessageReader(until_close=until_close)
    try:
        for piece in pieces(data, cuts):
            reader.feed(piece)
        reader.close()
    except RtspError:
        pass
    for parse in (parse_request, parse_response):
        with contextlib.suppress(RtspError):
            parse(data)


@EXAMPLES
@given(st.data(), CHANGES)
def test_changed_rtsp_sessions(recording, data, changes):
    """A host answers anything it can read; a client ends with a documented error."""
    session = data.draw(st.sampled_from(recording("rtsp_plain.json")["sessions"]))
    host = HostHandshake(OFFER)
    for message in session["messages"]:
        wire_bytes = mutate(bytes.fromhex(message["request_hex"]), changes)
        try:
            reply = host.receive(parse_request(wire_bytes))
        except RtspError:
            continue
        assert reply.response.encode()
    client = ClientHandshake(SessionUrl("h", 1), Wishes(1280, 720, 60, 10000))
    client.begin()
    for message in session["messages"]:
        answer = mutate(bytes.fromhex(message["response_hex"]), changes)
        try:
            client.receive(parse_response(answer))
        except (RtspError, SdpError):
            break


TOKEN = st.text("abcXYZ019-_/.", min_size=1, max_size=20)


@EXAMPLES
@given(TOKEN, st.lists(st.tuples(TOKEN, TOKEN), max_size=8), st.binary(max_size=100), st.data())
def test_requests_survive_in_any_pieces(target, lines, body, data):
    lines = [line for line in lines if line[0].lower() != "content-length"]
    headers = Headers((*lines, ("Content-length", str(len(body)))))
    request = RtspRequest("ANNOUNCE", target, headers, body)
    reader, found = MessageReader(), None
    for piece in pieces(request.encode(), data.draw(st.lists(st.integers(0, 400), max_size=6))):
        assert found is None
        found = reader.feed(piece)
    assert isinstance(found, bytes)
    assert parse_request(found) == request


@EXAMPLES
@given(st.binary(max_size=200), CHANGES)
def test_sealed_rtsp(plain, changes):
    sealed = RtspCipher(KEY, Role.CLIENT).seal(plain)
    changed = mutate(sealed, changes)
    try:
        message = MessageReader().feed(changed)
    except RtspError:
        return
    if isinstance(message, SealedMessage):
        host = RtspCipher(KEY, Role.HOST)
        if changed == sealed:
            assert host.open(message) == plain
        else:
            with pytest.raises(RtspError):
                host.open(message)


@EXAMPLES
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), CHANGES)
def test_any_session_description(recording, body, changes):
    session = recording("rtsp_plain.json")["sessions"][0]
    announce = parse_request(bytes.fromhex(session["messages"][5]["request_hex"])).body
    describe = parse_response(bytes.fromhex(session["messages"][1]["response_hex"])).body
    for text in (body, mutate(announce, changes), mutate(describe, changes)):
        for parse in (sdp.parse_announce, sdp.parse_describe):
            with contextlib.suppress(SdpError):
                parse(text)


@EXAMPLES
@given(st.data())
def test_announcements_survive(data):
    def number(low: int, high: int) -> int:
        return int(data.draw(st.integers(low, high)))

    announce = sdp.Announce(
        number(16, 16384),
        number(16, 16384),
        number(1, 1000),
        16 * number(8, 256),
        number(0, 10**7),
        number(0, 10**7),
        Codec(number(0, 2)),
        bool(number(0, 1)),
        sdp.ColourSpace(number(0, 2)),
        bool(number(0, 1)),
        bool(number(0, 1)),
        bool(number(0, 1)),
        encryption=sdp.Encryption(number(0, 7)),
        channels=number(1, 8),
    )
    assert sdp.parse_announce(sdp.build_announce(announce, "192.0.2.1", 47998)) == announce


# -- ENet -------------------------------------------------------------------------------------


@EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes_as_a_datagram(data):
    try:
        datagram = wire.decode_datagram(data)
    except EnetError:
        return
    head = wire.encode_header(datagram.peer, datagram.session, datagram.sent_time)
    assert head + b"".join(command.encode() for command in datagram.commands) == data


@FEW
@given(st.data())
def test_changed_sessions_stay_bounded(recording, data):
    """Recorded datagrams in any order, some changed, from two addresses, both roles."""
    session = data.draw(st.sampled_from(recording("enet_control.json")["sessions"]))
    datagrams = [bytes.fromhex(entry["hex"]) for entry in session["datagrams"]]
    server: EnetServer[int] = EnetServer()
    client = EnetClient(1, 2, 0)
    now = 0
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.integers(0, 400))
        chosen = mutate(data.draw(st.sampled_from(datagrams)), data.draw(CHANGES))
        with contextlib.suppress(EnetError):
            server.receive(data.draw(st.integers(0, 1)), chosen, now)
        with contextlib.suppress(EnetError):
            client.receive(chosen, now)
        for _, out in server.poll(now):
            wire.decode_datagram(out)
        for out in client.poll(now):
            wire.decode_datagram(out)
        server.events()
        client.events()
        server.next_wakeup()


@FEW
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=12), st.integers(0, 2**32))
def test_messages_survive_a_bad_link(messages, seed):
    source = random.Random(seed)
    server: EnetServer[int] = EnetServer()
    client = EnetClient(1, 2, 0)
    received: list[bytes] = []
    flying: list[tuple[str, bytes]] = []
    sent = False
    for now in range(0, 60_000, 7):
        flying += [("server", data) for data in client.poll(now)]
        flying += [("client", data) for _, data in server.poll(now)]
        source.shuffle(flying)
        waiting, flying = flying, []
        for to, data in waiting:
            fate = source.random()
            if fate < 0.2:
                continue
            if fate < 0.4:
                flying.append((to, data))
            elif to == "server":
                server.receive(0, data, now)
            else:
                client.receive(data, now)
        if client.events() and not sent:
            sent = True
            for message in messages:
                client.send(1, message)
        received += [e.event.data for e in server.events() if isinstance(e.event, Received)]
        if len(received) == len(messages):
            break
    assert received == messages


# -- control and input --------------------------------------------------------------------------


@EXAMPLES
@given(st.binary(max_size=100), CHANGES, st.data())
def test_any_control_packet(recording, packet, changes, data):
    session = recording("enet_control.json")["sessions"][0]
    plains = [
        bytes.fromhex(entry["plain"])
        for datagram in session["datagrams"]
        for entry in datagram.get("control", [])
    ]
    changed = mutate(data.draw(st.sampled_from(plains)), changes)
    for plain in (packet, changed):
        for decode in (decode_client_message, decode_host_message):
            try:
                message = decode(plain)
            except (ControlError, InputError):
                continue
            assert decode(encode_message(message)) == message


@EXAMPLES
@given(st.binary(max_size=100), CHANGES, st.sampled_from(IvScheme))
def test_any_sealed_control_packet(plain, changes, scheme):
    packet = ControlCipher(KEY, Role.CLIENT, scheme).seal(plain)
    host = ControlCipher(KEY, Role.HOST, scheme)
    changed = mutate(packet, changes)
    # The old scheme does not authenticate the upper bytes of the sequence number.
    same = 5 if scheme is IvScheme.LEGACY else 8
    if (changed[:same], changed[8:]) == (packet[:same], packet[8:]):
        assert host.open(changed) == plain
    else:
        with pytest.raises(ControlCipherError):
            host.open(changed)


FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)
INT16 = st.integers(-(2**15), 2**15 - 1)
BYTE = st.integers(0, 255)
WORD = st.integers(0, 0xFFFF)
LONG = st.integers(0, 0xFFFFFFFF)
PAD = st.integers(0, 15)
CONTACT = st.sampled_from(inputs.Contact)
EVENTS = st.one_of(
    st.builds(
        inputs.KeyEvent,
        BYTE,
        st.booleans(),
        st.integers(0, 15).map(inputs.Modifier),
        BYTE,
    ),
    st.builds(inputs.MouseMoved, INT16, INT16),
    st.builds(inputs.MousePlaced, INT16, INT16, st.integers(1, 2**15), st.integers(1, 2**15)),
    st.builds(inputs.MouseButtonEvent, st.sampled_from(inputs.MouseButton), st.booleans()),
    st.builds(inputs.Scrolled, INT16),
    st.builds(inputs.ScrolledSideways, INT16),
    st.builds(inputs.TextTyped, st.characters(exclude_categories=["Cs"]).filter(lambda c: c != "")),
    st.builds(
        inputs.ControllerState,
        PAD,
        WORD,
        LONG.map(inputs.Button),
        BYTE,
        BYTE,
        INT16,
        INT16,
        INT16,
        INT16,
    ),
    st.builds(inputs.HapticsEnabled, st.booleans()),
    st.builds(inputs.Touched, CONTACT, LONG, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, WORD),
    st.builds(
        inputs.PenMoved,
        CONTACT,
        st.sampled_from(inputs.Tool),
        BYTE,
        FLOAT,
        FLOAT,
        FLOAT,
        WORD,
        BYTE,
        FLOAT,
        FLOAT,
    ),
    st.builds(
        inputs.ControllerArrived,
        PAD,
        st.sampled_from(inputs.ControllerType),
        WORD.map(inputs.Capability),
        LONG.map(inputs.Button),
    ),
    st.builds(inputs.ControllerTouched, PAD, CONTACT, BYTE, LONG, FLOAT, FLOAT, FLOAT),
    st.builds(inputs.ControllerMoved, PAD, st.sampled_from(inputs.MotionType), FLOAT, FLOAT, FLOAT),
    st.builds(inputs.ControllerBattery, PAD, st.sampled_from(inputs.BatteryState), BYTE),
)


@settings(max_examples=400, deadline=None)
@given(EVENTS, CHANGES)
def test_input_survives_and_changed_input_is_refused_or_read(event, changes):
    packet = inputs.encode_input(event)
    assert inputs.decode_input(packet) == event
    with contextlib.suppress(InputError):
        inputs.decode_input(mutate(packet, changes))


# -- media ------------------------------------------------------------------------------------


@FEW
@given(st.data())
def test_video_survives_loss(data):
    size = 16 * data.draw(st.integers(8, 90))
    percent = data.draw(st.integers(0, 255))
    encrypted = data.draw(st.booleans())
    source = random.Random(data.draw(st.integers(0, 2**32)))
    unit = b"\0\0\0\1\x67" + source.randbytes(data.draw(st.integers(0, 60_000)))
    packetiser = VideoPacketiser(
        size,
        fec_percent=percent,
        min_fec_packets=data.draw(st.integers(0, 255)),
        cipher=VideoCipher(KEY) if encrypted else None,
        first_sequence=data.draw(st.integers(0, 1 << 25)),
    )
    cut = packetiser.packetise(unit, frame=1, frame_type=FrameType.IDR, timestamp=0)
    datagrams = [bytes(datagram) for datagram in cut]
    kept: list[bytes] = []
    at = 0
    for block in cut.blocks:  # as many as there is data, of each block
        kept += source.sample(datagrams[at : at + block.data + block.parity], block.data)
        at += block.data + block.parity
    source.shuffle(kept)
    receiving = VideoDepacketiser(size, cipher=VideoCipher(KEY) if encrypted else None)
    events = [event for datagram in kept for event in receiving.receive(datagram)]
    frames = [event for event in events if isinstance(event, Frame)]
    assert [frame.data for frame in frames] == [unit]


@FEW
@given(st.data(), st.lists(CHANGES, min_size=1, max_size=60))
def test_changed_video_stays_bounded(recording, data, all_changes):
    octets = recording("video_h264.bin")
    variant = next(v for v in recording("video_h264.json")["variants"] if v["name"] == "multiblock")
    size, start = variant["datagram_size"], variant["datagrams_offset"]
    receiving = VideoDepacketiser(variant["packet_size"])
    for changes in all_changes:
        number = data.draw(st.integers(0, variant["datagram_count"] - 1))
        packet = octets[start + number * size : start + (number + 1) * size]
        header, rest = mutate(packet[:32], [c for c in changes if c[1] < 256]), packet[32:]
        with contextlib.suppress(VideoError):
            receiving.receive(header + rest)
        assert len(receiving._open) <= 2


@EXAMPLES
@given(st.binary(max_size=200))
def test_any_bytes_as_media(datagram):
    with pytest.raises(VideoError):
        VideoDepacketiser(1024).receive(datagram)
    with contextlib.suppress(AudioError):
        AudioDepacketiser(5, AudioCipher(KEY, 0)).receive(datagram, 0)
    with contextlib.suppress(PingError):
        assert parse_ping(datagram).encode() == datagram
    for codec in (Codec.H264, Codec.HEVC):
        assert len(without_prefix(datagram, codec)) <= len(datagram)


@EXAMPLES
@given(st.data(), st.integers(2, 30), st.integers(0, 2**32))
def test_audio_is_never_wrong_or_out_of_order(data, blocks, seed):
    source = random.Random(seed)
    first = 4 * data.draw(st.integers(0, 30_000))
    cipher = AudioCipher(KEY, data.draw(st.integers(-(2**31), 2**31 - 1)))
    packetiser = AudioPacketiser(5, cipher, first_sequence=first)
    packets = [p for n in range(4 * blocks) for p in packetiser.packetise(n.to_bytes(2, "big") * 9)]
    receiving = AudioDepacketiser(5, cipher, skip_ms=0)
    heard: list[Any] = []
    for now, packet in enumerate(packets):
        if now and source.random() < 0.2:
            continue
        changed = packet if source.random() > 0.1 else packet[:-1] + bytes([packet[-1] ^ 1])
        try:
            heard += receiving.receive(packet, now)
            heard += receiving.receive(changed, now)  # doubles never replace what came first
        except AudioError:
            pass
    sequences = [(event.sequence - first) & 0xFFFF for event in heard]
    assert sequences == sorted(set(sequences))
    for event in heard:
        if isinstance(event, AudioReceived):
            assert event.opus == ((event.sequence - first) & 0xFFFF).to_bytes(2, "big") * 9


@FEW
@given(st.data())
def test_any_code_restores_any_loss_it_can(data):
    count = data.draw(st.integers(1, 200))
    parity_count = data.draw(st.integers(1, 255 - count))
    source = random.Random(data.draw(st.integers(0, 2**32)))
    shards = np.frombuffer(source.randbytes(count * 9), np.uint8).reshape(count, 9)
    parity = fec.encode(shards, parity_count)
    lost = min(data.draw(st.integers(0, count)), parity_count)
    missing = sorted(source.sample(range(count), lost))
    rows = sorted(source.sample(range(parity_count), lost))
    damaged = shards.copy()
    damaged[missing] = 0
    fec.recover(damaged, missing, parity[rows], rows, parity_count)
    assert (damaged == shards).all()


def test_all_errors_share_one_root():
    for error in (RtspError, SdpError, EnetError, ControlError, ControlCipherError, InputError):
        assert issubclass(error, MoonlightError)
    for other in (VideoError, AudioError, PingError, fec.FecError):
        assert issubclass(other, MoonlightError)
