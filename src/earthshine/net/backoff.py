"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.5
"""Seconds: upper bound of the first wait."""
LONGEST: Final = 30.0


class Backoff:
    """Exponential with full jitter, so that a thousand runners do not come back at once.

    Only content that was delivered resets it (`delivered`): an endpoint that accepts connections
    and then drops them must not be tried in a tight loop.
    """

    def __init__(
        self, random: Callable[[], float], *, first: float = FIRST, longest: float = LONGEST
    ) -> None:
        """`random` gives numbers in [0, 1)."""
        self._random = random
        self._first = first
        self._longest = longest
        self._attempts = 0

    def delivered(self) -> None:
        """The connection has proved useful: start over after the next break."""
        self._attempts = 0

    def next(self) -> float:
        """Seconds to wait now."""
        bound = min(self._longest, self._first * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return bound * (0.2 + 0.8 * self._random())
