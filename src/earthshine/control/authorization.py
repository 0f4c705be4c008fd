"""Who may do what. The one place that decides; `access.permits` makes services ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from earthshine.control.access import Actor, Permission
from earthshine.control.errors import NotAllowedError, NotFoundError


class OwnerAccess:
    """A session is its owner's; an admin may do everything; runners are for everybody."""

    def __init__(self, owner: Callable[[str], Awaitable[str | None]]) -> None:
        """`owner` gives a session's owner, None where there is no such session."""
        self._owner = owner

    async def require(self, actor: Actor, permission: Permission, resource_id: str | None) -> None:
        """See `access.Access`."""
        if actor.is_admin or permission in (Permission.EVERYONE, Permission.RUNNER_USE):
            return
        if permission is Permission.ADMIN:
            raise NotAllowedError("Only an admin can do this.")
        if resource_id is None or await self._owner(resource_id) != actor.person_id:
            # Whether it exists is not told to somebody whose it is not.
            raise NotFoundError("There is no such session, or it is not yours.")
