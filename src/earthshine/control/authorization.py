"""Who may do what. The one place that decides; `access.permits` makes services ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from earthshine.control.access import Actor, Permission, Role, Scope
from earthshine.control.errors import NotAllowedError, NotFoundError


class SessionRole(StrEnum):
    """What somebody is to one session; who may most comes first."""

    OWNER = "owner"
    CONTROLLER = "controller"
    """Types, prompts, moves the mouse; whoever types can answer an approval as well."""
    APPROVER = "approver"
    VIEWER = "viewer"


GRANTED: Final[dict[SessionRole, frozenset[Permission]]] = {
    SessionRole.VIEWER: frozenset({Permission.SESSION_VIEW}),
    SessionRole.APPROVER: frozenset({Permission.SESSION_VIEW, Permission.SESSION_APPROVE}),
    SessionRole.CONTROLLER: frozenset(
        {Permission.SESSION_VIEW, Permission.SESSION_APPROVE, Permission.SESSION_CONTROL}
    ),
    SessionRole.OWNER: frozenset(
        {
            Permission.SESSION_VIEW,
            Permission.SESSION_APPROVE,
            Permission.SESSION_CONTROL,
            Permission.SESSION_OWN,
        }
    ),
}

SCOPES: Final[dict[Permission, Scope | None]] = {
    Permission.EVERYONE: None,
    Permission.SESSION_LIST: Scope.READ,
    Permission.MEMBER: Scope.READ,
    Permission.SESSION_START: Scope.CONTROL,
    Permission.ACCOUNT: Scope.ACCOUNT,
    Permission.RUNNER_PAIR: Scope.RUNNERS,
    Permission.ADMIN: Scope.ADMIN,
    Permission.SESSION_VIEW: Scope.READ,
    Permission.SESSION_APPROVE: Scope.CONTROL,
    Permission.SESSION_CONTROL: Scope.CONTROL,
    Permission.SESSION_OWN: Scope.CONTROL,
    Permission.RUNNER_USE: Scope.READ,
    Permission.RUNNER_OWN: Scope.RUNNERS,
}
"""The scope that a token needs for each permission."""

MEMBERS: Final = frozenset(
    {Permission.MEMBER, Permission.SESSION_START, Permission.ACCOUNT, Permission.RUNNER_PAIR}
)
"""What every member may do."""


@dataclass(frozen=True, slots=True)
class RunnerPossession:
    """Whose a runner is. Without an owner it came by the static token and is everybody's."""

    owner_id: str | None
    shared: bool


class SessionRoles(Protocol):
    """What people are to sessions."""

    def __call__(self, session_id: str, person_id: str) -> Awaitable[SessionRole | None]:
        """The role; None for a stranger, and where there is no such session."""
        ...


class Authorization:
    """Decides by role, session role, runner ownership and token scope."""

    def __init__(
        self,
        session_role: SessionRoles,
        possession: Callable[[str], RunnerPossession | None],
    ) -> None:
        self._session_role = session_role
        self._possession = possession

    async def require(self, actor: Actor, permission: Permission, resource_id: str | None) -> None:
        """See `access.Access`."""
        if not permission.of_a_thing:
            self._require_standing(actor, permission)
        elif permission in (Permission.RUNNER_USE, Permission.RUNNER_OWN):
            self._require_runner(actor, permission, resource_id or "")
        else:
            await self._require_session(actor, permission, resource_id or "")
        scope = SCOPES[permission]
        if scope is not None and scope not in actor.scopes:
            raise NotAllowedError(
                f"The token in use lacks the scope {scope.value}.",
                remedy="Make a token with this scope, or sign in with a browser.",
            )

    async def role_in(self, actor: Actor, session_id: str) -> SessionRole | None:
        """The most that the actor may be in a session; an admin is as good as its owner."""
        for role in SessionRole:
            try:
                for permission in GRANTED[role]:
                    await self.require(actor, permission, session_id)
            except (NotAllowedError, NotFoundError):
                continue
            return role
        return None

    def _require_standing(self, actor: Actor, permission: Permission) -> None:
        if permission in (Permission.EVERYONE, Permission.SESSION_LIST):
            return
        if permission in MEMBERS:
            if actor.role is Role.GUEST:
                raise NotAllowedError("Guests can only use the sessions shared with them.")
        elif actor.role is not Role.ADMIN:
            raise NotAllowedError("Only an admin can do this.")

    async def _require_session(self, actor: Actor, permission: Permission, session_id: str) -> None:
        if actor.is_admin:
            return
        role = await self._session_role(session_id, actor.person_id)
        if role is None:
            # Whether it exists is not told to somebody whose it is not.
            raise NotFoundError("There is no such session, or it is not yours.")
        if permission not in GRANTED[role]:
            raise NotAllowedError(f"You are this session's {role.value}; that is not enough.")

    def _require_runner(self, actor: Actor, permission: Permission, runner_id: str) -> None:
        possession = self._possession(runner_id)
        if possession is not None:
            if actor.is_admin or possession.owner_id == actor.person_id:
                return
            shared = possession.shared or possession.owner_id is None
            if shared and actor.role is not Role.GUEST:
                if permission is Permission.RUNNER_USE:
                    return
                raise NotAllowedError("Only the runner's owner or an admin can do this.")
        raise NotFoundError("There is no such runner, or it is not yours.")
