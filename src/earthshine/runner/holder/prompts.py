"""Prompts on their way into a terminal: each pasted, then Enter, and never into a question.

An agent that asks whether it may do something takes Enter for yes, and loses the text before it. So
prompts wait while a program says that it is blocked on its user (`TerminalQueries.asking`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from earthshine.runner.holder.terminal import TerminalQueries

STEP: Final = 0.12
"""Seconds between a paste and its Enter, and before the next paste: agents take a quick Enter for
part of the paste, and an Escape that more follows at once for the start of a key sequence."""
READ_RATE: Final = 100_000
"""Bytes of a paste that a program takes in a second at least: the Enter of a long one waits."""
MAX_WAITING: Final = 256
"""Prompts that may wait."""
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024


class PromptQueue:
    """Says what to type, and when. Times are seconds on a clock of the caller's."""

    def __init__(self, terminal: TerminalQueries) -> None:
        self._terminal = terminal
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._enter_due = False
        self._not_before = 0.0

    def add(self, text: str) -> bool:
        """Line up a prompt; False when too much waits already."""
        data = text.replace("\r\n", "\n").encode()
        if len(self._waiting) >= MAX_WAITING or self._size + len(data) > MAX_WAITING_BYTES:
            return False
        self._waiting.append(data)
        self._size += len(data)
        return True

    def pause(self, now: float) -> None:
        """The program has just been given something to read."""
        self._not_before = max(self._not_before, now + STEP)

    @property
    def held_up(self) -> bool:
        """Whether prompts wait for the program's question to be answered."""
        return self._terminal.asking and (self._enter_due or bool(self._waiting))

    def due(self, now: float) -> float | None:
        """Seconds until `take` has something; None when nothing waits or a question is open."""
        if self.held_up or not (self._enter_due or self._waiting):
            return None
        return max(0.0, self._not_before - now)

    def take(self, now: float) -> bytes:
        """What to type now, if it is due."""
        if self.due(now) != 0.0:
            return b""
        self._not_before = now + STEP
        if self._enter_due:
            self._enter_due = False
            return b"\r"
        self._enter_due = True
        data = self._waiting.popleft()
        self._size -= len(data)
        self._not_before += len(data) / READ_RATE
        if not self._terminal.bracketed_paste:
            return data.replace(b"\n", b"\r")
        # The end mark inside the text would let the rest of it act as typed commands.
        return b"\x1b[200~" + data.replace(b"\x1b[201~", b"") + b"\x1b[201~"
