"""What is fuzzed: functions of bytes that may raise their room's documented error, nothing else.

Each target knows seeds from the recorded sessions (tests/data/moonlight). Stateful rooms take their
input as a sequence: a length byte before each message.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from earthshine.protocols.moonlight import answers, applist, launch, nal, sdp, serverinfo
from earthshine.protocols.moonlight import input as inputs
from earthshine.protocols.moonlight.audio import AudioCipher, AudioDepacketiser, AudioError
from earthshine.protocols.moonlight.certificates import Certificate, CertificateError, Identity
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
from earthshine.protocols.moonlight.depacketiser import VideoDepacketiser
from earthshine.protocols.moonlight.enet import EnetClient, EnetError, EnetServer, wire
from earthshine.protocols.moonlight.handshake import (
    ClientHandshake,
    HostHandshake,
    HostOffer,
    Wishes,
)
from earthshine.protocols.moonlight.launch import SessionUrl
from earthshine.protocols.moonlight.pairing_client import PairingClient, PairingStopped
from earthshine.protocols.moonlight.pairing_host import ClientName, ClientPaired, PairingHost
from earthshine.protocols.moonlight.ping import PingError, parse_ping
from earthshine.protocols.moonlight.query import RequestError, parse_target
from earthshine.protocols.moonlight.rtsp import (
    MessageReader,
    Role,
    RtspCipher,
    RtspError,
    SealedMessage,
    parse_request,
    parse_response,
)
from earthshine.protocols.moonlight.sdp import Codec, Describe, SdpError
from earthshine.protocols.moonlight.video import VideoCipher, VideoError

DATA = Path(__file__).parents[1] / "data" / "moonlight"
KEY = bytes(range(16))
MAX_MESSAGES = 64


@dataclass(frozen=True)
class Target:
    """``run`` takes any bytes; ``seeds`` are interesting ones."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


@functools.cache
def recording(name: str) -> Any:
    """A recorded session, parsed."""
    path = DATA / name
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


def messages(data: bytes) -> Iterator[bytes]:
    """A sequence out of one input: u16 LE length, then so many bytes (what is left at the end)."""
    for _ in range(MAX_MESSAGES):
        if len(data) < 2:
            return
        size = int.from_bytes(data[:2], "little")
        yield data[2 : 2 + size]
        data = data[2 + size :]


def joined(parts: list[bytes]) -> bytes:
    """The other way round."""
    return b"".join(len(part).to_bytes(2, "little") + part for part in parts if len(part) < 65536)


# -- HTTP and pairing -----------------------------------------------------------------------------


def http_target(data: bytes) -> None:
    """What a host reads of a request, up to the launch."""
    try:
        request = parse_target(data.decode("latin-1"))
        assert parse_target(request.target).parameters == request.parameters
        launch.parse_launch(request)
    except RequestError:
        pass


def http_answer(data: bytes) -> None:
    """What a client reads of any answer."""
    for parse in (
        answers.parse_answer,
        serverinfo.parse_server_info,
        applist.parse_app_list,
        launch.parse_cancel_answer,
        lambda body: launch.parse_launch_answer(body, resume=False, address="h"),
    ):
        try:
            parse(data)
        except answers.AnswerError:
            continue


def certificate(data: bytes) -> None:
    """DER and PEM of a client that nobody knows."""
    for parse in (Certificate.from_der, Certificate.from_pem):
        try:
            found = parse(data)
        except CertificateError:
            continue
        assert found.key_bytes >= 256


@functools.cache
def identity() -> Identity:
    good = recording("pairing.json")
    key = serialization.load_der_private_key(
        bytes.fromhex(good["host_private_key_pkcs8_der_hex"]), None
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity.from_pem(good["host_cert_pem"].encode(), pem)


def pairing_host(data: bytes) -> None:
    """Requests in any order; nobody types a PIN, so nobody may ever be paired."""
    host = PairingHost(identity(), bytes)
    for count, message in enumerate(messages(data)):
        try:
            request = parse_target(message.decode("latin-1"))
        except RequestError:
            continue
        client = ClientName("192.0.2.1", str(len(message) % 3))
        happened = host.receive(client, request, float(count))
        assert not any(isinstance(event, ClientPaired) for event in happened)


def pairing_client(data: bytes) -> None:
    """Answers of a host that may be anybody."""
    client = PairingClient(identity(), "1234", bytes)
    client.begin()
    for message in messages(data):
        [event] = client.receive(message)
        if isinstance(event, PairingStopped):
            return


# -- RTSP -----------------------------------------------------------------------------------------


def rtsp(data: bytes) -> None:
    """The stream of a connection, plain or sealed, in two pieces."""
    reader = MessageReader()
    cipher = RtspCipher(KEY, Role.HOST)
    try:
        found = reader.feed(data[: len(data) // 2]) or reader.feed(data[len(data) // 2 :])
        if isinstance(found, SealedMessage):
            cipher.open(found)
        elif found is not None:
            parse_request(found)
        reader.close()
    except RtspError:
        pass
    with contextlib.suppress(RtspError):
        parse_response(data)


def rtsp_host(data: bytes) -> None:
    """Requests in any order."""
    host = HostHandshake(HostOffer(Describe(), "session", "0" * 16, 1, 1, 2, 3))
    for message in messages(data):
        try:
            reply = host.receive(parse_request(message))
        except RtspError:
            continue
        assert reply.response.encode()


def rtsp_client(data: bytes) -> None:
    """Answers of any host."""
    client = ClientHandshake(SessionUrl("h", 1), Wishes(1280, 720, 60, 10000))
    client.begin()
    for message in messages(data):
        try:
            client.receive(parse_response(message))
        except (RtspError, SdpError):
            return


def session_description(data: bytes) -> None:
    """Bodies of ANNOUNCE and DESCRIBE."""
    for parse in (sdp.parse_announce, sdp.parse_describe):
        try:
            parse(data)
        except SdpError:
            continue


# -- control --------------------------------------------------------------------------------------


def enet_datagram(data: bytes) -> None:
    """What is read is written back the same."""
    try:
        datagram = wire.decode_datagram(data)
    except EnetError:
        return
    head = wire.encode_header(datagram.peer, datagram.session, datagram.sent_time)
    assert head + b"".join(command.encode() for command in datagram.commands) == data


def enet_peers(data: bytes) -> None:
    """Both roles take datagrams in any order, and time passes."""
    server: EnetServer[int] = EnetServer()
    client = EnetClient(1, 2, 0)
    now = 0
    for message in messages(data):
        now += len(message) * 7 % 400
        with contextlib.suppress(EnetError):
            server.receive(len(message) & 1, message, now)
        with contextlib.suppress(EnetError):
            client.receive(message, now)
        for _, out in server.poll(now):
            wire.decode_datagram(out)
        for out in client.poll(now):
            wire.decode_datagram(out)
        server.events()
        client.events()
        server.next_wakeup()


def control(data: bytes) -> None:
    """Decrypted messages of both sides: what is read is written back the same."""
    for decode in (decode_client_message, decode_host_message):
        try:
            message = decode(data)
        except (ControlError, inputs.InputError):
            continue
        assert decode(encode_message(message)) == message


def control_sealed(data: bytes) -> None:
    """Nothing without the key passes."""
    for scheme in IvScheme:
        try:
            ControlCipher(KEY, Role.HOST, scheme).open(data)
        except ControlCipherError:
            continue
        raise AssertionError("a packet was sealed without the key")


def input_packet(data: bytes) -> None:
    """What is read is written back the same."""
    try:
        event = inputs.decode_input(data)
    except inputs.InputError:
        return
    assert inputs.decode_input(inputs.encode_input(event)) == event


# -- media ----------------------------------------------------------------------------------------


def video(data: bytes) -> None:
    """Headers with short payloads, padded to the size that a stream has; plain and sealed."""
    plain, sealed = VideoDepacketiser(160), VideoDepacketiser(160, cipher=VideoCipher(KEY))
    for message in messages(data):
        for receiving, size in ((plain, 176), (sealed, 208)):
            try:
                receiving.receive(message[:size].ljust(size, b"\0"))
            except VideoError:
                continue
            assert len(receiving._open) <= 2


def audio(data: bytes) -> None:
    """Packets of both kinds, plain and encrypted."""
    plain, sealed = AudioDepacketiser(5), AudioDepacketiser(5, AudioCipher(KEY, -1))
    for now, message in enumerate(messages(data)):
        for receiving in (plain, sealed):
            try:
                receiving.receive(message, now)
            except AudioError:
                continue
            receiving.poll(now)


def ping(data: bytes) -> None:
    """What is read is written back the same."""
    with contextlib.suppress(PingError):
        assert parse_ping(data).encode() == data


def access_unit(data: bytes) -> None:
    """What an encoder made is looked at, but never made longer."""
    for codec in (Codec.H264, Codec.HEVC):
        assert 0 <= nal.prefix_bytes(data, codec) <= len(data)
        assert len(nal.without_prefix(data, codec)) <= len(data)


# -- seeds ----------------------------------------------------------------------------------------


def _pairing_requests() -> list[str]:
    return [
        step["request"].split(" ", 2)[1]
        for transcript in recording("pairing.json")["transcripts"]
        for step in transcript["steps"]
        if step.get("phase")
    ]


def _http_exchanges() -> list[Any]:
    return [
        exchange
        for session in recording("http.json")["sessions"]
        for run in session["runs"]
        for exchange in run["exchanges"]
    ]


def _rtsp(side: str, sealed: bool = False) -> list[list[bytes]]:
    name = "rtsp_encrypted.json" if sealed else "rtsp_plain.json"
    return [
        [bytes.fromhex(m[f"{side}_hex"]) for m in session["messages"] if f"{side}_hex" in m]
        for session in recording(name)["sessions"]
    ]


def _enet() -> list[list[bytes]]:
    sessions = recording("enet_control.json")["sessions"]
    return [[bytes.fromhex(d["hex"]) for d in s["datagrams"]][:40] for s in sessions]


def _control_plains() -> list[bytes]:
    return [
        bytes.fromhex(entry["plain"])
        for session in recording("enet_control.json")["sessions"]
        for datagram in session["datagrams"]
        for entry in datagram.get("control", [])
    ]


def _video() -> list[bytes]:
    octets = recording("video_h264.bin")
    found = []
    for variant in recording("video_h264.json")["variants"][:4]:
        size, start = variant["datagram_size"], variant["datagrams_offset"]
        heads = [octets[start + n * size : start + n * size + 60] for n in range(12)]
        found.append(joined(heads))
    return found


def _targets() -> list[bytes]:
    return [step.encode() for step in _pairing_requests()[:8]] + [
        e["request"].split(" ", 2)[1].encode() for e in _http_exchanges()[:12] if "request" in e
    ]


TARGETS: dict[str, Target] = {
    "http-target": Target(http_target, _targets),
    "http-answer": Target(
        http_answer, lambda: [e["response_body"].encode() for e in _http_exchanges()[:12]]
    ),
    "certificate": Target(
        certificate, lambda: [identity().certificate.der, identity().certificate.pem]
    ),
    "pairing-host": Target(
        pairing_host, lambda: [joined([t.encode() for t in _pairing_requests()[:5]])]
    ),
    "pairing-client": Target(
        pairing_client,
        lambda: [
            joined(
                [
                    step["response_body"].encode()
                    for step in transcript["steps"]
                    if step.get("phase")
                ]
            )
            for transcript in recording("pairing.json")["transcripts"][:4]
        ],
    ),
    "rtsp": Target(
        rtsp, lambda: [m for s in (*_rtsp("request"), *_rtsp("response")) for m in s][:20]
    ),
    "rtsp-host": Target(rtsp_host, lambda: [joined(session) for session in _rtsp("request")]),
    "rtsp-client": Target(rtsp_client, lambda: [joined(session) for session in _rtsp("response")]),
    "sdp": Target(
        session_description,
        lambda: (
            [m.partition(b"\r\n\r\n")[2] for s in _rtsp("request") for m in s[5:6]]
            + [m.partition(b"\r\n\r\n")[2] for s in _rtsp("response") for m in s[1:2]]
        ),
    ),
    "enet-datagram": Target(enet_datagram, lambda: [d for s in _enet() for d in s[:10]]),
    "enet-peers": Target(enet_peers, lambda: [joined(session) for session in _enet()]),
    "control": Target(control, lambda: _control_plains()[:60]),
    "control-sealed": Target(
        control_sealed, lambda: [ControlCipher(bytes(16), Role.CLIENT, IvScheme.V2).seal(b"1234")]
    ),
    "input": Target(
        input_packet, lambda: [p[4:] for p in _control_plains() if p[:2] == b"\x06\x02"][:40]
    ),
    "video": Target(video, _video),
    "audio": Target(
        audio,
        lambda: [joined([recording("audio.bin")[at : at + 80] for at in range(0, 800, 80)])],
    ),
    "ping": Target(ping, lambda: [b"PING", b"0123456789abcdef\0\0\0\1"]),
    "access-unit": Target(
        access_unit, lambda: [b"\0\0\0\1\x67ab\0\0\1\x68c\0\0\1\x06sei\0\0\1\x65slice"]
    ),
}
