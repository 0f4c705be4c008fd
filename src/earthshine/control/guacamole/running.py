"""Guacamole connections that run, by session: others who may see it can join them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from earthshine.control.access import Actor
from earthshine.control.errors import NotFoundError, TooManyError
from earthshine.control.guacamole.wishes import Protocol

MAX_RUNNING: Final = 500
"""On this server."""
MAX_OF_ONE: Final = 50
"""Of one session or runner."""


@dataclass(eq=False)
class Running:
    """A connection; `id` is guacd's, empty until it is known. `place`: the session or runner."""

    place: str
    protocol: Protocol
    actor: Actor
    since: datetime
    id: str = ""


class RunningConnections:
    """The book of them."""

    def __init__(self) -> None:
        self._all: dict[str, list[Running]] = {}
        self._count = 0

    def of(self, place: str) -> list[Running]:
        """Those that can be joined, oldest first."""
        return [one for one in self._all.get(place, ()) if one.id]

    def find(self, place: str, connection_id: str) -> Running:
        """Raises NotFoundError."""
        for one in self.of(place):
            if one.id == connection_id:
                return one
        raise NotFoundError("This connection does not run here, or not any more.")

    @contextlib.contextmanager
    def entered(self, place: str, protocol: Protocol, actor: Actor) -> Iterator[Running]:
        """In the book, until the context is left. Raises TooManyError."""
        mine = self._all.setdefault(place, [])
        if self._count >= MAX_RUNNING or len(mine) >= MAX_OF_ONE:
            raise TooManyError("Too many Guacamole connections are open.")
        one = Running(place, protocol, actor, datetime.now(UTC))
        mine.append(one)
        self._count += 1
        try:
            yield one
        finally:
            mine.remove(one)
            self._count -= 1
            if not mine:
                self._all.pop(place, None)
