"""Between the database's rows and records; a row that somebody tampered with comes through too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from earthshine.control.audit import chain
from earthshine.control.audit.chain import Head, Sealed
from earthshine.control.audit.models import AuditRow
from earthshine.control.db.engine import Database

PAGE_BYTES: Final = 2 * 1024 * 1024
"""Characters of details read at once, unless a single record has more."""
PAGE_ROWS: Final = 500
MAX_ROUNDS: Final = 1000
"""Times that a reader goes on after records that have come meanwhile."""
_COLUMNS: Final = {
    "kind": "kind",
    "person_id": "personId",
    "person_name": "personName",
    "address": "address",
    "subject": "subject",
    "session_id": "sessionId",
    "runner_id": "runnerId",
}


def fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns as a record's fields. Raises ValueError where they cannot be one."""
    details = json.loads(row["details"])
    found = {name: row[column] for column, name in _COLUMNS.items()}
    found |= {"at": chain.moment(row["at"]), "details": details}
    # Text that means the same is not the same text.
    if chain.canonical(details).decode() != row["details"]:
        raise ValueError("details are not written as the log writes them")
    return found


def sealed(row: Mapping[str, Any]) -> Sealed:
    """A row as a record. One that cannot be a record becomes one whose hash does not fit."""
    try:
        found = fields(row)
        chain.canonical(found)
    except (ValueError, TypeError, OverflowError, AttributeError, RecursionError):
        found = {name: _shown(row[column]) for column, name in _COLUMNS.items()}
        found |= {"at": _shown(row["at"]), "details": {"damaged": _shown(row["details"])}}
    return Sealed({**found, "seq": row["seq"]}, _shown(row["previous"]), _shown(row["hash"]))


def _shown(value: Any) -> Any:
    return value if isinstance(value, str) else repr(value)


class AuditReader:
    """Reads records in pages of bounded size; each is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(
        self, conditions: Sequence[ColumnElement[bool]], before: int | None, limit: int
    ) -> tuple[list[Sealed], bool]:
        """Up to `limit` records, newest first, and whether there are more."""
        if before is not None:
            conditions = [*conditions, AuditRow.seq < before]
        return await self._page(conditions, limit, descending=True)

    async def everything(
        self, head: Callable[[], Awaitable[Head]]
    ) -> AsyncIterator[list[Sealed] | Head]:
        """All records, oldest first, then the head.

        The head is asked for after the records it has to fit: one that lies behind it was not
        written by us.
        """
        after, last = 0, Head()
        for _ in range(MAX_ROUNDS):
            before, more = after, True
            while more:
                page, more = await self._page((AuditRow.seq > after,), PAGE_ROWS, descending=False)
                if page:
                    after = page[-1].seq
                    yield page
            last = await head()
            if last.seq <= after or after == before:
                break  # else some have come meanwhile
        yield last

    async def _page(
        self, conditions: Sequence[ColumnElement[bool]], limit: int, *, descending: bool
    ) -> tuple[list[Sealed], bool]:
        order = AuditRow.seq.desc() if descending else AuditRow.seq.asc()
        sizes = (
            select(AuditRow.seq, func.length(AuditRow.details))
            .where(*conditions)
            .order_by(order)
            .limit(limit + 1)
        )
        async with self._database.read() as connection:
            found = (await connection.execute(sizes)).all()
            chosen = _within(found[:limit])
            if not chosen:
                return [], False
            query = (
                select(AuditRow.__table__)
                .where(*conditions, AuditRow.seq.between(min(chosen), max(chosen)))
                .order_by(order)
            )
            rows = (await connection.execute(query)).mappings().all()
        return [sealed(dict(row)) for row in rows], len(chosen) < len(found)


def _within(found: Sequence[Any]) -> list[int]:
    """The first of `found` that fit into a page, at least one if there is one."""
    chosen: list[int] = []
    room = PAGE_BYTES
    for seq, size in found:
        room -= size or 0
        if chosen and room < 0:
            break
        chosen.append(seq)
    return chosen
