"""The seven RTSP requests of a session, as a state machine for each end.

========  =====================  ==========================================================
OPTIONS   URL
DESCRIBE  URL                    answer: what the host offers
SETUP     streamid=audio/0/0     answer: Session, server_port, X-SS-Ping-Payload
SETUP     streamid=video/0/0     answer: server_port, X-SS-Ping-Payload
SETUP     streamid=control/13/0  answer: server_port, X-SS-Connect-Data
ANNOUNCE  streamid=control/13/0  body: what the client decided
PLAY      /
========  =====================  ==========================================================

The client may ping the audio port as soon as it is set up, and connects the control stream after
PLAY, so a host arms its media when it sees ANNOUNCE.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.launch import SessionUrl
from earthshine.protocols.moonlight.rtsp import (
    CONTENT_LENGTH,
    Headers,
    RtspError,
    RtspRequest,
    RtspResponse,
)
from earthshine.protocols.moonlight.sdp import (
    Announce,
    ClientFeature,
    Codec,
    ColourSpace,
    Describe,
    Encryption,
    SdpError,
    build_announce,
    parse_announce,
    parse_describe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VIDEO_PORT = 47998
CONTROL_PORT = 47999
AUDIO_PORT = 48000

PING_PAYLOAD_CHARACTERS = 16
MAX_SESSION_CHARACTERS = 64
HIGH_QUALITY_KBPS = 15000
MAX_BITRATE_KBPS = 100_000

_CLIENT_VERSION = "14"
_EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
_CLIENT_TRANSPORT = "unicast;X-GS-ClientPort=50000-50001"
_SERVER_PORT = re.compile(r"server_port=([0-9]{1,5})", re.ASCII)
_CSEQ = re.compile(r"[0-9]{1,9}\Z", re.ASCII)
_UINT32 = re.compile(r"[0-9]{1,10}\Z", re.ASCII)

# Room that encrypted video takes from each packet: IV, frame number and tag.
_VIDEO_SEAL_BYTES = 32
_PACKET_STEP = 16
_REMOTE_PACKET_SIZE = {4: 1024, 6: 1184}
_AUDIO_ENCRYPTION_FEATURE = 0x20


class Stream(enum.Enum):
    """The three streams; the value is how SETUP names them."""

    AUDIO = "streamid=audio/0/0"
    VIDEO = "streamid=video/0/0"
    CONTROL = "streamid=control/13/0"


class HandshakeError(RtspError):
    """The host answered with an error or left something out. ``status`` is 0 if it did not."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


# -- host -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostOffer:
    """What a host puts into its answers for one session."""

    describe: Describe
    session: str
    """Any token without blanks or semicolons."""
    ping_payload: str = field(repr=False)
    """16 characters the client will send to the media ports; unpredictable, it authenticates."""
    connect_data: int = field(repr=False)
    """u32 the client will pass when it connects the control stream."""
    video_port: int = VIDEO_PORT
    control_port: int = CONTROL_PORT
    audio_port: int = AUDIO_PORT

    def __post_init__(self) -> None:
        if len(self.ping_payload) != PING_PAYLOAD_CHARACTERS or not self.ping_payload.isascii():
            raise ValueError("ping_payload is exactly 16 ASCII characters")
        if not 0 <= self.connect_data <= 0xFFFFFFFF:
            raise ValueError("connect_data is an unsigned 32-bit number")


@dataclass(frozen=True, slots=True)
class Announced:
    """The client decided: arm the media streams."""

    announce: Announce


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """The client is ready; its control connection follows."""


HandshakeEvent = Announced | PlayRequested


@dataclass(frozen=True, slots=True)
class HostReply:
    """Send ``response`` and close the connection."""

    response: RtspResponse
    events: tuple[HandshakeEvent, ...] = ()


class _HostState(enum.Enum):
    SETTING_UP = enum.auto()
    ANNOUNCED = enum.auto()
    PLAYING = enum.auto()


# Which methods a host accepts in which state.
_ACCEPTED = {
    _HostState.SETTING_UP: {"OPTIONS", "DESCRIBE", "SETUP", "ANNOUNCE"},
    _HostState.ANNOUNCED: {"OPTIONS", "PLAY"},
    _HostState.PLAYING: {"OPTIONS"},
}


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HostHandshake:
    """The host's end of one session. Never raises for what a client sends; it answers an error.

    SETUP of all three streams must come before ANNOUNCE, in any order; PLAY after it; nothing
    changes the session once it is announced.
    """

    def __init__(self, offer: HostOffer) -> None:
        self._offer = offer
        self._state = _HostState.SETTING_UP
        self._set_up: set[Stream] = set()
        self._handlers: dict[str, Callable[[RtspRequest, int], HostReply]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "ANNOUNCE": self._announce,
            "PLAY": self._play,
        }

    def receive(self, request: RtspRequest) -> HostReply:
        """Answer one request."""
        sequence = request.headers.get("CSeq") or ""
        if not _CSEQ.match(sequence):
            return HostReply(RtspResponse(400, Headers()))
        number = int(sequence)
        handler = self._handlers.get(request.method)
        if handler is None:
            return HostReply(_response(number, 501))
        if request.method not in _ACCEPTED[self._state]:
            return HostReply(_response(number, 455))
        try:
            return handler(request, number)
        except _RefusedError as refused:
            return HostReply(_response(number, refused.status))
        except SdpError:
            return HostReply(_response(number, 400))

    def _options(self, _: RtspRequest, number: int) -> HostReply:
        return HostReply(_response(number))

    def _describe(self, _: RtspRequest, number: int) -> HostReply:
        return HostReply(_response(number, body=self._offer.describe.encode()))

    def _setup(self, request: RtspRequest, number: int) -> HostReply:
        stream = _stream(request.target)
        if stream is None:
            raise _RefusedError(404)
        if self._set_up:
            self._check_session(request)
        self._set_up.add(stream)
        offer = self._offer
        port, name, value = {
            Stream.AUDIO: (offer.audio_port, "X-SS-Ping-Payload", offer.ping_payload),
            Stream.VIDEO: (offer.video_port, "X-SS-Ping-Payload", offer.ping_payload),
            Stream.CONTROL: (offer.control_port, "X-SS-Connect-Data", str(offer.connect_data)),
        }[stream]
        lines = (
            ("Session", f"{offer.session};timeout = 90"),
            ("Transport", f"server_port={port}"),
            (name, value),
        )
        return HostReply(_response(number, lines=lines))

    def _announce(self, request: RtspRequest, number: int) -> HostReply:
        self._check_session(request)
        if len(self._set_up) < len(Stream):
            raise _RefusedError(455)
        announce = parse_announce(request.body)
        self._state = _HostState.ANNOUNCED
        return HostReply(_response(number), (Announced(announce),))

    def _play(self, request: RtspRequest, number: int) -> HostReply:
        self._check_session(request)
        self._state = _HostState.PLAYING
        return HostReply(_response(number), (PlayRequested(),))

    def _check_session(self, request: RtspRequest) -> None:
        if (request.headers.get("Session") or "").partition(";")[0] != self._offer.session:
            raise _RefusedError(454)


def _response(
    number: int,
    status: int = 200,
    lines: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> RtspResponse:
    return RtspResponse(status, Headers((("CSeq", str(number)), *lines)), body)


def _stream(target: str) -> Stream | None:
    # Clients differ in the numbers after the name; the name is what counts.
    name = target.removeprefix("streamid=").partition("/")[0]
    return {"audio": Stream.AUDIO, "video": Stream.VIDEO, "control": Stream.CONTROL}.get(name)


# -- client ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person and a decoder want from a stream. Bitrate in kbit/s, sizes in pixels."""

    width: int
    height: int
    fps: int
    bitrate_kbps: int
    codecs: frozenset[Codec] = frozenset({Codec.H264})
    hdr: bool = False
    colour_space: ColourSpace = ColourSpace.REC709
    full_range: bool = False
    chroma_444: bool = False
    channels: int = 2
    channel_mask: int = 0x3
    encryption: Encryption = Encryption.NONE
    """Video and audio bits: encrypt if the host can. Control is encrypted whenever it can."""
    packet_size: int = 1392
    remote: bool = False
    """The host is not on the local network."""
    slow_audio_decoder: bool = False
    reference_invalidation: bool = False
    slices: int = 1
    refresh_x100: int = 0


def decide(wishes: Wishes, offer: Describe, *, ip_version: int = 4) -> Announce:
    """Choose codec, encryption, packet size and audio from wishes and offer."""
    codec = Codec.H264
    if offer.av1 and Codec.AV1 in wishes.codecs:
        codec = Codec.AV1
    elif offer.hevc and Codec.HEVC in wishes.codecs:
        codec = Codec.HEVC
    wanted = wishes.encryption | Encryption.CONTROL_V2 | offer.encryption_requested
    encryption = offer.encryption_supported & wanted
    bitrate = wishes.bitrate_kbps * 4 // 5 - (500 if wishes.remote else 0)
    audio_feature = _AUDIO_ENCRYPTION_FEATURE if encryption & Encryption.AUDIO else 0
    return Announce(
        width=wishes.width,
        height=wishes.height,
        max_fps=wishes.fps,
        packet_size=_packet_size(wishes, encryption, ip_version),
        bitrate_kbps=min(max(bitrate, 0), MAX_BITRATE_KBPS),
        configured_bitrate_kbps=wishes.bitrate_kbps,
        codec=codec,
        hdr=wishes.hdr,
        colour_space=wishes.colour_space,
        full_range=wishes.full_range,
        chroma_444=wishes.chroma_444,
        max_reference_frames=0 if wishes.reference_invalidation else 1,
        slices=wishes.slices,
        refresh_x100=wishes.refresh_x100,
        min_fec_packets=2,
        channels=wishes.channels,
        channel_mask=wishes.channel_mask,
        high_quality_audio=_high_quality_audio(wishes, offer),
        audio_packet_ms=10 if wishes.slow_audio_decoder else 5,
        encryption=encryption,
        client_features=ClientFeature.FEC_STATUS | ClientFeature.SESSION_ID_V1,
        nv_features=135 | audio_feature,
        control_protocol=13,
        video_qos=0 if wishes.remote else 5,
        audio_qos=0 if wishes.remote else 4,
    )


def _packet_size(wishes: Wishes, encryption: Encryption, ip_version: int) -> int:
    size = wishes.packet_size
    if wishes.remote:
        size = min(size, _REMOTE_PACKET_SIZE[ip_version])
    size -= size % _PACKET_STEP
    return size - (_VIDEO_SEAL_BYTES if encryption & Encryption.VIDEO else 0)


def _high_quality_audio(wishes: Wishes, offer: Describe) -> bool:
    return (
        wishes.channels > 2
        and wishes.bitrate_kbps >= HIGH_QUALITY_KBPS
        and not wishes.slow_audio_decoder
        and offer.layout(wishes.channels, high_quality=True) is not None
    )


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """What the handshake agreed on. Ports are the host's; ``ping_payload`` is None on old hosts."""

    offer: Describe
    announce: Announce
    video_port: int
    control_port: int
    audio_port: int
    video_ping_payload: bytes | None = field(repr=False)
    audio_ping_payload: bytes | None = field(repr=False)
    connect_data: int = field(repr=False)


class ClientHandshake:
    """The client's end: `begin`, then `receive` each answer until it returns a `StreamSetup`.

    ``url`` is what the launch was answered with. Below 15 Mbit/s, with a slow audio decoder, or
    remote with surround sound, clients write 0.0.0.0 in place of the host, and always plain
    ``rtsp``.
    """

    def __init__(
        self,
        url: SessionUrl,
        wishes: Wishes,
        *,
        ip_version: int = 4,
    ) -> None:
        surround = wishes.channels > 2
        real = (
            wishes.bitrate_kbps >= HIGH_QUALITY_KBPS
            and not wishes.slow_audio_decoder
            and not (wishes.remote and surround)
        )
        named = url if real else SessionUrl("0.0.0.0", url.port)  # noqa: S104  a placeholder
        self._target = str(named)
        self._host = named.host
        self._address = url.host
        self._wishes = wishes
        self._ip_version = ip_version
        self._number = 0
        self._session: str | None = None
        self._offer: Describe | None = None
        self._announce: Announce | None = None
        self._ports: dict[Stream, int] = {}
        self._pings: dict[Stream, bytes | None] = {}
        self._connect_data = 0

    def begin(self) -> RtspRequest:
        """The first request. Raises `HandshakeError` when called twice."""
        if self._number:
            raise HandshakeError("the handshake has already begun")
        return self._request("OPTIONS", self._target)

    def receive(self, response: RtspResponse) -> RtspRequest | StreamSetup:
        """Take the answer to the last request. Raises `HandshakeError` or `SdpError`."""
        if not 1 <= self._number <= len(_CLIENT_STEPS):
            raise HandshakeError("no answer is awaited")
        if response.status != 200:
            raise HandshakeError(
                f"the host answered RTSP status {response.status}", response.status
            )
        return _CLIENT_STEPS[self._number - 1](self, response)

    def _options_answered(self, _: RtspResponse) -> RtspRequest:
        lines = (("Accept", "application/sdp"), ("If-Modified-Since", _EPOCH))
        return self._request("DESCRIBE", self._target, lines)

    def _describe_answered(self, response: RtspResponse) -> RtspRequest:
        self._offer = parse_describe(response.body)
        return self._setup(Stream.AUDIO)

    def _audio_answered(self, response: RtspResponse) -> RtspRequest:
        session = (response.headers.get("Session") or "").partition(";")[0].strip()
        if not session or len(session) > MAX_SESSION_CHARACTERS:
            raise HandshakeError("the host named no session")
        self._session = session
        self._stream_answered(Stream.AUDIO, AUDIO_PORT, response)
        return self._setup(Stream.VIDEO)

    def _video_answered(self, response: RtspResponse) -> RtspRequest:
        self._stream_answered(Stream.VIDEO, VIDEO_PORT, response)
        return self._setup(Stream.CONTROL)

    def _control_answered(self, response: RtspResponse) -> RtspRequest:
        self._stream_answered(Stream.CONTROL, CONTROL_PORT, response)
        text = response.headers.get("X-SS-Connect-Data") or "0"
        if not _UINT32.match(text) or int(text) > 0xFFFFFFFF:
            raise HandshakeError("the host's connect data is not a 32-bit number")
        self._connect_data = int(text)
        assert self._offer is not None
        self._announce = decide(self._wishes, self._offer, ip_version=self._ip_version)
        body = build_announce(self._announce, self._address, self._ports[Stream.VIDEO])
        lines = (("Content-type", "application/sdp"), (CONTENT_LENGTH, str(len(body))))
        return self._request("ANNOUNCE", Stream.CONTROL.value, lines, body)

    def _announce_answered(self, _: RtspResponse) -> RtspRequest:
        return self._request("PLAY", "/")

    def _play_answered(self, _: RtspResponse) -> StreamSetup:
        self._number += 1
        assert self._offer is not None
        assert self._announce is not None
        return StreamSetup(
            self._offer,
            self._announce,
            self._ports[Stream.VIDEO],
            self._ports[Stream.CONTROL],
            self._ports[Stream.AUDIO],
            self._pings[Stream.VIDEO],
            self._pings[Stream.AUDIO],
            self._connect_data,
        )

    def _stream_answered(self, stream: Stream, default: int, response: RtspResponse) -> None:
        found = _SERVER_PORT.search(response.headers.get("Transport") or "")
        port = int(found[1]) if found else default
        if not 1 <= port <= 0xFFFF:
            raise HandshakeError("the host named an impossible port")
        self._ports[stream] = port
        payload = response.headers.get("X-SS-Ping-Payload")
        usable = payload is not None and len(payload) == PING_PAYLOAD_CHARACTERS
        self._pings[stream] = payload.encode("latin-1") if payload and usable else None

    def _setup(self, stream: Stream) -> RtspRequest:
        lines = (("Transport", _CLIENT_TRANSPORT), ("If-Modified-Since", _EPOCH))
        return self._request("SETUP", stream.value, lines)

    def _request(
        self,
        method: str,
        target: str,
        lines: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> RtspRequest:
        self._number += 1
        head = [("CSeq", str(self._number)), ("X-GS-ClientVersion", _CLIENT_VERSION)]
        head.append(("Host", self._host))
        if self._session is not None:
            head.append(("Session", self._session))
        return RtspRequest(method, target, Headers((*head, *lines)), body)


# The answer to request n (counting from 1) is handled by entry n - 1.
_CLIENT_STEPS: tuple[Callable[[ClientHandshake, RtspResponse], RtspRequest | StreamSetup], ...] = (
    ClientHandshake._options_answered,
    ClientHandshake._describe_answered,
    ClientHandshake._audio_answered,
    ClientHandshake._video_answered,
    ClientHandshake._control_answered,
    ClientHandshake._announce_answered,
    ClientHandshake._play_answered,
)
