"""What sessions do with what runners say: positions at a greeting, entries, conditions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from earthshine.control import metrics
from earthshine.control.errors import NotFoundError
from earthshine.control.runners.endpoint import hello_of
from earthshine.control.sessions.channel import Channel, ChannelBook
from earthshine.control.sessions.journal import Journal
from earthshine.control.sessions.schemas import SessionState
from earthshine.control.sessions.storage import SessionStorage
from earthshine.protocols import events
from earthshine.protocols.envelope import ControlHello, Position, SessionCondition, SpoolPosition
from earthshine.protocols.events import Event

MAX_WORDS: Final = 1000
"""Characters of what a runner says about a session."""
STARTING: Final = timedelta(seconds=60)
"""How long a session that was asked for may be unknown to its runner."""
log = logging.getLogger(__name__)


class SessionIntake:
    """Belongs between the runners' endpoint and the journal."""

    def __init__(self, storage: SessionStorage, book: ChannelBook, journal: Journal) -> None:
        self._storage = storage
        self._book = book
        self._journal = journal

    async def greet(self, runner_id: str, positions: list[SpoolPosition]) -> ControlHello:
        """Where to resume; sessions that the runner has lost are ended here, in words."""
        known: list[Position] = []
        unknown: list[str] = []
        here = set()
        for position in positions:
            channel = await self._book.open(position.session_id)
            if channel is None or channel.record.runner_id != runner_id:
                unknown.append(position.session_id)
                continue
            here.add(position.session_id)
            if position.ended and position.last_seq <= channel.last_seq:
                await self._spool_lost(channel)
            known.append(
                Position(
                    session_id=position.session_id,
                    seq=channel.last_seq,
                    bytes=channel.receiver.bytes,
                )
            )
        for channel in await self._expected(runner_id):
            if channel.record.id not in here:
                await self._missing(channel)
        return hello_of(known, unknown)

    async def _expected(self, runner_id: str) -> Sequence[Channel]:
        """Sessions that have not ended as far as we know."""
        ids = await self._storage.unfinished(runner_id)
        channels = [await self._book.open(session_id) for session_id in ids]
        return [channel for channel in channels if channel and not channel.record.is_final]

    async def _missing(self, channel: Channel) -> None:
        record = channel.record
        if record.state is SessionState.QUEUED and record.created_at > datetime.now(UTC) - STARTING:
            return  # its start is still under way
        await self.fail(
            channel,
            "lost",
            "the runner no longer has this session",
            "its machine may have restarted, or its state folder was removed; start a new one",
        )

    async def _spool_lost(self, channel: Channel) -> None:
        if not channel.record.is_final:
            await self.fail(
                channel,
                "spool-lost",
                "the runner lost the end of this session's log",
                "a power failure takes what was not on its disk yet; start a new session",
            )

    async def fail(self, channel: Channel, code: str, detail: str, remedy: str | None) -> None:
        """End a session that no holder can end any more."""
        failed = events.Failed(code=code, detail=detail, remedy=remedy)
        entry = events.entry(channel.last_seq + 1, time.time_ns() // 1_000_000, failed)
        await self._journal.accept(channel, [entry])

    async def take(
        self,
        runner_id: str,
        session_id: str,
        entries: list[Event],
        stored: Callable[[str, int], None],
    ) -> None:
        """Entries of a log. Raises HoleError, EventError, NotFoundError."""
        channel = await self._book.open(session_id)
        if channel is None or channel.record.runner_id != runner_id:
            metrics.REFUSED_FRAMES.labels("not-yours").inc()
            raise NotFoundError(f"This runner has no session {session_id[:64]}.")
        await self._journal.accept(channel, entries, stored)

    def condition(self, runner_id: str, session_id: str, condition: SessionCondition) -> None:
        """Something holds a session up, or does not any more."""
        channel = self._book.live(session_id)
        if channel is None or channel.record.runner_id != runner_id:
            return
        channel.condition = SessionCondition(
            code=condition.code[:64],
            detail=condition.detail[:MAX_WORDS],
            remedy=condition.remedy[:MAX_WORDS] if condition.remedy else None,
        )
        channel.wake(session=True)
        self._journal.on_change(channel)
