"""The two session descriptions: what a host offers (DESCRIBE) and what a client decides (ANNOUNCE).

DESCRIBE is not parsed as SDP by clients; they search the whole body for certain texts. ANNOUNCE
is a list of ``a=name:value `` lines, each with one blank before its CRLF.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from earthshine.protocols.moonlight.errors import MoonlightError

MAX_DESCRIBE_BYTES = 65536
MAX_ANNOUNCE_BYTES = 8192
MAX_ATTRIBUTES = 256

MIN_PACKET_SIZE = 128
MAX_PACKET_SIZE = 4096
PACKET_SIZE_STEP = 16

_HEVC_TEXT = "sprop-parameter-sets=AAAAAU"
_AV1_TEXT = "AV1/90000"
_INVALIDATION_TEXT = "x-nv-video[0].refPicInvalidation"
_LAYOUT_TEXT = "a=fmtp:97 surround-params="
_SIGNED = re.compile(r"-?[0-9]{1,10}\Z", re.ASCII)
# For normal quality clients move the last mapping entry to this place.
_ROTATED_PLACE = 3


class SdpError(MoonlightError):
    """A session description cannot be read or is out of range; a host answers 400."""


class Encryption(enum.IntFlag):
    """Bits of encryptionSupported, encryptionRequested and encryptionEnabled."""

    NONE = 0
    CONTROL_V2 = 1
    VIDEO = 2
    AUDIO = 4
    ALL = 7


class HostFeature(enum.IntFlag):
    """Bits of x-ss-general.featureFlags."""

    NONE = 0
    PEN_TOUCH = 1
    CONTROLLER_TOUCH = 2


class ClientFeature(enum.IntFlag):
    """Bits of x-ml-general.featureFlags."""

    NONE = 0
    FEC_STATUS = 1
    SESSION_ID_V1 = 2


class Codec(enum.IntEnum):
    """bitStreamFormat."""

    H264 = 0
    HEVC = 1
    AV1 = 2


class ColourSpace(enum.IntEnum):
    """Upper bits of encoderCscMode; bit 0 says full range."""

    REC601 = 0
    REC709 = 1
    REC2020 = 2


@dataclass(frozen=True, slots=True)
class OpusLayout:
    """How Opus streams carry channels, as in RFC 7845 section 5.1.1.

    ``mapping[i]`` is the decoded channel that plays on output i; order FL FR C LFE BL BR SL SR.
    """

    channels: int
    streams: int
    coupled: int
    mapping: tuple[int, ...]

    def digits(self, *, high_quality: bool) -> str:
        """The ``surround-params`` value: one digit per number.

        For normal quality above two channels, entry 3 is moved to the end, because clients move
        it back.
        """
        mapping = list(self.mapping)
        if not high_quality and self.channels > 2:
            mapping.append(mapping.pop(_ROTATED_PLACE))
        return "".join(map(str, (self.channels, self.streams, self.coupled, *mapping)))


STEREO_LAYOUT = OpusLayout(2, 1, 1, (0, 1))
SURROUND_51_LAYOUT = OpusLayout(6, 4, 2, (0, 1, 4, 5, 2, 3))
SURROUND_51_HIGH_LAYOUT = OpusLayout(6, 6, 0, (0, 1, 2, 3, 4, 5))
SURROUND_71_LAYOUT = OpusLayout(8, 5, 3, (0, 1, 6, 7, 4, 5, 2, 3))
SURROUND_71_HIGH_LAYOUT = OpusLayout(8, 8, 0, (0, 1, 2, 3, 4, 5, 6, 7))


def parse_layout(digits: str, *, high_quality: bool) -> OpusLayout:
    """Inverse of `OpusLayout.digits`. Raises `SdpError`."""
    if not (digits.isascii() and digits.isdigit()) or len(digits) < 4:
        raise SdpError("surround-params are not digits")
    channels, streams, coupled, *mapping = map(int, digits)
    if not high_quality and channels > 2 and len(mapping) > _ROTATED_PLACE:
        mapping.insert(_ROTATED_PLACE, mapping.pop())
    decoded = streams + coupled
    fits = len(mapping) == channels and 1 <= channels <= 8 and streams >= 1 and coupled <= streams
    if not fits or any(entry >= decoded for entry in mapping):
        raise SdpError("surround-params do not describe an Opus layout")
    return OpusLayout(channels, streams, coupled, tuple(mapping))


@dataclass(frozen=True, slots=True)
class Describe:
    """What a host offers. ``layouts`` are (layout, high quality) in the order advertised."""

    features: HostFeature = HostFeature.NONE
    encryption_supported: Encryption = Encryption.NONE
    encryption_requested: Encryption = Encryption.NONE
    reference_invalidation: bool = False
    hevc: bool = False
    av1: bool = False
    layouts: tuple[tuple[OpusLayout, bool], ...] = ((STEREO_LAYOUT, False),)

    def encode(self) -> bytes:
        """The body of the DESCRIBE answer."""
        lines = [
            f"a=x-ss-general.featureFlags:{int(self.features)}",
            f"a=x-ss-general.encryptionSupported:{int(self.encryption_supported)}",
            f"a=x-ss-general.encryptionRequested:{int(self.encryption_requested)}",
        ]
        if self.reference_invalidation:
            lines.append(f"{_INVALIDATION_TEXT}:1")
        if self.hevc:
            lines.append(_HEVC_TEXT)
        if self.av1:
            lines.append(f"a=rtpmap:98 {_AV1_TEXT}")
        lines += [_LAYOUT_TEXT + layout.digits(high_quality=high) for layout, high in self.layouts]
        return "".join(line + "\n" for line in lines).encode()

    def layout(self, channels: int, *, high_quality: bool) -> OpusLayout | None:
        """The layout for that many channels; stereo needs no offer."""
        if channels == 2:
            return STEREO_LAYOUT
        matching = [
            layout
            for layout, high in self.layouts
            if layout.channels == channels and high == high_quality
        ]
        return matching[0] if matching else None


def parse_describe(body: bytes) -> Describe:
    """Read a DESCRIBE body the way clients do, by searching. Raises `SdpError`."""
    if len(body) > MAX_DESCRIBE_BYTES:
        raise SdpError(f"DESCRIBE is larger than {MAX_DESCRIBE_BYTES} bytes")
    text = body.decode("latin-1")
    layouts: list[tuple[OpusLayout, bool]] = []
    seen: dict[str, int] = {}
    for found in re.finditer(re.escape(_LAYOUT_TEXT) + r"([0-9]{4,11})", text, re.ASCII):
        digits = found[1]
        occurrence = seen[digits[0]] = seen.get(digits[0], 0) + 1
        if occurrence <= 2:
            high = occurrence == 2
            layouts.append((parse_layout(digits, high_quality=high), high))
    return Describe(
        features=HostFeature(_flag(text, "x-ss-general.featureFlags") & 3),
        encryption_supported=Encryption(_flag(text, "x-ss-general.encryptionSupported") & 7),
        encryption_requested=Encryption(_flag(text, "x-ss-general.encryptionRequested") & 7),
        reference_invalidation=_INVALIDATION_TEXT in text,
        hevc=_HEVC_TEXT in text,
        av1=_AV1_TEXT in text,
        layouts=tuple(layouts),
    )


def _flag(text: str, name: str) -> int:
    found = re.search(re.escape(name) + r":([0-9]{1,9})", text, re.ASCII)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Announce:
    """What a client decided. Sizes in pixels, rates in kbit/s, durations in ms."""

    width: int
    height: int
    max_fps: int
    packet_size: int
    """Bytes of one video packet after its RTP header: 16 of NV header and the payload."""
    bitrate_kbps: int
    """What the older attributes say: about 80 % of what the person chose."""
    configured_bitrate_kbps: int = 0
    """What the person chose; wins when not 0."""
    codec: Codec = Codec.H264
    hdr: bool = False
    colour_space: ColourSpace = ColourSpace.REC601
    full_range: bool = False
    chroma_444: bool = False
    intra_refresh: bool = False
    max_reference_frames: int = 0
    """0 leaves it to the host, 1: the client cannot do reference invalidation."""
    slices: int = 1
    refresh_x100: int = 0
    """Exact refresh rate in hundredths of a hertz, 0 if unknown."""
    min_fec_packets: int = 0
    channels: int = 2
    channel_mask: int = 0x3
    high_quality_audio: bool = False
    audio_packet_ms: int = 5
    encryption: Encryption = Encryption.NONE
    client_features: ClientFeature = ClientFeature.NONE
    nv_features: int = 135
    """135, plus 0x20 when audio is encrypted."""
    control_protocol: int = 1
    video_qos: int = 5
    audio_qos: int = 4
    attributes: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Everything the client wrote, for what has no field here."""

    @property
    def exact_fps(self) -> float:
        """The exact refresh rate if it is within 1 % of ``max_fps``, else ``max_fps``."""
        exact = self.refresh_x100 / 100
        return exact if abs(exact - self.max_fps) <= self.max_fps / 100 else float(self.max_fps)

    def encoder_bitrate_kbps(self, fec_percent: int) -> int:
        """What is left for the encoder when parity, sound and overhead have taken their share.

        Without ``configured_bitrate_kbps`` the client has already subtracted them.
        """
        left = self.configured_bitrate_kbps
        if not left:
            return self.bitrate_kbps
        if fec_percent <= 80:
            left = left * (100 - fec_percent) // 100
        sound = self.channels * (256 if self.high_quality_audio else 96)
        left -= min(sound, left // 5)
        return left - min(500, left // 10)

    @property
    def audio_encrypted(self) -> bool:
        """Either of the two ways in which clients ask for encrypted audio."""
        return bool(self.encryption & Encryption.AUDIO) or bool(self.nv_features & 0x20)


@dataclass(frozen=True, slots=True)
class _Range:
    low: int
    high: int
    default: int | None = None


# What hosts must get, and what they assume when a client leaves it out.
_FIELDS = {
    "x-nv-video[0].clientViewportWd": _Range(16, 16384),
    "x-nv-video[0].clientViewportHt": _Range(16, 16384),
    "x-nv-video[0].maxFPS": _Range(1, 1000),
    "x-nv-video[0].packetSize": _Range(MIN_PACKET_SIZE, MAX_PACKET_SIZE),
    "x-nv-vqos[0].bw.maximumBitrateKbps": _Range(0, 10_000_000),
    "x-ml-video.configuredBitrateKbps": _Range(0, 10_000_000, 0),
    "x-nv-vqos[0].bitStreamFormat": _Range(0, 2, 0),
    "x-nv-video[0].dynamicRangeMode": _Range(0, 2, 0),
    "x-nv-video[0].encoderCscMode": _Range(0, 5, 0),
    "x-ss-video[0].chromaSamplingType": _Range(0, 1, 0),
    "x-ss-video[0].intraRefresh": _Range(0, 1, 0),
    "x-nv-video[0].maxNumReferenceFrames": _Range(0, 64),
    "x-nv-video[0].videoEncoderSlicesPerFrame": _Range(1, 64),
    "x-nv-video[0].clientRefreshRateX100": _Range(0, 100_000, 0),
    "x-nv-vqos[0].fec.minRequiredFecPackets": _Range(0, 255, 0),
    "x-nv-audio.surround.numChannels": _Range(1, 8),
    "x-nv-audio.surround.channelMask": _Range(0, 0xFFFF),
    "x-nv-audio.surround.enable": _Range(0, 1),
    "x-nv-audio.surround.AudioQuality": _Range(0, 1),
    "x-nv-aqos.packetDuration": _Range(1, 60, 5),
    "x-ss-general.encryptionEnabled": _Range(0, 7, 0),
    "x-ml-general.featureFlags": _Range(0, 0x7FFFFFFF, 0),
    "x-nv-general.featureFlags": _Range(0, 0x7FFFFFFF, 135),
    "x-nv-general.useReliableUdp": _Range(0, 255, 1),
    "x-nv-vqos[0].qosTrafficType": _Range(0, 255, 5),
    "x-nv-aqos.qosTrafficType": _Range(0, 255, 4),
}


def parse_announce(body: bytes) -> Announce:
    """Read an ANNOUNCE body. Raises `SdpError` when something needed is missing or impossible."""
    attributes = _attributes(body)
    value = {name: _number(attributes, name, span) for name, span in _FIELDS.items()}
    packet_size = value["x-nv-video[0].packetSize"]
    if packet_size % PACKET_SIZE_STEP:
        raise SdpError(f"packetSize is not a multiple of {PACKET_SIZE_STEP}")
    csc = value["x-nv-video[0].encoderCscMode"]
    return Announce(
        width=value["x-nv-video[0].clientViewportWd"],
        height=value["x-nv-video[0].clientViewportHt"],
        max_fps=value["x-nv-video[0].maxFPS"],
        packet_size=packet_size,
        bitrate_kbps=value["x-nv-vqos[0].bw.maximumBitrateKbps"],
        configured_bitrate_kbps=value["x-ml-video.configuredBitrateKbps"],
        codec=Codec(value["x-nv-vqos[0].bitStreamFormat"]),
        hdr=value["x-nv-video[0].dynamicRangeMode"] != 0,
        colour_space=ColourSpace(csc >> 1),
        full_range=bool(csc & 1),
        chroma_444=value["x-ss-video[0].chromaSamplingType"] == 1,
        intra_refresh=value["x-ss-video[0].intraRefresh"] == 1,
        max_reference_frames=value["x-nv-video[0].maxNumReferenceFrames"],
        slices=value["x-nv-video[0].videoEncoderSlicesPerFrame"],
        refresh_x100=value["x-nv-video[0].clientRefreshRateX100"],
        min_fec_packets=value["x-nv-vqos[0].fec.minRequiredFecPackets"],
        channels=value["x-nv-audio.surround.numChannels"],
        channel_mask=value["x-nv-audio.surround.channelMask"],
        high_quality_audio=value["x-nv-audio.surround.AudioQuality"] == 1,
        audio_packet_ms=value["x-nv-aqos.packetDuration"],
        encryption=Encryption(value["x-ss-general.encryptionEnabled"]),
        client_features=ClientFeature(value["x-ml-general.featureFlags"] & 3),
        nv_features=value["x-nv-general.featureFlags"],
        control_protocol=value["x-nv-general.useReliableUdp"],
        video_qos=value["x-nv-vqos[0].qosTrafficType"],
        audio_qos=value["x-nv-aqos.qosTrafficType"],
        attributes=attributes,
    )


def build_announce(announce: Announce, address: str, video_port: int) -> bytes:
    """Write an ANNOUNCE body as Moonlight clients do. ``address`` is the host's."""
    bitrate = announce.bitrate_kbps
    attributes: list[tuple[str, int]] = [
        ("x-ml-general.featureFlags", int(announce.client_features)),
        ("x-ss-general.encryptionEnabled", int(announce.encryption)),
        ("x-ss-video[0].chromaSamplingType", int(announce.chroma_444)),
    ]
    if announce.intra_refresh:
        attributes.append(("x-ss-video[0].intraRefresh", 1))
    attributes += [
        ("x-nv-video[0].clientViewportWd", announce.width),
        ("x-nv-video[0].clientViewportHt", announce.height),
        ("x-nv-video[0].maxFPS", announce.max_fps),
        ("x-nv-video[0].packetSize", announce.packet_size),
        ("x-nv-video[0].rateControlMode", 4),
        ("x-nv-video[0].timeoutLengthMs", 7000),
        ("x-nv-video[0].framesWithInvalidRefThreshold", 0),
        ("x-nv-video[0].initialBitrateKbps", bitrate),
        ("x-nv-video[0].initialPeakBitrateKbps", bitrate),
        ("x-nv-vqos[0].bw.minimumBitrateKbps", bitrate),
        ("x-nv-vqos[0].bw.maximumBitrateKbps", bitrate),
        ("x-ml-video.configuredBitrateKbps", announce.configured_bitrate_kbps),
        ("x-nv-vqos[0].fec.enable", 1),
        ("x-nv-vqos[0].videoQualityScoreUpdateTime", 5000),
        ("x-nv-vqos[0].qosTrafficType", announce.video_qos),
        ("x-nv-aqos.qosTrafficType", announce.audio_qos),
        ("x-nv-general.featureFlags", announce.nv_features),
        ("x-nv-general.useReliableUdp", announce.control_protocol),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", announce.min_fec_packets),
        ("x-nv-vqos[0].bllFec.enable", 0),
        ("x-nv-vqos[0].drc.enable", 0),
        ("x-nv-general.enableRecoveryMode", 0),
        ("x-nv-video[0].videoEncoderSlicesPerFrame", announce.slices),
    ]
    if announce.codec is not Codec.AV1:
        attributes.append(("x-nv-clientSupportHevc", int(announce.codec is Codec.HEVC)))
    attributes += [
        ("x-nv-vqos[0].bitStreamFormat", int(announce.codec)),
        ("x-nv-video[0].dynamicRangeMode", int(announce.hdr)),
        ("x-nv-video[0].maxNumReferenceFrames", announce.max_reference_frames),
        ("x-nv-video[0].clientRefreshRateX100", announce.refresh_x100),
        ("x-nv-audio.surround.numChannels", announce.channels),
        ("x-nv-audio.surround.channelMask", announce.channel_mask),
        ("x-nv-audio.surround.enable", int(announce.channels > 2)),
        ("x-nv-audio.surround.AudioQuality", int(announce.high_quality_audio)),
        ("x-nv-aqos.packetDuration", announce.audio_packet_ms),
        ("x-nv-video[0].encoderCscMode", announce.colour_space << 1 | announce.full_range),
    ]
    family = "IPv6" if ":" in address else "IPv4"
    head = f"v=0\r\no=android 0 14 IN {family} {address}\r\ns=NVIDIA Streaming Client\r\n"
    lines = "".join(f"a={name}:{value} \r\n" for name, value in attributes)
    return f"{head}{lines}t=0 0\r\nm=video {video_port}  \r\n".encode()


def _attributes(body: bytes) -> dict[str, str]:
    if len(body) > MAX_ANNOUNCE_BYTES:
        raise SdpError(f"ANNOUNCE is larger than {MAX_ANNOUNCE_BYTES} bytes")
    found: dict[str, str] = {}
    for line in body.decode("latin-1").splitlines():
        if not line.startswith("a="):
            continue
        name, _, value = line[2:].partition(":")
        if len(found) == MAX_ATTRIBUTES:
            raise SdpError(f"ANNOUNCE has more than {MAX_ATTRIBUTES} attributes")
        found[name.strip()] = value.strip()
    return found


def _number(attributes: dict[str, str], name: str, span: _Range) -> int:
    text = attributes.get(name)
    if text is None:
        if span.default is None:
            raise SdpError(f"ANNOUNCE lacks {name}")
        return span.default
    if not _SIGNED.match(text) or not span.low <= int(text) <= span.high:
        raise SdpError(f"{name} is not within {span.low} to {span.high}")
    return int(text)
