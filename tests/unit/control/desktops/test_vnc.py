"""VNC through the control plane: no password in the page, roles kept, ends with words.

The VNC server is scripted: this test speaks for it on the socket that a dial gives.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.audit.kinds import AuditKind
from earthshine.control.dialing.service import DialedStream
from earthshine.control.errors import DialFailedError
from earthshine.net.bridge import TransportStream
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import LendRfb
from earthshine.protocols.rfb import VERSION, vnc_response

S = "/api/v1/sessions"
DOOR = "unix:/run/earthshine/door.sock"
PASSWORD = "onceonly"
CHALLENGE = bytes(range(16))
INIT = struct.pack(">HH16sI", 640, 480, bytes(16), 4) + b"desk"
KEY_DOWN, KEY_UP = b"\x04\x01\0\0\0\0\0A", b"\x04\x00\0\0\0\0\0A"
REQUEST = b"\x03\x01\0\0\0\0\x04\0\x03\0"


class ScriptedServer:
    """The far end of a dialled connection, as a VNC server."""

    def __init__(self, stream):
        self.stream = stream

    async def expect(self, data):
        async with asyncio.timeout(10):
            assert await self.stream.reader.readexactly(len(data)) == data

    async def admit(self, password=PASSWORD):
        await self.stream.write(VERSION)
        await self.expect(VERSION)
        await self.stream.write(b"\x01\x02")
        await self.expect(b"\x02")
        await self.stream.write(CHALLENGE)
        await self.expect(vnc_response(password.encode(), CHALLENGE))
        await self.stream.write(bytes(4) + INIT)
        await self.expect(b"\x01")

    async def has_ended(self):
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await self.stream.read() == b""


class Page:
    """A browser's side, as far as noVNC's handshake."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.heard = b""
        self.all = b""

    async def hear(self, count):
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                data = await self.websocket.recv()
                self.heard += data
                self.all += data
        data, self.heard = self.heard[:count], self.heard[count:]
        return data

    async def say(self, data):
        await self.websocket.send(data)

    async def greet(self):
        assert await self.hear(12) == VERSION
        await self.say(VERSION)
        assert await self.hear(2) == b"\x01\x01", "security type None"
        await self.say(b"\x01")
        assert await self.hear(4) == bytes(4)
        await self.say(b"\x01")
        assert await self.hear(len(INIT)) == INIT

    async def refused(self):
        """The words in which the gateway refuses."""
        assert await self.hear(12) == VERSION
        await self.say(VERSION)
        length = int.from_bytes((await self.hear(5))[1:])
        return (await self.hear(length)).decode()

    async def closed(self):
        with pytest.raises(ConnectionClosed) as error:
            while True:
                async with asyncio.timeout(10):
                    await self.websocket.recv()
        assert error.value.rcvd is not None
        return error.value.rcvd.code, error.value.rcvd.reason


class Runner:
    """What the fake runner answers, and the connections that were dialled."""

    def __init__(self):
        self.refused = ""
        self.asked = []
        self.servers: asyncio.Queue[Any] = asyncio.Queue()
        self.fault = None
        self.refusal = None


@pytest.fixture
async def session(here, runner):
    session_id = await runner.run_session(here.member)
    await share(here, session_id, "viewer")
    return session_id


@pytest.fixture
async def private(here, runner):
    return await runner.run_session(here.member)


async def share(here, session_id, role):
    path = f"{S}/{session_id}/shares/{here.other.actor.person_id}"
    await here.member.http.put(path, json={"role": role})


@pytest.fixture
async def box(here, runner, session, private, monkeypatch):
    box, made = Runner(), []

    async def dial(runner_id, destination):
        assert (runner_id, destination) == (runner.runner_id, DOOR)
        if box.fault is not None:
            raise box.fault
        near, far = socket.socketpair()
        made.append(await TransportStream.on_socket(far))
        box.servers.put_nowait(ScriptedServer(made[-1]))
        return DialedStream(runner_id, destination, Detached(near, b""))

    async def answer():
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await runner.command(LendRfb)
                box.asked.append(frame.payload)
                if box.refusal:
                    await runner.refuse(frame, *box.refusal)
                    continue
                lent = {"destination": DOOR, "password": PASSWORD, "refused": box.refused}
                await runner.done(frame, lent)

    monkeypatch.setattr(here.plane.dialing, "dial", dial)
    answering = asyncio.create_task(answer())
    yield box
    answering.cancel()
    await asyncio.wait([answering])
    for stream in made:
        stream.abort()


@contextlib.asynccontextmanager
async def viewing(here, person, session):
    url = f"ws://127.0.0.1:{here.port}{S}/{session}/desktop/vnc"
    headers = person.headers if person else {}
    async with connect(url, additional_headers=headers, subprotocols=["binary"]) as websocket:  # type: ignore[list-item]
        yield Page(websocket)


@contextlib.asynccontextmanager
async def shown(here, person, session, box):
    """The page and the server, both through their handshakes."""
    async with viewing(here, person, session) as page:
        server = await box.servers.get()
        await server.admit()
        await page.greet()
        yield page, server


async def test_a_desktop_is_shown_and_steered_and_the_password_stays_here(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        assert page.websocket.subprotocol == "binary"
        await page.say(REQUEST + KEY_DOWN)
        await server.expect(REQUEST + KEY_DOWN)
        await server.stream.write(b"pixels")
        assert await page.hear(6) == b"pixels"
        assert PASSWORD.encode() not in page.all
    [asked] = box.asked
    assert (asked.by, asked.view_only) == ("mia", False)
    await server.has_ended()


async def test_who_steered_is_recorded_and_who_watched_is_not(here, session, box, eventually):
    async with (
        shown(here, here.member, session, box) as (page, server),
        shown(here, here.other, session, box) as (other, _),
    ):
        await other.say(KEY_DOWN)
        await page.say(KEY_DOWN + KEY_UP)
        await server.expect(KEY_DOWN + KEY_UP)

    async def recorded():
        answer = await here.owner.http.get("/api/v1/audit", params={"session": session})
        kind = AuditKind.DESKTOP_CONTROLLED.value
        return [one for one in answer.json()["records"] if one["kind"] == kind]

    async with asyncio.timeout(10):
        while not (found := await recorded()):
            await asyncio.sleep(0.02)
    assert [(one["personName"], one["details"]["bytes"]) for one in found] == [("mia", 8)]


async def test_a_role_changes_while_watching(here, session, box):
    async with shown(here, here.other, session, box) as (page, server):
        await page.say(KEY_DOWN + REQUEST)
        await server.expect(REQUEST)
        watching = next(iter(here.plane.book.live(session).watchers))
        await share(here, session, "controller")
        assert watching.role == "controller"
        await page.say(KEY_DOWN)
        await server.expect(KEY_DOWN)
        await share(here, session, "viewer")
        await server.expect(KEY_UP)
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        assert (await page.closed())[0] == 4003
        await server.has_ended()


async def test_whom_the_machine_lets_only_watch(here, session, box):
    box.refused = "Nobody types on this machine."
    async with shown(here, here.member, session, box) as (page, server):
        await share(here, session, "controller")  # whatever changes
        await page.say(KEY_DOWN + REQUEST)
        await server.expect(REQUEST)


async def test_what_cannot_be_recorded_is_not_typed(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        await page.say(KEY_DOWN)
        await server.expect(KEY_DOWN)
        here.plane.typing._failed = True
        await page.say(KEY_DOWN + KEY_UP + REQUEST)
        await server.expect(KEY_UP + REQUEST)
        here.plane.typing._failed = False


async def test_a_part_that_is_missing_is_named_with_its_remedy(here, session, box):
    box.refusal = ("no-vnc", "This display serves no VNC.")
    async with viewing(here, here.member, session) as page:
        assert await page.refused() == "This display serves no VNC. do this"
        assert await page.closed() == (4013, "This display serves no VNC. do this")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(("desktop-failed", "It crashed."), 4011), (("no-desktop", "There is none."), 4004)],
)
async def test_what_a_runner_refuses(here, session, box, refusal, code):
    box.refusal = refusal
    async with viewing(here, here.member, session) as page:
        assert await page.closed() == (code, f"{refusal[1]} do this")


async def test_a_display_that_has_gone(here, session, box):
    box.fault = DialFailedError("Nothing listens.", stage="destination", remedy="Start it.")
    async with viewing(here, here.member, session) as page:
        assert await page.closed() == (4011, "Nothing listens. Start it.")


async def test_a_server_that_refuses_the_password(here, session, box):
    async with viewing(here, here.member, session) as page:
        server = await box.servers.get()
        await server.stream.write(VERSION + b"\x01\x02" + CHALLENGE)
        await server.stream.write(b"\0\0\0\1\0\0\0\x04nope")
        assert "refused the password" in await page.refused()
        code, reason = await page.closed()
    assert code == 4011
    assert "refused the password" in reason


async def test_a_server_that_ends_says_come_again(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        await server.stream.write_eof()
        code, reason = await page.closed()
    assert code == 4011
    assert "come again" in reason


async def test_a_page_that_does_not_speak_rfb(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        await page.say(b"\x63nonsense")
        assert (await page.closed())[0] == 4009
        await server.has_ended()


async def test_a_runner_that_is_not_there(here, runner, session, box):
    await runner.connection.close()
    known = here.plane.directory.known(runner.runner_id)
    async with asyncio.timeout(10):
        while known.is_connected:
            await asyncio.sleep(0.01)
    async with viewing(here, here.member, session) as page:
        code, reason = await page.closed()
    assert code == 4011
    assert "not connected" in reason


async def test_signing_out_ends_it(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        await here.member.http.post("/api/v1/sign-out")
        assert (await page.closed())[0] == 4001
        await server.has_ended()


async def test_a_connection_to_the_runner_that_breaks(here, session, box):
    async with shown(here, here.member, session, box) as (page, server):
        watched = here.plane.book.live(session).watchers
        assert len(watched) == 1
        server.stream.abort()
        assert (await page.closed())[0] == 4011
    async with asyncio.timeout(10):
        while watched:
            await asyncio.sleep(0.01)


async def test_strangers_and_nobody(here, private, box):
    for person, code in ((here.other, 4004), (None, 4001)):
        async with viewing(here, person, private) as page:
            assert (await page.closed())[0] == code
    assert box.asked == []
