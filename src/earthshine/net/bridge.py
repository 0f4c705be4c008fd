"""Bounded copies between things that cannot be spliced: WebSocket-framed or TLS data connections.

Everybody else in Earthshine deals in plain sockets. `socket_pair` makes one to hand out, and
`bridge` copies between its other end and the framed connection, with end-of-stream and resets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final, Protocol, Self

from .handover import Handover

CHUNK_BYTES: Final = 64 << 10
CLOSE_SECONDS: Final = 5.0


class ByteStream(Protocol):
    """One end of a bridge. Every method raises ConnectionError when the connection is broken."""

    async def read(self) -> bytes:
        """Some bytes (at most a few CHUNK_BYTES), or b"" at the end of the stream."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more."""
        ...

    async def write_eof(self) -> None:
        """Say end-of-stream; reading goes on."""
        ...

    async def close(self) -> None:
        """An orderly end, after both directions have ended."""
        ...

    def abort(self) -> None:
        """Break the connection so that the peer notices."""
        ...


class TransportStream:
    """An asyncio transport (TCP, UNIX, TLS) as a ByteStream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def on_socket(cls, sock: socket.socket, early: bytes = b"") -> Self:
        """Put a connected socket on the event loop; it is taken over. Raises OSError."""
        sock.setblocking(False)
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=CHUNK_BYTES)
        except BaseException:
            sock.close()
            raise
        if early:
            reader.feed_data(early)
        return cls(reader, writer)

    async def read(self) -> bytes:
        return await self.reader.read(CHUNK_BYTES)

    async def write(self, data: bytes) -> None:
        # uvloop raises RuntimeError for a transport that is closed and has not said so yet.
        if self.writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.writer.write(data)
        await self.writer.drain()

    async def write_eof(self) -> None:
        if self.writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        if self.writer.can_write_eof():
            with contextlib.suppress(OSError):
                self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.writer.wait_closed()

    def abort(self) -> None:
        transport = self.writer.transport
        if transport.is_closing() and not transport.get_write_buffer_size():
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class HandoverStream:
    """A connection that cannot leave the event loop (TLS) as a ByteStream.

    TLS under asyncio and uvloop has no half-close, so end-of-stream closes it. For protocols that
    say themselves when they have ended, such as WebSocket.
    """

    def __init__(self, connection: Handover) -> None:
        self._connection = connection

    async def read(self) -> bytes:
        return await self._connection.read_some(CHUNK_BYTES)

    async def write(self, data: bytes) -> None:
        self._connection.write(data)
        await self._connection.drain()

    async def write_eof(self) -> None:
        transport = self._connection.transport
        if transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._connection.transport.close()

    def abort(self) -> None:
        self._connection.abort()


async def bridge(a: ByteStream, b: ByteStream) -> bool:
    """Copy both ways until both directions have ended. True if they did so in order.

    Never raises ConnectionError; on cancellation both ends are broken.
    """
    orderly = False
    try:
        async with asyncio.TaskGroup() as copies:
            copies.create_task(_copy(a, b))
            copies.create_task(_copy(b, a))
        await b.close()
        await a.close()
        orderly = True
    except* (OSError, EOFError):
        pass
    finally:
        if not orderly:
            a.abort()
            b.abort()
    return orderly


async def _copy(source: ByteStream, target: ByteStream) -> None:
    while data := await source.read():
        await target.write(data)
    await target.write_eof()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets on loopback. Unlike UNIX socket pairs they can pass on a reset.

    Raises OSError; also if a stranger on this machine connected first.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.create_connection(listener.getsockname(), timeout=CLOSE_SECONDS)
        try:
            listener.settimeout(CLOSE_SECONDS)
            far, address = listener.accept()
        except OSError:
            near.close()
            raise
    if address != near.getsockname():
        near.close()
        far.close()
        raise ConnectionAbortedError("another program connected to the socket pair")
    for sock in (near, far):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


async def handover_pair() -> tuple[Handover, TransportStream]:
    """A socket pair on the event loop: one end to hand out, the other to bridge. Raises OSError."""
    near, far = socket_pair()
    try:
        _, connection = await asyncio.get_running_loop().create_connection(Handover, sock=near)
    except BaseException:
        near.close()
        far.close()
        raise
    try:
        return connection, await TransportStream.on_socket(far)
    except BaseException:
        connection.abort()
        raise
