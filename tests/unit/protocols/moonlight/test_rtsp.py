"""RTSP: recorded sessions in both roles, plain and sealed, and what is refused."""

from typing import Any

import pytest

from earthshine.protocols.moonlight import sdp
from earthshine.protocols.moonlight.handshake import (
    Announced,
    ClientHandshake,
    HandshakeError,
    HostHandshake,
    HostOffer,
    PlayRequested,
    StreamSetup,
    Wishes,
    decide,
)
from earthshine.protocols.moonlight.launch import SessionUrl
from earthshine.protocols.moonlight.rtsp import (
    Headers,
    MessageReader,
    Role,
    RtspCipher,
    RtspError,
    RtspRequest,
    RtspResponse,
    SealedMessage,
    parse_request,
    parse_response,
)
from earthshine.protocols.moonlight.sdp import Announce, Codec, Describe, Encryption, SdpError

PLAIN = ["h264_2", "h264_6", "hevc_2", "hevc_6", "av1_2", "av1_6"]
PLAIN += ["real_url", "remote_slow", "fallback_h264"]
SEALED = ["h264_2", "h264_6", "hevc_2", "hevc_6", "av1_2", "av1_6"]
SEALED += ["real_url", "host_requests", "embedded_launch", "embedded_resume", "embedded_hdr_51"]
SESSIONS = [("rtsp_plain.json", n) for n in PLAIN] + [("rtsp_encrypted.json", n) for n in SEALED]
LAYOUTS = (
    (sdp.STEREO_LAYOUT, False),
    (sdp.SURROUND_51_LAYOUT, False),
    (sdp.SURROUND_51_HIGH_LAYOUT, True),
    (sdp.SURROUND_71_LAYOUT, False),
    (sdp.SURROUND_71_HIGH_LAYOUT, True),
)


@pytest.fixture(params=SESSIONS, ids=lambda value: f"{value[0][5:-5]}-{value[1]}")
def session(request, recording):
    file, name = request.param
    return next(s for s in recording(file)["sessions"] if s["name"] == name)


@pytest.fixture(scope="module")
def h264(recording):
    return recording("rtsp_plain.json")["sessions"][0]


def sealed(session: Any) -> bool:
    return "request_seq" in session["messages"][0]


def offer_of(session: Any) -> HostOffer:
    body = session["messages"][1]["response_text"]
    return HostOffer(
        describe=Describe(
            features=sdp.HostFeature(3),
            encryption_supported=Encryption(session["host_encryption_supported"]),
            encryption_requested=Encryption(session["host_encryption_requested"]),
            reference_invalidation="refPicInvalidation" in body,
            hevc="sprop-parameter-sets" in body,
            av1="AV1/90000" in body,
            layouts=LAYOUTS,
        ),
        session="DEADBEEFCAFE",
        ping_payload="0123456789ABCDEF",
        connect_data=3735928559,
    )


def read_message(wire: bytes, cipher: RtspCipher | None, reader: MessageReader) -> bytes:
    for at in range(len(wire)):
        message = reader.feed(wire[at : at + 1])
        assert message is None or at == len(wire) - 1
    if message is None:
        message = reader.close()
    if isinstance(message, SealedMessage):
        assert cipher is not None
        return cipher.open(message)
    return message


def test_host_answers_like_the_recording(session):
    host = HostHandshake(offer_of(session))
    cipher = RtspCipher(bytes.fromhex(session["rikey"]), Role.HOST) if sealed(session) else None
    events: list[Any] = []
    for message in session["messages"]:
        wire = bytes.fromhex(message["request_hex"])
        request = parse_request(read_message(wire, cipher, MessageReader()))
        reply = host.receive(request)
        answer = reply.response.encode()
        events += reply.events
        expected = bytes.fromhex(message["response_hex"])
        assert (cipher.seal(answer) if cipher else answer) == expected
    assert [type(event) for event in events] == [Announced, PlayRequested]
    assert events[0].announce.attributes == session["announce"]


def wishes_for(session: Any) -> Wishes:
    """The settings each recorded client was started with, as far as ANNOUNCE shows them."""
    value = session["announce"]
    csc = int(value["x-nv-video[0].encoderCscMode"])
    remote = value["x-nv-aqos.qosTrafficType"] == "0" or session["name"] == "host_requests"
    codecs = {Codec.H264, Codec(int(value["x-nv-vqos[0].bitStreamFormat"]))}
    if session["name"] == "fallback_h264":
        codecs.add(Codec.AV1)
    wanted = session["host_encryption_supported"] if session["name"] != "host_requests" else 0
    return Wishes(
        width=int(value["x-nv-video[0].clientViewportWd"]),
        height=int(value["x-nv-video[0].clientViewportHt"]),
        fps=int(value["x-nv-video[0].maxFPS"]),
        bitrate_kbps=int(value["x-ml-video.configuredBitrateKbps"]),
        codecs=frozenset(codecs),
        hdr=value["x-nv-video[0].dynamicRangeMode"] == "1",
        colour_space=sdp.ColourSpace(csc >> 1),
        full_range=bool(csc & 1),
        channels=int(value["x-nv-audio.surround.numChannels"]),
        channel_mask=int(value["x-nv-audio.surround.channelMask"]),
        encryption=Encryption(wanted),
        remote=remote,
        slow_audio_decoder=value["x-nv-aqos.packetDuration"] == "10",
        reference_invalidation=value["x-nv-video[0].maxNumReferenceFrames"] == "0",
        slices=int(value["x-nv-video[0].videoEncoderSlicesPerFrame"]),
        refresh_x100=int(value["x-nv-video[0].clientRefreshRateX100"]),
    )


# Two recordings were made with remote settings mixed by hand; test_remote_client_decides has those.
@pytest.mark.parametrize(
    "session",
    [entry for entry in SESSIONS if entry[1] not in ("host_requests", "remote_slow")],
    indirect=True,
    ids=lambda value: f"{value[0][5:-5]}-{value[1]}",
)
def test_client_asks_like_the_recording(session):
    cipher = RtspCipher(bytes.fromhex(session["rikey"]), Role.CLIENT) if sealed(session) else None
    url = SessionUrl("127.0.0.1", encrypted=sealed(session))
    client = ClientHandshake(url, wishes_for(session))
    step: Any = client.begin()
    for message in session["messages"]:
        wire = step.encode()
        assert (cipher.seal(wire) if cipher else wire) == bytes.fromhex(message["request_hex"])
        wire = bytes.fromhex(message["response_hex"])
        answer = read_message(wire, cipher, MessageReader(1 << 20, until_close=True))
        step = client.receive(parse_response(answer))
    assert isinstance(step, StreamSetup)
    assert (step.video_port, step.control_port, step.audio_port) == (47998, 47999, 48000)
    assert step.video_ping_payload == step.audio_ping_payload == b"0123456789ABCDEF"
    assert step.connect_data == 3735928559
    heard = session["client_audio_setup"]
    if heard:
        high = step.announce.high_quality_audio
        layout = step.offer.layout(step.announce.channels, high_quality=high)
        assert layout is not None
        assert (layout.channels, layout.streams, layout.coupled) == (
            heard["channels"],
            heard["streams"],
            heard["coupled"],
        )
        assert list(layout.mapping) == heard["mapping"]


def test_announce_is_written_back_byte_for_byte(session):
    body = parse_request(
        session["messages"][5]["request_text"].replace("\r\n", "\n").replace("\n", "\r\n").encode()
    ).body
    assert sdp.build_announce(sdp.parse_announce(body), "127.0.0.1", 47998) == body


# -- refusals ---------------------------------------------------------------------------------


def request(method: str, target: str, number: int = 1, session: str = "", body: bytes = b""):
    lines = [("CSeq", str(number))]
    if session:
        lines.append(("Session", session))
    if body:
        lines.append(("Content-length", str(len(body))))
    return RtspRequest(method, target, Headers(tuple(lines)), body)


def set_up(host: HostHandshake) -> None:
    for stream in ("audio", "video", "control"):
        reply = host.receive(request("SETUP", f"streamid={stream}/0/0", session="DEADBEEFCAFE"))
        assert reply.response.status == 200


def announce_body(h264: Any) -> bytes:
    return parse_request(bytes.fromhex(h264["messages"][5]["request_hex"])).body


def test_host_keeps_the_order(h264):
    host = HostHandshake(offer_of(h264))
    body = announce_body(h264)
    announce = request("ANNOUNCE", "streamid=control/13/0", session="DEADBEEFCAFE", body=body)
    play = request("PLAY", "/", session="DEADBEEFCAFE")
    assert host.receive(play).response.status == 455
    assert host.receive(announce).response.status == 455
    set_up(host)
    assert host.receive(announce).response.status == 200
    assert host.receive(announce).response.status == 455
    assert host.receive(request("SETUP", "streamid=video")).response.status == 455
    assert host.receive(play).response.status == 200
    assert host.receive(play).response.status == 455
    assert host.receive(request("OPTIONS", "*")).response.status == 200


def test_host_wants_its_session_token(h264):
    host = HostHandshake(offer_of(h264))
    set_up(host)
    wrong = request("ANNOUNCE", "x", session="CAFE", body=announce_body(h264))
    assert host.receive(wrong).response.status == 454
    assert host.receive(request("SETUP", "streamid=video/0/0")).response.status == 454


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request("TEARDOWN", "/"), 501),
        (request("SETUP", "streamid=smell/0/0"), 404),
        (RtspRequest("OPTIONS", "*", Headers()), 400),
        (RtspRequest("OPTIONS", "*", Headers((("CSeq", "1x"),))), 400),
    ],
)
def test_host_answers_errors(asked, status, h264):
    assert HostHandshake(offer_of(h264)).receive(asked).response.status == status


@pytest.mark.parametrize("name", [n for n, span in sdp._FIELDS.items() if span.default is None])
def test_announce_without_something_needed_is_400(name, h264):
    body = announce_body(h264)
    lines = [line for line in body.splitlines(keepends=True) if name.encode() not in line]
    with pytest.raises(SdpError, match="lacks"):
        sdp.parse_announce(b"".join(lines))
    host = HostHandshake(offer_of(h264))
    set_up(host)
    bad = request("ANNOUNCE", "x", session="DEADBEEFCAFE", body=b"".join(lines))
    assert host.receive(bad).response.status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-nv-video[0].packetSize", "0"),
        ("x-nv-video[0].packetSize", "1400"),
        ("x-nv-video[0].packetSize", "65536"),
        ("x-nv-video[0].clientViewportWd", "-1"),
        ("x-nv-video[0].clientViewportWd", "99999999999999999999"),
        ("x-nv-video[0].maxFPS", "0"),
        ("x-nv-video[0].maxFPS", "sixty"),
        ("x-nv-vqos[0].bitStreamFormat", "3"),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", "256"),
    ],
)
def test_announce_out_of_range_is_refused(name, value, h264):
    attributes = h264["announce"] | {name: value}
    body = "".join(f"a={key}:{text} \r\n" for key, text in attributes.items())
    with pytest.raises(SdpError):
        sdp.parse_announce(body.encode())


def test_announce_limits():
    with pytest.raises(SdpError):
        sdp.parse_announce(b"a=x:1\r\n" * 2000)
    with pytest.raises(SdpError):
        sdp.parse_announce(b"".join(b"a=x%d:1\r\n" % n for n in range(300)))


@pytest.mark.parametrize(
    "wire",
    [
        b"OPTIONS * RTSP/1.0\r\n" + b"X: y\r\n" * 65 + b"\r\n",
        b"OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-length: -1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-length: 1e9\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-length: 99999\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nX: " + b"y" * 3000 + b"\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nmore",
        b"x" * 20000,
        b"\x80\xff\xff\xff" + bytes(20),
        b"\x80\x00\x00\x01" + bytes(22),
    ],
)
def test_reader_refuses_and_stays_bounded(wire):
    reader = MessageReader()
    with pytest.raises(RtspError):
        for at in range(0, len(wire), 1000):
            reader.feed(wire[at : at + 1000])
    assert len(reader._buffer) <= 16384 + 24


@pytest.mark.parametrize(
    "wire",
    [b"", b"OPTIONS * RTSP/1.0", b"OPTIONS *\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"],
)
def test_malformed_requests_are_refused(wire):
    with pytest.raises(RtspError):
        parse_request(wire)


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"RTSP/1.0 2x0 OK\r\n\r\n"])
def test_malformed_responses_are_refused(wire):
    with pytest.raises(RtspError):
        parse_response(wire)


def test_cut_off_messages_are_refused():
    for data in (b"", b"OPTIONS *", b"\x80\x00\x00\x10abc"):
        reader = MessageReader()
        assert reader.feed(data) is None
        with pytest.raises(RtspError):
            reader.close()


def test_sealed_messages_cannot_be_replayed_or_changed():
    key = bytes(range(16))
    client, host = RtspCipher(key, Role.CLIENT), RtspCipher(key, Role.HOST)
    first, second = MessageReader(), MessageReader()
    one, two = first.feed(client.seal(b"one")), second.feed(client.seal(b"two"))
    assert isinstance(one, SealedMessage)
    assert isinstance(two, SealedMessage)
    with pytest.raises(RtspError):
        RtspCipher(bytes(16), Role.HOST).open(one)  # another session's key
    with pytest.raises(RtspError):
        RtspCipher(key, Role.CLIENT).open(one)  # reflected to its sender
    assert host.open(one) == b"one"
    with pytest.raises(RtspError):
        host.open(one)
    with pytest.raises(RtspError):
        host.open(SealedMessage(2, two.tag, b"tw0"))
    assert host.open(two) == b"two"


# -- the client -----------------------------------------------------------------------------------

BASIC = Wishes(1280, 720, 60, 10000)


def test_client_reports_errors_of_the_host():
    client = ClientHandshake(SessionUrl("h", 1), BASIC)
    with pytest.raises(HandshakeError):
        client.receive(RtspResponse(200, Headers()))
    client.begin()
    with pytest.raises(HandshakeError):
        client.begin()
    with pytest.raises(HandshakeError) as refused:
        client.receive(RtspResponse(454, Headers()))
    assert refused.value.status == 454


@pytest.mark.parametrize(
    ("wishes", "target", "host"),
    [
        (BASIC, "rtsp://0.0.0.0:1234", "0.0.0.0"),
        (Wishes(1, 1, 1, 15_000), "rtspenc://192.0.2.1:1234", "192.0.2.1"),
        (Wishes(1, 1, 1, 15_000, slow_audio_decoder=True), "rtsp://0.0.0.0:1234", "0.0.0.0"),
        (Wishes(1, 1, 1, 15_000, remote=True), "rtspenc://192.0.2.1:1234", "192.0.2.1"),
        (Wishes(1, 1, 1, 15_000, remote=True, channels=6), "rtsp://0.0.0.0:1234", "0.0.0.0"),
    ],
)
def test_client_names_the_host_or_a_placeholder(wishes, target, host):
    asked = ClientHandshake(SessionUrl("192.0.2.1", 1234, encrypted=True), wishes).begin()
    assert (asked.target, asked.headers.get("Host")) == (target, host)


def answered(count: int) -> ClientHandshake:
    client = ClientHandshake(SessionUrl("h", 1), BASIC)
    client.begin()
    for _ in range(count):
        client.receive(RtspResponse(200, Headers((("Session", "S;timeout = 90"),))))
    return client


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (2, ()),
        (2, (("Session", ";timeout = 90"),)),
        (2, (("Session", "x" * 65),)),
        (2, (("Session", "S"), ("Transport", "server_port=0"))),
        (3, (("Transport", "server_port=70000"),)),
        (4, (("X-SS-Connect-Data", "4294967296"),)),
        (4, (("X-SS-Connect-Data", "-1"),)),
    ],
)
def test_client_refuses_incomplete_answers(step, lines):
    with pytest.raises(HandshakeError):
        answered(step).receive(RtspResponse(200, Headers(lines)))


def test_client_follows_the_ports_it_is_given_and_old_hosts():
    client = answered(3)
    client.receive(RtspResponse(200, Headers((("Transport", "server_port=48100"),))))
    for _ in range(2):
        client.receive(RtspResponse(200, Headers()))
    setup = client.receive(RtspResponse(200, Headers()))
    assert isinstance(setup, StreamSetup)
    assert (setup.video_port, setup.audio_port) == (48100, 48000)
    assert setup.video_ping_payload is None
    with pytest.raises(HandshakeError):
        client.receive(RtspResponse(200, Headers()))


def test_remote_client_decides(recording):
    session = next(
        s for s in recording("rtsp_plain.json")["sessions"] if s["name"] == "remote_slow"
    )
    announced = sdp.parse_announce(announce_body(session))
    remote = Wishes(
        1280,
        720,
        60,
        2000,
        remote=True,
        slow_audio_decoder=True,
        slices=4,
        refresh_x100=6000,
    )
    chosen = decide(remote, offer_of(session).describe)
    # The recorded client was told its packet size; remote streams are capped otherwise.
    assert chosen.packet_size == 1024
    assert sdp.build_announce(chosen, "h", 1).replace(b":1024 ", b":1392 ") == sdp.build_announce(
        announced, "h", 1
    )


@pytest.mark.parametrize(
    ("wishes", "offer", "expected"),
    [
        (BASIC, Describe(), (Codec.H264, Encryption.NONE, 1392)),
        (BASIC, Describe(encryption_supported=Encryption.ALL), (Codec.H264, 1, 1392)),
        (
            BASIC,
            Describe(encryption_supported=Encryption.ALL, encryption_requested=Encryption.ALL),
            (0, Encryption.ALL, 1360),
        ),
        (
            Wishes(1, 1, 1, 1, codecs=frozenset(Codec), remote=True),
            Describe(hevc=True, av1=True),
            (Codec.AV1, 0, 1024),
        ),
        (Wishes(1, 1, 1, 1, codecs=frozenset(Codec)), Describe(hevc=True), (Codec.HEVC, 0, 1392)),
    ],
)
def test_decisions(wishes, offer, expected):
    chosen = decide(wishes, offer)
    assert (chosen.codec, chosen.encryption, chosen.packet_size) == expected
    assert decide(wishes, offer, ip_version=6).packet_size == {1024: 1184}.get(
        expected[2], expected[2]
    )


# -- SDP ---------------------------------------------------------------------------------------


def test_describe_survives_the_way_through_text():
    describe = Describe(
        sdp.HostFeature(3), Encryption.ALL, Encryption.VIDEO, True, True, True, LAYOUTS
    )
    assert sdp.parse_describe(describe.encode()) == describe
    assert describe.layout(6, high_quality=True) == sdp.SURROUND_51_HIGH_LAYOUT
    assert Describe().layout(6, high_quality=False) is None


@pytest.mark.parametrize(
    "digits", ["", "2x", "211", "21109", "20101", "21201", "211012", "911012345678"]
)
def test_impossible_layouts_are_refused(digits):
    with pytest.raises(SdpError):
        sdp.parse_layout(digits, high_quality=False)


def test_describe_is_bounded():
    with pytest.raises(SdpError):
        sdp.parse_describe(b"x" * 70000)


@pytest.mark.parametrize(
    ("refresh", "fps", "exact"), [(5994, 60, 59.94), (0, 60, 60.0), (3000, 60, 60.0)]
)
def test_exact_frame_rate(refresh, fps, exact):
    announce = Announce(1280, 720, fps, 1024, 1000, refresh_x100=refresh)
    assert announce.exact_fps == pytest.approx(exact)


@pytest.mark.parametrize(
    ("configured", "channels", "high", "percent", "left"),
    [
        (0, 2, False, 20, 8000),
        (10_000, 2, False, 20, 7308),
        (10_000, 2, False, 90, 9308),
        (1_000, 8, True, 20, 576),
        (50_000, 6, True, 20, 37_964),
    ],
)
def test_encoder_bitrate(configured, channels, high, percent, left):
    announce = Announce(
        1280,
        720,
        60,
        1024,
        8000,
        configured,
        channels=channels,
        high_quality_audio=high,
    )
    assert announce.encoder_bitrate_kbps(percent) == left


def test_offers_are_checked():
    with pytest.raises(ValueError, match="16"):
        HostOffer(Describe(), "s", "short", 0)
    with pytest.raises(ValueError, match="32-bit"):
        HostOffer(Describe(), "s", "0123456789ABCDEF", -1)
