"""Things to do later, for a loop that asks how long it may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable


class Timers:
    """Few at a time, so a list is enough."""

    def __init__(self) -> None:
        self._due: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in so many seconds."""
        self._due.append((time.monotonic() + seconds, action))

    def wait(self) -> float | None:
        """Seconds until something is due; None when nothing is."""
        if not self._due:
            return None
        return max(0.0, min(when for when, _ in self._due) - time.monotonic())

    def run(self) -> None:
        """Do what is due."""
        if not self._due:
            return
        now = time.monotonic()
        actions = [action for when, action in self._due if when <= now]
        self._due = [timer for timer in self._due if timer[0] > now]
        for action in actions:
            action()
