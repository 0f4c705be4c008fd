"""Lobbies: displays that live independently of clients, joined and left by several."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.budget import AddressBudget
from earthshine.runner.desktops.moonlight_host import events
from earthshine.runner.desktops.moonlight_host.session import SessionRefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from earthshine.runner.desktops.moonlight_host.events import Events
    from earthshine.runner.desktops.moonlight_host.session import Session
    from earthshine.runner.desktops.moonlight_host.stage import (
        Stage,
        StageProvider,
        StageRequest,
    )

MAX_LOBBIES: Final = 32
MAX_MEMBERS: Final = 16
MAX_PIN_DIGITS: Final = 16
MAX_NAME: Final = 256
PIN_TRIES_PER_SECOND: Final = 0.1
PIN_TRIES_AT_ONCE: Final = 5

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Lobby:
    """``id`` is a random 64-bit number as decimal text."""

    id: str
    name: str
    stage: Stage
    command: str | None
    profile: str = ""
    icon_path: str | None = None
    multi_user: bool = True
    """False: one client at a time."""
    pin: tuple[int, ...] | None = field(default=None, repr=False)
    stop_when_empty: bool = False
    members: list[Session] = field(default_factory=list)
    watcher: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class LobbyRequest:
    """What to create."""

    stage: StageRequest
    profile: str = ""
    icon_path: str | None = None
    multi_user: bool = True
    pin: tuple[int, ...] | None = field(default=None, repr=False)
    stop_when_empty: bool = False


class Lobbies:
    """The lobbies of one host. ``show(session)`` makes its client see what it should now."""

    def __init__(
        self,
        provider: StageProvider,
        tasks: asyncio.TaskGroup,
        show: Callable[[Session], Awaitable[None]],
        happened: Events,
    ) -> None:
        self._provider = provider
        self._tasks = tasks
        self._show = show
        self._events = happened
        self._lobbies: dict[str, Lobby] = {}
        self._starting = 0
        self._tries = AddressBudget(PIN_TRIES_PER_SECOND, PIN_TRIES_AT_ONCE)

    @property
    def all(self) -> list[Lobby]:
        """In the order in which they were created."""
        return list(self._lobbies.values())

    def find(self, identifier: str) -> Lobby:
        """Raises SessionRefusedError."""
        lobby = self._lobbies.get(identifier)
        if lobby is None:
            raise SessionRefusedError(404, "there is no such lobby")
        return lobby

    async def create(self, request: LobbyRequest) -> Lobby:
        """Start its display. Raises SessionRefusedError or StageError."""
        if len(self._lobbies) + self._starting >= MAX_LOBBIES:
            raise SessionRefusedError(503, f"there are {MAX_LOBBIES} lobbies already")
        check_pin(request.pin)
        self._starting += 1
        try:
            stage = await self._provider.start(request.stage)
        finally:
            self._starting -= 1
        lobby = Lobby(
            id=str(secrets.randbits(63) + 1),
            name=request.stage.name[:MAX_NAME],
            stage=stage,
            command=request.stage.command,
            profile=request.profile,
            icon_path=request.icon_path,
            multi_user=request.multi_user,
            pin=request.pin,
            stop_when_empty=request.stop_when_empty,
        )
        self._lobbies[lobby.id] = lobby
        lobby.watcher = self._tasks.create_task(self._watch(lobby))
        self._events.say(events.LOBBY_CREATED, lobby_id=lobby.id, name=lobby.name)
        return lobby

    async def join(self, lobby: Lobby, session: Session, pin: tuple[int, ...] | None) -> None:
        """Raises SessionRefusedError: 403 for a wrong PIN, 409 when there is no room."""
        self.check(lobby, pin)
        if session.lobby is lobby:
            return
        if len(lobby.members) >= (MAX_MEMBERS if lobby.multi_user else 1):
            raise SessionRefusedError(409, "the lobby is full")
        if session.lobby is not None:
            await self.leave(session)
        lobby.members.append(session)
        session.lobby = lobby
        self._events.say(events.LOBBY_JOINED, lobby_id=lobby.id, moonlight_session_id=session.id)
        await self._show(session)

    async def leave(self, session: Session) -> None:
        """Back to the session's own display; the last one may end the lobby."""
        lobby = self.part(session)
        if lobby is None:
            return
        await self._show(session)
        await self.stop_if_deserted(lobby)

    def part(self, session: Session) -> Lobby | None:
        """Take the session out of its lobby without showing it anything else."""
        lobby, session.lobby = session.lobby, None
        if lobby is not None:
            lobby.members.remove(session)
            self._events.say(events.LOBBY_LEFT, lobby_id=lobby.id, moonlight_session_id=session.id)
        return lobby

    async def stop_if_deserted(self, lobby: Lobby) -> None:
        """End a lobby that wanted that, once nobody is in it."""
        if lobby.stop_when_empty and not lobby.members:
            await self.stop(lobby)

    async def stop(self, lobby: Lobby) -> None:
        """End its display; members see their own again."""
        if self._lobbies.pop(lobby.id, None) is None:
            return
        for session in list(lobby.members):
            self.part(session)
            await self._show(session)
        if lobby.watcher is not None:
            lobby.watcher.cancel()
        await lobby.stage.close()
        self._events.say(events.LOBBY_STOPPED, lobby_id=lobby.id)

    def check(self, lobby: Lobby, pin: tuple[int, ...] | None) -> None:
        """Raises SessionRefusedError when ``pin`` is not the lobby's."""
        if lobby.pin is None:
            return
        if not self._tries.take(lobby.id, time.monotonic()):
            raise SessionRefusedError(429, "too many wrong PINs; try again later")
        given = bytes(pin or ())
        if not hmac.compare_digest(given, bytes(lobby.pin)):
            raise SessionRefusedError(403, "the lobby's PIN is wrong")

    async def close(self) -> None:
        """End all of them."""
        for lobby in self.all:
            await self.stop(lobby)

    async def _watch(self, lobby: Lobby) -> None:
        try:
            await lobby.stage.ended()
        except Exception:
            log.exception("a lobby failed", extra={"lobby": lobby.id})
        lobby.watcher = None  # `stop` must not cancel the task that calls it
        await self.stop(lobby)


def check_pin(pin: tuple[int, ...] | None) -> None:
    """A PIN is 1 to `MAX_PIN_DIGITS` decimal digits. Raises SessionRefusedError."""
    if pin is None:
        return
    if not 1 <= len(pin) <= MAX_PIN_DIGITS or any(not 0 <= digit <= 9 for digit in pin):
        raise SessionRefusedError(400, f"a PIN is 1 to {MAX_PIN_DIGITS} digits")
