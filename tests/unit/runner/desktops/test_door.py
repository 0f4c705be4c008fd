"""The door before a real TigerVNC: each client with a password of its own, good once."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from earthshine.net.bridge import TransportStream
from earthshine.net.entry import entry_socket
from earthshine.net.relay import Relay
from earthshine.protocols.rfb import RefusedError, ServerHandshake, ServerStage, vnc_response
from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.backends.tigervnc import password_file
from earthshine.runner.desktops.door import MAX_OFFERS, Door
from earthshine.runner.desktops.keeper import DesktopError
from earthshine.runner.desktops.messages import Status

SECONDS = 10.0
ALLOWED_SECONDS = 30.0


class FakeDesktop:
    """A display without a holder; keeps what it is told of viewers."""

    def __init__(self, display: Display) -> None:
        self.status = Status(phase="running", pid=1, rfb_path=str(display.rfb_path))
        self.viewers: list[int] = []

    def watching(self, viewers: int) -> None:
        self.viewers.append(viewers)


class Here:
    def __init__(self, display: Display, door: Door, path: str) -> None:
        self.display = display
        self.door = door
        self.path = path
        self.now = 1000.0

    @property
    def desktop(self) -> Any:
        return self.door.desktop

    def log(self) -> str:
        """What TigerVNC has written."""
        return (self.display.spec.runtime / "display.log").read_text()

    def knocking(self) -> AbstractAsyncContextManager[TransportStream]:
        return knocking(self.path)

    def client(self, password: str, path: str = "") -> AbstractAsyncContextManager[TransportStream]:
        return let_in(path or self.path, password)


@contextlib.asynccontextmanager
async def knocking(path: str) -> AsyncIterator[TransportStream]:
    stream = TransportStream(*await asyncio.open_unix_connection(path))
    try:
        yield stream
    finally:
        stream.abort()


@contextlib.asynccontextmanager
async def let_in(path: str, password: str) -> AsyncIterator[TransportStream]:
    """A client whom the server has let in. Raises RefusedError."""
    async with knocking(path) as stream:
        await greet(stream, password)
        yield stream


async def greet(stream: TransportStream, password: str) -> None:
    handshake = ServerHandshake(password)
    async with asyncio.timeout(SECONDS):
        while handshake.stage is not ServerStage.DONE:
            data = await stream.read()
            if not data and (error := handshake.refused_at_end()) is not None:
                raise error
            await stream.write(handshake.receive(data))


@pytest.fixture
async def here(
    open_display: Callable[..., Awaitable[Display]], runtime: Path
) -> AsyncIterator[Here]:
    display = await open_display()
    relay = Relay()
    relay.start()
    place: Here

    def clock() -> float:
        return place.now

    door = Door(FakeDesktop(display), relay, clock)  # type: ignore[arg-type]
    place = Here(display, door, str(runtime / "door.sock"))
    async with entry_socket(place.path, door.admit):
        yield place
    relay.close()


async def test_a_password_is_good_once(here: Here) -> None:
    offer = here.door.offer()
    assert offer.password not in repr(offer)
    async with here.client(offer.password):
        assert here.door.clients == 1
        with pytest.raises(RefusedError):
            async with here.client(offer.password):
                pass
    assert "AuthFailureException" in here.log() or "Authentication fail" in here.log()


async def test_a_password_that_was_never_offered_is_refused_by_the_server(here: Here) -> None:
    here.door.offer()
    with pytest.raises(RefusedError) as refused:
        async with here.client("deadbeef"):
            pass
    assert refused.value.reason, "TigerVNC's own words"
    assert "Authentication fail" in here.log()
    assert here.desktop.viewers == []


async def test_what_the_server_knew_for_one_client_is_of_no_use_afterwards(here: Here) -> None:
    """Past the door, on the server's own socket."""
    offer = here.door.offer()
    file = password_file(here.desktop.status.rfb_path)
    async with here.client(offer.password):
        for password in (offer.password, ""):
            with pytest.raises(RefusedError):
                async with here.client(password, here.desktop.status.rfb_path):
                    pass
    before = file.read_bytes()
    other = here.door.offer()
    async with here.client(other.password):
        assert file.read_bytes() != before


async def test_an_offer_expires(here: Here) -> None:
    offer = here.door.offer(seconds=5)
    kept = here.door.offer(seconds=50)
    here.now += 6
    with pytest.raises(RefusedError):
        async with here.client(offer.password):
            pass
    async with here.client(kept.password):
        pass


def stage(handshake: ServerHandshake) -> ServerStage:
    """Where it is now: it moves on with what it receives."""
    return handshake.stage


async def test_a_client_that_hesitates_keeps_nobody_waiting(here: Here) -> None:
    first, second = here.door.offer(), here.door.offer()
    async with here.knocking() as slow:
        handshake = ServerHandshake(first.password)
        while stage(handshake) is not ServerStage.CHALLENGE:
            await slow.write(handshake.receive(await slow.read()))
        async with here.client(second.password):
            while stage(handshake) is not ServerStage.DONE:
                await slow.write(handshake.receive(await slow.read()))
            assert here.door.clients == 2


async def test_many_at_once_each_with_its_own(here: Here) -> None:
    offers = [here.door.offer() for _ in range(12)]
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.gather(
            *(stack.enter_async_context(here.client(offer.password)) for offer in offers)
        )
        assert here.door.clients == 12
        assert here.desktop.viewers == list(range(1, 13))
    async with asyncio.timeout(SECONDS):
        while here.door.clients:
            await asyncio.sleep(0.01)
    assert here.desktop.viewers[-1] == 0


async def test_the_oldest_version_of_the_protocol(here: Here) -> None:
    """As xrdp's VNC module speaks it."""
    offer = here.door.offer()
    async with here.knocking() as stream, asyncio.timeout(SECONDS):
        reader = stream.reader
        await reader.readexactly(12)
        await stream.write(b"RFB 003.003\n")
        assert await reader.readexactly(4) == b"\0\0\0\x02"
        challenge = await reader.readexactly(16)
        await stream.write(vnc_response(offer.password.encode(), challenge))
        assert await reader.readexactly(4) == bytes(4)
        await stream.write(b"\x01")
        width, height = struct.unpack(">HH", await reader.readexactly(4))
    assert (width, height) == (800, 600)


def pointer(x: int, y: int) -> bytes:
    return struct.pack(">BBHH", 5, 0, x, y)


async def test_the_server_drops_what_a_viewer_does(
    here: Here, connect: Callable[[Display], Any]
) -> None:
    screen = connect(here.display).screen()
    watching, steering = here.door.offer(view_only=True), here.door.offer()

    async def settled(stream: TransportStream) -> None:
        """The server has read so far: it answers the request for a picture behind it."""
        await stream.write(struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1))
        await stream.reader.readexactly(4)

    async with here.client(watching.password) as viewer, here.client(steering.password) as person:
        await person.write(pointer(10, 20))
        await settled(person)
        await viewer.write(pointer(300, 400))
        await settled(viewer)
        at = screen.root.query_pointer()
        assert (at.root_x, at.root_y) == (10, 20)


async def test_one_that_is_withdrawn_is_cut_off(here: Here) -> None:
    offer, unused = here.door.offer(), here.door.offer()
    async with here.client(offer.password) as client:
        here.door.withdraw(offer)
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                while await client.read():
                    pass
    here.door.withdraw(unused)
    with pytest.raises(RefusedError):
        async with here.client(unused.password):
            pass


async def test_offers_are_counted(here: Here) -> None:
    for _ in range(MAX_OFFERS):
        here.door.offer()
    with pytest.raises(DesktopError) as refused:
        here.door.offer()
    assert refused.value.code == "too-many-viewers"
    here.now += ALLOWED_SECONDS + 1
    here.door.offer()


async def test_a_server_that_has_gone(here: Here) -> None:
    offer = here.door.offer()
    await here.display.stop()
    started = time.monotonic()
    with pytest.raises((ConnectionError, ValueError)):
        async with here.client(offer.password):
            pass
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"RFB 003.008\n\x01", bytes(99)],
    ids=["nothing", "HTTP", "half a handshake", "zeros"],
)
async def test_what_is_no_client(here: Here, said: bytes) -> None:
    async with here.knocking() as stream:
        await stream.write(said)
        await stream.write_eof()
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                while await stream.read():
                    pass
    offer = here.door.offer()
    async with here.client(offer.password):
        pass
