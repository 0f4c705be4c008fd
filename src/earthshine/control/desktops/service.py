"""What people can do with a session's desktop."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.keystrokes import TypingSessions
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.authorization import SessionRole
from earthshine.control.desktops.schemas import ConnectionMethod, ConnectionMethods, Method
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    RunnerUnavailableError,
    TooManyError,
)
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.watching import Watcher
from earthshine.net.bridge import TransportStream
from earthshine.protocols.envelope import CloseDesktop, DesktopPlaces, OpenDesktop

MAX_WATCHERS: Final = 100
"""Viewers of one desktop."""
AWAY_SECONDS: Final = 8.0
"""How long a viewer waits for a runner that comes back: less than pages wait for an answer."""
_LABELS: Final[dict[Method, str]] = {
    "native": "Built in",
    "vnc": "VNC",
    "rdp": "RDP",
    "guacamole": "Guacamole",
    "moonlight": "Moonlight",
    "webrtc": "WebRTC",
}
_CAPABILITY: Final[dict[Method, str]] = {"native": "desktop"}
"""What the runner has to be capable of; others are not there yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream to a desktop, for one watcher."""

    stream: TransportStream
    watcher: Watcher
    viewer_id: str
    steered: Callable[[int], None]


class DesktopService:
    """Opening, stopping, and by which ways."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        dialing: DialService,
        channel: Callable[[str], Awaitable[Channel]],
        role: Callable[[Actor, str], Awaitable[SessionRole]],
        steering: TypingSessions,
    ) -> None:
        """`channel` and `role` of a session, as `SessionService` gives them."""
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._channel = channel
        self._role = role
        self._steering = steering

    @permits(Permission.SESSION_VIEW)
    async def methods(self, actor: Actor, session_id: str) -> ConnectionMethods:  # noqa: ARG002
        """By which ways this session's desktop can be seen, each with a reason where not."""
        record = (await self._channel(session_id)).record
        runner = self._runners.known(record.runner_id)
        if record.is_final:
            missing = "The session has ended."
        elif runner is None or not runner.is_connected:
            missing = "The runner is not connected. Its agents go on working."
        else:
            missing = None
        can = runner.capabilities if runner is not None else {}
        return ConnectionMethods(
            methods=[_method(name, label, missing, can) for name, label in _LABELS.items()]
        )

    @permits(Permission.SESSION_VIEW)
    async def places(self, actor: Actor, session_id: str) -> DesktopPlaces:  # noqa: ARG002
        """Where the desktop is on its runner; started again where it was stopped."""
        record = await self._living(session_id)
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
                record = (await self._living(session_id)).record
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
        channel = await self._living(session_id)
        if len(channel.watchers) >= MAX_WATCHERS:
            raise TooManyError(f"The desktop has {MAX_WATCHERS} viewers already.")
        watcher = Watcher(actor, await self._role(actor, session_id))
        channel.watchers.add(watcher)
        try:
            dialed = await self._dialing.dial(channel.record.runner_id, places.viewer)
            connection = dialed.take()
            stream = await TransportStream.on_socket(connection.sock, connection.early)
            try:
                runner_id = channel.record.runner_id
                yield Opened(
                    stream,
                    watcher,
                    _viewer_id(actor, session_id),
                    lambda size: self._steering.typed(
                        actor, session_id, runner_id, size, AuditKind.DESKTOP_CONTROLLED
                    ),
                )
            finally:
                stream.abort()
                del dialed  # until here: revoking the runner ends the stream through it
        finally:
            channel.watchers.discard(watcher)
            self._steering.left(actor, session_id, AuditKind.DESKTOP_CONTROLLED)

    @permits(Permission.SESSION_OWN)
    async def stop(self, actor: Actor, session_id: str) -> None:  # noqa: ARG002
        """Stop the desktop and what runs in it; the agent goes on."""
        channel = await self._living(session_id)
        await self._runners.request(channel.record.runner_id, session_id, _CLOSE)

    async def _living(self, session_id: str) -> Channel:
        channel = await self._channel(session_id)
        if channel.record.is_final:
            raise ConflictError("The session has ended, and its desktop with it.")
        return channel


_OPEN: Final = OpenDesktop(request_id="")
_CLOSE: Final = CloseDesktop(request_id="")


def _method(
    name: Method, label: str, missing: str | None, capabilities: dict[str, str]
) -> ConnectionMethod:
    needed = _CAPABILITY.get(name)
    detail = missing
    if needed is None:
        detail = "Not built yet."
    elif detail is None:
        detail = capabilities.get(needed, "The runner does not say that it can.") or None
    return ConnectionMethod(name=name, label=label, available=detail is None, detail=detail)


def _viewer_id(actor: Actor, session_id: str) -> str:
    """Stays the same when the same sign-in comes back, and says nothing about it."""
    return hashlib.sha256(f"{session_id} {actor.sign_in_id}".encode()).hexdigest()[:16]
