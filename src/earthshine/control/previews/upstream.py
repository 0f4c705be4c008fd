"""HTTP/1.1 to a development server through reverse dial, with a few connections kept alive."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import h11

from earthshine.control.dialing.service import DialedStream, DialService
from earthshine.net.bridge import TransportStream

from .book import Preview
from .headers import Header

MAX_IDLE: Final = 6
IDLE_SECONDS: Final = 3.0
"""Node's servers close idle connections after five."""
MAX_CONNECTIONS: Final = 64
"""In one preview; further requests wait."""
MAX_HEAD_BYTES: Final = 64 << 10
HEAD_SECONDS: Final = 600.0
"""For the head of an answer: first requests wait for compilers, long polls for events."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class UpstreamError(Exception):
    """The development server broke off or does not speak HTTP; the message is for people."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the development server shall see it."""

    method: str
    target: bytes
    headers: list[Header]
    has_body: bool


class _Connection:
    def __init__(self, dialed: DialedStream, stream: TransportStream) -> None:
        self._dialed = dialed  # keeps the runner's hold on the stream
        self.stream = stream
        self.http = self._fresh()
        self.was_used = False
        self.idle_since = 0.0

    @staticmethod
    def _fresh() -> h11.Connection:
        return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)

    @property
    def is_alive(self) -> bool:
        return not self.stream.reader.at_eof() and not self.stream.writer.is_closing()

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            await self.stream.write(data)

    async def receive(self) -> h11.Event | None:
        """The next event; None where nothing more can come."""
        while True:
            event = self.http.next_event()
            if event is h11.PAUSED:
                return None
            if isinstance(event, h11.Event):
                return event
            data = await self.stream.read()
            if not data and self.http.their_state is h11.SEND_RESPONSE:
                raise ConnectionResetError  # the end of stream says less than h11 would make of it
            self.http.receive_data(data)

    def next_cycle(self) -> bool:
        """Whether another request can follow."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.was_used = True
        return self.is_alive and self.http.trailing_data == (b"", False)


class Upstream:
    """The connections to one preview's development server."""

    def __init__(self, preview: Preview, dials: DialService) -> None:
        self._preview = preview
        self._dials = dials
        self._idle: deque[_Connection] = deque()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._closed = False

    async def dial(self) -> DialedStream:
        """A fresh connection. Raises DomainError."""
        address = self._preview.names.inside_host
        return await self._dials.dial(self._preview.runner_id, address)

    @contextlib.asynccontextmanager
    async def exchange(
        self, request: Outgoing, body: Callable[[], Awaitable[bytes | None]]
    ) -> AsyncIterator[Answer]:
        """Send a request; yields the answer when its head is here.

        `body` gives the next piece of the request's body, None at its end. A connection that was
        kept alive and turns out dead is replaced where repeating can do no harm. Raises
        DomainError or UpstreamError.
        """
        async with self._room:
            connection, answer = await self._begin(request, body)
            try:
                yield answer
            finally:
                answer.uploading.cancel()
                await asyncio.gather(answer.uploading, return_exceptions=True)
                self._give_back(connection)

    async def _begin(
        self, request: Outgoing, body: Callable[[], Awaitable[bytes | None]]
    ) -> tuple[_Connection, Answer]:
        while True:
            connection = self._take() or await self._connect()
            uploading = asyncio.ensure_future(_upload(connection, request, body))
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    head = await _head(connection)
            except (OSError, h11.RemoteProtocolError, TimeoutError) as error:
                await _stop(uploading)
                connection.stream.abort()
                if connection.was_used and request.method in _SAFE and not request.has_body:
                    continue
                raise UpstreamError(_why(error)) from error
            except BaseException:
                await _stop(uploading)
                connection.stream.abort()
                raise
            return connection, Answer(connection, head, uploading)

    async def _connect(self) -> _Connection:
        dialed = await self.dial()
        detached = dialed.take()
        try:
            stream = await TransportStream.on_socket(detached.sock, detached.early)
        except OSError as error:
            raise UpstreamError("The connection to the runner broke.") from error
        return _Connection(dialed, stream)

    def _take(self) -> _Connection | None:
        self._drop_stale()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive:
                return connection
            connection.stream.abort()
        return None

    def _give_back(self, connection: _Connection) -> None:
        self._drop_stale()
        if self._closed or len(self._idle) >= MAX_IDLE or not connection.next_cycle():
            connection.stream.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        asyncio.get_running_loop().call_later(IDLE_SECONDS + 0.1, self._drop_stale)

    def _drop_stale(self) -> None:
        limit = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since <= limit:
            self._idle.popleft().stream.abort()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().stream.abort()


class Answer:
    """A response whose head has arrived."""

    def __init__(
        self, connection: _Connection, head: h11.Response, uploading: asyncio.Future[None]
    ) -> None:
        self._connection = connection
        self.status = head.status_code
        self.headers: list[Header] = [(bytes(n), bytes(v)) for n, v in head.headers]
        self.uploading = uploading

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces as they come. Raises UpstreamError if the server breaks off."""
        while True:
            try:
                event = await self._connection.receive()
            except (OSError, h11.RemoteProtocolError) as error:
                raise UpstreamError(_why(error)) from error
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise UpstreamError("It ended its answer in the middle.")


async def _upload(
    connection: _Connection, request: Outgoing, body: Callable[[], Awaitable[bytes | None]]
) -> None:
    """Send head and body. A server may answer, and stop reading, before it has seen all of it."""
    with contextlib.suppress(OSError):
        await connection.send(
            h11.Request(method=request.method, target=request.target, headers=request.headers)
        )
        while request.has_body and (piece := await body()) is not None:
            if piece:
                await connection.send(h11.Data(data=piece))
        await connection.send(h11.EndOfMessage())


async def _head(connection: _Connection) -> h11.Response:
    while True:
        event = await connection.receive()
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
            raise ConnectionResetError("It closed the connection without an answer.")


async def _stop(uploading: asyncio.Future[None]) -> None:
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)


def _why(error: Exception) -> str:
    if isinstance(error, h11.RemoteProtocolError):
        return f"What listens on this port does not speak HTTP ({error})."
    if isinstance(error, TimeoutError):
        return f"It did not answer within {HEAD_SECONDS:.0f} s."
    return "It closed the connection without completing its answer."
