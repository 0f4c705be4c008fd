"""The HTTP side of a client: plain, or TLS with the own certificate and the host's one pinned."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from typing import TYPE_CHECKING, Final

import h11

from earthshine.net.moonlight.connections import connect
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.tls import PlainStream, Stream, TlsStream, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from earthshine.protocols.moonlight.certificates import Certificate, Identity
    from earthshine.protocols.moonlight.query import Request

CONNECT_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 5.0
LAUNCH_SECONDS: Final = 120.0
RESUME_SECONDS: Final = 30.0
PIN_SECONDS: Final = 310.0
MAX_BODY_BYTES: Final = 4 << 20
"""Box art is the largest answer."""


async def get(host: str, port: int, request: Request, timeout: float = REQUEST_SECONDS) -> bytes:
    """The body of a plain GET. Raises ConnectionFailedError."""
    reader, writer = await connect(host, port, CONNECT_SECONDS)
    try:
        return await _exchange(PlainStream(reader, writer), host, request, timeout)
    finally:
        writer.close()


async def get_secure(
    host: str,
    port: int,
    request: Request,
    identity: Identity,
    pinned: Certificate,
    timeout: float = REQUEST_SECONDS,
) -> bytes:
    """The body of a GET over TLS to the holder of ``pinned`` only. Raises ConnectionFailedError."""
    reader, writer = await connect(host, port, CONNECT_SECONDS)
    try:
        stream = TlsStream(reader, writer, client_context(identity), server=False)
        async with _deadline(host, CONNECT_SECONDS):
            await stream.handshake()
        if not hmac.compare_digest(stream.peer_certificate or b"", pinned.der):
            raise ConnectionFailedError(
                f"{host} shows another certificate than when it was paired: pair with it again "
                "if it was set up anew"
            )
        return await _exchange(stream, host, request, timeout)
    except OSError as error:
        raise ConnectionFailedError(f"the connection to {host} broke: {error}") from None
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _deadline(host: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ConnectionFailedError(f"{host} did not answer in {seconds:g} s") from None


async def _exchange(stream: Stream, host: str, request: Request, timeout: float) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("Connection", "close"), ("Accept", "*/*")]
    head = connection.send(h11.Request(method="GET", target=request.target, headers=headers))
    data = (head or b"") + (connection.send(h11.EndOfMessage()) or b"")
    body = bytearray()
    try:
        async with _deadline(host, timeout):
            await stream.write(data)
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.read())
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > MAX_BODY_BYTES:
                        raise ConnectionFailedError(f"{host} answered too much")
                elif isinstance(event, h11.Response):
                    # 401 carries XML that says what the matter is.
                    if event.status_code not in (200, 401):
                        raise ConnectionFailedError(
                            f"{host} answered HTTP status {event.status_code}"
                        )
                elif isinstance(event, h11.EndOfMessage):
                    return bytes(body)
                else:
                    raise ConnectionFailedError(f"{host} ended the connection early")
    except h11.RemoteProtocolError as error:
        raise ConnectionFailedError(f"{host} does not speak HTTP: {error}") from None
    except OSError as error:
        raise ConnectionFailedError(f"the connection to {host} broke: {error}") from None
