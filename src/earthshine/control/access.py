"""Authorisation, enforced around services.

Every public coroutine of a service that people can reach carries a rule:

    @permits(Permission.SESSION_CONTROL)
    async def interrupt(self, actor: Actor, session_id: str) -> None: ...

The rule runs before the method does, on `(actor, resource_id)`. A test enumerates the public
coroutines of every service that routes can reach and fails on one without a rule.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Role(StrEnum):
    """What somebody is on this server. What they are to one session is a `SessionRole`."""

    ADMIN = "admin"
    MEMBER = "member"
    GUEST = "guest"
    """Came through a share link: only the sessions that were shared exist for them."""


class Scope(StrEnum):
    """What an API token may be used for, never more than its person may do. A browser has all."""

    READ = "read"
    """See sessions, runners and logs."""
    CONTROL = "control"
    """Start and steer sessions, open previews, answer approvals, share."""
    RUNNERS = "runners"
    """Pair and revoke runners."""
    ACCOUNT = "account"
    """One's own sign-ins, tokens, passkeys and secrets."""
    ADMIN = "admin"
    """What only admins can do: people, the whole audit log, other people's sessions."""


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever a request speaks for: a signed-in person, by a browser or by a token."""

    person_id: str
    name: str
    role: Role
    sign_in_id: str
    """The browser sign-in or API token in use; ending it ends the actor's sockets."""
    scopes: frozenset[Scope] = ALL_SCOPES

    @property
    def is_admin(self) -> bool:
        """Whether admins' rights apply: to an admin, unless the token in use was cut down."""
        return self.role is Role.ADMIN and Scope.ADMIN in self.scopes


class Permission(Enum):
    """What may be asked for. SESSION_* take a session id, RUNNER_* a runner id, others nothing."""

    EVERYONE = "everyone"
    """Anybody signed in, guests too, with any token: who am I, end my sign-in."""
    SESSION_LIST = "sessions"
    """Anybody signed in; filtered to what is theirs."""
    MEMBER = "member"
    """Anybody but guests, to read what all members share: the list of runners."""
    SESSION_START = "session.start"
    ACCOUNT = "account"
    """One's own account."""
    RUNNER_PAIR = "runner.pair"
    ADMIN = "admin"
    SESSION_VIEW = "session.view"
    SESSION_APPROVE = "session.approve"
    SESSION_CONTROL = "session.control"
    SESSION_OWN = "session.own"
    RUNNER_USE = "runner.use"
    RUNNER_OWN = "runner.own"

    @property
    def of_a_thing(self) -> bool:
        """Whether it is asked for one session or runner."""
        return self in _OF_A_THING


_OF_A_THING: Final = frozenset(
    {
        Permission.SESSION_VIEW,
        Permission.SESSION_APPROVE,
        Permission.SESSION_CONTROL,
        Permission.SESSION_OWN,
        Permission.RUNNER_USE,
        Permission.RUNNER_OWN,
    }
)


class Access(Protocol):
    """Decides. NotFoundError for what is not the actor's to know, NotAllowedError otherwise."""

    async def require(
        self, actor: Actor, permission: Permission, resource_id: str | None
    ) -> None: ...


class HasAccess(Protocol):
    """A service whose methods can be guarded."""

    @property
    def access(self) -> Access: ...


S = TypeVar("S", bound=HasAccess)
RULE = "__permission__"


def permits(
    permission: Permission,
) -> Callable[
    [Callable[Concatenate[S, Actor, P], Awaitable[R]]],
    Callable[Concatenate[S, Actor, P], Awaitable[R]],
]:
    """Declare who may call a service method; the resource id, if any, is its first argument."""

    def decorate(
        method: Callable[Concatenate[S, Actor, P], Awaitable[R]],
    ) -> Callable[Concatenate[S, Actor, P], Awaitable[R]]:
        @functools.wraps(method)
        async def guarded(self: S, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
            resource: Any = args[0] if args else None
            if not permission.of_a_thing:
                resource = None
            elif not isinstance(resource, str):
                raise TypeError(f"{method.__qualname__}: the resource id must come first")
            await self.access.require(actor, permission, resource)
            return await method(self, actor, *args, **kwargs)

        setattr(guarded, RULE, permission)
        return guarded

    return decorate
