"""TCP ports of the control plane whose connections lead to a runner: for guacd and RDP clients.

An entry is made for few connections, usually one, and for a short time. Whatever comes after is
refused by the kernel: the port is closed by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from earthshine.control.errors import DialFailedError, DomainError, TooManyError
from earthshine.net.bridge import CHUNK_BYTES, ByteStream, TransportStream, bridge

MAX_ENTRIES: Final = 500
"""Entries that are open at once, their connections included."""
MAX_PER_SESSION: Final = 50
BACKLOG: Final = 1
_IN_USE: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
log = logging.getLogger(__name__)


class Entry:
    """A port that is open for `connections`, until it expires. Closed by leaving its context."""

    def __init__(
        self, host: str, dial: Callable[[], Awaitable[ByteStream]], connections: int
    ) -> None:
        self.host = host
        """What clients connect to."""
        self.port = 0
        self.failure: DomainError | None = None
        """Why the last connection found nothing behind the port."""
        self._dial = dial
        self._left = connections
        self._server: asyncio.AbstractServer | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._used = asyncio.Event()

    async def used(self) -> None:
        """Until somebody has connected, or nobody can any more."""
        await self._used.wait()

    async def over(self) -> None:
        """Until nobody is connected and nobody can connect any more."""
        await self._over.wait()

    def release(self) -> None:
        """Close the port; who has come stays."""
        self._close_port()

    def close(self) -> None:
        """Close the port and end its connections."""
        self._close_port()
        for connection in self._connections:
            connection.cancel()

    async def open(self, tasks: asyncio.TaskGroup, bound: str, port: int, expires: float) -> None:
        """Listen. Raises OSError."""
        server = await asyncio.start_server(
            self._accepted, bound, port, limit=CHUNK_BYTES, backlog=BACKLOG
        )
        self._server = server
        self._tasks = tasks
        self.port = server.sockets[0].getsockname()[1]
        self._expiry = asyncio.get_running_loop().call_later(expires, self._close_port)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = TransportStream(reader, writer)
        if not self._left or self._server is None:  # accepted in the same turn as the last one
            client.abort()
            return
        assert self._tasks is not None
        self._left -= 1
        connection = self._tasks.create_task(self._serve(client))
        self._connections.add(connection)
        connection.add_done_callback(self._ended)
        if not self._left:
            self._close_port()
        self._used.set()

    async def _serve(self, client: ByteStream) -> None:
        try:
            target = await self._dial()
        except (DomainError, OSError) as error:
            self.failure = error if isinstance(error, DomainError) else _broken()
            client.abort()
            log.info("nothing is behind an entry: %s", self.failure.detail)
        except BaseException:
            client.abort()
            raise
        else:
            await bridge(client, target)

    def _ended(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        self._look()

    def _close_port(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._server is not None:
            self._server.close()
            self._server = None
        self._used.set()
        self._look()

    def _look(self) -> None:
        if self._server is None and not self._connections:
            self._over.set()


def _broken() -> DomainError:
    return DialFailedError(
        "The connection to the runner broke.", stage="destination", remedy="Try again."
    )


class TcpEntries:
    """Opens entries on `host`, on ports of a range; (0, 0) takes free ones.

    `address` is what clients are told, where that is another than `host`.
    """

    def __init__(self, host: str, ports: tuple[int, int], *, address: str = "") -> None:
        self._host = host
        self._ports = ports
        self._address = address or host
        self._open: dict[Entry, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.asynccontextmanager
    async def open(
        self,
        dial: Callable[[], Awaitable[ByteStream]],
        *,
        connections: int = 1,
        expires: float,
        session_id: str = "",
    ) -> AsyncIterator[Entry]:
        """A port of one's own; each connection to it is joined with what `dial` gives.

        It takes connections for `expires` seconds; one that has come stays until it ends, the
        context is left, or `session_id` ends. A DomainError of `dial` resets the connection and is
        kept as the entry's `failure`. Raises TooManyError.
        """
        if len(self._open) >= MAX_ENTRIES:
            raise TooManyError(f"{MAX_ENTRIES} entries are open on this server already.")
        if session_id and sum(o == session_id for o in self._open.values()) >= MAX_PER_SESSION:
            raise TooManyError(f"{MAX_PER_SESSION} entries to this session are open already.")
        entry = Entry(self._address, dial, connections)
        self._open[entry] = session_id
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._listen(entry, tasks, expires)
                    yield entry
                # Any: the task group would wrap it, and callers know their own errors.
                except BaseException as error:  # noqa: BLE001  raised below
                    failure = error
                finally:
                    entry.close()
        finally:
            del self._open[entry]
        if failure is not None:
            raise failure

    def end_session(self, session_id: str) -> None:
        """Close what leads to a session."""
        for entry, of in list(self._open.items()):
            if of == session_id:
                entry.close()

    async def _listen(self, entry: Entry, tasks: asyncio.TaskGroup, expires: float) -> None:
        first, last = self._ports
        ports = list(range(first, last + 1))
        # A port that was just another's is not the first to come again.
        random.shuffle(ports)
        for port in ports:
            try:
                await entry.open(tasks, self._host, port, expires)
            except OSError as error:
                if error.errno in _IN_USE:
                    continue
                raise TooManyError(
                    f"No port can be opened on {self._host}: {error.strerror}.",
                    remedy="Set desktop.entry_host to an address of this server.",
                ) from None
            return
        raise TooManyError(
            f"All ports from {first} to {last} are in use.",
            remedy="Close some connections, or widen desktop.entry_ports.",
        )
