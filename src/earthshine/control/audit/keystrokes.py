"""Typing, recorded in stretches: who had the keyboard of which session from when to when.

A stretch begins with the first key and ends after QUIET seconds without one, when its viewer
leaves, after LONGEST seconds, or with the server. What was typed is not kept, only how much: a
terminal takes passwords. A server that is killed loses the stretches that are open, of at most
LONGEST seconds each.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from earthshine.control.access import Actor
from earthshine.control.audit.chain import moment
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.errors import AuditUnavailableError, DomainError, TooManyError
from earthshine.control.origin import Origin, acting_from, current_origin

QUIET: Final = 30.0
LONGEST: Final = 300.0
MAX_OPEN: Final = 10_000
"""Stretches that may be open or waiting to be recorded."""
RETRY: Final = 2.0
"""Seconds between attempts while the audit log cannot be written; nobody can type meanwhile."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stretch:
    actor: Actor
    origin: Origin
    session_id: str
    runner_id: str
    kind: AuditKind
    first: float
    last: float
    size: int = 0

    @property
    def due(self) -> float:
        return min(self.last + QUIET, self.first + LONGEST)


class TypingSessions:
    """Gathers key strokes. `run` must be running. Times are seconds since 1970."""

    def __init__(self, trail: Trail, clock: Callable[[], float] = time.time) -> None:
        self._trail = trail
        self._clock = clock
        self._open: dict[tuple[str, str, AuditKind], _Stretch] = {}
        self._ended: list[_Stretch] = []
        self._work = asyncio.Event()
        self._failed = False
        self._stopping = False

    def typed(
        self,
        actor: Actor,
        session_id: str,
        runner_id: str,
        size: int,
        kind: AuditKind = AuditKind.TYPED,
    ) -> None:
        """Somebody is about to type, or to steer a desktop (`kind`).

        Raises AuditUnavailableError, TooManyError.
        """
        if self._failed:
            raise AuditUnavailableError(
                "The audit log cannot be written, so nothing can be typed.",
                remedy="An admin finds the cause in the server's log.",
            )
        now = self._clock()
        key = (actor.sign_in_id, session_id, kind)
        stretch = self._open.get(key)
        if stretch is not None and stretch.due <= now:
            self._end(key)
            stretch = None
        if stretch is None:
            if len(self._open) + len(self._ended) >= MAX_OPEN:
                raise TooManyError("Too many people type at once.")
            stretch = _Stretch(actor, current_origin(), session_id, runner_id, kind, now, now)
            self._open[key] = stretch
            self._work.set()
        stretch.last = max(stretch.last, now)
        stretch.size += size

    def left(self, actor: Actor, session_id: str, kind: AuditKind = AuditKind.TYPED) -> None:
        """A viewer has gone: its stretch is over."""
        self._end((actor.sign_in_id, session_id, kind))

    def _end(self, key: tuple[str, str, AuditKind]) -> None:
        stretch = self._open.pop(key, None)
        if stretch is not None:
            self._ended.append(stretch)
            self._work.set()

    async def run(self) -> None:
        """Until `stop`; then all stretches are recorded."""
        while not self._stopping:
            await self._wait()
            self._work.clear()
            await self._record_ended()
        for key in list(self._open):
            self._end(key)
        await self._record_ended()
        if self._ended:
            log.error("%d stretches of typing could not be recorded", len(self._ended))

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping = True
        self._work.set()

    async def _wait(self) -> None:
        """Until something is due."""
        limit = None
        if self._failed:
            limit = RETRY
        elif self._open:
            limit = max(0.0, min(s.due for s in self._open.values()) - self._clock())
        try:
            async with asyncio.timeout(limit):
                await self._work.wait()
        except TimeoutError:
            pass
        now = self._clock()
        for key in [key for key, stretch in self._open.items() if stretch.due <= now]:
            self._end(key)

    async def _record_ended(self) -> None:
        while self._ended:
            stretch = self._ended[0]
            try:
                with acting_from(stretch.origin):
                    await self._trail.record(
                        stretch.kind,
                        stretch.actor,
                        session_id=stretch.session_id,
                        runner_id=stretch.runner_id,
                        details={
                            "from": moment(int(stretch.first * 1000)),
                            "until": moment(int(stretch.last * 1000)),
                            "bytes": stretch.size,
                        },
                    )
            except DomainError:
                self._failed = True
                return
            self._failed = False
            self._ended.remove(stretch)
