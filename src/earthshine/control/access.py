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
from enum import Enum
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever a request speaks for: a signed-in person."""

    person_id: str
    name: str
    is_admin: bool
    sign_in_id: str
    """The browser sign-in or API token in use; ending it ends the actor's sockets."""


class Permission(Enum):
    """What may be asked for. SESSION_* take a session id, RUNNER_* a runner id, others nothing."""

    EVERYONE = "everyone"
    """Any signed-in person, for things that are filtered to what is theirs."""
    ADMIN = "admin"
    SESSION_VIEW = "session.view"
    SESSION_CONTROL = "session.control"
    SESSION_OWN = "session.own"
    RUNNER_USE = "runner.use"


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
            if permission not in {Permission.EVERYONE, Permission.ADMIN}:
                if not isinstance(resource, str):
                    raise TypeError(f"{method.__qualname__}: the resource id must come first")
            else:
                resource = None
            await self.access.require(actor, permission, resource)
            return await method(self, actor, *args, **kwargs)

        setattr(guarded, RULE, permission)
        return guarded

    return decorate
