"""Data connections of reverse dial: taking them on the control plane, dialling them on the runner.

Server side: `revdial_protocol(gate)` is a class for uvicorn's `http=` setting, and `FramedDialBack`
an ASGI WebSocket application for the same path. Both ask the same gate before anything else.
Client side: `dial_back`. Either way the result is a `Handover` that carries plain bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

import h11
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from earthshine.protocols.revdial import (
    DESTINATION_HEADER,
    END_OF_STREAM,
    PATH,
    TICKET_HEADER,
    UPGRADE_TOKEN,
)

from .bridge import CHUNK_BYTES, bridge, handover_pair
from .handover import ConnectionEndedError, Detached, Handover, connect_tcp, send_now
from .takeover import TakeoverProtocol, UpgradeRequest, refuse

ADMIT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 16 << 10
MAX_MESSAGE_BYTES: Final = 1 << 20
PING_SECONDS: Final = 15.0
PING_ANSWER_SECONDS: Final = 30.0

SWITCHING: Final = (
    f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE_TOKEN}\r\n\r\n"
).encode()

Framing = Literal["auto", "raw", "websocket"]


class DialBackRefusedError(Exception):
    """The control plane does not take this data connection."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(f"{status.value} {detail}")
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DialBackRequest:
    """What a runner states when it dials back. Nothing of it has been checked."""

    authorization: str
    ticket: str
    destination: str
    address: str = ""
    """The peer's, as the transport knows it; empty where the application knows better."""


class Seat(Protocol):
    """A place that waits for a data connection."""

    @property
    def keeps_loop(self) -> bool:
        """True for a spare, which stays on the event loop until it is used."""
        ...

    def take(self, connection: Handover) -> None:
        """Receives a spare."""
        ...

    def take_socket(self, connection: Detached) -> None:
        """Receives a data connection that is joined to its destination already."""
        ...


class DialBackGate(Protocol):
    """Decides over data connections."""

    async def admit(self, request: DialBackRequest) -> Seat:
        """Check identity and ticket, which is spent by this. Raises DialBackRefusedError."""
        ...


def revdial_protocol(gate: DialBackGate) -> type[TakeoverProtocol]:
    """A uvicorn HTTP protocol class that takes raw data connections for `gate`."""

    class RevdialProtocol(TakeoverProtocol):
        def claims(self, request: UpgradeRequest) -> bool:
            tokens = [value.strip().lower() for value in request.values(b"upgrade")]
            return request.path == PATH.encode() and tokens == [UPGRADE_TOKEN.encode()]

        async def take_over(self, request: UpgradeRequest, connection: Handover) -> None:
            await _take_raw(gate, request, connection)

    return RevdialProtocol


async def _take_raw(gate: DialBackGate, request: UpgradeRequest, connection: Handover) -> None:
    if request.is_tls:
        refuse(connection, HTTPStatus.UPGRADE_REQUIRED, "over TLS use the WebSocket framing")
        return
    try:
        seat = await _admit(
            gate,
            is_get=request.method == b"GET",
            has_origin=bool(request.values(b"origin")),
            authorization=request.only(b"authorization"),
            ticket=request.only(TICKET_HEADER.lower().encode()),
            destination=request.only(DESTINATION_HEADER.lower().encode()),
            address=_peer(connection),
        )
    except DialBackRefusedError as error:
        refuse(connection, error.status, error.detail)
        return
    if seat.keeps_loop:
        connection.write(SWITCHING)
        seat.take(connection)
        return
    detached = connection.detach()
    try:
        send_now(detached.sock, SWITCHING)
    except ConnectionEndedError:
        detached.sock.close()
        raise
    seat.take_socket(detached)


def _peer(connection: Handover) -> str:
    name = connection.transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) and name else ""


async def _admit(
    gate: DialBackGate,
    *,
    is_get: bool,
    has_origin: bool,
    authorization: str | None,
    ticket: str | None,
    destination: str | None,
    address: str = "",
) -> Seat:
    if has_origin or not is_get:
        raise DialBackRefusedError(HTTPStatus.FORBIDDEN, "this path is for runners")
    if authorization is None:
        raise DialBackRefusedError(HTTPStatus.UNAUTHORIZED, "the runner's token is missing")
    if ticket is None or destination is None:
        raise DialBackRefusedError(HTTPStatus.BAD_REQUEST, "ticket or destination is missing")
    try:
        async with asyncio.timeout(ADMIT_SECONDS):
            return await gate.admit(DialBackRequest(authorization, ticket, destination, address))
    except TimeoutError:
        raise DialBackRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the check timed out") from None


# --- WebSocket framing, server side ---------------------------------------------------------------

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class FramedDialBack:
    """ASGI application for WebSocket-framed data connections; mount it at `PATH`."""

    def __init__(self, gate: DialBackGate) -> None:
        self._gate = gate

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one connection until its stream has ended."""
        if scope["type"] != "websocket" or (await receive())["type"] != "websocket.connect":
            return
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        request = UpgradeRequest(b"GET", b"", tuple(headers), is_tls=False)
        try:
            if UPGRADE_TOKEN not in scope.get("subprotocols", []):
                raise DialBackRefusedError(HTTPStatus.BAD_REQUEST, "unknown subprotocol")
            seat = await _admit(
                self._gate,
                is_get=True,
                has_origin=bool(request.values(b"origin")),
                authorization=request.only(b"authorization"),
                ticket=request.only(TICKET_HEADER.lower().encode()),
                destination=request.only(DESTINATION_HEADER.lower().encode()),
            )
        except DialBackRefusedError as error:
            await _deny(scope, send, error)
            return
        await send({"type": "websocket.accept", "subprotocol": UPGRADE_TOKEN})
        connection, far = await handover_pair()
        if seat.keeps_loop:
            seat.take(connection)
        else:
            seat.take_socket(connection.detach())
        if not await bridge(_AsgiStream(receive, send), far):
            with contextlib.suppress(OSError, RuntimeError):
                await send({"type": "websocket.close", "code": 1011})


async def _deny(scope: Message, send: Send, error: DialBackRefusedError) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.detail[:100]})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send(
        {"type": "websocket.http.response.start", "status": error.status.value, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": error.detail.encode()})


class _AsgiStream:
    """A WebSocket under ASGI as a ByteStream."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send_message = send
        self._lost = False

    async def read(self) -> bytes:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self._lost = True
                raise ConnectionEndedError("the data connection was lost")
            if message.get("text") == END_OF_STREAM:
                return b""
            data = message.get("bytes")
            if data is None:
                raise ConnectionEndedError("an unknown text message")
            if data:
                return bytes(data)

    async def write(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})

    async def write_eof(self) -> None:
        await self._send({"type": "websocket.send", "text": END_OF_STREAM})

    async def _send(self, message: Message) -> None:
        try:
            await self._send_message(message)
        except (OSError, RuntimeError) as error:
            raise ConnectionEndedError("the data connection was lost") from error

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._send({"type": "websocket.close", "code": 1000})

    def abort(self) -> None:
        """The application closes with 1011 when the bridge has ended out of order."""


# --- Client side ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a runner dials back. `url` is the control plane's base URL.

    `framing` "auto" means raw over http and WebSocket over https: a TLS stream, and most proxies
    in front, cannot pass on a half-close.
    """

    url: str
    framing: Framing = "auto"
    ssl_context: ssl.SSLContext | None = None

    @property
    def is_framed(self) -> bool:
        """Whether data connections are WebSockets."""
        return self.framing == "websocket" or (
            self.framing == "auto" and urlsplit(self.url).scheme in {"https", "wss"}
        )


async def dial_back(
    endpoint: Endpoint,
    request: DialBackRequest,
    *,
    timeout: float,
    tasks: asyncio.TaskGroup,
) -> Handover:
    """Open a data connection; the copying that framing needs runs in `tasks`.

    Raises DialBackRefusedError if the control plane says no, OSError or TimeoutError if it cannot
    be reached, ValueError for an endpoint that cannot work.
    """
    async with asyncio.timeout(timeout):
        if endpoint.is_framed:
            return await _dial_framed(endpoint, request, tasks)
        return await _dial_raw(endpoint, request)


def _headers(request: DialBackRequest) -> dict[str, str]:
    return {
        "Authorization": request.authorization,
        TICKET_HEADER: request.ticket,
        DESTINATION_HEADER: request.destination,
    }


async def _dial_raw(endpoint: Endpoint, request: DialBackRequest) -> Handover:
    parts = urlsplit(endpoint.url)
    if parts.scheme not in {"http", "ws"} or parts.hostname is None:
        raise ValueError("a raw data connection needs an http:// address")
    connection = await connect_tcp(parts.hostname, parts.port or 80)
    try:
        exchange = h11.Connection(h11.CLIENT)
        headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "Connection": "Upgrade",
            "Upgrade": UPGRADE_TOKEN,
            **_headers(request),
        }
        target = parts.path.rstrip("/") + PATH
        head = h11.Request(method="GET", target=target, headers=list(headers.items()))
        connection.write(exchange.send(head) or b"")
        exchange.receive_data(await connection.read_head(MAX_ANSWER_BYTES))
        answer = exchange.next_event()
        if isinstance(answer, h11.InformationalResponse) and answer.status_code == 101:
            return connection
        if isinstance(answer, h11.Response):
            raise _refusal(answer.status_code, bytes(answer.reason).decode("latin-1"))
        raise ConnectionEndedError("the control plane did not answer the upgrade")
    except h11.ProtocolError as error:
        connection.abort()
        raise ConnectionEndedError("the control plane's answer is not HTTP") from error
    except BaseException:
        connection.abort()
        raise


def _refusal(status: int, detail: str) -> DialBackRefusedError:
    try:
        return DialBackRefusedError(HTTPStatus(status), detail)
    except ValueError:
        return DialBackRefusedError(HTTPStatus.BAD_GATEWAY, f"status {status}")


async def _dial_framed(
    endpoint: Endpoint, request: DialBackRequest, tasks: asyncio.TaskGroup
) -> Handover:
    parts = urlsplit(endpoint.url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    url = parts._replace(scheme=scheme, path=parts.path.rstrip("/") + PATH).geturl()
    try:
        socket = await connect(
            url,
            additional_headers=_headers(request),
            subprotocols=[Subprotocol(UPGRADE_TOKEN)],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            write_limit=CHUNK_BYTES,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_ANSWER_SECONDS,
            ssl=(endpoint.ssl_context or True) if scheme == "wss" else None,
        )
    except InvalidStatus as error:
        detail = bytes(error.response.body or b"").decode("utf-8", "replace")[:200]
        raise _refusal(error.response.status_code, detail) from error
    except InvalidHandshake as error:
        raise ConnectionEndedError("the control plane did not answer the upgrade") from error
    try:
        connection, far = await handover_pair()
    except BaseException:
        socket.transport.abort()
        raise
    stream = _ClientStream(socket)

    def close(_: object) -> None:  # also when the task is cancelled before it begins
        stream.abort()
        far.abort()

    tasks.create_task(bridge(stream, far)).add_done_callback(close)
    return connection


class _ClientStream:
    """A `websockets` connection as a ByteStream."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            try:
                message = await self._socket.recv()
            except ConnectionClosed as error:
                raise ConnectionEndedError("the data connection was lost") from error
            if message == END_OF_STREAM:
                return b""
            if isinstance(message, str):
                raise ConnectionEndedError("an unknown text message")
            if message:
                return message

    async def write(self, data: bytes) -> None:
        await self._send(data)

    async def write_eof(self) -> None:
        await self._send(END_OF_STREAM)

    async def _send(self, message: bytes | str) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise ConnectionEndedError("the data connection was lost") from error

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        self._socket.transport.abort()
