"""What a library for capture and encoding must do for us, and how quality is described to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from earthshine.runner.desktops.limits import Codec, Preset


class CaptureError(Exception):
    """Nothing can be captured; `remedy` says what to do."""

    def __init__(self, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Quality:
    """`crf`: x264's constant quality; `settled_crf`: of a picture that stands still."""

    crf: int
    settled_crf: int
    every_frame: bool = False
    """Encode each frame whether it changed or not: smooth motion, more CPU."""


# Text that moves is hardly read, and what stands still is shown again with exact pixels. At 33 it
# can be read, with colours that bleed, in two thirds of the bytes of 28; and the last picture of it
# is small, so it comes soon.
QUALITIES: Final[dict[Preset, Quality]] = {
    "text": Quality(33, 14),
    "balanced": Quality(25, 18),
    "motion": Quality(28, 20, every_frame=True),
}


@dataclass(frozen=True, slots=True)
class Tuning:
    """What can be asked of an encoder. `bitrate_kbps` caps it; 0 leaves it to the quality."""

    preset: Preset = "text"
    frames_per_second: int = 60
    bitrate_kbps: int = 0
    pointer_drawn: bool = False
    refine: bool = True
    """Sharpen what stands still by more video: for who gets no exact pixels of it."""

    @property
    def quality(self) -> Quality:
        """The preset's numbers."""
        return QUALITIES[self.preset]


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture: H.264 (Constrained Baseline) or HEVC in Annex B, or an AV1 temporal
    unit. Times: CLOCK_MONOTONIC, us.

    `captured` is when grabbing it began, `grabbed` when encoding did, `encoded` when that was done.

    A key frame carries its parameter sets, so a decoder can begin there. `reference` is the frame
    that another one is predicted from, where the encoder says so.
    """

    frame_id: int
    key: bool
    data: bytes
    width: int
    height: int
    captured: int
    grabbed: int
    encoded: int
    reference: int | None = None


class Capture(Protocol):
    """Captures the display that DISPLAY and XAUTHORITY name. Methods are called from one thread."""

    name: str

    @property
    def invalidates(self) -> bool:
        """Whether `invalidate_reference` can do better than a key frame."""

    def start(self, width: int, height: int, deliver: Callable[[AccessUnit], None]) -> None:
        """Begin with a key frame; `deliver` is called from a thread of the library's.

        A picture that does not change is not delivered again. Raises CaptureError.
        """

    def stop(self) -> None:
        """End it; nothing is delivered after this returns. `start` may follow."""

    def request_key_frame(self) -> None:
        """Make the next picture a key frame, also when nothing has changed."""

    def tune(self, tuning: Tuning) -> None:
        """Change quality or rate; may begin again with a key frame."""

    def resize(self, width: int, height: int) -> None:
        """The display has another size now; goes on with a key frame."""

    def invalidate_reference(self, frame_id: int) -> None:
        """That frame was lost: predict from an older one, or make a key frame."""

    def problem(self) -> str | None:
        """Why it has ended by itself; None while it works."""


def is_key(data: bytes, codec: Codec = "h264") -> bool:
    """Whether an access unit decodes on its own.

    H.264: it holds an IDR slice (table 7-1, type 5). HEVC: a slice of an IRAP picture (table 7-1,
    types 16 to 23). AV1: a sequence header (OBU type 1, after the temporal delimiter), which the
    encoders here write before key frames only. Looks at the units before the first slice: they
    are short.
    """
    if codec == "av1":
        return _begins_sequence(data)
    slices, keys = _SLICES[codec]
    at = 0
    while (at := data.find(b"\0\0\1", at)) >= 0 and at + 3 < len(data):
        kind = data[at + 3] & 0x1F if codec == "h264" else data[at + 3] >> 1 & 0x3F
        if kind in slices:
            return kind in keys
        at += 3
    return False


_SLICES: Final[dict[Codec, tuple[range | tuple[int, ...], range | tuple[int, ...]]]] = {
    "h264": ((1, 5), (5,)),
    "hevc": (range(32), range(16, 24)),
}
_SEQUENCE_HEADER: Final = 1
_TEMPORAL_DELIMITER: Final = 2


def _begins_sequence(data: bytes) -> bool:
    at = 0
    if data and data[0] >> 3 & 0xF == _TEMPORAL_DELIMITER:
        at = 2  # header and a size of zero
    return at < len(data) and data[at] >> 3 & 0xF == _SEQUENCE_HEADER
