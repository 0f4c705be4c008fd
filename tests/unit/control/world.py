"""A control plane on a real SQLite file and a real port, people, and runners that are fakes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.access import Actor
from earthshine.control.accounts.sign_ins import SignedIn
from earthshine.control.app import ControlPlane, application
from earthshine.control.db.engine import Database
from earthshine.control.origins import AllowedOrigins, loopback_origins
from earthshine.control.recordings.storage import Keeping
from earthshine.net.abortable import AbortableWebSocket
from earthshine.net.upgrade import revdial_protocol
from earthshine.protocols import envelope, events, feed
from earthshine.protocols.envelope import (
    MAX_MESSAGE,
    AgentOffer,
    AnyFrame,
    Control,
    ControlHello,
    Done,
    Events,
    Hello,
    Log,
    Refused,
    RunnerHello,
    SpoolPosition,
    Start,
)
from earthshine.protocols.events import Event, Kind
from tests.peers.revdial_world import serving

RUNNER_TOKEN = "the-runners-token"
RUNNER = "runner0001"


@contextlib.asynccontextmanager
async def in_own_task(context):
    """Enter and leave in one task, as task groups want, also from a fixture."""
    entered = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def hold():
        try:
            async with context as value:
                entered.set_result(value)
                await leave.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    task = asyncio.create_task(hold())
    try:
        yield await entered
    finally:
        leave.set()
        await task


class Person:
    """Somebody signed in, with a client that carries the token."""

    def __init__(self, actor: Actor, token: str, base: str, transport: Any = None) -> None:
        self.actor = actor
        self.token = token
        self.headers = {"authorization": f"Bearer {token}"}
        self.http = httpx.AsyncClient(
            base_url=base, headers=self.headers, transport=transport, timeout=20, verify=False
        )

    async def start(self, **request: Any) -> dict[str, Any]:
        answer = await self.http.post("/api/v1/sessions", json=request)
        assert answer.status_code == 201, answer.text
        session: dict[str, Any] = answer.json()
        return session


class World:
    """What `world()` yields."""

    def __init__(self, plane: ControlPlane, app: Any, port: int) -> None:
        self.plane = plane
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.owner: Person
        self.member: Person
        self.other: Person
        self._stack = contextlib.AsyncExitStack()

    async def person(self, signed_in: SignedIn) -> Person:
        person = Person(signed_in.actor, signed_in.token, self.url)
        await self._stack.enter_async_context(person.http)
        return person

    def anonymous(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=20, verify=False, **options)

    async def runner(self, runner_id: str = RUNNER, **hello: Any) -> FakeRunner:
        """A fake runner that has been greeted."""
        known = self.plane.directory.known(runner_id)
        before = known.connection if known else None
        runner = await self.dial(runner_id)
        await runner.greet(**hello)
        async with asyncio.timeout(15):
            while (known := self.plane.directory.known(runner_id)) is None or (
                known.connection in (before, None)
            ):
                await asyncio.sleep(0.002)
        return runner

    async def dial(self, runner_id: str = RUNNER, **headers: str) -> FakeRunner:
        """A fake runner that has said nothing yet."""
        sent = {
            "Authorization": f"Bearer {RUNNER_TOKEN}",
            "Earthshine-Runner": runner_id,
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        connection = await self._stack.enter_async_context(
            connect(
                f"ws://127.0.0.1:{self.port}/api/clients/stream",
                additional_headers={key: value for key, value in sent.items() if value},
                max_size=MAX_MESSAGE,
                compression=None,
                ping_interval=None,
                close_timeout=2,
            )
        )
        return FakeRunner(connection, runner_id)

    async def feed(
        self, person: Person | None, session_id: str, query: str = "", **headers: str
    ) -> Viewer:
        credentials = person.headers if person else {}
        connection = await self._stack.enter_async_context(
            connect(
                f"ws://127.0.0.1:{self.port}/api/v1/sessions/{session_id}/feed{query}",
                additional_headers=credentials | headers,
                subprotocols=[feed.SUBPROTOCOL],  # type: ignore[list-item]
                max_size=None,
                close_timeout=2,
            )
        )
        return Viewer(connection)


class FakeRunner:
    """Stands in for a runner: says what a test tells it to, and keeps what it hears."""

    def __init__(self, connection: ClientConnection, runner_id: str) -> None:
        self.connection = connection
        self.runner_id = runner_id
        self.hello: ControlHello | None = None
        self.acks: dict[str, int] = {}
        self.starting = asyncio.Event()

    async def say(self, frame: envelope.Frame) -> None:
        await self.connection.send(envelope.encode(frame))

    async def hear(self, *kinds: type) -> AnyFrame:
        """The next frame (of one of `kinds`). Raises ConnectionClosed."""
        async with asyncio.timeout(15):
            while True:
                frame = envelope.decode(await self.connection.recv())
                if isinstance(frame, envelope.Ack):
                    assert frame.session_id
                    self.acks[frame.session_id] = frame.seq or 0
                if not kinds or isinstance(frame, kinds):
                    return frame

    async def closed(self) -> tuple[int, str]:
        """Wait for the end: its code and reason."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.hear()
        received = closed.value.rcvd
        assert received is not None, "cut off without a word"
        return received.code, received.reason

    async def greet(
        self,
        *,
        version: int = 1,
        instance: str = "instance-1",
        sessions: tuple[SpoolPosition, ...] = (),
        name: str = "box",
        agents: tuple[AgentOffer, ...] = (AgentOffer(name="shell", label="Shell", path="/bin/sh"),),
        capabilities: dict[str, str] | None = None,
    ) -> ControlHello:
        payload = RunnerHello(
            version=version,
            instance=instance,
            name=name,
            hostname="box.local",
            platform="Linux",
            software="0.1",
            home="/home/anna",
            agents=list(agents),
            sessions=list(sessions),
            capabilities=capabilities or {},
        )
        await self.say(Hello(client_id=self.runner_id, payload=payload))
        answer = await self.hear(Hello)
        assert isinstance(answer, Hello)
        assert isinstance(answer.payload, ControlHello)
        self.hello = answer.payload
        return answer.payload

    async def log(self, session_id: str, *entries: Event) -> None:
        await self.say(
            Log(
                session_id=session_id,
                client_id=self.runner_id,
                seq=entries[0].seq,
                payload=Events(events=list(entries)),
            )
        )

    async def logged(self, session_id: str, *entries: Event) -> None:
        """Send entries and wait until they are acknowledged."""
        await self.log(session_id, *entries)
        while self.acks.get(session_id, 0) < entries[-1].seq:
            await self.hear(envelope.Ack)

    async def command(self, *kinds: type[msgspec.Struct]) -> Control:
        """The next command of one of the kinds."""
        while True:
            frame = await self.hear(Control)
            assert isinstance(frame, Control)
            if isinstance(frame.payload, kinds):
                return frame

    async def done(self, frame: Control, value: Any = None) -> None:
        request_id = frame.payload.request_id  # type: ignore[union-attr]
        await self.say(Control(payload=Done(request_id=request_id, value=value)))

    async def refuse(self, frame: Control, code: str, detail: str) -> None:
        request_id = frame.payload.request_id  # type: ignore[union-attr]
        refused = Refused(request_id=request_id, code=code, detail=detail, remedy="do this")
        await self.say(Control(payload=refused))

    async def run_session(self, person: Person, **request: Any) -> str:
        """A session that person starts here; returns its id once it runs."""
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(person.start(runnerId=self.runner_id, **request))
            frame = await self.command(Start)
            await self.done(frame)
        session_id: str = asked.result()["id"]
        await self.logged(session_id, started(1))
        return session_id


class Viewer:
    """A feed's far end. Binary messages become events."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.said: list[dict[str, Any]] = []
        self.messages: list[Event | str] = []
        """What came, in order: events, and the types of what was said."""

    async def step(self) -> None:
        async with asyncio.timeout(15):
            message = await self.connection.recv()
        if isinstance(message, bytes):
            fresh = list(feed.records(message))
            self.events += fresh
            self.messages += fresh
        else:
            self.said.append(msgspec.json.decode(message))
            self.messages.append(self.said[-1]["type"])

    async def until(self, condition: Callable[[], Any]) -> Any:
        while not (value := condition()):
            await self.step()
        return value

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a type, from now on."""
        seen = len(self.said)
        while True:
            for message in self.said[seen:]:
                if message["type"] == kind:
                    return message
            seen = len(self.said)
            await self.step()

    async def live(self) -> None:
        await self.until(lambda: "live" in self.messages)

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(msgspec.json.encode({"type": kind, **fields}).decode())

    async def closed(self) -> int:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.step()
        received = closed.value.rcvd
        assert received is not None, "cut off without a word"
        return received.code


def output(seq: int, data: bytes = b"x") -> Event:
    return Event(seq, 1_700_000_000_000 + seq, Kind.OUTPUT, data)


def started(seq: int) -> Event:
    detail = events.Started(
        agent="shell", argv=["/bin/sh"], pid=7, folder="/home/anna", cols=100, rows=30
    )
    return events.entry(seq, 1_700_000_000_000 + seq, detail)


def exited(seq: int, code: int | None = 0, signal: int | None = None) -> Event:
    detail = events.Exited(exit_code=code, signal=signal)
    return events.entry(seq, 1_700_000_000_000 + seq, detail)


@contextlib.asynccontextmanager
async def world(database_url: str, people: list[SignedIn]):
    """A control plane that serves on a free port of this machine."""
    import socket

    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    recordings = Keeping(Path(database_url.partition("///")[2]).parent / "recordings")
    plane = ControlPlane(Database(database_url), RUNNER_TOKEN, recordings=recordings)
    async with plane.running():
        allowed = AllowedOrigins(loopback_origins("http", port))
        app = application(plane, allowed, f"http://127.0.0.1:{port}")
        async with (
            serving(
                app,
                http=revdial_protocol(plane.dialing),
                ws=AbortableWebSocket,
                sock=sock,
                ws_max_size=MAX_MESSAGE,
                ws_per_message_deflate=False,
            ),
        ):
            here = World(plane, app, port)
            async with here._stack:
                here.owner, here.member, here.other = [await here.person(p) for p in people]
                yield here
