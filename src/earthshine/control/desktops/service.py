"""What people can do with a session's desktop."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.desktops.methods import listed
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.schemas import ConnectionMethods
from earthshine.control.desktops.watched import Watching
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError, RunnerUnavailableError
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.watching import Watcher
from earthshine.net.bridge import TransportStream
from earthshine.protocols.envelope import CloseDesktop, DesktopPlaces, OpenDesktop

AWAY_SECONDS: Final = 8.0
"""How long a viewer waits for a runner that comes back: less than pages wait for an answer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream to a desktop, for one watcher."""

    stream: TransportStream
    watcher: Watcher
    viewer_id: str
    steered: Callable[[int], None]


class GuacdThere(Protocol):
    """Whether there is a guacd."""

    async def missing(self) -> DomainError | None:
        """Why not."""
        ...


class DesktopService:
    """Opening, stopping, and by which ways."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        dialing: DialService,
        watching: Watching,
        guacd: GuacdThere,
    ) -> None:
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._watching = watching
        self._guacd = guacd

    @permits(Permission.SESSION_VIEW)
    async def methods(self, actor: Actor, session_id: str) -> ConnectionMethods:
        """By which ways this session's desktop can be seen, each with a reason where not."""
        record = (await self._watching.channel(session_id)).record
        runner = self._runners.known(record.runner_id)
        if record.is_final:
            missing = "The session has ended."
        elif record.desktop is None:
            missing = "The session was started without a desktop. Start one with a desktop."
        elif runner is None or not runner.is_connected:
            missing = "The runner is not connected. Its agents go on working."
        else:
            missing = ""
        return ConnectionMethods(
            methods=listed(
                session_id,
                runner.capabilities if runner is not None else {},
                missing=missing,
                guacd=await self._guacd.missing(),
                control=await self._watching.may_control(actor, session_id),
            )
        )

    @permits(Permission.SESSION_VIEW)
    async def places(self, actor: Actor, session_id: str) -> DesktopPlaces:
        """Where the desktop is on its runner; started again where it was stopped."""
        record = await self._watching.living(session_id)
        answer = await self._runners.request(record.record.runner_id, session_id, _OPEN)
        try:
            return msgspec.convert(answer, DesktopPlaces)
        except msgspec.ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None

    async def _places_soon(
        self, actor: Actor, session_id: str, waits: Callable[[DomainError], Awaitable[None]]
    ) -> DesktopPlaces:
        """`places`, also of a runner that comes back in a moment; `waits` hears why meanwhile."""
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return await self.places(actor, session_id)
            except RunnerUnavailableError as away:
                record = (await self._watching.living(session_id)).record
                runner = self._runners.known(record.runner_id)
                left = deadline - time.monotonic()
                if runner is None or runner.is_connected or left <= 0:
                    raise
                await waits(away)
                await self._runners.until_connected(record.runner_id, left)

    @contextlib.asynccontextmanager
    async def opened(
        self,
        actor: Actor,
        session_id: str,
        waits: Callable[[DomainError], Awaitable[None]],
    ) -> AsyncIterator[Opened]:
        """A stream of one's own to the desktop, for as long as the context lasts.

        Of a runner that is away for a moment it waits; `waits` then hears why.
        """
        places = await self._places_soon(actor, session_id, waits)
        async with self._watching.watched(actor, session_id) as watched:
            stream = await RunnerStream.dial(self._dialing, watched.runner_id, places.viewer)
            try:
                viewer_id = _viewer_id(actor, session_id)
                yield Opened(stream, watched.watcher, viewer_id, watched.steered)
            finally:
                stream.abort()

    @permits(Permission.SESSION_OWN)
    async def stop(self, actor: Actor, session_id: str) -> None:
        """Stop the desktop and what runs in it; the agent goes on."""
        channel = await self._watching.living(session_id)
        await self._runners.request(channel.record.runner_id, session_id, _CLOSE)


_OPEN: Final = OpenDesktop(request_id="")
_CLOSE: Final = CloseDesktop(request_id="")


def _viewer_id(actor: Actor, session_id: str) -> str:
    """Stays the same when the same sign-in comes back, and says nothing about it."""
    return hashlib.sha256(f"{session_id} {actor.sign_in_id}".encode()).hexdigest()[:16]
