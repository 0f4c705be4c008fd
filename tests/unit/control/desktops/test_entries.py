"""TCP entries: a port for one connection, gone after use, expiry, leaving or the session's end."""

import asyncio
import contextlib
import socket

import pytest

from earthshine.control.desktops import entries as entries_module
from earthshine.control.desktops.entries import TcpEntries
from earthshine.control.errors import DialFailedError, NotFoundError, TooManyError
from earthshine.net.bridge import TransportStream


@pytest.fixture
def entries(no_blocking):
    return TcpEntries("127.0.0.1", (0, 0))


class Behind:
    """What is behind an entry: gives streams, and their far ends to the test."""

    def __init__(self):
        self.dialled = 0
        self.made = []
        self._far: asyncio.Queue[socket.socket] = asyncio.Queue()

    async def dial(self):
        self.dialled += 1
        near, far = socket.socketpair()
        self.made.append(await TransportStream.on_socket(far))
        self.made.append(await TransportStream.on_socket(near))
        self._far.put_nowait(self.made[-2])
        return self.made[-1]

    async def far(self):
        async with asyncio.timeout(5):
            return await self._far.get()


@pytest.fixture
async def behind():
    made = Behind()
    yield made
    for stream in made.made:
        stream.abort()


@contextlib.asynccontextmanager
async def client(entry):
    reader, writer = await asyncio.open_connection(entry.host, entry.port)
    stream = TransportStream(reader, writer)
    try:
        yield stream
    finally:
        stream.abort()


async def is_refused(entry):
    """Whether nobody listens there any more."""
    try:
        async with client(entry):
            return False
    except ConnectionRefusedError:
        return True


async def is_cut(stream):
    async with asyncio.timeout(5):
        try:
            return await stream.read() == b""
        except ConnectionError:
            return True


async def test_a_connection_leads_through_and_is_the_only_one(entries, behind):
    async with entries.open(behind.dial, expires=30) as entry, client(entry) as one:
        await one.write(b"to the desktop")
        await entry.used()
        assert await is_refused(entry)
        far = await behind.far()
        assert await far.read() == b"to the desktop"
        await far.write(b"from the desktop")
        assert await one.read() == b"from the desktop"
        await far.close()
        assert await is_cut(one)
        await one.close()
        async with asyncio.timeout(5):
            await entry.over()
    assert len(entries) == 0


async def test_as_many_as_were_asked_for(entries, behind):
    async with (
        entries.open(behind.dial, connections=2, expires=30) as entry,
        client(entry) as one,
        client(entry) as two,
    ):
        for stream in (one, two):
            await stream.write(b"here")
        assert [await (await behind.far()).read() for _ in range(2)] == [b"here", b"here"]
        assert await is_refused(entry)


async def test_nobody_comes_in_time(entries, behind):
    async with entries.open(behind.dial, expires=0.01) as entry:
        async with asyncio.timeout(5):
            await entry.over()
        assert await is_refused(entry)
    assert behind.dialled == 0


async def test_expiry_spares_who_has_connected(entries, behind):
    async with entries.open(behind.dial, connections=2, expires=0.2) as entry, client(entry) as one:
        await one.write(b"a")
        async with asyncio.timeout(5):
            while not await is_refused(entry):
                await asyncio.sleep(0.01)
        first = await behind.far()
        assert await first.read() == b"a"
        await first.write(b"still here")
        assert await one.read() == b"still here"


async def test_leaving_cuts_what_is_connected(entries, behind):
    async with contextlib.AsyncExitStack() as stack:
        async with entries.open(behind.dial, expires=30) as entry:
            one = await stack.enter_async_context(client(entry))
            await one.write(b"a")
            far = await behind.far()
            assert await far.read() == b"a"
        assert await is_cut(one)
        assert await is_cut(far)
        assert await is_refused(entry)


async def test_a_session_that_ends_takes_its_entries_along(entries, behind):
    async with (
        entries.open(behind.dial, expires=30, session_id="one") as gone,
        entries.open(behind.dial, expires=30, session_id="two") as kept,
        client(gone) as connected,
    ):
        await connected.write(b"a")
        await behind.far()
        entries.end_session("one")
        async with asyncio.timeout(5):
            await gone.over()
        assert await is_cut(connected)
        async with client(kept) as other:
            await other.write(b"b")
            assert await (await behind.far()).read() == b"b"


async def test_nothing_behind_it_is_remembered_with_its_remedy(entries):
    async def dial():
        raise DialFailedError("Nobody listens.", stage="destination", remedy="Start it.")

    async with entries.open(dial, expires=30) as entry, client(entry) as one:
        assert await is_cut(one)
        async with asyncio.timeout(5):
            await entry.over()
        assert entry.failure is not None
        assert entry.failure.remedy == "Start it."


async def test_a_dial_that_breaks(entries):
    async def dial():
        raise ConnectionResetError

    async with entries.open(dial, expires=30) as entry, client(entry) as one:
        assert await is_cut(one)
        assert entry.failure is not None
        assert "broke" in entry.failure.detail


async def test_an_error_inside_is_raised_as_what_it_is(entries, behind):
    with pytest.raises(NotFoundError):
        async with entries.open(behind.dial, expires=30):
            raise NotFoundError("mine")
    assert len(entries) == 0


async def test_cancelling_the_owner_closes_it(entries, behind):
    opened = asyncio.get_running_loop().create_future()

    async def own():
        async with entries.open(behind.dial, expires=30) as entry:
            opened.set_result(entry)
            await entry.over()

    owner = asyncio.create_task(own())
    entry = await opened
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert await is_refused(entry)


async def test_ports_are_those_of_the_range(behind):
    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        entries = TcpEntries("127.0.0.1", (port, port), address="desks.example")
        async with entries.open(behind.dial, expires=30) as entry:
            assert (entry.host, entry.port) == ("desks.example", port)
            with pytest.raises(TooManyError, match="in use"):
                async with entries.open(behind.dial, expires=30):
                    pass
        async with entries.open(behind.dial, expires=30) as entry:
            assert entry.port == port


async def test_limits(entries, behind, monkeypatch):
    monkeypatch.setattr(entries_module, "MAX_ENTRIES", 2)
    monkeypatch.setattr(entries_module, "MAX_PER_SESSION", 1)
    async with entries.open(behind.dial, expires=30, session_id="one"):
        with pytest.raises(TooManyError, match="this session"):
            async with entries.open(behind.dial, expires=30, session_id="one"):
                pass
        async with entries.open(behind.dial, expires=30, session_id="two"):
            with pytest.raises(TooManyError, match="on this server"):
                async with entries.open(behind.dial, expires=30):
                    pass


async def test_an_address_that_is_not_ours(behind):
    entries = TcpEntries("203.0.113.1", (0, 0))
    with pytest.raises(TooManyError, match=r"203\.0\.113\.1") as error:
        async with entries.open(behind.dial, expires=30):
            pass
    assert "entry_host" in str(error.value.remedy)
