"""Opening and closing previews: the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Protocol

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail

from .book import PREVIEW_SECONDS, Preview, PreviewBook
from .schemas import PreviewList, PreviewTicket, PreviewView


class Places(Protocol):
    """Gives previews their addresses."""

    async def assign(self, preview_id: str) -> tuple[str, int]:
        """The origin for a new preview and the local port its requests arrive on."""
        ...


class RunnerOf(Protocol):
    """Where a session runs."""

    def __call__(self, session_id: str) -> Awaitable[str]:
        """The runner's id. Raises NotFoundError."""
        ...


class PreviewService:
    """What people may do with previews.

    Opening one needs control of the session: a preview reaches programs on the runner just as the
    session's terminal does, so any port of the runner's loopback is allowed.
    """

    def __init__(
        self,
        access: Access,
        book: PreviewBook,
        places: Places,
        runner_of: RunnerOf,
        trail: Trail,
    ) -> None:
        self.access = access
        self._book = book
        self._places = places
        self._runner_of = runner_of
        self._trail = trail
        self._opening = asyncio.Lock()  # two at once would give one port two addresses

    @permits(Permission.SESSION_CONTROL)
    async def open(self, actor: Actor, session_id: str, port: int) -> PreviewTicket:
        """Open a port, or enter the preview of it that is open already."""
        await self._record(AuditKind.PREVIEW_OPENED, actor, session_id, port)
        async with self._opening:
            preview = self._book.find(session_id, port)
            if preview is None:
                preview = await self._new(session_id, port)
        ticket, expires = self._book.issue_ticket(preview, actor)
        return PreviewTicket(
            id=preview.id, port=port, url=_url(preview), ticket=ticket, expires_at=_time(expires)
        )

    @permits(Permission.SESSION_VIEW)
    async def list(self, actor: Actor, session_id: str) -> PreviewList:
        """A session's open previews."""
        return PreviewList(
            previews=[
                PreviewView(id=p.id, port=p.port, url=_url(p), expires_at=_time(p.expires))
                for p in self._book.of_session(session_id)
            ]
        )

    @permits(Permission.SESSION_CONTROL)
    async def close(self, actor: Actor, session_id: str, preview_id: str) -> None:
        """Close a preview; everybody in it is put out at once."""
        for preview in self._book.of_session(session_id):
            if preview.id == preview_id:
                await self._record(AuditKind.PREVIEW_CLOSED, actor, session_id, preview.port)
        self._book.remove(session_id, preview_id)

    async def _record(self, kind: AuditKind, actor: Actor, session_id: str, port: int) -> None:
        await self._trail.record(
            kind,
            actor,
            subject=f"port {port}",
            session_id=session_id,
            runner_id=await self._runner_of(session_id),
            details={"port": port},
        )

    async def _new(self, session_id: str, port: int) -> Preview:
        self._book.check_room(session_id)
        runner_id = await self._runner_of(session_id)
        preview_id = self._book.new_id()
        origin, listening_port = await self._places.assign(preview_id)
        preview = Preview(
            id=preview_id,
            session_id=session_id,
            runner_id=runner_id,
            port=port,
            origin=origin,
            listening_port=listening_port,
            expires=self._book.now() + PREVIEW_SECONDS,
        )
        self._book.add(preview)
        return preview


def _url(preview: Preview) -> str:
    return preview.origin + "/"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
