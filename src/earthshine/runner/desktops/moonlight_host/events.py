"""What happens at a host, for whoever wants to know. Events are in the past tense."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LISTENERS: Final = 32
MAX_BEHIND: Final = 256
"""Events a listener may leave untaken; then the oldest are dropped and `Listener.missed` counts."""


@dataclass(frozen=True, slots=True)
class HostEvent:
    """``kind`` is a name from this module, ``details`` are JSON values."""

    kind: str
    details: dict[str, Any]


PAIR_REQUESTED: Final = "pair-requested"
CLIENT_PAIRED: Final = "client-paired"
CLIENT_UNPAIRED: Final = "client-unpaired"
SESSION_STARTED: Final = "session-started"
SESSION_RESUMED: Final = "session-resumed"
SESSION_STREAMING: Final = "session-streaming"
SESSION_PAUSED: Final = "session-paused"
SESSION_ENDED: Final = "session-ended"
KEY_FRAME_REQUESTED: Final = "key-frame-requested"
LOBBY_CREATED: Final = "lobby-created"
LOBBY_JOINED: Final = "lobby-joined"
LOBBY_LEFT: Final = "lobby-left"
LOBBY_STOPPED: Final = "lobby-stopped"


class TooManyListenersError(Exception):
    """`MAX_LISTENERS` listen already."""


class EventListener:
    """Takes events without ever holding up the host."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: deque[HostEvent] = deque()
        self.missed = 0

    def put(self, event: HostEvent) -> None:
        """From the host."""
        if len(self._waiting) >= MAX_BEHIND:
            self._waiting.popleft()
            self.missed += 1
        self._waiting.append(event)
        self._wake()

    def take(self) -> list[HostEvent]:
        """What happened since the last call."""
        found = list(self._waiting)
        self._waiting.clear()
        return found


class Events:
    """Hands each event to all listeners."""

    def __init__(self) -> None:
        self._listeners: set[EventListener] = set()

    def say(self, kind: str, **details: Any) -> None:
        """Something happened."""
        event = HostEvent(kind, details)
        for listener in self._listeners:
            listener.put(event)

    def listen(self, wake: Callable[[], None]) -> EventListener:
        """From now on; ``wake`` is called for each. Raises TooManyListenersError."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListenersError(f"{MAX_LISTENERS} listen to events already")
        listener = EventListener(wake)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: EventListener) -> None:
        """No more."""
        self._listeners.discard(listener)
