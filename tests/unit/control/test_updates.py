"""News for the list pages, over real WebSockets."""

import asyncio

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from earthshine.control import updates
from tests.unit.control.world import exited


@pytest.fixture
async def listen(here):
    opened = []

    async def listen(person):
        socket = await connect(
            f"ws://127.0.0.1:{here.port}/api/v1/updates",
            additional_headers=person.headers,
            subprotocols=[Subprotocol(updates.SUBPROTOCOL)],
        )
        opened.append(socket)
        return socket

    yield listen
    for socket in opened:
        await socket.close()


async def hear(socket, kind, **fields):
    async with asyncio.timeout(15):
        while True:
            message = msgspec.json.decode(await socket.recv())
            inner = message.get(kind, message)
            if message["type"] == kind and fields.items() <= inner.items():
                return message


async def test_a_snapshot_then_news(here, runner, listen):
    session = await runner.run_session(here.member)
    socket = await listen(here.member)
    assert socket.subprotocol == updates.SUBPROTOCOL
    snapshot = await hear(socket, "snapshot")
    assert [s["id"] for s in snapshot["sessions"]] == [session]
    assert [r["state"] for r in snapshot["runners"]] == ["connected"]
    await runner.log(session, exited(2))
    await hear(socket, "session", id=session, state="exited")
    await runner.connection.close()
    await hear(socket, "runner", id="runner0001", state="away")


async def test_news_go_to_whom_they_concern(here, runner, listen):
    mine, foreign, admin = [await listen(p) for p in (here.member, here.other, here.owner)]
    for socket in (mine, foreign, admin):
        await hear(socket, "snapshot")
    session = await runner.run_session(here.member)
    for socket in (mine, admin):
        await hear(socket, "session", id=session)
    theirs = await runner.run_session(here.other)
    message = await hear(foreign, "session")
    assert message["session"]["id"] == theirs, "nothing of somebody else's came before"


async def test_a_deleted_session_is_told(here, runner, listen):
    session = await runner.run_session(here.member)
    await runner.logged(session, exited(2))
    socket = await listen(here.member)
    await hear(socket, "snapshot")
    deleting = asyncio.create_task(here.member.http.delete(f"/api/v1/sessions/{session}"))
    assert (await hear(socket, "session-removed"))["id"] == session
    deleting.cancel()
    await asyncio.wait([deleting])


async def test_who_falls_far_behind_starts_over(here, runner, listen, monkeypatch):
    session = await runner.run_session(here.member)
    socket = await listen(here.member)
    await hear(socket, "snapshot")
    monkeypatch.setattr(updates, "MAX_PENDING", 0)
    here.plane.announcer.session_changed(here.plane.book.live(session))
    await hear(socket, "snapshot")


async def test_a_limit_of_subscribers(here, listen, monkeypatch):
    monkeypatch.setattr(updates, "MAX_SUBSCRIBERS", 0)
    socket = await listen(here.member)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4008


async def test_signing_out_ends_it(here, listen):
    socket = await listen(here.member)
    await hear(socket, "snapshot")
    await here.member.http.post("/api/v1/sign-out")
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


async def test_a_database_that_fails_for_a_moment_stops_nothing(here, runner, listen, monkeypatch):
    from sqlalchemy.exc import OperationalError

    socket = await listen(here.member)
    await hear(socket, "snapshot")
    session = await runner.run_session(here.member)
    view = here.plane.sessions.view
    failed = asyncio.Event()

    async def fails(channel):
        failed.set()
        raise OperationalError("SELECT", {}, OSError("gone"))

    monkeypatch.setattr(here.plane.sessions, "view", fails)
    here.plane.announcer.session_changed(here.plane.book.live(session))
    await failed.wait()
    monkeypatch.setattr(here.plane.sessions, "view", view)
    await runner.log(session, exited(2))
    await hear(socket, "session", id=session, state="exited")
