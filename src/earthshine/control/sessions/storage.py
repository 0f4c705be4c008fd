"""Sessions' rows: reading and writing them, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import delete, insert, select, update

from earthshine.control.db.engine import Database
from earthshine.control.sessions.journal import LogReader
from earthshine.control.sessions.models import EventRow, SessionRow
from earthshine.control.sessions.record import FINAL, SessionRecord
from earthshine.control.sharing.models import SessionMemberRow

Filter = Literal["active", "ended", "all"]
_FINAL = [state.value for state in FINAL]


class SessionStorage:
    """Each method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.log = LogReader(database)

    async def load(self, session_id: str) -> SessionRecord | None:
        """A session, or None."""
        query = select(SessionRow.__table__).where(SessionRow.id == session_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else SessionRecord.of(row)

    async def add(self, record: SessionRecord) -> None:
        """A new session."""
        row = {name: getattr(record, name) for name in SessionRecord.__slots__}
        async with self._database.write() as connection:
            await connection.execute(insert(SessionRow).values(row | {"state": record.state.value}))

    async def by_command(self, owner_id: str, command_id: str) -> str | None:
        """The id of the session that a start with this command id made."""
        query = select(SessionRow.id).where(
            SessionRow.owner_id == owner_id, SessionRow.command_id == command_id
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar()

    async def unfinished(self, runner_id: str) -> Sequence[str]:
        """Ids of a runner's sessions that have not ended."""
        query = select(SessionRow.id).where(
            SessionRow.runner_id == runner_id, SessionRow.state.not_in(_FINAL)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalars().all()

    async def page(
        self,
        person_id: str | None,
        which: Filter,
        limit: int,
        before: tuple[datetime, str] | None,
    ) -> list[SessionRecord]:
        """Sessions that are a person's or shared with them; of everybody for None.

        Newest first, behind `before` (creation and id).
        """
        query = select(SessionRow.__table__).order_by(
            SessionRow.created_at.desc(), SessionRow.id.desc()
        )
        if person_id is not None:
            shared = select(SessionMemberRow.session_id).where(
                SessionMemberRow.person_id == person_id,
                SessionMemberRow.expires_at.is_(None)
                | (SessionMemberRow.expires_at > datetime.now(UTC)),
            )
            query = query.where((SessionRow.owner_id == person_id) | SessionRow.id.in_(shared))
        if which == "active":
            query = query.where(SessionRow.state.not_in(_FINAL))
        elif which == "ended":
            query = query.where(SessionRow.state.in_(_FINAL))
        if before is not None:
            at, session_id = before
            query = query.where(
                (SessionRow.created_at < at)
                | ((SessionRow.created_at == at) & (SessionRow.id < session_id))
            )
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(limit))).mappings().all()
        return [SessionRecord.of(row) for row in rows]

    async def rename(self, session_id: str, title: str) -> None:
        """Another title."""
        async with self._database.write() as connection:
            await connection.execute(
                update(SessionRow).where(SessionRow.id == session_id).values(title=title)
            )

    async def delete(self, session_id: str) -> None:
        """A session and its log."""
        async with self._database.write() as connection:
            await connection.execute(delete(EventRow).where(EventRow.session_id == session_id))
            await connection.execute(delete(SessionRow).where(SessionRow.id == session_id))
