"""One encoder serves several viewers: it runs at the lowest bit rate any of them asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

    from earthshine.runner.desktops.moonlight_host.stage import Producer

MIN_KBPS: Final = 200
MAX_KBPS: Final = 300_000


class BitrateVotes:
    """What each viewer asked of its producer."""

    def __init__(self) -> None:
        self._votes: dict[Hashable, tuple[Producer, int]] = {}

    def vote(self, viewer: Hashable, producer: Producer, kbps: int) -> None:
        """``viewer`` watches ``producer`` and wants at most ``kbps``."""
        self.withdraw(viewer)
        self._votes[viewer] = (producer, max(MIN_KBPS, min(kbps, MAX_KBPS)))
        self._settle(producer)

    def withdraw(self, viewer: Hashable) -> None:
        """``viewer`` is gone; the others may get more."""
        vote = self._votes.pop(viewer, None)
        if vote is not None:
            self._settle(vote[0])

    def _settle(self, producer: Producer) -> None:
        wishes = [kbps for voted, kbps in self._votes.values() if voted is producer]
        if wishes:
            producer.set_bitrate(min(wishes))
