"""What one viewer needs of the pictures that all viewers share.

The encoder runs for everybody, so a viewer cannot say what the next frame is; it can only ask, and
recognise the answer when it comes by.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.control import (
    InvalidateReferenceFrames,
    Message,
    RequestIdr,
)
from earthshine.protocols.moonlight.video import FrameType

if TYPE_CHECKING:
    from earthshine.runner.desktops.moonlight_host.stage import AccessUnit

REMEMBERED: Final = 1024
"""Frames whose units are remembered, about 17 s; older losses are answered by a key frame."""


@dataclass(frozen=True, slots=True)
class KeyFrameWanted:
    """Ask the producer for a key frame."""


@dataclass(frozen=True, slots=True)
class InvalidationWanted:
    """Tell the producer that these units were lost."""

    first: int
    last: int


Want = KeyFrameWanted | InvalidationWanted


class FrameDemand:
    """Requests of one viewer. Not thread-safe."""

    def __init__(self) -> None:
        self._key = True
        self._lost: tuple[int, int] | None = None
        self._clean = 0
        self._units: OrderedDict[int, int] = OrderedDict()

    @property
    def awaits_key(self) -> bool:
        """Whether nothing but a key frame helps this viewer."""
        return self._key

    def receive(self, message: Message) -> Want | None:
        """Take a message of the client; what to ask the producer, if anything.

        Requests about frames before the last clean one were answered already and are ignored.
        """
        match message:
            case RequestIdr() if not self._key:  # else one is on its way
                return self.need_key()
            case InvalidateReferenceFrames(first, last) if last >= self._clean and not self._key:
                return self._invalidate(first, last)
        return None

    def need_key(self) -> Want:
        """From now on only a key frame helps: a viewer began anew, or units were skipped."""
        self._key = True
        self._lost = None
        return KeyFrameWanted()

    def frame_type(self, unit: AccessUnit, number: int) -> FrameType:
        """``unit`` is about to be sent as frame ``number``: what to call it."""
        self._units[number] = unit.number
        if len(self._units) > REMEMBERED:
            self._units.popitem(last=False)
        if unit.key:
            self._key, self._lost, self._clean = False, None, number
            return FrameType.IDR
        if self._lost is not None and unit.avoids is not None:
            first, last = self._lost
            if unit.avoids[0] <= first and last <= unit.avoids[1]:
                self._lost, self._clean = None, number
                return FrameType.AFTER_INVALIDATION
        return FrameType.P

    def _invalidate(self, first: int, last: int) -> Want:
        begin = self._units.get(first)
        end = self._units.get(last)
        if end is None and self._units:
            end = next(reversed(self._units.values()))
        if begin is None or end is None:
            return self.need_key()
        if self._lost is not None:
            begin, end = min(begin, self._lost[0]), max(end, self._lost[1])
        self._lost = (begin, end)
        return InvalidationWanted(begin, end)
