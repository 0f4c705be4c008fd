"""How fast pictures may come: as fast as they are seen. Pure: it is told the time, in seconds.

A line takes bytes long before they arrive: buffers on the way hold seconds of video. So what counts
is what the viewer says it has seen. The time that a picture takes on an idle line is no delay.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

LATE_SECONDS: Final = 0.4
"""The oldest unseen picture may be this much older than pictures are when nothing holds them up."""
WINDOW: Final = 64 * 1024
"""Unseen bytes that are never too many: a slow viewer's last picture may take its time."""
LOW: Final = 8 * 1024
"""Unseen bytes at which a viewer has caught up."""
MAX_UNSEEN: Final = 256
"""Pictures under way at once."""
MUTE_SECONDS: Final = 2.0
"""One who never says what it sees gets a picture in this time: the pace of stills."""
LOST_SECONDS: Final = 10.0
"""One who has said it before, but not for so long, has lost what was under way."""
SAMPLES: Final = 32

Verdict = Literal["pause", "continue"]


class Pace:
    """What is on its way to one viewer."""

    def __init__(self) -> None:
        self.paused = False
        self._unseen: dict[int, tuple[float, int]] = {}
        self._bytes = 0
        self._told = False
        """The viewer says what it sees."""
        self._mute = False
        """It has not for long: it gets single pictures."""
        self._waits_since = 0.0
        """When it last said something, or was paused."""
        self._delays: deque[float] = deque(maxlen=SAMPLES)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: `verdict` need not be asked."""
        return not self._unseen and not self.paused

    @property
    def unseen(self) -> int:
        """Pictures under way."""
        return len(self._unseen)

    def sent(self, frame: int, size: int, now: float) -> None:
        """A picture was sent."""
        self._forget(frame)
        self._unseen[frame] = (now, size)
        self._bytes += size

    def seen(self, frame: int, now: float) -> None:
        """It is on the viewer's screen, and what was sent before it is dealt with."""
        if frame not in self._unseen:
            return
        self._told = True
        self._mute = False
        self._waits_since = now
        self._delays.append(now - self._unseen[frame][0])
        for older in list(self._unseen):
            self._forget(older)
            if older == frame:
                break

    def _forget(self, frame: int) -> None:
        _, size = self._unseen.pop(frame, (0.0, 0))
        self._bytes -= size

    def began_anew(self) -> None:
        """Another stream: nothing is under way."""
        self._unseen.clear()
        self._bytes = 0
        self.paused = False

    def verdict(self, now: float) -> Verdict | None:
        """What the stream should be told now, if anything."""
        if self.paused:
            lost = self._is_mute(now)
            if lost or self._has_caught_up():
                self._mute = lost
                self._unseen.clear()
                self._bytes = 0
                self.paused = False
                return "continue"
        elif self._unseen and self._is_late(now):
            self.paused = True
            self._waits_since = now
            return "pause"
        return None

    def _is_late(self, now: float) -> bool:
        if self._mute or len(self._unseen) > MAX_UNSEEN:
            return True
        oldest = now - next(iter(self._unseen.values()))[0]
        usual = min(self._delays, default=0.0)
        if not self._told:
            return oldest > MUTE_SECONDS or (oldest > LATE_SECONDS and self._bytes > WINDOW)
        return oldest > LATE_SECONDS + usual and self._bytes > WINDOW

    def _has_caught_up(self) -> bool:
        few = self._bytes <= LOW and len(self._unseen) <= MAX_UNSEEN // 8
        return few and self._told and not self._mute

    def _is_mute(self, now: float) -> bool:
        return now - self._waits_since > (LOST_SECONDS if self._told else MUTE_SECONDS)
