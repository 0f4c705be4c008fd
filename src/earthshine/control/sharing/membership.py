"""What people are to sessions that are not theirs: asked at every action, so kept in memory.

The table is read once for a session and again after each change. `run` tells when a membership
runs out while somebody may be using it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select

from earthshine.control.authorization import SessionRole
from earthshine.control.db.engine import Database
from earthshine.control.sharing.models import SessionMemberRow

MAX_CACHED: Final = 10_000
"""Sessions whose members are remembered."""
TICK: Final = 0.5
"""Seconds between looks for memberships that have run out."""

Members = dict[str, tuple[SessionRole, datetime | None]]


class MembershipBook:
    """Members of sessions, by session."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._clock = clock
        self._members: OrderedDict[str, Members] = OrderedDict()
        self._changes = 0
        self.on_change: Callable[[str], Awaitable[None]] = _nobody

    async def role(self, session_id: str, person_id: str) -> SessionRole | None:
        """What this person is to the session at this moment."""
        found = (await self._of(session_id)).get(person_id)
        if found is None or self._is_over(found[1]):
            return None
        return found[0]

    async def people(self, session_id: str) -> frozenset[str]:
        """Everybody whom the session is shared with at this moment."""
        members = await self._of(session_id)
        return frozenset(
            person_id for person_id, (_, until) in members.items() if not self._is_over(until)
        )

    async def changed(self, session_id: str) -> None:
        """The rows of a session have changed: read again, and put out who may not stay."""
        self._forget(session_id)
        await self.on_change(session_id)

    async def run(self) -> None:
        """Tell of memberships that run out, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            for session_id, members in list(self._members.items()):
                if any(self._is_over(until) for _, until in members.values()):
                    await self.changed(session_id)

    def _forget(self, session_id: str) -> None:
        self._changes += 1
        self._members.pop(session_id, None)

    def _is_over(self, until: datetime | None) -> bool:
        return until is not None and until <= self._clock()

    async def _of(self, session_id: str) -> Members:
        known = self._members.get(session_id)
        if known is not None:
            self._members.move_to_end(session_id)
            return known
        changes = self._changes
        query = select(
            SessionMemberRow.person_id, SessionMemberRow.role, SessionMemberRow.expires_at
        ).where(SessionMemberRow.session_id == session_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        members = {
            person_id: (SessionRole(role), until)
            for person_id, role, until in rows
            if not self._is_over(until)
        }
        if changes == self._changes:  # else it may be this session's that changed meanwhile
            self._members[session_id] = members
            while len(self._members) > MAX_CACHED:
                self._members.popitem(last=False)
        return members


async def _nobody(_: str) -> None:
    return None
