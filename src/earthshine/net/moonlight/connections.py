"""A TCP server whose connections are owned tasks, and of which nobody gets too many."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.protocols.moonlight.addresses import neighbourhood, plain
from earthshine.protocols.moonlight.errors import MoonlightError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

MAX_CONNECTIONS: Final = 128
MAX_PER_ADDRESS: Final = 32

log = logging.getLogger(__name__)


class Listener:
    """Accepts on ``sock`` and runs ``serve(reader, writer, address)`` for each connection.

    ``serve`` may raise OSError and MoonlightError: then the connection is just closed. Connections
    beyond the limits are closed at once.
    """

    def __init__(
        self,
        sock: socket.socket,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._socket = sock
        self._serve = serve
        self._tasks = tasks
        self._open: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_server(self._accept, sock=self._socket)

    async def close(self) -> None:
        """Stop accepting and end what is connected."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        address = plain(str(name[0])) if name else ""
        where = neighbourhood(address)
        if self._open.total() >= MAX_CONNECTIONS or self._open[where] >= MAX_PER_ADDRESS:
            writer.transport.abort()
            return
        self._open[where] += 1
        task = self._tasks.create_task(self._run(reader, writer, address))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        try:
            await self._serve(reader, writer, address)
        except (OSError, TimeoutError, MoonlightError) as error:
            log.debug("connection ended: %s", error, extra={"address": address})
        except Exception:
            log.exception("a connection failed", extra={"address": address})
        finally:
            writer.close()
            where = neighbourhood(address)
            self._open[where] -= 1
            if not self._open[where]:
                del self._open[where]


async def connect(
    host: str, port: int, timeout: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection within ``timeout`` seconds. Raises ConnectionFailedError."""
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.open_connection(host, port)
    except TimeoutError:
        raise ConnectionFailedError(f"{host} port {port} did not answer in {timeout:g} s") from None
    except OSError as error:
        raise ConnectionFailedError(
            f"cannot connect to {host} port {port}: {error.strerror or error}"
        ) from None
