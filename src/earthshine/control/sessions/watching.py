"""Who watches a session in whatever way, and what they may do at this moment."""

from __future__ import annotations

import asyncio

from earthshine.control.access import Actor, Permission
from earthshine.control.authorization import GRANTED, SessionRole


class Watcher:
    """Somebody who has a session open. `SessionService.review` keeps the role up to date."""

    __slots__ = ("actor", "changed", "put_out", "role")

    def __init__(self, actor: Actor, role: SessionRole) -> None:
        self.actor = actor
        self.role = role
        self.changed = asyncio.Event()
        """Something is new, among it perhaps the role."""
        self.put_out = asyncio.Event()
        """May not watch any more."""

    @property
    def name(self) -> str:
        """As others see them."""
        return self.actor.name

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return not self.put_out.is_set() and permission in GRANTED[self.role]
