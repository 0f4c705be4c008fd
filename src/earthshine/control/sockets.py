"""Open WebSockets and streams by the sign-in they rest on, so that ending it ends them at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.access import Actor
from earthshine.control.errors import TooManyError

MAX_SOCKETS: Final = 100
"""WebSockets of one sign-in."""
CLOSE_TOO_MANY: Final = 4008
CLOSE_SIGNED_OUT: Final = 4001
CLOSE_AGAIN: Final = 1012
"""Connect again: what was true when the socket was opened is no more."""


class SignedInSockets:
    """Knows which sockets to close when a sign-in ends."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._sockets: dict[str, set[WebSocket]] = {}
        self._streams: dict[str, set[Callable[[], None]]] = {}

    @contextlib.asynccontextmanager
    async def socket(self, actor: Actor, websocket: WebSocket) -> AsyncIterator[None]:
        """Hold a socket for as long as it is served; too many are refused."""
        mine = self._sockets.setdefault(actor.sign_in_id, set())
        if len(mine) >= MAX_SOCKETS:
            await websocket.close(CLOSE_TOO_MANY, "too many connections of one sign-in")
            raise WebSocketDisconnect(CLOSE_TOO_MANY)
        mine.add(websocket)
        try:
            yield
        finally:
            mine.discard(websocket)
            if not mine:
                self._sockets.pop(actor.sign_in_id, None)

    @contextlib.contextmanager
    def stream(self, actor: Actor, end: Callable[[], None]) -> Iterator[None]:
        """The same for an answer that goes on and on: `end` is called. Raises TooManyError."""
        mine = self._streams.setdefault(actor.sign_in_id, set())
        if len(mine) >= MAX_SOCKETS:
            raise TooManyError("Too many streams of one sign-in are open.")
        mine.add(end)
        try:
            yield
        finally:
            mine.discard(end)
            if not mine:
                self._streams.pop(actor.sign_in_id, None)

    def close(
        self, sign_in_id: str, code: int = CLOSE_SIGNED_OUT, reason: str = "signed out"
    ) -> None:
        """The sign-in has ended, or its person's rights are others."""
        for websocket in self._sockets.pop(sign_in_id, set()):
            self._tasks.create_task(_close(websocket, code, reason))
        for end in self._streams.pop(sign_in_id, set()):
            end()


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
        await websocket.close(code, reason)
