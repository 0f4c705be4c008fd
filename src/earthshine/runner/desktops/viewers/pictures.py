"""What the worker says, as the viewer protocol says it. Pure; times are microseconds."""

from __future__ import annotations

from typing import Final

from earthshine.protocols import viewer
from earthshine.protocols.viewer import Box, ClipboardKind, FrameFlag, PixelFormat
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.producer import limited

SAMPLE_RATE: Final = 48_000
MAX_DRIFT: Final = 200_000
"""Microseconds between a packet's own time and ours before the two are matched anew."""
_SPS: Final = 7
_U32: Final = 0xFFFFFFFF


def codec(unit: bytes) -> str:
    """How WebCodecs names the codec of a key frame (RFC 6381: profile, constraints and level as
    the sequence parameter set begins with them); empty where there is none.
    """
    at = 0
    while (at := unit.find(b"\0\0\1", at)) >= 0:
        at += 3
        if at < len(unit) and unit[at] & 0x1F == _SPS:
            named = unit[at + 1 : at + 4]
            return f"avc1.{named.hex()}" if len(named) == 3 else ""
    return ""


class Damage:
    """What is new in each frame of a stream.

    What the worker knows when it hands over a frame may have been drawn after that frame was
    captured, and is to be seen in a later one only. So a place counts as new up to and including
    the first frame that was captured after it was known.
    """

    def __init__(self) -> None:
        self._all = True
        self._known: list[tuple[Box, int]] = []

    def began_anew(self) -> None:
        """The next frame is new everywhere."""
        self._all = True
        self._known = []

    def settled(self, box: Box) -> None:
        """Exact pixels went out: whatever was drawn there has long been seen."""
        self._known = [(b, at) for b, at in self._known if not _overlap(b, box)]

    def of(self, message: m.Video, now: int) -> list[Box] | None:
        """The new places in a frame that goes out now; None: everything."""
        everything, self._all = self._all, False
        own = _clipped(message)
        boxes = limited([*own, *(box for box, _ in self._known)])
        self._known = [(box, at) for box, at in self._known if at >= message.captured]
        self._known += [(box, now) for box in own]
        return None if everything else boxes


def _overlap(a: Box, b: Box) -> bool:
    across = a[0] < b[0] + b[2] and b[0] < a[0] + a[2]
    return across and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def video(message: m.Video, now: int, damage: list[Box] | None) -> viewer.Video:
    """A frame, with what is new in it; None: everything, and all exact pixels are void."""
    flags = FrameFlag.KEY if message.key else FrameFlag(0)
    data = message.data
    if damage is not None:
        flags |= FrameFlag.DAMAGE
        data = viewer.with_damage(damage, data)
    return viewer.Video(
        flags,
        message.frame_id & _U32,
        message.captured,
        min(max(0, now - message.captured), _U32),
        data,
    )


def _clipped(message: m.Video) -> list[Box]:
    found = []
    for x, y, width, height in message.dirty:
        left, top = max(0, x), max(0, y)
        right, bottom = min(x + width, message.width), min(y + height, message.height)
        if left < right and top < bottom:
            found.append((left, top, right - left, bottom - top))
    return found


def exact(message: m.Repaint, frame: int) -> viewer.Exact | None:
    """Settled pixels over the frame sent last; None for what is outside any screen."""
    x, y, width, height = message.box
    if min(x, y) < 0 or not width or not height:
        return None
    return viewer.Exact(frame & _U32, x, y, width, height, PixelFormat.PNG, message.data)


def cursor(message: m.Cursor) -> viewer.CursorShape:
    """The pointer's shape."""
    return viewer.CursorShape(max(0, message.x), max(0, message.y), message.data)


def clipboard(message: m.Clipboard) -> viewer.Clipboard:
    """What a program has copied."""
    kind = ClipboardKind.PNG if message.mime == "image/png" else ClipboardKind.TEXT
    return viewer.Clipboard(kind, message.data)


def problem(message: m.Trouble) -> viewer.Problem:
    """Something could not be done."""
    return viewer.Problem(code=message.code, detail=message.detail, remedy=message.remedy or "")


def still(message: m.Still, number: int, captured: int, now: int) -> viewer.Still:
    """The whole screen."""
    form = PixelFormat.JPEG if message.format == "jpeg" else PixelFormat.PNG
    _, _, width, height = message.box
    spent = min(max(0, now - captured), _U32)
    return viewer.Still(number & _U32, captured, spent, width, height, form, message.data)


class Sound:
    """Numbers packets, and gives each the time at which it was played."""

    def __init__(self) -> None:
        self._number = 0
        self._start: int | None = None

    def packet(self, message: m.Audio, now: int) -> viewer.Audio:
        """An Opus packet. Its count of samples gives even times; the clock says when it began."""
        played = message.pts * 1_000_000 // SAMPLE_RATE
        if self._start is None or abs(self._start + played - now) > MAX_DRIFT:
            self._start = now - played
        self._number += 1
        return viewer.Audio(self._number & _U32, max(0, self._start + played), message.data)
