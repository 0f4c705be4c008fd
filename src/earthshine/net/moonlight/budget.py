"""How much strangers may ask: a token bucket per address, with a limit on addresses remembered."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

ADDRESSES_REMEMBERED: Final = 1024


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class AddressBudget:
    """``rate`` requests a second per address, ``burst`` at once. Times are seconds.

    The address that was quiet for longest is forgotten first; a forgotten address starts anew.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether one more request from ``address`` is within its budget."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(self._burst, now)
            if len(self._buckets) > ADDRESSES_REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) * self._rate)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
