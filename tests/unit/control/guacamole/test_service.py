"""Tunnels to a fake guacd: it is led to the desktop, the page is told nothing, roles are kept."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.dialing.service import DialedStream
from earthshine.control.errors import DialFailedError
from earthshine.control.guacamole.guacd import Guacd
from earthshine.control.settings import DesktopSettings, GuacdSettings
from earthshine.net.bridge import TransportStream
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import LendRdp, LendRfb
from earthshine.protocols.guacamole import Instruction
from tests.unit.control.guacamole.fake_guacd import FakeGuacd

S = "/api/v1/sessions"
DOOR = "unix:/run/earthshine/door.sock"
PASSWORD = "onceonly"
KEY = Instruction("key", ("65", "1")).to_browser()
KEY_UP = Instruction("key", ("65", "0"))
SYNC = Instruction("sync", ("1",)).to_browser()


class Page:
    """guacamole-common-js, as far as its tunnel."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.heard = ""

    async def shown(self):
        """Until the first picture is complete."""
        async with asyncio.timeout(10):
            while "4.sync" not in self.heard:
                self.heard += await self.websocket.recv()
        return self

    async def say(self, text):
        await self.websocket.send(text)

    async def closed(self):
        with pytest.raises(ConnectionClosed) as error:
            while True:
                async with asyncio.timeout(10):
                    self.heard += await self.websocket.recv()
        assert error.value.rcvd is not None
        return error.value.rcvd.code, error.value.rcvd.reason


@pytest.fixture
async def session(here, runner):
    session_id = await runner.run_session(here.member)
    await share(here, session_id, "viewer")
    return session_id


async def share(here, session_id, role):
    path = f"{S}/{session_id}/shares/{here.other.actor.person_id}"
    await here.member.http.put(path, json={"role": role})


class Box:
    """The runner's side: what was asked, what is dialled."""

    def __init__(self):
        self.asked = []
        self.dialled: asyncio.Queue[Any] = asyncio.Queue()
        self.fault = None
        self.refused = ""


@pytest.fixture
async def box(here, runner, session, monkeypatch):
    box, made = Box(), []

    async def dial(runner_id, destination):
        if box.fault is not None:
            raise box.fault
        near, far = socket.socketpair()
        made.append(await TransportStream.on_socket(far))
        box.dialled.put_nowait((destination, made[-1]))
        return DialedStream(runner_id, destination, Detached(near, b""))

    async def answer():
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await runner.command(LendRfb, LendRdp)
                box.asked.append(frame.payload)
                lent: dict[str, Any] = {
                    "destination": DOOR,
                    "password": PASSWORD,
                    "refused": box.refused,
                }
                if isinstance(frame.payload, LendRdp):
                    lent = {"destination": "tcp", "user": "desk", "password": PASSWORD}
                    lent |= {"offerId": "7", "viewOnly": frame.payload.view_only}
                await runner.done(frame, lent)

    monkeypatch.setattr(here.plane.dialing, "dial", dial)
    answering = asyncio.create_task(answer())
    yield box
    answering.cancel()
    await asyncio.wait([answering])
    for stream in made:
        stream.abort()


@pytest.fixture
async def guacd(here):
    async with FakeGuacd().running() as fake:
        here.plane.guacd._settings = GuacdSettings(port=fake.port)
        yield fake


@contextlib.asynccontextmanager
async def tunnel(here, person, session, query="protocol=vnc", path=""):
    where = path or f"{S}/{session}/guac/proxy"
    url = f"ws://127.0.0.1:{here.port}{where}?{query}"
    headers = person.headers if person else {}
    async with connect(url, additional_headers=headers, subprotocols=["guacamole"]) as websocket:  # type: ignore[list-item]
        yield Page(websocket)


async def test_guacd_is_led_to_the_display_and_the_page_is_told_nothing(here, session, box, guacd):
    query = "protocol=vnc&width=800&height=600&dpi=120&timezone=Europe/Berlin&audio=audio/L16"
    async with tunnel(here, here.member, session, query) as page:
        assert page.websocket.subprotocol == "guacamole"
        user = await guacd.users.get()
        assert (user.selected, user.parameters["password"]) == ("vnc", PASSWORD)
        assert user.parameters["read-only"] == ""
        first, last = DesktopSettings().entry_ports
        assert first <= int(user.parameters["port"]) <= last
        reader, writer = await asyncio.open_connection(
            user.parameters["hostname"], int(user.parameters["port"])
        )
        writer.write(b"RFB")
        destination, desktop = await box.dialled.get()
        assert destination == DOOR
        assert await desktop.read() == b"RFB"
        await desktop.write(b"pixels")
        assert await reader.read(6) == b"pixels"
        await page.shown()
        await page.say(KEY)
        assert (await user.expect("key")).arguments == ("65", "1")
        for secret in (PASSWORD, user.parameters["port"], DOOR):
            assert secret not in page.heard
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(user.parameters["port"]))
    await user.has_ended()
    writer.close()
    [asked] = box.asked
    assert (asked.by, asked.view_only) == ("mia", False)


async def test_a_role_changes_while_watching(here, session, box, guacd):
    async with tunnel(here, here.other, session) as page:
        user = await guacd.users.get()
        await page.shown()
        await page.say(KEY + SYNC)
        assert (await user.hear()).opcode == "sync", "and no key before it"
        await share(here, session, "controller")
        await page.say(KEY)
        assert (await user.hear()).opcode == "key"
        await share(here, session, "viewer")
        assert await user.hear() == KEY_UP
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        code, reason = await page.closed()
    assert code == 4003
    assert reason.startswith("771 ")


async def test_it_is_said_whether_there_is_a_web_application(here, session):
    path = f"{S}/{session}/guac/connections"
    assert (await here.member.http.get(path)).json() == {"connections": [], "application": False}


async def test_a_running_connection_is_listed_and_joined(here, session, box, guacd):
    path = f"{S}/{session}/guac/connections"
    async with tunnel(here, here.member, session) as page:
        user = await guacd.users.get()
        await page.shown()
        [running] = (await here.other.http.get(path)).json()["connections"]
        assert (running["id"], running["name"]) == (user.connection_id, "mia")
        async with tunnel(here, here.other, session, f"join={running['id']}") as joined:
            second = await guacd.users.get()
            assert second.selected == user.connection_id
            assert second.parameters["password"] == ""
            await joined.shown()
            await joined.say(KEY + SYNC)
            assert (await second.hear()).opcode == "sync"
    async with asyncio.timeout(10):
        while (await here.other.http.get(path)).json()["connections"]:
            await asyncio.sleep(0.01)


async def test_who_asks_to_only_watch_does(here, session, box, guacd):
    async with tunnel(here, here.member, session, "read_only=true") as page:
        user = await guacd.users.get()
        assert user.parameters["read-only"] == "true"
        await page.shown()
        await page.say(KEY + SYNC)
        assert (await user.hear()).opcode == "sync"


async def test_whom_the_machine_lets_only_watch_does_so_too_by_joining(here, session, box, guacd):
    await share(here, session, "controller")
    async with tunnel(here, here.member, session) as page:
        user = await guacd.users.get()
        await page.shown()
        box.refused = "Otto must not type here."
        async with tunnel(here, here.other, session, f"join={user.connection_id}") as joined:
            second = await guacd.users.get()
            await joined.shown()
            await joined.say(KEY + SYNC)
            assert (await second.hear()).opcode == "sync"
    assert [one.by for one in box.asked] == ["mia", "otto"]


async def test_a_connection_that_is_not_of_this_session(here, runner, session, box, guacd):
    async with tunnel(here, here.member, session, "join=$0000-1") as page:
        code, reason = await page.closed()
    assert (code, reason[:4]) == (4004, "516 ")


async def test_by_rdp_with_a_login_for_one_connection(here, session, box, guacd):
    async with tunnel(here, here.member, session, "protocol=rdp") as page:
        user = await guacd.users.get()
        await page.shown()
        assert user.selected == "rdp"
        assert (user.parameters["username"], user.parameters["password"]) == ("desk", PASSWORD)
    assert isinstance(box.asked[0], LendRdp)


async def test_what_is_behind_an_entry_is_named(here, session, box, guacd):
    box.fault = DialFailedError("Nothing listens.", stage="destination", remedy="Start it.")
    async with tunnel(here, here.member, session) as page:
        user = await guacd.users.get()
        address = user.parameters["hostname"], int(user.parameters["port"])
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        user.say("error", "cannot connect", "519")
        assert await page.closed() == (4011, "519 Nothing listens. Start it.")


async def test_no_guacd(here, session, box):
    async with tunnel(here, here.member, session) as page:
        code, reason = await page.closed()
    assert code == 4013
    assert reason == "520 No guacd is set up for this server. Install guacd and set control.guacd."
    assert box.asked == [], "no password is made for nothing"


async def test_a_guacd_that_is_down(here, session, box):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        here.plane.guacd._settings = GuacdSettings(port=port)
        async with tunnel(here, here.member, session) as page:
            code, reason = await page.closed()
    assert code == 4013
    assert f"guacd is not there at 127.0.0.1 port {port}. Start it" in reason


async def test_whether_guacd_is_there_is_looked_at_now_and_then():
    now = 0.0
    async with FakeGuacd().running() as fake:
        guacd = Guacd(GuacdSettings(port=fake.port), lambda: now)
        assert await guacd.missing() is None
    assert await guacd.missing() is None
    now = 11.0
    assert "not there" in str(await guacd.missing())


@pytest.mark.parametrize(
    "query",
    [
        "protocol=telnet",
        "width=1",
        "width=abc",
        "height=99999",
        "dpi=\u0663\u0663\u0663",
        "timezone=a%20b",
        "audio=text/html",
        "&".join(["image=image/png"] * 9),
    ],
)
async def test_a_page_that_asks_for_nonsense(here, session, box, guacd, query):
    async with tunnel(here, here.member, session, query) as page:
        code, reason = await page.closed()
    assert (code, reason[:4]) == (4009, "768 ")


async def test_ssh_is_for_those_who_type(here, session, box, guacd):
    async with tunnel(here, here.other, session, "protocol=ssh") as page:
        code, reason = await page.closed()
    assert (code, reason[:4]) == (4003, "771 ")
    async with tunnel(here, here.member, session, "protocol=ssh") as page:
        user = await guacd.users.get()
        assert (user.selected, user.parameters["password"]) == ("ssh", "")
        destination, _ = await box.dialled.get()
        assert destination == "127.0.0.1:22"


async def test_a_machine_itself_is_for_admins(here, runner, session, box, guacd):
    path = f"/api/v1/external-agents/runners/{runner.runner_id}/guac/proxy"
    async with tunnel(here, here.member, "", "protocol=ssh", path) as page:
        assert (await page.closed())[0] == 4003
    async with tunnel(here, here.owner, "", "protocol=vnc", path) as page:
        code, reason = await page.closed()
    assert code == 4013
    assert "by VNC" in reason
    async with tunnel(here, here.owner, "", "protocol=ssh", path) as page:
        user = await guacd.users.get()
        await page.shown()
        async with tunnel(here, here.owner, "", f"join={user.connection_id}", path) as joined:
            await joined.shown()
    async with tunnel(here, here.owner, "", "protocol=rdp", path) as page:
        while (user := await guacd.users.get()).selected != "rdp":
            pass
        assert user.parameters["username"] == "desk"


async def test_a_session_that_ends_ends_it(here, runner, session, box, guacd):
    async with tunnel(here, here.member, session) as page:
        user = await guacd.users.get()
        await page.shown()
        address = user.parameters["hostname"], int(user.parameters["port"])
        reader, writer = await asyncio.open_connection(*address)
        await box.dialled.get()
        here.plane.entries.end_session(session)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()
