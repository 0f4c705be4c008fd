"""One session: an application of one client, and whether and how the client watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.runner.desktops.moonlight_host.states import Event, State, after

if TYPE_CHECKING:
    import asyncio

    from earthshine.protocols.moonlight.launch import LaunchRequest
    from earthshine.runner.desktops.moonlight_host.apps import HostApp
    from earthshine.runner.desktops.moonlight_host.connection import Connection
    from earthshine.runner.desktops.moonlight_host.lobbies import Lobby
    from earthshine.runner.desktops.moonlight_host.pairings import PairedClient
    from earthshine.runner.desktops.moonlight_host.stage import Stage


@dataclass(slots=True, eq=False)
class Session:
    """``id`` is a random 64-bit number as decimal text."""

    id: str
    client: PairedClient
    app: HostApp
    stage: Stage
    request: LaunchRequest
    """The last launch or resume."""
    address: str
    """From where that came."""
    fps: int
    """What the stage was last asked for."""
    state: State = State.PAUSED
    connection: Connection | None = None
    lobby: Lobby | None = None
    """Joined: shown instead of the own stage."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def shown(self) -> Stage:
        """What the client sees."""
        return self.lobby.stage if self.lobby is not None else self.stage

    def step(self, event: Event) -> bool:
        """Go to the next state; false when the event means nothing now."""
        following = after(self.state, event)
        if following is None:
            return False
        self.state = following
        return True


class SessionRefusedError(Exception):
    """A launch, resume or other wish cannot be met; ``status`` and words are for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
