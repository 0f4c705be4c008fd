"""A uvicorn HTTP protocol that can take the connection of an Upgrade request away from ASGI.

What is taken over passes by the application and its middleware, so a subclass must make every check
itself, in `take_over`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .handover import ConnectionEndedError, Handover

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's head, above what one read delivers at once: uvicorn's parser knows no limit."""
TAKEOVER_SECONDS: Final = 60.0
"""A take-over that has neither answered nor detached by then is ended."""


_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The head of a request: header names in lower case, order and repetitions kept."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    is_tls: bool

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    def values(self, name: bytes) -> list[bytes]:
        """All values of one header, `name` in lower case."""
        return [value for key, value in self.headers if key == name]

    def only(self, name: bytes) -> str | None:
        """A header that must not be repeated: its value, or None if absent or repeated."""
        values = self.values(name)
        return values[0].decode("latin-1").strip() if len(values) == 1 else None


class TakeoverProtocol(HttpToolsProtocol):
    """Base: subclasses say which requests they claim, and serve them."""

    _tail: bytes = b""
    _in_head = False
    _head_bytes = 0

    def claims(self, request: UpgradeRequest) -> bool:
        """Whether this Upgrade request is ours; others go on to the application."""
        raise NotImplementedError

    async def take_over(self, request: UpgradeRequest, connection: Handover) -> None:
        """Serve the connection: answer and abort, or detach it. Bounded by TAKEOVER_SECONDS."""
        raise NotImplementedError

    # --- What uvicorn calls -----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data[-4:])[-4:]
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        return self._claimed() is not None or super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        request = self._claimed()
        if request is None:
            super().handle_websocket_upgrade()
            return
        self.connections.discard(self)
        connection = Handover()
        # Until it is detached, uvicorn ends it when it stops, and waits for its end.
        connections: set[Any] = self.connections
        connections.add(connection)
        connection.on_left = partial(connections.discard, connection)
        cycle: RequestResponseCycle | None = self.cycle
        busy = cycle is not None and not cycle.response_complete
        has_body = bool(request.values(b"content-length") or request.values(b"transfer-encoding"))
        connection.adopt(self.transport)
        if busy or has_body or self._tail != b"\r\n\r\n":
            # Bytes before the 101 would be lost, so whoever sends them is told.
            refuse(connection, HTTPStatus.BAD_REQUEST, "nothing may follow before the 101")
            return
        task = self.loop.create_task(self._serve(request, connection))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        # A task that is cancelled before it begins cannot close anything itself.
        task.add_done_callback(lambda task: connection.abort() if task.cancelled() else None)

    def _claimed(self) -> UpgradeRequest | None:
        if self._get_upgrade() is None:
            return None
        request = UpgradeRequest(
            self.parser.get_method(), self.url, tuple(self.headers), self.scheme == "https"
        )
        return request if self.claims(request) else None

    async def _serve(self, request: UpgradeRequest, connection: Handover) -> None:
        try:
            async with asyncio.timeout(TAKEOVER_SECONDS):
                await self.take_over(request, connection)
        except (OSError, TimeoutError, ConnectionEndedError) as error:
            logger.debug("an upgraded connection ended early: %s", error)
            connection.abort()
        except BaseException:
            connection.abort()
            raise


def refuse(
    connection: Handover,
    status: HTTPStatus,
    detail: str,
    *,
    body: bytes = b"",
    kind: str = "text/plain",
) -> None:
    """Answer with an error and close. `detail` goes into the status line: short, ASCII."""
    reason = "".join(sign if " " <= sign <= "~" else "?" for sign in detail)[:200]
    body = body or f"{reason}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {reason}\r\nContent-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    try:
        connection.write(head.encode("ascii") + body)
        connection.transport.close()
    except ConnectionEndedError:
        return
