"""A desktop's stream through the control plane: whole messages, roles enforced, ends with words.

The desktop at the far end is a fake: this test speaks for it on the socket that a dial gives.
"""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.dialing.service import DialedStream
from earthshine.net.handover import Detached
from earthshine.protocols import viewer
from earthshine.protocols.envelope import CloseDesktop, OpenDesktop
from earthshine.protocols.viewer import (
    MAX_FROM_VIEWER,
    Attach,
    Deframer,
    Key,
    KeyFrameWanted,
    Pointer,
    Problem,
    RoleIs,
    Seen,
    Video,
)
from tests.unit.control.world import exited

S = "/api/v1/sessions"


class FakeDesktop:
    """The desktop's end of one stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._deframer = Deframer(MAX_FROM_VIEWER)
        self._found: list[bytes] = []
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def hear(self):
        async with asyncio.timeout(10):
            while not self._found:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self._found += self._deframer.feed(data)
        return viewer.decode_from_control(self._found.pop(0))

    async def say(self, message):
        self.writer.write(viewer.framed(viewer.encode(message)))
        await self.writer.drain()


@pytest.fixture
async def session(here, runner):
    session_id = await runner.run_session(here.member)
    await here.member.http.put(
        f"{S}/{session_id}/shares/{here.other.actor.person_id}", json={"role": "viewer"}
    )
    return session_id


@pytest.fixture
async def private(here, runner):
    return await runner.run_session(here.member)


@pytest.fixture
async def desktops(here, runner, session, private, monkeypatch):
    """Answers the runner's commands; gives the far ends of the streams that are dialled."""
    dialled: asyncio.Queue[FakeDesktop] = asyncio.Queue()
    made = []

    async def dial(runner_id, destination):
        assert destination == "unix:/run/earthshine/d/viewer"
        near, far = socket.socketpair()
        desktop = FakeDesktop(far)
        far.setblocking(False)
        desktop.reader, desktop.writer = await asyncio.open_connection(sock=far)
        made.append(desktop)
        await dialled.put(desktop)
        return DialedStream(runner_id, destination, Detached(near, b""))

    async def answer():
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            while True:
                frame = await runner.command(OpenDesktop, CloseDesktop)
                await runner.done(frame, {"viewer": "unix:/run/earthshine/d/viewer"})

    monkeypatch.setattr(here.plane.dialing, "dial", dial)
    answering = asyncio.create_task(answer())
    yield dialled
    answering.cancel()
    await asyncio.wait([answering])
    for desktop in made:
        desktop.writer.close()


@contextlib.asynccontextmanager
async def watching(here, person, session):
    url = f"ws://127.0.0.1:{here.port}{S}/{session}/desktop"
    async with connect(
        url,
        additional_headers=person.headers,
        subprotocols=[viewer.SUBPROTOCOL],  # type: ignore[list-item]
        max_size=None,
    ) as socket_:
        yield socket_


async def closed(websocket):
    with pytest.raises(ConnectionClosed) as error:
        while True:
            async with asyncio.timeout(10):
                await websocket.recv()
    assert error.value.rcvd is not None
    return error.value.rcvd.code


async def test_the_desktop_is_told_for_whom_and_pictures_come(here, session, desktops):
    async with watching(here, here.member, session) as websocket:
        desktop = await desktops.get()
        attach = await desktop.hear()
        assert isinstance(attach, Attach)
        assert (attach.name, attach.role, attach.may_control) == ("mia", "owner", True)
        frame = Video(1, 1, 5, 6, bytes(100_000))
        await desktop.say(frame)
        assert viewer.decode_from_desktop(await websocket.recv()) == frame
        await websocket.send(viewer.encode(Key(1, 0x61, 30)))
        assert await desktop.hear() == Key(1, 0x61, 30)


async def test_a_viewers_input_is_dropped_here(here, session, desktops):
    async with watching(here, here.other, session) as websocket:
        desktop = await desktops.get()
        attach = await desktop.hear()
        assert (attach.role, attach.may_control) == ("viewer", False)
        await websocket.send(viewer.encode(Key(1, 0x61, 30)))
        await websocket.send(viewer.encode(Pointer(1, 2, 1)))
        await websocket.send(viewer.encode(Seen(1, 2)))
        assert await desktop.hear() == Seen(1, 2), "and nothing before it"
        problem = viewer.decode_from_desktop(await websocket.recv())
        assert isinstance(problem, Problem)
        assert problem.code == "not-allowed"


async def test_a_role_changes_while_watching(here, session, desktops):
    async with watching(here, here.other, session) as websocket:
        desktop = await desktops.get()
        await desktop.hear()
        await here.member.http.put(
            f"{S}/{session}/shares/{here.other.actor.person_id}", json={"role": "controller"}
        )
        assert await desktop.hear() == RoleIs(role="controller", may_control=True)
        await websocket.send(viewer.encode(Key(1, 0x61, 30)))
        assert await desktop.hear() == Key(1, 0x61, 30)
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        assert await closed(websocket) == 4003


async def test_a_viewer_that_does_not_read_is_put_out_all_the_same(here, session, desktops):
    async with watching(here, here.other, session) as websocket:
        desktop = await desktops.get()
        await desktop.hear()
        for number in range(60):
            desktop.writer.write(
                viewer.framed(viewer.encode(Video(0, number, 0, 0, bytes(1_000_000))))
            )
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        async with asyncio.timeout(10):
            while here.plane.book.live(session).watchers:
                await asyncio.sleep(0.01)
        assert await closed(websocket) == 4003


async def test_what_only_the_control_plane_says_does_not_come_from_a_viewer(
    here, session, desktops
):
    async with watching(here, here.other, session) as websocket:
        desktop = await desktops.get()
        await desktop.hear()
        await websocket.send(viewer.encode(RoleIs(role="owner", may_control=True)))
        await websocket.send(b"\xff\xff")
        await websocket.send("text")
        await websocket.send(viewer.encode(KeyFrameWanted()))
        assert await desktop.hear() == KeyFrameWanted()
        for _ in range(60):
            await websocket.send(b"nonsense")
        assert await closed(websocket) == 4009


async def test_a_stream_that_ends_says_come_again(here, session, desktops):
    async with watching(here, here.member, session) as websocket:
        desktop = await desktops.get()
        await desktop.hear()
        desktop.writer.close()
        assert await closed(websocket) == 4011


async def test_a_desktop_that_sends_nonsense(here, session, desktops):
    async with watching(here, here.member, session) as websocket:
        desktop = await desktops.get()
        await desktop.hear()
        desktop.writer.write(b"\xff\xff\xff\xff")
        assert await closed(websocket) == 4011


async def test_leaving_ends_the_stream_to_the_runner(here, session, desktops):
    async with watching(here, here.member, session):
        desktop = await desktops.get()
        await desktop.hear()
    with pytest.raises((EOFError, ConnectionResetError)):
        await desktop.hear()


async def test_signing_out_ends_it(here, session, desktops):
    async with watching(here, here.member, session) as websocket:
        await (await desktops.get()).hear()
        await here.member.http.post("/api/v1/sign-out")
        assert await closed(websocket) == 4001


async def test_strangers_and_no_such_session(here, private, desktops):
    for session_id in (private, "nosuchsession"):
        async with watching(here, here.other, session_id) as websocket:
            assert await closed(websocket) == 4004


async def ways(here, person, session):
    answer = await person.http.get(f"{S}/{session}/connection-methods")
    return {method["name"]: method for method in answer.json()["methods"]}


DESKTOP = {"width": 640, "height": 480}


async def test_by_which_ways(here, runner, session):
    found = await ways(here, here.member, session)
    assert "without a desktop" in found["native"]["detail"]
    bare = await runner.run_session(here.member, desktop=DESKTOP)
    found = await ways(here, here.member, bare)
    assert found["native"]["detail"] == "The runner does not say that it can."
    able = await here.runner(
        "runner0002",
        capabilities={"desktop": "", "vnc": "", "rdp": "xrdp is not installed: get it."},
    )
    session = await able.run_session(here.member, desktop=DESKTOP)
    found = await ways(here, here.member, session)
    assert list(found) == ["native", "webrtc", "vnc", "rdp", "guacamole", "moonlight"]
    assert found["native"] == {
        "name": "native",
        "label": "Built in",
        "available": True,
        "detail": None,
        "path": f"{S}/{session}/desktop",
        "control": True,
    }
    assert found["vnc"]["available"]
    assert found["vnc"]["path"] == f"{S}/{session}/desktop/vnc"
    assert found["rdp"]["detail"] == "xrdp is not installed: get it."
    assert found["guacamole"]["detail"].startswith("No guacd is set up")
    assert found["webrtc"]["detail"] == "Not built yet."
    person = here.other.actor.person_id
    await here.member.http.put(f"{S}/{session}/shares/{person}", json={"role": "viewer"})
    assert not (await ways(here, here.other, session))["vnc"]["control"]
    await here.member.http.put(f"{S}/{session}/shares/{person}", json={"role": "controller"})
    assert (await ways(here, here.other, session))["vnc"]["control"]
    await able.logged(session, exited(2))
    found = await ways(here, here.member, session)
    assert found["native"]["detail"] == "The session has ended."
    assert not found["native"]["control"]
