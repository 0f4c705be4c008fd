"""The HTTP side of a host: one GET per connection, answered and closed.

h11 reads and writes HTTP; this adds limits, deadlines, and the notice that a client went away while
its answer was still being made (pairing waits for a person).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import h11

from earthshine.net.moonlight.tls import PlainStream, Stream, TlsStream
from earthshine.protocols.moonlight.addresses import plain
from earthshine.protocols.moonlight.query import MAX_TARGET_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from OpenSSL import SSL

MAX_HEAD_BYTES: Final = MAX_TARGET_BYTES + 16384
HEAD_SECONDS: Final = 10.0
"""From connecting to the end of the request's head, TLS included."""
ANSWER_SECONDS: Final = 600.0
"""How long an answer may take: longer than a pairing waits for its PIN."""
WRITE_SECONDS: Final = 20.0

MAX_CHATTER_BYTES: Final = 65536
"""What a client may say after its request; more, and it counts as gone."""

XML: Final = "text/xml"
PNG: Final = "image/png"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """One GET. ``certificate``: DER the client proved to hold; None over HTTP or without one."""

    target: str
    address: str
    local_address: str
    secure: bool
    certificate: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is HTTP's; GameStream's own status is inside the XML."""

    body: bytes
    status: int = 200
    content_type: str = XML


class HttpServer:
    """Serves connections of a `Listener`. ``context``: TLS, or None for plain HTTP.

    ``handle`` is cancelled when the client goes away before its answer.
    """

    def __init__(
        self, handle: Callable[[Asked], Awaitable[Answer]], context: SSL.Context | None = None
    ) -> None:
        self._handle = handle
        self._context = context

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        """One connection. Raises OSError, TimeoutError, ConnectionFailedError."""
        local = plain(str(writer.get_extra_info("sockname")[0]))
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        certificate = None
        async with asyncio.timeout(HEAD_SECONDS):
            stream: Stream
            if self._context is None:
                stream = PlainStream(reader, writer)
            else:
                secured = stream = TlsStream(reader, writer, self._context, server=True)
                await secured.handshake()
                certificate = secured.peer_certificate
            try:
                request = await _head(connection, stream)
            except h11.RemoteProtocolError as error:
                await _write(connection, stream, Answer(b"", error.error_status_hint))
                return
        if request is None:
            return
        if request.method != b"GET":
            await _write(connection, stream, Answer(b"", 405))
            return
        secure = self._context is not None
        target = request.target.decode("latin-1")
        asked = Asked(target, address, local, secure, certificate)
        answer = await self._answer(asked, stream)
        if answer is not None:
            async with asyncio.timeout(WRITE_SECONDS):
                await _write(connection, stream, answer)

    async def _answer(self, asked: Asked, stream: Stream) -> Answer | None:
        """The handler's answer; None when the client left first."""
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._handled(asked))
            watch = tasks.create_task(_until_gone(stream, work))
            await asyncio.wait([work])
            watch.cancel()
        return None if work.cancelled() else work.result()

    async def _handled(self, asked: Asked) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._handle(asked)
        except TimeoutError:
            return Answer(b"", 503)
        except Exception:
            log.exception("a GameStream request failed")
            return Answer(b"", 500)


async def _until_gone(stream: Stream, work: asyncio.Task[Answer]) -> None:
    left = MAX_CHATTER_BYTES
    try:
        while left > 0 and (data := await stream.read()):
            left -= len(data)
    except Exception:  # noqa: BLE001  gone is gone, however it shows
        log.debug("a client left before its answer")
    work.cancel()


async def _head(connection: h11.Connection, stream: Stream) -> h11.Request | None:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.read())
            continue
        return None


async def _write(connection: h11.Connection, stream: Stream, answer: Answer) -> None:
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Connection", "close"),
    ]
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    data = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    data += connection.send(h11.Data(data=answer.body)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    await stream.write(data)
    stream.close()
