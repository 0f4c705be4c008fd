"""Reading the audit log: pages for people, a check of the chain, an export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import ColumnElement

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit import chain
from earthshine.control.audit.chain import Head, Report, Sealed, Verifier
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.audit.models import AuditRow
from earthshine.control.audit.rows import AuditReader
from earthshine.control.audit.schemas import (
    AuditHead,
    AuditPage,
    AuditProblem,
    AuditRecord,
    AuditVerification,
)
from earthshine.control.audit.trail import DatabaseTrail
from earthshine.control.errors import TooManyError

MAX_EXPORTS: Final = 4
"""Exports and checks that may be under way at once."""


class AuditService:
    """What people may see of the audit log. Nothing here can change it."""

    def __init__(self, access: Access, trail: DatabaseTrail, reader: AuditReader) -> None:
        self.access = access
        self._trail = trail
        self._reader = reader
        self._under_way = 0

    @permits(Permission.ADMIN)
    async def page(
        self,
        actor: Actor,
        *,
        kind: AuditKind | None = None,
        person_id: str | None = None,
        session_id: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """Records, newest first."""
        wanted: list[ColumnElement[bool]] = []
        if kind is not None:
            wanted.append(AuditRow.kind == kind.value)
        if person_id is not None:
            wanted.append(AuditRow.person_id == person_id)
        if session_id is not None:
            wanted.append(AuditRow.session_id == session_id)
        return await self._page(wanted, before, limit)

    @permits(Permission.SESSION_OWN)
    async def session_page(
        self,
        actor: Actor,
        session_id: str,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """What was done to one session."""
        return await self._page([AuditRow.session_id == session_id], before, limit)

    async def _page(
        self, wanted: list[ColumnElement[bool]], before: int | None, limit: int
    ) -> AuditPage:
        records, more = await self._reader.newest(wanted, before, limit)
        return AuditPage(
            records=[_view(record) for record in records],
            next_before=records[-1].seq if more else None,
        )

    @permits(Permission.ADMIN)
    async def verify(self, actor: Actor) -> AuditVerification:
        """Read and check the whole chain."""
        self._check_room()
        self._under_way += 1
        try:
            report = await check(self._reader, self._trail.head)
        finally:
            self._under_way -= 1
        return AuditVerification(
            ok=report.ok,
            records=report.records,
            head=AuditHead(seq=report.head.seq, hash=report.head.hash),
            problems=[
                AuditProblem(seq=problem.seq, finding=problem.finding, what=problem.what)
                for problem in report.problems
            ],
        )

    @permits(Permission.ADMIN)
    async def export(self, actor: Actor) -> AsyncIterator[bytes]:
        """All records as lines, then the head. Raises AuditUnavailableError."""
        self._check_room()
        await self._trail.head()  # once it has begun, an error can only break it off
        return self._export()

    async def _export(self) -> AsyncIterator[bytes]:
        self._under_way += 1
        try:
            async for part in lines(self._reader, self._trail.head):
                yield part
        finally:
            self._under_way -= 1

    def _check_room(self) -> None:
        if self._under_way >= MAX_EXPORTS:
            raise TooManyError(f"{MAX_EXPORTS} exports or checks are under way already.")


async def lines(reader: AuditReader, head: Callable[[], Awaitable[Head]]) -> AsyncIterator[bytes]:
    """An export, in parts of many lines."""
    async for part in reader.everything(head):
        if isinstance(part, Head):
            yield chain.head_line(part) + b"\n"
        else:
            yield await asyncio.to_thread(_lines, part)


def _lines(page: list[Sealed]) -> bytes:
    return b"".join(record.line() + b"\n" for record in page)


async def check(reader: AuditReader, head: Callable[[], Awaitable[Head]]) -> Report:
    """Check the chain where it lies."""
    verifier, last = Verifier(), None
    async for part in reader.everything(head):
        if isinstance(part, Head):
            last = part
        else:
            await asyncio.to_thread(_add, verifier, part)
    return verifier.finish(last)


def _add(verifier: Verifier, page: list[Sealed]) -> None:
    for record in page:
        verifier.add(record)


def _view(record: Sealed) -> AuditRecord:
    values: dict[str, Any] = {
        **record.fields,
        "previous": record.previous,
        "hash": record.hash,
    }
    try:
        return AuditRecord.model_validate(values)
    except ValidationError:  # somebody has tampered with it: the check says so
        damaged = {"damaged": str(record.fields)[:1000]}
        return AuditRecord.model_validate({**values, "at": 0, "kind": "?", "details": damaged})
