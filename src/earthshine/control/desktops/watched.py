"""What every way to a desktop has in common: who watches, what they may do, how it is recorded."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from earthshine.control.access import Actor, Permission
from earthshine.control.audit.keystrokes import TypingSessions
from earthshine.control.audit.kinds import AuditKind
from earthshine.control.authorization import SessionRole
from earthshine.control.errors import ConflictError, DomainError, TooManyError
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.watching import Watcher
from earthshine.net.desktop_gateways import Ending, until_one_ends

MAX_WATCHERS: Final = 100
"""Viewers of one desktop, by whatever way."""


class PutOutError(Exception):
    """The session is not shared with this person any more."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Somebody who watches a desktop."""

    actor: Actor
    session_id: str
    runner_id: str
    watcher: Watcher
    typing: TypingSessions

    @property
    def may_control(self) -> bool:
        """At this moment."""
        return self.watcher.may(Permission.SESSION_CONTROL)

    def steered(self, size: int) -> None:
        """They are about to send `size` bytes that steer. Raises DomainError: they must not."""
        self.typing.typed(
            self.actor, self.session_id, self.runner_id, size, AuditKind.DESKTOP_CONTROLLED
        )

    def may_steer(self, size: int) -> bool:
        """The same as an answer."""
        try:
            self.steered(size)
        except DomainError:
            return False
        return True


class Watching:
    """Lets people watch the desktops of living sessions."""

    def __init__(
        self,
        channel: Callable[[str], Awaitable[Channel]],
        role: Callable[[Actor, str], Awaitable[SessionRole]],
        typing: TypingSessions,
    ) -> None:
        """`channel` and `role` of a session, as `SessionService` gives them."""
        self.channel = channel
        self._role = role
        self._typing = typing

    async def living(self, session_id: str) -> Channel:
        """The channel of a session that has not ended. Raises ConflictError, NotFoundError."""
        channel = await self.channel(session_id)
        if channel.record.is_final:
            raise ConflictError("The session has ended, and its desktop with it.")
        return channel

    async def may_control(self, actor: Actor, session_id: str) -> bool:
        """Whether they would steer."""
        role = await self._role(actor, session_id)
        return Watcher(actor, role).may(Permission.SESSION_CONTROL)

    @contextlib.asynccontextmanager
    async def watched(self, actor: Actor, session_id: str) -> AsyncIterator[Watched]:
        """Somebody who may see the session watches, until the context is left."""
        channel = await self.living(session_id)
        if len(channel.watchers) >= MAX_WATCHERS:
            raise TooManyError(f"The desktop has {MAX_WATCHERS} viewers already.")
        watcher = Watcher(actor, await self._role(actor, session_id))
        channel.watchers.add(watcher)
        try:
            yield Watched(actor, session_id, channel.record.runner_id, watcher, self._typing)
        finally:
            channel.watchers.discard(watcher)
            self._typing.left(actor, session_id, AuditKind.DESKTOP_CONTROLLED)


class Gateway(Protocol):
    """A viewer's connection, as gateways are."""

    async def set_view_only(self, view_only: bool) -> None:
        """From now on."""
        ...

    async def run(self) -> Ending:
        """Until the end. Raises GatewayError."""
        ...


async def run_watched(gateway: Gateway, watched: Watched, *, only_watch: bool = False) -> Ending:
    """Run a gateway whose viewer may do what they are allowed to at each moment.

    `only_watch`: whatever their role. Raises GatewayError, PutOutError.
    """
    watcher = watched.watcher

    async def follow() -> Ending:
        while True:
            await watcher.changed.wait()
            watcher.changed.clear()
            if watcher.put_out.is_set():
                return Ending.SERVER
            await gateway.set_view_only(only_watch or not watched.may_control)

    await gateway.set_view_only(only_watch or not watched.may_control)
    ending = await until_one_ends(gateway.run(), follow())
    if watcher.put_out.is_set():
        raise PutOutError
    return ending
