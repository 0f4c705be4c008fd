"""A doorkeeper before a real TigerVNC, with clients that are the VNC gateway's own handshake."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from earthshine.net.bridge import TransportStream
from earthshine.protocols.rfb import RefusedError, ServerHandshake, ServerStage
from earthshine.runner.desktops import x11
from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.rdp import doorkeeper as module
from earthshine.runner.desktops.rdp.display import DisplayGoneError
from earthshine.runner.desktops.rdp.doorkeeper import Connected, Doorkeeper
from earthshine.runner.desktops.rdp.offers import Offer, Offers

Eventually = Callable[..., Awaitable[Any]]
PASSWORD = "pa55word"
POINTER_AT = (123, 45)


class _DoneError(Exception):
    pass


class Door:
    """The doorkeeper, its offers and clients."""

    def __init__(self, display: Display | None) -> None:
        self.offers = Offers()
        self.now = 0.0
        self.display = display
        self.keeper = Doorkeeper("one", self._connect, self.offers, lambda: self.now)
        self.port = 0

    async def _connect(self) -> Connected:
        if self.display is None:
            raise DisplayGoneError("the display does not run")
        self.display.set_passwords(PASSWORD, "another1")
        reader, writer = await asyncio.open_unix_connection(str(self.display.rfb_path))
        stream = TransportStream(reader, writer)
        handshake = await greeted(stream, PASSWORD)
        assert handshake.desktop is not None
        return stream, handshake.desktop, handshake.early

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Door]:
        try:
            async with asyncio.TaskGroup() as tasks:
                self.port = await self.keeper.open(tasks)
                yield self
                self.keeper.close()
                raise _DoneError
        except* _DoneError:
            pass

    def issue(self, *, view_only: bool = False) -> Offer:
        return self.offers.issue(view_only=view_only, seconds=60, now=self.now)

    async def connect(self, password: str) -> tuple[TransportStream, ServerHandshake]:
        """A client inside. Raises RefusedError."""
        stream = TransportStream(*await asyncio.open_connection("127.0.0.1", self.port))
        return stream, await greeted(stream, password)


async def greeted(stream: TransportStream, password: str) -> ServerHandshake:
    handshake = ServerHandshake(password)
    try:
        while handshake.stage is not ServerStage.DONE:
            data = await stream.read()
            if not data:
                raise handshake.refused_at_end() or ConnectionResetError
            await stream.write(handshake.receive(data))
    except BaseException:
        stream.abort()
        raise
    return handshake


@pytest.fixture
async def door(display: Display, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(module, "WRONG_SECONDS", 0.0)
    async with Door(display).running() as door:
        yield door


def pointer(display: Display) -> tuple[int, int]:
    connection = x11.connect(display.name, str(display.authority))
    try:
        at = connection.screen().root.query_pointer()
        return at.root_x, at.root_y
    finally:
        x11.disconnect(connection)


def moves(x: int, y: int) -> bytes:
    return struct.pack(">BBHH", 5, 0, x, y)


async def answered(stream: TransportStream) -> None:
    """The server has read all that was sent: it answers a request for one pixel."""
    await stream.write(struct.pack(">BxH1i", 2, 1, 0) + struct.pack(">BB4H", 3, 0, 0, 0, 1, 1))
    async with asyncio.timeout(10):
        assert await stream.read()


async def test_a_password_shows_the_desktop_and_lets_type(door, display, eventually):
    offer = door.issue()
    stream, handshake = await door.connect(offer.password)
    assert handshake.desktop is not None
    assert (handshake.desktop.width, handshake.desktop.height) == (800, 600)
    await stream.write(moves(*POINTER_AT))
    assert await eventually(lambda: pointer(display) == POINTER_AT)
    assert door.keeper.inside == 1
    stream.abort()
    assert await eventually(lambda: door.keeper.inside == 0)


async def test_who_only_watches_moves_nothing_until_given_control(door, display, eventually):
    offer = door.issue(view_only=True)
    stream, _ = await door.connect(offer.password)
    before = pointer(display)
    await stream.write(moves(*POINTER_AT))
    await answered(stream)
    assert pointer(display) == before
    await door.keeper.adjust(offer.offer_id, view_only=False)
    await stream.write(moves(*POINTER_AT))
    assert await eventually(lambda: pointer(display) == POINTER_AT)
    await door.keeper.adjust(offer.offer_id, view_only=True)
    await stream.write(moves(1, 1))
    await answered(stream)
    assert pointer(display) == POINTER_AT
    stream.abort()


@pytest.mark.parametrize(
    ("how", "words"),
    [("used", "has been used"), ("expired", "has expired"), ("guess", "none of this desktop's")],
)
async def test_passwords_that_are_no_good(door, how, words, caplog):
    caplog.set_level(logging.WARNING)
    offer = door.issue()
    if how == "used":
        (await door.connect(offer.password))[0].abort()
    if how == "expired":
        door.now = 61
    with pytest.raises(RefusedError) as refused:
        await door.connect("wrong" if how == "guess" else offer.password)
    assert words in refused.value.reason
    assert words in caplog.text
    assert offer.password not in caplog.text


async def test_who_is_put_out_is_out(door):
    offer = door.issue()
    stream, _ = await door.connect(offer.password)
    door.keeper.withdraw(offer.offer_id)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(10):
            while await stream.read():
                pass
            raise ConnectionResetError


async def test_without_a_display_there_are_words(monkeypatch):
    async with Door(None).running() as door:
        with pytest.raises(RefusedError, match="the display does not run"):
            await door.connect(door.issue().password)


async def test_the_door_is_not_kept_busy(door):
    waiting = [
        await asyncio.open_connection("127.0.0.1", door.port) for _ in range(module.MAX_AT_DOOR)
    ]
    for reader, _ in waiting:
        assert await reader.readexactly(12)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        try:
            await reader.readexactly(12)
        finally:
            writer.close()
    for _, writer in waiting:
        writer.close()
