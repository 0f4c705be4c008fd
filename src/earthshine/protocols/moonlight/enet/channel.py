"""One channel's sequence numbers and what waits for its turn.

Reliable messages are delivered in order, once. Unreliable ones are tied to the reliable message
they were sent after: they wait for it and are dropped when something newer was delivered. All
numbers are 16 bits and wrap; at most 7 windows of 4096 may be ahead of what was delivered.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.enet.wire import EnetError

if TYPE_CHECKING:
    from earthshine.protocols.moonlight.enet.wire import (
        SendFragment,
        SendReliable,
        SendUnreliable,
        SendUnreliableFragment,
    )

WINDOW = 7 * 4096
UNSEQUENCED_WINDOW = 1024

MAX_HELD_MESSAGES = 512
"""Reliable messages and assemblies one channel may hold back."""
MAX_HELD_UNRELIABLE = 64
MAX_UNRELIABLE_ASSEMBLIES = 4
MAX_FRAGMENTS = 1024
MAX_MESSAGE_BYTES = 1 << 17

_MASK = 0xFFFF


class Verdict(enum.Enum):
    """What became of a reliable command. Only REFUSED ones stay unacknowledged."""

    ACCEPTED = enum.auto()
    DUPLICATE = enum.auto()
    REFUSED = enum.auto()


def ahead(sequence: int, reference: int) -> int:
    """How far ``sequence`` is ahead of ``reference``, modulo 2^16."""
    return (sequence - reference) & _MASK


class Budget:
    """Bytes one peer may have waiting over all its channels."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        """Reserve; false when there is not enough left."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Return what was taken."""
        self.left += size


class Assembly:
    """A message arriving in fragments. The whole size is reserved at once."""

    __slots__ = ("_missing", "count", "data")

    def __init__(self, fragment: SendFragment | SendUnreliableFragment) -> None:
        self.count = fragment.count
        self.data = bytearray(fragment.total)
        self._missing = set(range(fragment.count))

    @property
    def complete(self) -> bool:
        """Whether every fragment is there."""
        return not self._missing

    def add(self, fragment: SendFragment | SendUnreliableFragment) -> bool:
        """Put a fragment in its place; false if it was there. Raises `EnetError` on a mismatch."""
        if fragment.count != self.count or fragment.total != len(self.data):
            raise EnetError("fragments of one message disagree")
        if fragment.number not in self._missing:
            return False
        self._missing.remove(fragment.number)
        self.data[fragment.offset : fragment.offset + len(fragment.data)] = fragment.data
        return True


def check_fragment(fragment: SendFragment | SendUnreliableFragment) -> None:
    """Raise `EnetError` unless the fragment's numbers fit together and the limits."""
    fits = (
        1 <= fragment.count <= MAX_FRAGMENTS
        and fragment.number < fragment.count
        and fragment.count <= fragment.total <= MAX_MESSAGE_BYTES
        and fragment.offset + len(fragment.data) <= fragment.total
    )
    if not fits:
        raise EnetError("fragment does not fit its message")


@dataclass(slots=True)
class Channel:
    """State of one channel, both directions."""

    sent_reliable: int = 0
    sent_unreliable: int = 0
    delivered_reliable: int = 0
    delivered_unreliable: int = 0
    _held: dict[int, bytes | Assembly] = field(default_factory=dict)
    _unreliable: list[tuple[int, int, bytes]] = field(default_factory=list)
    _assemblies: dict[tuple[int, int], Assembly] = field(default_factory=dict)

    def next_reliable(self) -> int:
        """Number of the next reliable command to send."""
        self.sent_reliable = (self.sent_reliable + 1) & _MASK
        self.sent_unreliable = 0
        return self.sent_reliable

    def next_unreliable(self) -> int:
        """Unreliable number of the next unreliable command to send."""
        self.sent_unreliable = (self.sent_unreliable + 1) & _MASK
        return self.sent_unreliable

    def accept(self, command: SendReliable, budget: Budget) -> Verdict:
        """Take in a reliable message; `deliver` afterwards."""
        verdict = self._judge(command.sequence)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        if command.sequence in self._held:
            return Verdict.DUPLICATE
        if not self._room() or not budget.take(len(command.data)):
            return Verdict.REFUSED
        self._held[command.sequence] = command.data
        return Verdict.ACCEPTED

    def accept_fragment(self, command: SendFragment, budget: Budget) -> Verdict:
        """Take in part of a reliable message. Raises `EnetError`."""
        check_fragment(command)
        if ahead(command.sequence, command.start_sequence) != command.number:
            raise EnetError("fragment has the wrong sequence number")
        verdict = self._judge(command.start_sequence)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        held = self._held.get(command.start_sequence)
        if held is None:
            if not self._room() or not budget.take(command.total):
                return Verdict.REFUSED
            held = self._held[command.start_sequence] = Assembly(command)
        if not isinstance(held, Assembly):
            raise EnetError("fragment of a message that came whole")
        return Verdict.ACCEPTED if held.add(command) else Verdict.DUPLICATE

    def deliver(self, budget: Budget) -> list[tuple[bytes, bool]]:
        """(message, reliable) for everything whose turn has come, in order."""
        ready: list[tuple[bytes, bool]] = []
        while True:
            following = (self.delivered_reliable + 1) & _MASK
            held = self._held.get(following)
            if held is None or (isinstance(held, Assembly) and not held.complete):
                break
            del self._held[following]
            data, count = (
                (bytes(held.data), held.count) if isinstance(held, Assembly) else (held, 1)
            )
            budget.give(len(data))
            self.delivered_reliable = (self.delivered_reliable + count) & _MASK
            self.delivered_unreliable = 0
            ready.append((data, True))
            ready += self._waiting_unreliable(budget)
        return ready

    def accept_unreliable(self, command: SendUnreliable, budget: Budget) -> list[bytes]:
        """Messages to deliver now that ``command`` came."""
        return self._unreliable_message(
            command.sequence, command.unreliable_sequence, command.data, budget
        )

    def accept_unreliable_fragment(
        self, command: SendUnreliableFragment, budget: Budget
    ) -> list[bytes]:
        """Like `accept_unreliable` for a part. Raises `EnetError`."""
        check_fragment(command)
        key = (command.sequence, command.start_sequence)
        assembly = self._assemblies.get(key)
        if assembly is None:
            while len(self._assemblies) >= MAX_UNRELIABLE_ASSEMBLIES:
                dropped = self._assemblies.pop(next(iter(self._assemblies)))
                budget.give(len(dropped.data))
            if not budget.take(command.total):
                return []
            assembly = self._assemblies[key] = Assembly(command)
        assembly.add(command)
        if not assembly.complete:
            return []
        del self._assemblies[key]
        budget.give(len(assembly.data))
        return self._unreliable_message(*key, bytes(assembly.data), budget)

    def _judge(self, sequence: int) -> Verdict:
        distance = ahead(sequence, self.delivered_reliable)
        if 0 < distance < WINDOW:
            return Verdict.ACCEPTED
        behind = (-distance) & _MASK
        return Verdict.DUPLICATE if behind < WINDOW else Verdict.REFUSED

    def _room(self) -> bool:
        return len(self._held) < MAX_HELD_MESSAGES

    def _unreliable_message(
        self, reliable: int, number: int, data: bytes, budget: Budget
    ) -> list[bytes]:
        if reliable == self.delivered_reliable:
            if not 0 < ahead(number, self.delivered_unreliable) < WINDOW:
                return []
            self.delivered_unreliable = number
            return [data]
        early = ahead(reliable, self.delivered_reliable) < WINDOW
        if early and len(self._unreliable) < MAX_HELD_UNRELIABLE and budget.take(len(data)):
            self._unreliable.append((reliable, number, data))
        return []

    def _waiting_unreliable(self, budget: Budget) -> list[tuple[bytes, bool]]:
        waiting, self._unreliable = self._unreliable, []
        ready: list[tuple[bytes, bool]] = []
        for reliable, number, data in sorted(waiting, key=lambda entry: entry[1]):
            budget.give(len(data))
            for message in self._unreliable_message(reliable, number, data, budget):
                ready.append((message, False))  # noqa: PERF401  the call keeps what is early
        return ready


class UnsequencedWindow:
    """Remembers the last `UNSEQUENCED_WINDOW` groups so that doubles are dropped."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 1

    def accept(self, group: int) -> bool:
        """Whether ``group`` is new."""
        distance = ahead(group, self._highest)
        if 0 < distance < 0x8000:
            self._highest = group
            shifted = self._seen << distance | 1 if distance < UNSEQUENCED_WINDOW else 1
            self._seen = shifted & (1 << UNSEQUENCED_WINDOW) - 1
            return True
        behind = (-distance) & _MASK
        if behind >= UNSEQUENCED_WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True
