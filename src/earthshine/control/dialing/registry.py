"""Which runner is connected, and waiting for one that has just dropped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from earthshine.control.errors import RunnerUnavailableError
from earthshine.protocols.envelope import CLOSE_REVOKED

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 30.0
MAX_WAITERS: Final = 100
MAX_REMEMBERED: Final = 10_000
"""Runners of which we remember that they were here."""
CLOSE_SECONDS: Final = 5.0

CLOSE_SUPERSEDED: Final = 4000


class RunnerNeverSeenError(RunnerUnavailableError):
    """It has not connected since this control plane started."""


class RunnerDidNotReturnError(RunnerUnavailableError):
    """It was connected, dropped, and did not come back in time."""


class TooManyWaitingError(RunnerUnavailableError):
    """It dropped, and as many callers as allowed wait for it already."""


class RunnerLink(Protocol):
    """One runner's control connection."""

    @property
    def runner_id(self) -> str: ...

    async def send_control(self, payload: msgspec.Struct) -> None:
        """Send the payload of a `control` envelope. Raises OSError when the connection is gone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket code of the application's range."""
        ...


@dataclass(slots=True)
class _Entry:
    epoch: int = 0
    link: RunnerLink | None = None
    dropped_at: float = 0.0
    waiters: set[asyncio.Future[RunnerLink]] = field(default_factory=set)


class ConnectionRegistry:
    """Runner id -> its live link. Belongs to one event loop."""

    def __init__(
        self,
        *,
        grace: float = GRACE_SECONDS,
        max_waiters: int = MAX_WAITERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grace = grace
        self._max_waiters = max_waiters
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    async def attach(self, runner_id: str, link: RunnerLink) -> int:
        """A runner has connected: its link's epoch, which only grows.

        From the call on, dials use the new link. An older one is closed as superseded, so that
        whoever holds it does not come back and supersede this one.
        """
        entry = self._entries.setdefault(runner_id, _Entry())
        old, entry.link = entry.link, link
        entry.epoch += 1
        epoch = entry.epoch
        for waiter in entry.waiters:
            if not waiter.done():
                waiter.set_result(link)
        entry.waiters.clear()
        self._forget_surplus()
        if old is not None and old is not link:
            await self._close(old, CLOSE_SUPERSEDED, "superseded by a newer connection")
        return epoch

    def detach(self, runner_id: str, link: RunnerLink) -> bool:
        """A link has ended. False if it is not the current one: then nothing changes."""
        entry = self._entries.get(runner_id)
        if entry is None or entry.link is not link:
            return False
        entry.link = None
        entry.dropped_at = self._clock()
        return True

    async def revoke(self, runner_id: str) -> None:
        """Close a runner's link, end those who wait for it, and forget that it was ever here."""
        entry = self._entries.pop(runner_id, None)
        if entry is None:
            return
        for waiter in entry.waiters:
            if not waiter.done():
                waiter.set_exception(_never_seen(runner_id))
        if entry.link is not None:
            await self._close(entry.link, CLOSE_REVOKED, "revoked")

    def live(self, runner_id: str) -> RunnerLink | None:
        """The runner's link, if it is connected now."""
        entry = self._entries.get(runner_id)
        return entry.link if entry is not None else None

    async def wait(self, runner_id: str) -> RunnerLink:
        """The runner's link, waiting through the grace period if it has just dropped.

        Raises RunnerNeverSeenError, RunnerDidNotReturnError or TooManyWaitingError. A caller that
        gives up (cancellation) stops waiting at once.
        """
        entry = self._entries.get(runner_id)
        if entry is None:
            raise _never_seen(runner_id)
        if entry.link is not None:
            return entry.link
        left = entry.dropped_at + self._grace - self._clock()
        if left <= 0:
            raise _did_not_return(runner_id)
        if len(entry.waiters) >= self._max_waiters:
            raise TooManyWaitingError(
                f"Runner {runner_id} has dropped, and {self._max_waiters} others wait for it.",
                remedy="Try again when the runner is back.",
            )
        waiter: asyncio.Future[RunnerLink] = asyncio.get_running_loop().create_future()
        entry.waiters.add(waiter)
        try:
            async with asyncio.timeout(left):
                return await waiter
        except TimeoutError:
            raise _did_not_return(runner_id) from None
        finally:
            entry.waiters.discard(waiter)

    def _forget_surplus(self) -> None:
        if len(self._entries) <= MAX_REMEMBERED:
            return
        gone = [key for key, entry in self._entries.items() if not entry.link and not entry.waiters]
        for key in sorted(gone, key=lambda key: self._entries[key].dropped_at)[
            : len(gone) // 2 + 1
        ]:
            del self._entries[key]

    async def _close(self, link: RunnerLink, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await link.close(code, reason)
        except (OSError, TimeoutError) as error:
            logger.debug("closing a runner's link failed: %s", error)


def _never_seen(runner_id: str) -> RunnerNeverSeenError:
    return RunnerNeverSeenError(
        f"Runner {runner_id} has not connected.",
        remedy="Start the runner on its machine, and check that it can reach this server.",
    )


def _did_not_return(runner_id: str) -> RunnerDidNotReturnError:
    return RunnerDidNotReturnError(
        f"Runner {runner_id} dropped its connection and did not come back in time.",
        remedy="Check that its machine is on and has a network.",
    )
