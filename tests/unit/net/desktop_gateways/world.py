"""What stands on both sides of a gateway: a server's end of a real socket, and a fake browser."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from earthshine.net.bridge import TransportStream, socket_pair
from earthshine.net.desktop_gateways import BrowserLeftError, Ending, GatewayError

SECONDS = 5.0


class FakeBrowser:
    """A WebSocket whose page is the test: `say` and `leave`, `hear` what was sent."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Any] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._said.put_nowait(message)

    def leave(self) -> None:
        self._said.put_nowait(None)

    async def hear(self) -> Any:
        async with asyncio.timeout(SECONDS):
            return await self._heard.get()

    async def hear_bytes(self, count: int) -> bytes:
        heard = b""
        while len(heard) < count:
            heard += await self.hear()
        assert len(heard) == count
        return heard

    def has_heard_all(self) -> bool:
        return self._heard.empty()

    async def receive_bytes(self) -> Any:
        message = await self._said.get()
        if message is None:
            raise BrowserLeftError("the test left")
        return message

    receive_text = receive_bytes

    async def send_bytes(self, data: Any) -> None:
        await self.reads.wait()
        self._heard.put_nowait(data)

    send_text = send_bytes


@dataclass
class Stage:
    """`near` is for the gateway; the test plays the server on `far`."""

    near: TransportStream
    far: TransportStream
    browser: FakeBrowser

    async def expect(self, data: bytes) -> None:
        """The server gets exactly this next."""
        async with asyncio.timeout(SECONDS):
            assert await self.far.reader.readexactly(len(data)) == data

    async def ends(self) -> bytes:
        """What the server gets until its connection ends or breaks."""
        got = b""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                while data := await self.far.read():
                    got += data
        return got


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    near, far = map(TransportStream.on_socket, socket_pair())
    here = Stage(await near, await far, FakeBrowser())
    try:
        yield here
    finally:
        here.near.abort()
        here.far.abort()


@contextlib.asynccontextmanager
async def running(run: Callable[[], Awaitable[Ending]]) -> AsyncIterator[asyncio.Task[Ending]]:
    """A gateway at work; its task must have ended with the block, or is cancelled."""
    task = asyncio.ensure_future(run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def failure(task: asyncio.Task[Ending]) -> GatewayError:
    """How a gateway failed."""
    async with asyncio.timeout(SECONDS):
        done, _ = await asyncio.wait({task})
    error = task.exception()
    assert done
    assert isinstance(error, GatewayError), error
    return error


async def ending(task: asyncio.Task[Ending]) -> Ending:
    """How a gateway ended in order."""
    async with asyncio.timeout(SECONDS):
        return await task
