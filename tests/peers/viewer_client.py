"""A viewer of a desktop without a browser: speaks the viewer protocol and decodes the video."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from earthshine.protocols import viewer
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.viewers.decoding import Decoder

T = TypeVar("T")
PATIENCE = 30.0


class Client:
    """Hears everything, says that it has seen each frame, and remembers."""

    def __init__(self, socket: ClientConnection, opened: float, *, sees: bool = True) -> None:
        self.heard: list[viewer.FromDesktop] = []
        self.closed: int | None = None
        self.reason: str | None = None
        self.opened = opened
        self.first_frame: float | None = None
        """Seconds from the attempt to connect until the first frame was decoded."""
        self.shown: list[tuple[int, int]] = []
        """Times (ms) read from the barcode of frames, and when they were decoded."""
        self._socket = socket
        self._sees = sees
        self._decoder = Decoder()
        self._read = 0
        self._news = asyncio.Event()

    async def listen(self) -> None:
        try:
            async for data in self._socket:
                assert isinstance(data, bytes)
                await self._hear(viewer.decode_from_desktop(data))
        except ConnectionClosed:
            pass
        self.closed = self._socket.close_code
        self.reason = self._socket.close_reason
        self._news.set()

    async def _hear(self, message: viewer.FromDesktop) -> None:
        self.heard.append(message)
        self._news.set()
        if isinstance(message, viewer.Video):
            unit = message.data
            if message.flags & viewer.FrameFlag.DAMAGE:
                _, unit = viewer.split_damage(unit)
            luma = self._decoder.luma(unit)
            if self.first_frame is None:
                self.first_frame = time.monotonic() - self.opened
            found = barcode.read(luma)
            if found is not None:
                self.shown.append((found, barcode.now()))
        if self._sees and isinstance(message, viewer.Video | viewer.Still):
            await self.say(viewer.Seen(message.frame, 1000))

    async def say(self, *messages: viewer.Message) -> None:
        for message in messages:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(viewer.encode(message))

    async def next(self, kind: type[T], met: Callable[[T], bool] = lambda _: True) -> T:
        """The next message of this kind that nobody has asked for yet."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._read < len(self.heard):
                    message = self.heard[self._read]
                    self._read += 1
                    if isinstance(message, kind) and met(message):
                        return message
                assert self.closed is None, f"closed with {self.closed}: {self.reason}"
                self._news.clear()
                await self._news.wait()

    async def until_closed(self) -> int:
        async with asyncio.timeout(PATIENCE):
            while self.closed is None:
                self._news.clear()
                await self._news.wait()
        return self.closed

    def all(self, kind: type[T]) -> list[T]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def type(self, text: str) -> None:
        """Key by key, as a keyboard does."""
        for character in text:
            keysym = 0xFF0D if character == "\n" else ord(character)
            await self.say(viewer.Key(1, keysym, 0), viewer.Key(0, keysym, 0))


@contextlib.asynccontextmanager
async def watching(
    url: str, headers: dict[str, str], *, sees: bool = True, **wants: Any
) -> AsyncIterator[Client]:
    """A viewer of the desktop at this WebSocket address, who has said what it wants."""
    opened = time.monotonic()
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=[viewer.SUBPROTOCOL],  # type: ignore[list-item]
        max_size=None,
        compression=None,
    ) as socket:
        client = Client(socket, opened, sees=sees)
        listening = asyncio.create_task(client.listen())
        await client.say(viewer.Watch(**wants))
        try:
            yield client
        finally:
            await socket.close()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
