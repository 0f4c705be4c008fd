"""Data connections dialled ahead: two to four for a runner in use, none for an idle one.

At 40 ms of round-trip time a spare makes a dial one round trip instead of three (four with TLS).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from earthshine.net.handover import Handover
from earthshine.protocols.revdial import TICKET_LIFE_SECONDS

FEW_SPARES: Final = 2
MANY_SPARES: Final = 4
BUSY_DIALS: Final = 3
BUSY_SECONDS: Final = 5.0
"""So many dials within so many seconds make a runner worth MANY_SPARES."""
ACTIVE_SECONDS: Final = 60.0
"""A runner without a dial for this long is idle and keeps no spares."""


@dataclass(slots=True)
class _Pool:
    idle: deque[Handover] = field(default_factory=deque)
    asked: deque[float] = field(default_factory=deque)
    """When spares were asked for that have not arrived."""
    dials: deque[float] = field(default_factory=lambda: deque(maxlen=BUSY_DIALS))


class SparePools:
    """The spares of every runner. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[str, _Pool] = {}

    def count(self, runner_id: str) -> int:
        """Spares ready for use."""
        pool = self._pools.get(runner_id)
        return len(pool.idle) if pool else 0

    def dialled(self, runner_id: str) -> int:
        """Note a dial; how many more spares to ask the runner for now."""
        now = self._clock()
        pool = self._pools.setdefault(runner_id, _Pool())
        pool.dials.append(now)
        while pool.asked and pool.asked[0] <= now - TICKET_LIFE_SECONDS:
            pool.asked.popleft()
        busy = len(pool.dials) == BUSY_DIALS and pool.dials[0] > now - BUSY_SECONDS
        wanted = (MANY_SPARES if busy else FEW_SPARES) - len(pool.idle) - len(pool.asked)
        pool.asked.extend([now] * max(wanted, 0))
        return max(wanted, 0)

    def put(self, runner_id: str, connection: Handover) -> None:
        """A spare has arrived. It is closed if nobody asked for so many."""
        pool = self._pools.get(runner_id)
        if pool is None or not pool.asked or len(pool.idle) >= MANY_SPARES:
            connection.abort()
            return
        pool.asked.popleft()
        pool.idle.append(connection)
        connection.ended.add_done_callback(partial(self._lost, pool, connection))

    def _lost(self, pool: _Pool, connection: Handover, _: object) -> None:
        if connection in pool.idle:
            pool.idle.remove(connection)
            connection.abort()

    def take(self, runner_id: str) -> Handover | None:
        """The freshest spare that is still good."""
        pool = self._pools.get(runner_id)
        while pool is not None and pool.idle:
            connection = pool.idle.pop()
            if connection.is_quiet:
                return connection
            connection.abort()  # it spoke out of turn, or has just died
        return None

    def sweep(self) -> None:
        """Close the spares of runners that have become idle."""
        limit = self._clock() - ACTIVE_SECONDS
        for runner_id, pool in list(self._pools.items()):
            if not pool.dials or pool.dials[-1] <= limit:
                self.drop(runner_id)

    def drop(self, runner_id: str) -> None:
        """Close a runner's spares."""
        pool = self._pools.pop(runner_id, None)
        while pool is not None and pool.idle:
            pool.idle.pop().abort()

    def close(self) -> None:
        """Close all spares."""
        for runner_id in list(self._pools):
            self.drop(runner_id)
