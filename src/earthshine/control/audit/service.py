"""Reading the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.audit.schemas import AuditPage, AuditVerification


class AuditService:
    """Pages, verification, export."""

    def __init__(self, access: Access) -> None:
        self.access = access

    @permits(Permission.ADMIN)
    async def page(
        self,
        actor: Actor,
        *,
        kind: AuditKind | None,
        person_id: str | None,
        session_id: str | None,
        before: int | None,
        limit: int,
    ) -> AuditPage:
        """Records, newest first."""
        raise NotImplementedError

    @permits(Permission.SESSION_OWN)
    async def session_page(
        self, actor: Actor, session_id: str, *, before: int | None, limit: int
    ) -> AuditPage:
        """What was done to one session."""
        raise NotImplementedError

    @permits(Permission.ADMIN)
    async def verify(self, actor: Actor) -> AuditVerification:
        """Read and check the whole chain."""
        raise NotImplementedError

    @permits(Permission.ADMIN)
    async def export(self, actor: Actor) -> AsyncIterator[bytes]:
        """All records as lines, then the head."""
        raise NotImplementedError
