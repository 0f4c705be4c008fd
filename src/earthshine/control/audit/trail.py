"""Writing the audit log: one writer, one transaction for whatever has come meanwhile.

Fails closed: what cannot be recorded does not happen. `record` is called before the action it tells
of and raises when the record is not in the database; so there may be a record of an action that
failed afterwards, but never an action without its record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from earthshine.control import metrics
from earthshine.control.access import Actor
from earthshine.control.audit import chain, rows
from earthshine.control.audit.chain import Head
from earthshine.control.audit.kinds import AuditKind, Detail
from earthshine.control.audit.models import AuditHeadRow, AuditRow
from earthshine.control.db.engine import Database
from earthshine.control.errors import AuditUnavailableError, InvalidRequestError
from earthshine.control.origin import Origin, current_origin

MAX_WAITING: Final = 5000
"""Records that may wait to be written."""
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
MAX_BATCH: Final = 500
"""Records in one transaction."""
MAX_RECORD: Final = 1792 * 1024
"""Bytes of one record's details: a prompt of 256 Ki characters, each up to six bytes as JSON, with
room for the rest, and less than fits into one message to a runner."""
MAX_SUBJECT: Final = 500
"""Characters."""
ANCHOR_EVERY: Final = 3600.0
"""Seconds between heads in the server's log."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    fields: dict[str, Any]
    details: str
    done: asyncio.Future[None]


class DatabaseTrail:
    """The audit log's one way in. `run` must be running; before and after, each record writes
    itself, which is enough for a server that starts or stops."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._size = 0
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_running = False
        self._stopping = False
        self.failure: str | None = None
        """Why nothing can be recorded now, in words."""

    async def record(
        self,
        kind: AuditKind,
        actor: Actor | None = None,
        *,
        subject: str = "",
        session_id: str | None = None,
        runner_id: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """See `Trail`. Raises AuditUnavailableError, InvalidRequestError for too large details."""
        fields, text = _fields(
            kind, actor, current_origin(), subject, session_id, runner_id, details or {}
        )
        if len(self._waiting) >= MAX_WAITING or self._size + len(text) > MAX_WAITING_BYTES:
            raise AuditUnavailableError(
                "The audit log cannot be written fast enough, so this was not done.",
                remedy="Try again in a moment.",
            )
        fields["at"] = int(self._clock() * 1000)
        waiting = _Waiting(fields, text, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._size += len(text)
        if self._is_running:
            self._work.set()
        else:
            await self._write_all()
        await waiting.done

    async def run(self) -> None:
        """Until `stop`; then what waits is still written."""
        self._is_running = True
        try:
            await self.anchor("start")
            anchored = time.monotonic()
            while not (self._stopping and not self._waiting):
                try:
                    async with asyncio.timeout(anchored + ANCHOR_EVERY - time.monotonic()):
                        await self._work.wait()
                except TimeoutError:
                    await self.anchor("hourly")
                    anchored = time.monotonic()
                    continue
                self._work.clear()
                await self._write_all()
        finally:
            self._is_running = False
            waiting, self._waiting = self._waiting, []
            for item in waiting:  # cut off: see `stop` for the orderly end
                _fail(item)
        await self.anchor("stop")

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping = True
        self._work.set()

    async def head(self) -> Head:
        """The last record's number and hash. Raises AuditUnavailableError."""
        try:
            async with self._database.read() as connection:
                row = (
                    await connection.execute(select(AuditHeadRow.seq, AuditHeadRow.hash))
                ).first()
        except (SQLAlchemyError, OSError) as error:
            log.warning("the audit log cannot be read: %s", error)
            raise _unavailable() from None
        if row is None:
            raise _unavailable()
        return Head(row.seq, row.hash)

    async def anchor(self, when: str) -> None:
        """Put the head into the server's log: another place than the database."""
        try:
            head = await self.head()
        except AuditUnavailableError as error:
            log.error("the audit log has no head to note: %s", error.detail)  # noqa: TRY400
            return
        log.info("audit log head %s", head, extra={"when": when})

    # --- writing ---------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        async with self._writing:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                self._size -= sum(len(item.details) for item in batch)
                await self._settle(batch)

    async def _settle(self, batch: list[_Waiting]) -> None:
        begun = time.perf_counter()
        try:
            await self._write(batch)
        except BaseException as error:
            for item in batch:
                _fail(item)
            if not isinstance(error, (SQLAlchemyError, OSError, _HeadMissingError)):
                raise
            self._failed(error)
            return
        metrics.AUDIT_SECONDS.observe(time.perf_counter() - begun)
        metrics.AUDIT_RECORDS.inc(len(batch))
        self.failure = None
        for item in batch:
            if not item.done.done():
                item.done.set_result(None)

    def _failed(self, error: Exception) -> None:
        metrics.AUDIT_FAILURES.inc()
        words = getattr(error, "orig", None) or error
        if self.failure is None:
            log.error("the audit log cannot be written: %s; nothing is done unrecorded", words)
        self.failure = f"the audit log cannot be written: {words}"

    async def _write(self, batch: list[_Waiting]) -> None:
        async with self._database.write(durable=True) as connection:
            # Of several servers on one database, one appends at a time. SQLite has one writer.
            query = select(AuditHeadRow.seq, AuditHeadRow.hash).with_for_update()
            last = (await connection.execute(query)).first()
            if last is None:
                raise _HeadMissingError("its head is missing")
            head = Head(last.seq, last.hash)
            values = []
            for item in batch:
                row, head = _append(item, head)
                values.append(row)
            await connection.execute(insert(AuditRow), values)
            await connection.execute(update(AuditHeadRow).values(seq=head.seq, hash=head.hash))


def _append(item: _Waiting, head: Head) -> tuple[dict[str, Any], Head]:
    row = {**item.fields, "details": item.details}
    sealed, head = chain.append(rows.fields(row), head)
    return {**row, "seq": sealed.seq, "previous": sealed.previous, "hash": sealed.hash}, head


def _fields(
    kind: AuditKind,
    actor: Actor | None,
    origin: Origin,
    subject: str,
    session_id: str | None,
    runner_id: str | None,
    details: Mapping[str, Detail],
) -> tuple[dict[str, Any], str]:
    """A record's columns but those that are given when it is written; and its details as JSON."""
    text = chain.canonical({key: _detail(value) for key, value in details.items()})
    if len(text) > MAX_RECORD:
        raise InvalidRequestError(
            f"This is too much at once: {len(text)} bytes to record, at most {MAX_RECORD}."
        )
    fields: dict[str, Any] = {
        "kind": kind.value,
        "person_id": _cut(actor.person_id, 64) if actor else None,
        "person_name": _cut(actor.name, 200) if actor else "",
        "address": _cut(origin.address, 64),
        "subject": _cut(subject, MAX_SUBJECT),
        "session_id": _cut(session_id, 64) if session_id else None,
        "runner_id": _cut(runner_id, 64) if runner_id else None,
    }
    return fields, text.decode()


def _detail(value: Detail) -> Detail:
    """What JSON has a place for."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, int) and abs(value) > chain.MAX_NUMBER:
        return str(value)
    return value


def _clean(text: str) -> str:
    """Half a surrogate pair is no character and has no UTF-8."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def _cut(text: str, most: int) -> str:
    """For a column; PostgreSQL's text has no NUL."""
    return _clean(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))[:most]


class _HeadMissingError(Exception):
    """Somebody removed the one row that says where the chain goes on."""


def _fail(item: _Waiting) -> None:
    if not item.done.done():
        item.done.set_exception(_unavailable())
        item.done.exception()  # its caller may have gone


def _unavailable() -> AuditUnavailableError:
    return AuditUnavailableError(
        "The audit log cannot be written, so this was not done.",
        remedy="The server's log says why; most often the disk is full.",
    )
