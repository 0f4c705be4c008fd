"""Storing and using secrets."""

from __future__ import annotations

from pydantic import SecretStr

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.secrets.schemas import SecretList, SecretView


class SecretService:
    """Secrets of people and of runners."""

    def __init__(self, access: Access) -> None:
        self.access = access

    @permits(Permission.ACCOUNT)
    async def list_own(self, actor: Actor) -> SecretList:
        """A person's."""
        raise NotImplementedError

    @permits(Permission.ACCOUNT)
    async def store_own(self, actor: Actor, name: str, value: SecretStr) -> SecretView:
        """Store one."""
        raise NotImplementedError

    @permits(Permission.ACCOUNT)
    async def remove_own(self, actor: Actor, name: str) -> None:
        """Remove one."""
        raise NotImplementedError

    @permits(Permission.RUNNER_OWN)
    async def list_of_runner(self, actor: Actor, runner_id: str) -> SecretList:
        """A runner's."""
        raise NotImplementedError

    @permits(Permission.RUNNER_OWN)
    async def store_for_runner(
        self, actor: Actor, runner_id: str, name: str, value: SecretStr
    ) -> SecretView:
        """Store one."""
        raise NotImplementedError

    @permits(Permission.RUNNER_OWN)
    async def remove_of_runner(self, actor: Actor, runner_id: str, name: str) -> None:
        """Remove one."""
        raise NotImplementedError
