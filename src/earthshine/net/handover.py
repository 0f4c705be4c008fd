"""A connection that starts on the event loop and leaves it as a plain socket.

Requests and short exchanges are read here; then `detach` gives the socket, and whatever was read
too far, to the relay or to another owner. The event loop's own transport is always closed
explicitly: uvloop corrupts memory when half-closed transports are left to the collector, and its
`add_reader` leaks descriptors of reset connections, so neither is used.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

BUFFER_BYTES: Final = 64 << 10
"""Reading stops while this much is unread."""


class ConnectionEndedError(ConnectionError):
    """The peer ended or broke the connection before the exchange was complete."""


class HeadTooLongError(ConnectionError):
    """The peer's header does not end within the limit."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A socket that nobody else owns, and the bytes that were read from it already."""

    sock: socket.socket
    early: bytes = b""


class Handover(asyncio.Protocol):
    """Reads exact amounts from a transport until the socket is detached.

    One reader at a time. `ended` completes when the connection is lost or says end-of-stream while
    it is still here.
    """

    def __init__(self, early: bytes = b"") -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(early)
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.detached = False
        self.on_left: Callable[[], None] | None = None
        """Called once, when the connection is lost or detached."""

    @property
    def transport(self) -> asyncio.Transport:
        """The transport it is on; ConnectionEndedError if there is none (any more)."""
        if self._transport is None:
            raise ConnectionEndedError("the connection has ended")
        return self._transport

    @property
    def is_tls(self) -> bool:
        """TLS connections cannot be detached."""
        return self.transport.get_extra_info("sslcontext") is not None

    @property
    def is_quiet(self) -> bool:
        """Alive as far as we know, and nothing unread."""
        return self._transport is not None and not self.ended.done() and not self._buffer

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over a transport from another protocol."""
        transport.set_protocol(self)
        self.connection_made(transport)
        transport.resume_reading()

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._end()
        return True  # stay open for writing; whoever reads decides

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._writable.set()
        self._leave()
        self._end()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # --- For its owner ----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a short message; ConnectionEndedError if the connection is gone."""
        if self.transport.is_closing():
            raise ConnectionEndedError("the connection is closing")
        self.transport.write(data)

    async def drain(self) -> None:
        """Until the transport takes more; ConnectionEndedError if the connection is gone."""
        await self._writable.wait()
        if self._transport is None:
            raise ConnectionEndedError("the connection has ended")

    async def read_some(self, limit: int) -> bytes:
        """What there is, at most `limit`; b"" at the end of the stream."""
        while not self._buffer:
            if self._transport is None:
                raise ConnectionEndedError("the connection was lost")
            if self.ended.done():
                return b""
            await self._more()
        return self._take(limit)

    async def read_exactly(self, count: int) -> bytes:
        """`count` bytes (at most BUFFER_BYTES); ConnectionEndedError if the peer ends before."""
        while len(self._buffer) < count:
            await self._more()
        return self._take(count)

    async def read_head(self, limit: int) -> bytes:
        """Up to and including the first empty line of an HTTP/1 message.

        Raises ConnectionEndedError, or HeadTooLongError beyond `limit` (at most BUFFER_BYTES).
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) >= limit:
                raise HeadTooLongError(f"the peer's header is longer than {limit} bytes")
            await self._more()
        return self._take(end + 4)

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _more(self) -> None:
        if self.ended.done() or self.detached:
            raise ConnectionEndedError("the peer ended the connection")
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def detach(self) -> Detached:
        """Take the socket off the event loop.

        Only when nothing is left to write: after an answer of the peer to the last message, or
        before the first. Raises ConnectionEndedError if the connection is gone (an end-of-stream
        of the peer does not count: the socket will say so again).
        """
        transport = self.transport
        if self.is_tls:
            raise ConnectionEndedError("a TLS connection cannot be handed over")
        if transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            raise ConnectionEndedError("the connection was not idle when it was handed over")
        if not self._paused:
            transport.pause_reading()
        sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        sock.setblocking(False)
        self.detached = True
        self._leave()
        transport.abort()
        early = bytes(self._buffer)
        self._buffer.clear()
        return Detached(sock, early)

    def _leave(self) -> None:
        self._transport = None
        if self.on_left is not None:
            self.on_left()
            self.on_left = None

    def shutdown(self) -> None:
        """What uvicorn calls on each of its connections when it stops."""
        self.abort()

    def abort(self) -> None:
        """End it at once; harmless if it has ended, is closing, or has been detached."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


async def connect_tcp(host: str, port: int) -> Handover:
    """A TCP connection on the event loop, names resolved without blocking. Raises OSError."""
    _, protocol = await asyncio.get_running_loop().create_connection(Handover, host, port)
    return protocol


async def connect_unix(path: str) -> Handover:
    """A UNIX stream connection on the event loop. Raises OSError."""
    _, protocol = await asyncio.get_running_loop().create_unix_connection(Handover, path)
    return protocol


async def adopt_socket(sock: socket.socket, early: bytes = b"") -> Handover:
    """Put a connected socket on the event loop; it is taken over. Raises OSError.

    `early` has been read from it before.
    """
    sock.setblocking(False)
    try:
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: Handover(early), sock=sock
        )
    except BaseException:
        sock.close()
        raise
    return protocol


def send_now(sock: socket.socket, data: bytes) -> None:
    """Write a short message to a socket whose send buffer is empty; ConnectionEndedError if not."""
    try:
        sent = sock.send(data)
    except OSError as error:
        raise ConnectionEndedError("the connection broke during the hand-over") from error
    if sent != len(data):
        raise ConnectionEndedError("the connection was not idle when it was handed over")
