"""Short-lived things that anybody may ask for: challenges, flows, tickets.

They are kept in memory: a restart costs people one more click. Their number is bounded, in all and
for each address; the oldest make room, so that a flood from elsewhere takes nobody's place.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

from earthshine.control.accounts.digests import digest
from earthshine.control.origin import current_origin
from earthshine.control.throttle import network_of

T = TypeVar("T")
MAX_PENDING: Final = 5000
MAX_PER_ADDRESS: Final = 100


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    expires: float
    address: str


class Pending(Generic[T]):
    """Finds things by a secret, of which it knows only the hash."""

    def __init__(self, life: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._life = life.total_seconds()
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._by_address: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, secret: str, value: T) -> None:
        """Keep `value` for its life."""
        now = self._clock()
        while self._entries and next(iter(self._entries.values())).expires <= now:
            self._drop(next(iter(self._entries)))
        address = network_of(current_origin().address)
        mine = self._by_address.get(address)
        if mine is not None and len(mine) >= MAX_PER_ADDRESS:
            self._drop(next(iter(mine)))
        if len(self._entries) >= MAX_PENDING:
            self._drop(next(iter(self._entries)))
        key = digest(secret)
        self._entries[key] = _Entry(value, now + self._life, address)
        self._by_address.setdefault(address, OrderedDict())[key] = None

    def get(self, secret: str) -> T | None:
        """Look, and leave it there."""
        entry = self._entries.get(digest(secret))
        return None if entry is None or entry.expires <= self._clock() else entry.value

    def take(self, secret: str) -> T | None:
        """For single use: whoever takes it first has it."""
        value = self.get(secret)
        self._drop(digest(secret))
        return value

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            mine = self._by_address[entry.address]
            mine.pop(key, None)
            if not mine:
                del self._by_address[entry.address]
