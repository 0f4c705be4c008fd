"""RDP through the control plane: ports that lead to a runner, for one person and a while.

The runner is a fake that lends what it is asked for; this test speaks for its xrdp.
"""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.audit.kinds import AuditKind
from earthshine.control.desktops import rdp as module
from earthshine.control.dialing.service import DialedStream
from earthshine.net.bridge import TransportStream
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import AdjustRdp, LendRdp
from tests.unit.control.world import exited

S = "/api/v1/sessions"
XRDP = "unix:/run/earthshine/xrdp.sock"
PASSWORD = "onceonly"


class Box:
    """What the fake runner answers, what it was asked, and the connections that were dialled."""

    def __init__(self):
        self.asked = []
        self.spent = False
        self.refusal = None
        self.policy_view_only = False
        self.servers: asyncio.Queue[Any] = asyncio.Queue()

    def lent(self, wish):
        return {
            "destination": XRDP,
            "user": "earthshine",
            "password": PASSWORD,
            "offerId": f"offer{len(self.asked)}",
            "viewOnly": wish.view_only or self.policy_view_only,
            "fingerprint": "ab" * 32,
            "width": 640,
            "height": 480,
        }

    def adjusted(self):
        return [wish for wish in self.asked if isinstance(wish, AdjustRdp)]


@pytest.fixture
async def session(here, runner):
    session_id = await runner.run_session(here.member)
    await share(here, session_id, "viewer")
    return session_id


async def share(here, session_id, role):
    path = f"{S}/{session_id}/shares/{here.other.actor.person_id}"
    await here.member.http.put(path, json={"role": role})


@pytest.fixture
async def box(here, runner, session, monkeypatch):
    box, made = Box(), []

    async def dial(runner_id, destination):
        assert (runner_id, destination) == (runner.runner_id, XRDP)
        near, far = socket.socketpair()
        made.append(await TransportStream.on_socket(far))
        box.servers.put_nowait(made[-1])
        return DialedStream(runner_id, destination, Detached(near, b""))

    async def answer():
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await runner.command(LendRdp, AdjustRdp)
                box.asked.append(frame.payload)
                if box.refusal:
                    await runner.refuse(frame, *box.refusal)
                elif isinstance(frame.payload, LendRdp):
                    await runner.done(frame, box.lent(frame.payload))
                else:
                    await runner.done(frame, {"spent": box.spent})

    monkeypatch.setattr(here.plane.dialing, "dial", dial)
    answering = asyncio.create_task(answer())
    yield box
    answering.cancel()
    await asyncio.wait([answering])
    for server in made:
        server.abort()


async def ask(person, session):
    answer = await person.http.get(f"{S}/{session}/rdp-connection")
    assert answer.status_code == 200, answer.text
    return answer.json()


@contextlib.asynccontextmanager
async def client(box, connection):
    """A native client's connection, and the xrdp's end of it."""
    reader, writer = await asyncio.open_connection(connection["address"], connection["port"])
    stream = TransportStream(reader, writer)
    async with asyncio.timeout(10):
        server = await box.servers.get()
    try:
        yield stream, server
    finally:
        stream.abort()


async def is_closed(connection):
    try:
        _, writer = await asyncio.open_connection(connection["address"], connection["port"])
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def closed(connection):
    async with asyncio.timeout(10):
        while not await is_closed(connection):
            await asyncio.sleep(0.02)


async def ended(stream):
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert await stream.read() == b""


async def test_a_port_leads_to_the_runner_both_ways(here, box, session):
    connection = await ask(here.member, session)
    assert connection["user"] == "earthshine"
    assert connection["password"] == PASSWORD
    assert connection["fingerprint"] == "ab" * 32
    assert f"full address:s:127.0.0.1:{connection['port']}" in connection["file"]
    assert PASSWORD not in connection["file"]
    async with client(box, connection) as (stream, server):
        await stream.write(b"request")
        assert await server.read() == b"request"
        await server.write(b"confirm")
        assert await stream.read() == b"confirm"


async def test_it_is_recorded_without_the_password(here, box, session):
    connection = await ask(here.member, session)
    async with client(box, connection) as (stream, server):
        await stream.write(b"typed")
        assert await server.read() == b"typed"
    page = await here.owner.http.get("/api/v1/audit")
    [offered] = [r for r in page.json()["records"] if r["kind"] == AuditKind.RDP_OFFERED]
    assert offered["details"] == {"of": "desktop", "view-only": False}
    assert PASSWORD not in page.text


@pytest.mark.parametrize(("role", "view_only"), [("viewer", True), ("controller", False)])
async def test_roles_decide_who_may_steer(here, box, session, role, view_only):
    await share(here, session, role)
    connection = await ask(here.other, session)
    assert connection["viewOnly"] is view_only
    [wish] = box.asked
    assert (wish.by, wish.view_only) == (here.other.actor.name, view_only)


async def test_a_runners_policy_is_told(here, box, session):
    box.policy_view_only = True
    assert (await ask(here.member, session))["viewOnly"] is True


async def test_a_change_of_role_reaches_the_runner(here, box, session, eventually):
    connection = await ask(here.other, session)
    async with client(box, connection) as (stream, _):
        await share(here, session, "controller")
        assert await eventually(lambda: [a.view_only for a in box.adjusted()] == [False])
        await share(here, session, "viewer")
        assert await eventually(lambda: [a.view_only for a in box.adjusted()] == [False, True])
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        await ended(stream)
    assert await eventually(lambda: box.adjusted()[-1].withdrawn)
    await closed(connection)


async def test_a_port_is_closed_once_its_password_was_used(here, box, session):
    connection = await ask(here.member, session)
    async with client(box, connection):
        pass  # a client that only looked at the certificate
    async with client(box, connection) as (stream, server):
        await stream.write(b"password")
        await server.read()
        box.spent = True
    await closed(connection)


async def test_a_port_is_closed_a_while_after_its_first_use(here, box, session, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.1)
    connection = await ask(here.member, session)
    async with client(box, connection) as (stream, server):
        await closed(connection)
        await stream.write(b"who has come stays")
        assert await server.read() == b"who has come stays"


async def test_a_port_that_nobody_uses_expires(here, box, session, monkeypatch, eventually):
    monkeypatch.setattr(module, "NATIVE_SECONDS", 1)
    connection = await ask(here.member, session)
    assert await eventually(lambda: [a.withdrawn for a in box.adjusted()] == [True])
    assert await is_closed(connection)


async def test_it_ends_with_the_session(here, runner, box, session):
    connection = await ask(here.member, session)
    async with client(box, connection) as (stream, _):
        await runner.log(session, exited(2))
        await ended(stream)
    assert (await here.member.http.get(f"{S}/{session}/rdp-connection")).status_code == 409


async def test_it_ends_with_the_sign_in(here, box, session):
    connection = await ask(here.other, session)
    async with client(box, connection) as (stream, _):
        assert (await here.other.http.post("/api/v1/sign-out")).is_success
        await ended(stream)
    await closed(connection)


async def test_what_the_runner_lacks_is_said(here, box, session):
    box.refusal = ("no-rdp", "xrdp was not found on PATH")
    answer = await here.member.http.get(f"{S}/{session}/rdp-connection")
    assert answer.status_code == 409
    assert "xrdp was not found" in answer.json()["detail"]
    url = f"ws://127.0.0.1:{here.port}{S}/{session}/desktop/rdp"
    async with connect(url, additional_headers=here.member.headers) as websocket:
        with pytest.raises(ConnectionClosed) as error:
            await websocket.recv()
    assert error.value.rcvd is not None
    assert error.value.rcvd.code == 4013
    assert "xrdp was not found" in error.value.rcvd.reason


async def test_a_machines_own_desktop_is_for_admins(here, runner, box):
    path = f"/api/v1/external-agents/runners/{runner.runner_id}/rdp-connection"
    assert (await here.member.http.get(path)).status_code == 403
    answer = await here.owner.http.get(path)
    assert answer.status_code == 200, answer.text
    async with client(box, answer.json()) as (stream, _):
        here.plane.rdp.end_runner(runner.runner_id)
        await ended(stream)
    await closed(answer.json())
