"""Storing entries: many sessions, one writer, one transaction for whatever has come meanwhile.

Entries are shown to viewers before they are stored (the holder has them on disk, so they cannot
change any more) and acknowledged to the runner after. When the database is slower than the
runners, `accept` waits, the runner's connection is not read, and the spool there grows instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from earthshine.control import metrics
from earthshine.control.db.engine import Database
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.models import EventRow, SessionRow
from earthshine.protocols.events import Event, span

MAX_BACKLOG: Final = 8 * 1024 * 1024
"""Bytes of data that may wait to be stored; beyond it runners are not read."""
MAX_BATCH: Final = 4 * 1024 * 1024
"""Bytes of data in one transaction."""
GATHER: Final = 0.02
"""Seconds over which small entries are gathered: a commit for each key stroke's echo would compete
with the next one's way through this process."""
GATHER_BELOW: Final = 256 * 1024
"""Bytes waiting below which it is worth gathering."""
OVERHEAD: Final = 200
"""Bytes that an entry costs beside its data."""
RETRY: Final = 1.0
"""Seconds between attempts while the database cannot be written."""
PAGE_ROWS: Final = 64
"""Rows asked of the database at once when reading: at most 64 x 64 KiB."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    channel: Channel
    event: Event
    log_bytes: int
    stored: Callable[[str, int], None] | None


class Journal:
    """The one writer of event logs. `run` must be running."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = _insert_or_ignore(database)
        self._waiting: list[_Item] = []
        self._backlog = 0
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_change: Callable[[Channel], None] = lambda _: None
        self.failure: str | None = None
        """Why nothing can be stored now, in words."""

    async def accept(
        self,
        channel: Channel,
        events: Sequence[Event],
        stored: Callable[[str, int], None] | None = None,
    ) -> None:
        """Take entries that may have come before; returns when there is room for more.

        `stored(session_id, seq)` is called when they are in the database. Raises HoleError.
        """
        if channel.removed:
            return  # entries without a session would fail to be stored for ever
        duplicates = channel.receiver.duplicates
        fresh = channel.receiver.take(events)
        metrics.DUPLICATES.inc(channel.receiver.duplicates - duplicates)
        changed = False
        for event in fresh:
            channel.publish(span(event)[0], event)
            changed |= channel.record.apply(event)
            self._waiting.append(_Item(channel, event, channel.record.log_bytes, stored))
            self._backlog += len(event.data) + OVERHEAD
        if fresh:
            channel.wake(session=changed)
            self._idle.clear()
            self._work.set()
            self.on_change(channel)
        elif stored is not None and channel.stored:
            stored(channel.record.id, channel.stored)
        if self._backlog > MAX_BACKLOG:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Until cancelled; then what waits is still stored."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                if self._backlog < GATHER_BELOW:
                    await asyncio.sleep(GATHER)
                while self._waiting:
                    await self._store_some()
        except asyncio.CancelledError:
            while self._waiting and self.failure is None:
                await self._store_some()
            raise

    async def drain(self) -> None:
        """Wait until everything taken so far is stored."""
        await self._idle.wait()

    async def _store_some(self) -> None:
        size = count = 0
        for item in self._waiting:
            size += len(item.event.data) + OVERHEAD
            count += 1
            if size >= MAX_BATCH:
                break
        batch = self._waiting[:count]
        metrics.BACKLOG.set(self._backlog)
        begun = time.perf_counter()
        try:
            await self._write(batch)
        except SQLAlchemyError as error:
            metrics.STORE_FAILURES.inc()
            cause = getattr(error, "orig", None) or error
            if self.failure is None:
                log.error("the database cannot be written: %s; trying on", cause)  # noqa: TRY400
            self.failure = f"the database cannot be written: {cause}"
            await asyncio.sleep(RETRY)
            return
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - begun)
        metrics.EVENTS.inc(count)
        metrics.EVENT_BYTES.inc(size - count * OVERHEAD)
        self.failure = None
        del self._waiting[:count]
        self._backlog -= size
        self._announce(batch)
        if self._backlog <= MAX_BACKLOG // 2:
            self._room.set()
        if not self._waiting:
            self._idle.set()

    async def _write(self, batch: Sequence[_Item]) -> None:
        rows = [
            {
                "session_id": item.channel.record.id,
                "seq": item.event.seq,
                "ts": item.event.ts,
                "kind": item.event.kind,
                "data": item.event.data,
            }
            for item in batch
        ]
        async with self._database.write() as connection:
            await connection.execute(self._insert, rows)
            for item in _last_of_each(batch):
                # The record may be ahead of this batch; the row's position must not be.
                values = item.channel.record.moving()
                values |= {"last_seq": item.event.seq, "log_bytes": item.log_bytes}
                session = SessionRow.id == item.channel.record.id
                await connection.execute(update(SessionRow).where(session).values(values))

    def _announce(self, batch: Sequence[_Item]) -> None:
        for item in _last_of_each(batch):
            item.channel.store(item.event.seq)
            if item.stored is not None:
                item.stored(item.channel.record.id, item.event.seq)


def _last_of_each(batch: Sequence[_Item]) -> list[_Item]:
    return list({item.channel: item for item in batch}.values())


def _insert_or_ignore(database: Database) -> Any:
    """An entry that is there already stays: entries do not change."""
    dialect = sqlite if database.is_sqlite else postgresql
    return dialect.insert(EventRow).on_conflict_do_nothing(index_elements=["session_id", "seq"])


class LogReader:
    """Reads stored entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, session_id: str, after: int, limit: int) -> list[Event]:
        """Stored entries behind `after`, about `limit` bytes of data, at least one if there is."""
        events: list[Event] = []
        size = 0
        while size < limit:
            rows = await self._rows(session_id, events[-1].seq if events else after)
            for row in rows:
                events.append(Event(row.seq, row.ts, row.kind, row.data))
                size += len(row.data) + OVERHEAD
                if size >= limit:
                    break
            if len(rows) < PAGE_ROWS:
                break
        return events

    async def _rows(self, session_id: str, after: int) -> Sequence[Any]:
        columns = (EventRow.seq, EventRow.ts, EventRow.kind, EventRow.data)
        query = (
            select(*columns)
            .where(EventRow.session_id == session_id, EventRow.seq > after)
            .order_by(EventRow.seq)
            .limit(PAGE_ROWS)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).all()
