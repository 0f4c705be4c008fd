"""Ports and UNIX sockets whose connections are passed on as sockets: where clients enter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from .handover import ConnectionEndedError, Detached, Handover
from .relay import reset

BACKLOG: Final = 128
MAX_WAITING: Final = 256
"""Connections whose dial is under way; more are reset."""


@contextlib.asynccontextmanager
async def entry_port(
    host: str,
    port: int,
    serve: Callable[[Detached], Awaitable[object]],
) -> AsyncIterator[int]:
    """Listen; `serve` gets each connection as a socket that is its own to close.

    Yields the port that was bound. On leaving, no more connections are accepted and calls of
    `serve` that have not returned are cancelled; sockets they passed on live on. Raises OSError.
    """

    async def listen(protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(protocol, host, port, backlog=BACKLOG)

    async with _entry(listen, serve) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def entry_socket(
    path: str, serve: Callable[[Detached], Awaitable[object]]
) -> AsyncIterator[None]:
    """The same on a UNIX socket that is not there yet."""

    async def listen(protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(protocol, path, backlog=BACKLOG)

    async with _entry(listen, serve):
        yield


@contextlib.asynccontextmanager
async def _entry(
    listen: Callable[[Callable[[], asyncio.Protocol]], Awaitable[asyncio.Server]],
    serve: Callable[[Detached], Awaitable[object]],
) -> AsyncIterator[asyncio.Server]:
    waiting: set[asyncio.Task[object]] = set()

    async def run(entry: Detached) -> None:
        try:
            await serve(entry)
        except BaseException:
            reset(entry.sock)
            raise

    def accepted(entry: Detached) -> None:
        if len(waiting) >= MAX_WAITING:
            reset(entry.sock)
            return
        task: asyncio.Task[object] = tasks.create_task(run(entry))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    async with asyncio.TaskGroup() as tasks:
        server = await listen(lambda: _Entry(accepted))
        try:
            yield server
        finally:
            server.close()
            for task in waiting:
                task.cancel()
            await server.wait_closed()


class _Entry(Handover):
    """Leaves the event loop as soon as it is connected."""

    def __init__(self, accepted: Callable[[Detached], None]) -> None:
        super().__init__()
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Not from within the callback: both event loops still have to start reading.
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        try:
            self._accepted(self.detach())
        except ConnectionEndedError:
            self.abort()
