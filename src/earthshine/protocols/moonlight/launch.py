"""``/launch``, ``/resume`` and ``/cancel``: how a session starts, continues and ends.

Launch and resume carry the keys of the stream: ``rikey``, the AES-128 key for RTSP, control,
video and audio, and ``rikeyid``, a signed 32-bit number that seeds the audio IVs. The answer
names the RTSP URL; the scheme ``rtspenc`` asks for encrypted RTSP and is only for clients that
said ``corever=1``.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from earthshine.protocols.moonlight.answers import AnswerError, build_answer, parse_answer
from earthshine.protocols.moonlight.query import Request, RequestError, build_request
from earthshine.protocols.moonlight.serverinfo import MAX_APP_ID

if TYPE_CHECKING:
    from earthshine.protocols.moonlight.serverinfo import ServerInfo

LAUNCH_PATH = "/launch"
RESUME_PATH = "/resume"
CANCEL_PATH = "/cancel"

KEY_BYTES = 16
RTSP_PORT = 48010
PLAIN_SCHEME = "rtsp"
ENCRYPTED_SCHEME = "rtspenc"

MAX_DIMENSION = 16384
MAX_FRAME_RATE = 1000
MAX_CHANNELS = 8
MAX_URL = 512

_MODE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})x([0-9]{1,4})\Z", re.ASCII)
_INT32 = {"low": -(1 << 31), "high": (1 << 31) - 1}
_UINT32 = {"low": 0, "high": (1 << 32) - 1}
# What a client that wants HDR sends beside hdrMode.
_HDR_EXTRAS = {
    "clientHdrCapVersion": "0",
    "clientHdrCapSupportedFlagsInUint32": "0",
    "clientHdrCapMetaDataId": "NV_STATIC_METADATA_TYPE_1",
    "clientHdrCapDisplayData": "0x0x0x0x0x0x0x0x0x0x0",
}


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """``key``: 16 bytes. ``key_id``: signed 32-bit, may be negative. Never log either."""

    key: bytes = field(repr=False)
    key_id: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class SurroundInfo:
    """``surroundAudioInfo``: speaker mask in the upper, channel count in the lower 16 bits."""

    mask: int
    channels: int

    @property
    def value(self) -> int:
        """The number as it is written."""
        return self.mask << 16 | self.channels


STEREO = SurroundInfo(0x3, 2)
SURROUND_51 = SurroundInfo(0x3F, 6)
SURROUND_71 = SurroundInfo(0x63F, 8)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What a client asks for in ``/launch`` or ``/resume``.

    Width and height are pixels and 0 when not said; ANNOUNCE decides later. ``fps`` may be 0.
    """

    keys: StreamKeys
    resume: bool = False
    app_id: int = 0
    width: int = 0
    height: int = 0
    fps: int = 0
    optimise_settings: bool = False
    play_on_host: bool = False
    surround: SurroundInfo = STEREO
    controllers: int = 0
    """Bit n: controller n is attached."""
    hdr: bool = False
    core_version: int = 0
    """1 or more: the client can encrypt RTSP."""

    @property
    def encrypted_rtsp(self) -> bool:
        """Whether the host may answer with an ``rtspenc`` URL."""
        return self.core_version >= 1

    def encode(self, uuid: bytes) -> Request:
        """The request a client sends over HTTPS. ``uuid`` is 16 random bytes."""
        parameters = {
            "appid": str(self.app_id),
            "mode": f"{self.width}x{self.height}x{self.fps}",
            "additionalStates": "1",
            "sops": str(int(self.optimise_settings)),
            "rikey": self.keys.key.hex(),
            "rikeyid": str(self.keys.key_id),
            "localAudioPlayMode": str(int(self.play_on_host)),
            "surroundAudioInfo": str(self.surround.value),
            "remoteControllersBitmap": str(self.controllers),
            "gcmap": str(self.controllers),
        }
        if self.hdr:
            parameters |= {"hdrMode": "1"} | _HDR_EXTRAS
        if self.core_version:
            parameters["corever"] = str(self.core_version)
        return build_request(RESUME_PATH if self.resume else LAUNCH_PATH, parameters, uuid=uuid)


def parse_launch(request: Request) -> LaunchRequest:
    """Read ``/launch`` or ``/resume``. Raises `RequestError`.

    A launch must name application, keys and audio mode; a resume needs only the keys.
    """
    if request.path not in (LAUNCH_PATH, RESUME_PATH):
        raise RequestError("not a launch or resume request")
    resume = request.path == RESUME_PATH
    if not resume:
        request.require("appid")
        request.require("localAudioPlayMode")
    width, height, fps = _mode(request.parameters.get("mode"))
    controllers = request.integer("gcmap", 0, **_UINT32)
    return LaunchRequest(
        keys=StreamKeys(request.octets("rikey", KEY_BYTES), request.integer("rikeyid", **_INT32)),
        resume=resume,
        app_id=request.integer("appid", 0, low=0, high=MAX_APP_ID),
        width=width,
        height=height,
        fps=fps,
        optimise_settings=request.integer("sops", 0, **_INT32) != 0,
        play_on_host=request.integer("localAudioPlayMode", 0, **_INT32) != 0,
        surround=_surround(request.integer("surroundAudioInfo", STEREO.value, **_UINT32)),
        controllers=request.integer("remoteControllersBitmap", controllers, **_UINT32),
        hdr=request.integer("hdrMode", 0, **_INT32) != 0,
        core_version=request.integer("corever", 0, low=0, high=0xFFFF),
    )


@dataclass(frozen=True, slots=True)
class SessionUrl:
    """Where RTSP is spoken. ``host`` is an IPv4 or unbracketed IPv6 literal, or a name."""

    host: str
    port: int = RTSP_PORT
    encrypted: bool = False

    def __str__(self) -> str:
        scheme = ENCRYPTED_SCHEME if self.encrypted else PLAIN_SCHEME
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def parse_session_url(text: str) -> SessionUrl:
    """Read ``sessionUrl0``. Raises `AnswerError`."""
    if len(text) > MAX_URL:
        raise AnswerError("session URL is too long")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise AnswerError("session URL cannot be read") from error
    if parts.scheme not in (PLAIN_SCHEME, ENCRYPTED_SCHEME) or not host:
        raise AnswerError("session URL is not RTSP")
    return SessionUrl(host, port or RTSP_PORT, parts.scheme == ENCRYPTED_SCHEME)


def build_launch_answer(url: SessionUrl, *, resume: bool) -> bytes:
    """The answer that lets a launch or resume go on."""
    return build_answer([("sessionUrl0", str(url)), ("resume" if resume else "gamesession", "1")])


def build_launch_refusal(status: int, message: str, *, resume: bool) -> bytes:
    """The answer that refuses one; ``message`` is shown to the person at the client."""
    flag = "resume" if resume else "gamesession"
    return build_answer([(flag, "0")], status=status, message=message)


def parse_launch_answer(body: bytes, *, resume: bool, address: str) -> SessionUrl:
    """Read the answer to a launch or resume.

    ``address`` stands in when the host names no URL. Raises `AnswerRefusedError` or `AnswerError`.
    """
    root = parse_answer(body)
    if (root.get("resume" if resume else "gamesession") or "0") == "0":
        raise AnswerError("the host did not start the session")
    url = root.get("sessionUrl0")
    return parse_session_url(url) if url else SessionUrl(address)


def build_cancel_answer(*, cancelled: bool = True) -> bytes:
    """The answer to ``/cancel``."""
    return build_answer([("cancel", str(int(cancelled)))])


def parse_cancel_answer(body: bytes) -> bool:
    """Whether the host cancelled. Raises `AnswerRefusedError` or `AnswerError`."""
    return parse_answer(body).get("cancel") not in (None, "", "0")


class Start(enum.Enum):
    """What a client has to do to get an application running."""

    LAUNCH = "launch"
    RESUME = "resume"
    CANCEL_THEN_LAUNCH = "cancel, then launch"


def choose_start(info: ServerInfo, app_id: int) -> Start:
    """Resume what already runs, launch on a free host, and replace another application.

    Replacing ends somebody's work: ask the person first.
    """
    if not info.busy or info.current_app == 0:
        return Start.LAUNCH
    return Start.RESUME if info.current_app == app_id else Start.CANCEL_THEN_LAUNCH


def _mode(text: str | None) -> tuple[int, int, int]:
    if not text:
        return 0, 0, 0
    match = _MODE.match(text)
    if match is None:
        raise RequestError("mode is not WIDTHxHEIGHTxFPS")
    width, height, fps = int(match[1]), int(match[2]), int(match[3])
    if width > MAX_DIMENSION or height > MAX_DIMENSION or fps > MAX_FRAME_RATE:
        raise RequestError("mode is out of range")
    return width, height, fps


def _surround(value: int) -> SurroundInfo:
    info = SurroundInfo(value >> 16, value & 0xFFFF)
    if not 1 <= info.channels <= MAX_CHANNELS:
        raise RequestError("surroundAudioInfo names an impossible channel count")
    return info
