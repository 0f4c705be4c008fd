"""Cursors on both ends of a log: what has been sent, what is stored, what came twice.

Sender and receiver of one session. They make a log that crosses a breaking connection arrive
whole, in order and once: the sender resumes behind the receiver's cursor, the receiver drops what
it has and refuses what does not follow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from earthshine.protocols.events import Event, output_bytes, span

WINDOW: Final = 2 * 1024 * 1024
"""Bytes of one session that may be under way without an ack."""


class HoleError(ValueError):
    """Entries are missing between the cursor and what came."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"expected entry {expected}, got {got}")
        self.expected = expected
        self.got = got


class Receiver:
    """The end that stores: `seq` is the last entry taken, `bytes` the output in all of them."""

    __slots__ = ("bytes", "duplicates", "seq")

    def __init__(self, seq: int = 0, bytes: int = 0) -> None:  # noqa: A002 - the field's name
        self.seq = seq
        self.bytes = bytes
        self.duplicates = 0

    def take(self, events: Sequence[Event]) -> list[Event]:
        """The new ones among `events`, in order. Raises HoleError (nothing taken), EventError."""
        fresh: list[Event] = []
        seq, count = self.seq, self.bytes
        for event in events:
            first, last = span(event)
            if last <= seq:
                self.duplicates += 1
                continue
            if first > seq + 1:
                raise HoleError(seq + 1, first)
            # A gap may reach back over entries that did arrive: they stay, it stands for the rest.
            fresh.append(event)
            count += output_bytes(event)
            seq = last
        self.seq, self.bytes = seq, count
        return fresh


class Sender:
    """The end that has the spool: `sent` and `acked` are the last entries of each kind."""

    __slots__ = ("_under_way", "acked", "in_flight", "sent", "window")

    def __init__(self, acked: int = 0, window: int = WINDOW) -> None:
        self.acked = acked
        self.sent = acked
        self.in_flight = 0
        self.window = window
        self._under_way: deque[tuple[int, int]] = deque()

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return max(0, self.window - self.in_flight)

    def send(self, last: int, size: int) -> None:
        """Note that entries up to `last`, `size` bytes, were sent."""
        if last <= self.sent:
            raise ValueError("the log only grows")
        self.sent = last
        self.in_flight += size
        self._under_way.append((last, size))

    def ack(self, seq: int) -> bool:
        """Note an ack; False for one that cannot be true (ahead of what was sent)."""
        if seq > self.sent:
            return False
        while self._under_way and self._under_way[0][0] <= seq:
            self.in_flight -= self._under_way.popleft()[1]
        self.acked = max(self.acked, seq)
        return True

    def resume(self, seq: int) -> None:
        """Start again behind `seq`, what the receiver says it has."""
        self.acked = self.sent = seq
        self.in_flight = 0
        self._under_way.clear()
