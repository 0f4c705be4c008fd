"""A browser's WebSocket, as gateways see it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from starlette.websockets import WebSocketDisconnect


class BrowserLeftError(ConnectionError):
    """The WebSocket has been closed or lost."""


class BinaryBrowser(Protocol):
    """A WebSocket of binary messages. Both methods raise BrowserLeftError."""

    async def receive_bytes(self) -> bytes:
        """The next message."""
        ...

    async def send_bytes(self, data: bytes) -> None:
        """Returns when there is room for more."""
        ...


class TextBrowser(Protocol):
    """A WebSocket of text messages. Both methods raise BrowserLeftError."""

    async def receive_text(self) -> str:
        """The next message."""
        ...

    async def send_text(self, data: str) -> None:
        """Returns when there is room for more."""
        ...


Message = MutableMapping[str, Any]


class AsgiBrowser:
    """An accepted WebSocket under ASGI (Starlette's methods will do), for either kind of gateway.

    A message of the other kind is an error of the browser, and counts as its leaving.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._receive = receive
        self._send = send

    async def receive_bytes(self) -> bytes:
        data = await self._next("bytes")
        return bytes(data)

    async def receive_text(self) -> str:
        return str(await self._next("text"))

    async def send_bytes(self, data: bytes) -> None:
        await self._put({"type": "websocket.send", "bytes": data})

    async def send_text(self, data: str) -> None:
        await self._put({"type": "websocket.send", "text": data})

    async def close(self, code: int, reason: str) -> None:
        """After the gateway has ended; harmless if the browser has closed it already."""
        with contextlib.suppress(BrowserLeftError):
            await self._put({"type": "websocket.close", "code": code, "reason": reason})

    async def _next(self, kind: str) -> Any:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise BrowserLeftError("the browser closed the connection")
        data = message.get(kind)
        if data is None:
            raise BrowserLeftError(f"the browser sent something else than {kind}")
        return data

    async def _put(self, message: Message) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError, WebSocketDisconnect) as error:
            raise BrowserLeftError("the browser closed the connection") from error
