"""``/serverinfo``: what a host says about itself.

Over plain HTTP the answer never admits a pairing (PairStatus 0) and hides the MAC address; over
HTTPS with a paired certificate it says 1. Clients read versions from it and so choose the whole
protocol generation; ``7.1.431.-1`` selects what this package speaks.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass

from earthshine.protocols.moonlight.answers import AnswerError, build_answer, parse_answer
from earthshine.protocols.moonlight.query import HTTP_PORT, HTTPS_PORT

PATH = "/serverinfo"

APP_VERSION = "7.1.431.-1"
GFE_VERSION = "3.23.0.74"
HEVC_MAX_LUMA_PIXELS = 1869449984
NO_MAC = "00:00:00:00:00:00"

MAX_TEXT = 256
MAX_APP_ID = (1 << 31) - 1

_BUSY_SUFFIX = "_SERVER_BUSY"
_STATE_FREE = "SUNSHINE_SERVER_FREE"
_STATE_BUSY = "SUNSHINE_SERVER_BUSY"
_VERSION = re.compile(r"-?[0-9]{1,9}(\.-?[0-9]{1,9}){2,3}\Z")


class CodecSupport(enum.IntFlag):
    """Bits of ServerCodecModeSupport."""

    H264 = 0x1
    HEVC_MAIN = 0x100
    HEVC_MAIN10 = 0x200
    AV1_MAIN8 = 0x10000
    AV1_MAIN10 = 0x20000
    H264_HIGH8_444 = 0x40000
    HEVC_REXT8_444 = 0x80000
    HEVC_REXT10_444 = 0x100000
    AV1_HIGH8_444 = 0x200000
    AV1_HIGH10_444 = 0x400000


class VideoFormat(enum.IntFlag):
    """What a client can decode; the bits Moonlight clients use among themselves."""

    H264 = 0x1
    H264_444 = 0x4
    HEVC = 0x100
    HEVC_MAIN10 = 0x200
    HEVC_REXT8_444 = 0x400
    HEVC_REXT10_444 = 0x800
    AV1_MAIN8 = 0x1000
    AV1_MAIN10 = 0x2000
    AV1_HIGH8_444 = 0x4000
    AV1_HIGH10_444 = 0x8000


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The parts of ``/serverinfo`` that clients use."""

    hostname: str
    unique_id: str
    """Stable identity of the host, a UUID as text."""
    paired: bool
    app_version: str = APP_VERSION
    gfe_version: str = GFE_VERSION
    https_port: int = HTTPS_PORT
    external_port: int = HTTP_PORT
    mac: str = NO_MAC
    max_luma_pixels_hevc: int = 0
    local_ip: str = "127.0.0.1"
    """An IPv4 address; clients refuse anything else. Empty when read and not given."""
    codecs: CodecSupport = CodecSupport.H264
    current_app: int = 0
    """Id of the running application, 0 if none."""
    busy: bool = False

    @property
    def generation(self) -> tuple[int, ...]:
        """The numbers of ``app_version``; a negative fourth one marks Sunshine's extensions."""
        return tuple(int(part) for part in self.app_version.split("."))

    def encode(self) -> bytes:
        """The XML answer."""
        return build_answer(
            [
                ("hostname", self.hostname),
                ("appversion", self.app_version),
                ("GfeVersion", self.gfe_version),
                ("uniqueid", self.unique_id),
                ("HttpsPort", str(self.https_port)),
                ("ExternalPort", str(self.external_port)),
                ("mac", self.mac),
                ("MaxLumaPixelsHEVC", str(self.max_luma_pixels_hevc)),
                ("LocalIP", self.local_ip),
                ("ServerCodecModeSupport", str(int(self.codecs))),
                ("PairStatus", str(int(self.paired))),
                ("currentgame", str(self.current_app)),
                ("state", _STATE_BUSY if self.busy else _STATE_FREE),
            ]
        )


def parse_server_info(body: bytes) -> ServerInfo:
    """Read the answer to ``/serverinfo``.

    Raises `AnswerRefusedError` when the host refuses (401: the certificate is not paired) and
    `AnswerError` for anything that cannot be read. A running application counts only while the
    state says busy.
    """
    root = parse_answer(body)
    app_version = root.require("appversion")
    if not _VERSION.match(app_version):
        raise AnswerError("appversion is not a version")
    busy = (root.get("state") or "").endswith(_BUSY_SUFFIX)
    current = root.integer("currentgame", 0, low=0, high=MAX_APP_ID)
    codecs = root.integer("ServerCodecModeSupport", int(CodecSupport.H264), low=0, high=0xFFFFFFFF)
    return ServerInfo(
        hostname=(root.get("hostname") or "")[:MAX_TEXT],
        unique_id=(root.get("uniqueid") or "")[:MAX_TEXT],
        paired=root.get("PairStatus") == "1",
        app_version=app_version,
        gfe_version=(root.get("GfeVersion") or "")[:MAX_TEXT],
        https_port=root.integer("HttpsPort", HTTPS_PORT, low=0, high=0xFFFF) or HTTPS_PORT,
        external_port=root.integer("ExternalPort", HTTP_PORT, low=0, high=0xFFFF) or HTTP_PORT,
        mac=(root.get("mac") or NO_MAC)[:MAX_TEXT],
        max_luma_pixels_hevc=root.integer("MaxLumaPixelsHEVC", 0, low=0, high=(1 << 63) - 1),
        local_ip=_ipv4(root.get("LocalIP")),
        codecs=CodecSupport(codecs & _KNOWN_CODECS),
        current_app=current if busy else 0,
        busy=busy,
    )


_KNOWN_CODECS = sum(int(codec) for codec in CodecSupport)


def _ipv4(text: str | None) -> str:
    if not text:
        return ""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise AnswerError("LocalIP is not an IPv4 address") from error
