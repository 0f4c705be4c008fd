"""The runner's control connection against a small real WebSocket server that plays the server."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from earthshine.net.backoff import Backoff
from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    Ack,
    AgentOffer,
    Control,
    ControlHello,
    Done,
    Error,
    Hello,
    Input,
    ListFolders,
    Log,
    Ping,
    Pong,
    Position,
    Problem,
    Prompt,
    Refused,
    RunnerCondition,
    SessionCondition,
    Status,
    Stop,
)
from earthshine.protocols.revdial import Dial, DialSpares
from earthshine.runner import dialhome, workspace
from earthshine.runner.commands import Commands
from earthshine.runner.dialhome import DialHome, websocket_url
from earthshine.runner.sessions.held import HolderGoneError
from tests.unit.runner.sessions.test_keeper import Runner, start

OFFERS = [AgentOffer(name="shell", label="Shell", path="/bin/sh")]


class FakeControl:
    """A server that says what a test tells it to."""

    def __init__(self):
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self.refuse = 0

    async def serve(self, connection):
        await self.arrivals.put(Arrival(connection))
        await connection.wait_closed()

    def check(self, connection, request):
        self.request = request
        return connection.respond(self.refuse, "no\n") if self.refuse else None

    async def next(self):
        async with asyncio.timeout(15):
            return await self.arrivals.get()


class Arrival:
    def __init__(self, connection):
        self.connection = connection
        self.events = {}

    async def hear(self, *kinds):
        async with asyncio.timeout(15):
            while True:
                frame = envelope.decode(await self.connection.recv())
                if not kinds or isinstance(frame, kinds):
                    return frame

    async def say(self, frame):
        await self.connection.send(envelope.encode(frame))

    async def greet(self, positions=(), unknown=(), version=1):
        hello = await self.hear(Hello)
        answer = ControlHello(
            version=version, software="0", positions=list(positions), unknown=list(unknown)
        )
        await self.say(Hello(payload=answer))
        return hello

    async def ask(self, session_id, payload):
        """A command and its answer; entries that come meanwhile are kept and acknowledged."""
        await self.say(Control(session_id=session_id, payload=payload))
        while True:
            frame = await self.hear(Control, Log)
            if isinstance(frame, Control):
                return frame.payload
            await self._keep(frame)

    async def log(self, session_id, kind):
        """Take a session's entries until one of `kind`."""
        while not any(event.kind == kind for event in self.events.get(session_id, [])):
            await self._keep(await self.hear(Log))
        return self.events[session_id]

    async def _keep(self, frame):
        mine = self.events.setdefault(frame.session_id, [])
        assert frame.seq == frame.payload.events[0].seq
        mine += frame.payload.events
        await self.say(Ack(session_id=frame.session_id, seq=mine[-1].seq))


class World:
    """What the fixture yields."""

    control: FakeControl
    runner: Runner
    home: DialHome
    commands: Commands

    def __init__(self) -> None:
        self.states: list[str] = []
        self.dialled: list[Dial | DialSpares] = []

    def obey(self, session_id, payload):
        self.commands.obey(session_id, payload)


@pytest.fixture
async def world(tmp_path, no_blocking, monkeypatch):
    monkeypatch.setattr(dialhome, "Backoff", QuickBackoff)
    here = World()
    here.control = FakeControl()
    here.runner = Runner(tmp_path)
    await here.runner.open()
    ready = asyncio.Event()

    async def run(port):
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                here.home = DialHome(
                    f"http://127.0.0.1:{port}/",
                    "runner0001",
                    "box",
                    lambda: "Bearer token",
                    here.runner.keeper,
                    lambda: OFFERS,
                    here.obey,
                )
                here.home.on_state = here.states.append
                here.commands = Commands(
                    here.runner.keeper, here.home.send_control, here.dialled.append, tasks
                )
                ready.set()
                await here.home.run()

    async with serve(
        here.control.serve, "127.0.0.1", 0, process_request=here.control.check, max_size=None
    ) as server:
        task = asyncio.create_task(run(server.sockets[0].getsockname()[1]))
        await ready.wait()
        yield here
        async with asyncio.timeout(20):
            while not all(session.ended for session in here.runner.keeper):
                for session in here.runner.keeper:
                    with contextlib.suppress(HolderGoneError):
                        session.tell(Stop(request_id="", by="", how="kill", command_id="end"))
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
    await here.runner.close()


class QuickBackoff(Backoff):
    began_anew = 0

    def __init__(self, random):
        super().__init__(random, first=0.05, longest=0.1)

    def delivered(self):
        type(self).began_anew += 1
        super().delivered()


async def test_the_runner_introduces_itself(world):
    arrival = await world.control.next()
    hello = await arrival.greet()
    assert hello.client_id == "runner0001"
    payload = hello.payload
    assert (payload.version, payload.name, payload.agents) == (1, "box", OFFERS)
    assert payload.sessions == []
    headers = world.control.request.headers
    assert headers["authorization"] == "Bearer token"
    assert headers["earthshine-runner"] == "runner0001"
    assert world.control.request.path == "/api/clients/stream", "nothing secret in the address"


async def test_a_session_from_start_to_delivery(world, eventually):
    arrival = await world.control.next()
    await arrival.greet()
    answer = await arrival.ask("s1", start("sh", "-c", "echo hi; read x; echo $x; exit 2"))
    assert answer == Done(request_id="1", value=None)
    await arrival.log("s1", 1)
    await arrival.say(Control(session_id="s1", payload=Input(data=b"typed\r")))
    log = await arrival.log("s1", 7)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert b"typed" in b"".join(event.data for event in log)
    await eventually(lambda: world.runner.keeper.get("s1") is None)


async def test_after_a_break_the_log_resumes_behind_the_servers_cursor(world):
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.ask("s1", start("sh", "-c", "echo one; read x; echo two; read y"))
    log = list(await arrival.log("s1", 1))
    await arrival.connection.close()
    world.runner.keeper.get("s1").tell(Input(data=b"\r"))
    again = await world.control.next()
    position = Position(session_id="s1", seq=log[-1].seq, bytes=5)
    hello = await again.greet([position])
    (told,) = hello.payload.sessions
    assert (told.session_id, told.first_seq, told.ended) == ("s1", 1, False)
    fresh = await again.log("s1", 1)
    assert fresh[0].seq == log[-1].seq + 1


async def test_entries_that_the_server_does_not_have_come_again(world):
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.ask("s1", start("sh", "-c", "echo one; read x"))
    log = list(await arrival.log("s1", 1))
    await arrival.say(Error(session_id="s1", payload=Problem(code="hole", detail="expected 1")))
    again = await world.control.next()
    await again.greet([Position(session_id="s1", seq=0, bytes=0)])
    assert (await again.log("s1", 1))[0] == log[0]


async def test_a_session_that_began_while_we_greeted_is_sent_too(world):
    arrival = await world.control.next()
    await arrival.hear(Hello)
    await world.runner.keeper.start("s1", start("cat"))
    await arrival.say(Hello(payload=ControlHello(version=1, software="0", positions=[])))
    log = await arrival.log("s1", 2)
    assert log[0].seq == 1


async def test_a_session_that_the_server_does_not_know_goes_on_unseen(world):
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.ask("s1", start("cat"))
    await arrival.connection.close()
    again = await world.control.next()
    await again.greet(unknown=["s1"])
    await again.say(Ping(seq=1))
    assert await again.hear(Pong, Log) == Pong(seq=1)
    assert not world.runner.keeper.get("s1").ended


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (start("true", folder="/no/such"), "folder-missing"),
        (start("no-such-program"), "agent-missing"),
        (Prompt(request_id="1", text="x", by="a", command_id="c"), "ended"),
        (ListFolders(request_id="1", path="/no/such"), "folder-missing"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_cannot_be_carried_out_is_refused_in_words(world, payload, code):
    arrival = await world.control.next()
    await arrival.greet()
    answer = await arrival.ask("s1", payload)
    assert isinstance(answer, Refused)
    assert (answer.request_id, answer.code) == ("1", code)


async def test_a_command_without_a_session_is_refused(world):
    arrival = await world.control.next()
    await arrival.greet()
    answer = await arrival.ask(None, start("true"))
    assert isinstance(answer, Refused)
    assert answer.code == "invalid"


async def test_folders_are_listed(world, tmp_path):
    (tmp_path / "inside").mkdir()
    arrival = await world.control.next()
    await arrival.greet()
    answer = await arrival.ask(None, ListFolders(request_id="7", path=str(tmp_path)))
    assert "inside" in [folder["name"] for folder in answer.value["folders"]]


async def test_a_fault_of_ours_is_told_and_survived(world, monkeypatch):
    async def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(workspace, "list_folders", broken)
    arrival = await world.control.next()
    await arrival.greet()
    answer = await arrival.ask(None, ListFolders(request_id="7", path=""))
    assert isinstance(answer, Refused)
    assert (answer.code, "ZeroDivisionError" in answer.detail) == ("internal", True)


async def test_dials_are_handed_on(world, eventually):
    arrival = await world.control.next()
    await arrival.greet()
    dial = Dial(dial_id="d", ticket="t", destination="127.0.0.1:80")
    await arrival.say(Control(payload=dial))
    await eventually(lambda: world.dialled == [dial])


@pytest.mark.parametrize(
    "message",
    [b"\xc1", "{", '{"type":"dance"}', '{"type":"control","payload":{"action":"dance"}}',
     envelope.encode(Status(session_id="x", payload=SessionCondition(code="x"))),
     envelope.encode(Ack(session_id="nosuch", seq=9)),
     envelope.encode(Control(payload=Done(request_id="x")))],
    ids=lambda value: repr(value)[:24],
)  # fmt: skip
async def test_nonsense_from_the_server_is_survived(world, message):
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.connection.send(message)
    await arrival.say(Ping(seq=3))
    assert await arrival.hear(Pong) == Pong(seq=3)


async def test_another_version_ends_the_connection_and_is_tried_again(world, eventually):
    arrival = await world.control.next()
    await arrival.greet(version=99)
    assert (await arrival.hear(Error)).payload.code == "version"
    with pytest.raises(ConnectionClosed):
        await arrival.hear()
    await eventually(lambda: any("version" in state for state in world.states))
    await (await world.control.next()).greet()
    await eventually(lambda: world.states[-1] == "connected")


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "token"), (403, "does not accept"), (404, "no Earthshine"), (409, "another machine"),
     (421, "address"), (500, "500")],
)  # fmt: skip
async def test_why_it_is_not_connected_is_said_in_words(world, eventually, status, words):
    world.control.refuse = status
    async with asyncio.timeout(15):
        while not any(words in state for state in world.states):
            with contextlib.suppress(asyncio.QueueEmpty):  # it may have come before
                await world.control.arrivals.get_nowait().connection.close()
            await asyncio.sleep(0.01)
    world.control.refuse = 0
    await (await world.control.next()).greet()
    await eventually(lambda: world.states[-1] == "connected")


async def test_new_agents_and_conditions_are_reported(world, eventually):
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.ask("s1", start("cat"))
    offer = AgentOffer(name="codex", label="Codex")
    world.home.offers_changed([offer], {"desktop": ""})
    condition = RunnerCondition(agents=[offer], capabilities={"desktop": ""})
    assert (await arrival.hear(Status)).payload == condition
    session = world.runner.keeper.get("s1")
    await eventually(lambda: session.tail)  # the holder has said that all is well
    session._heard(commands_condition())
    status = await arrival.hear(Status)
    assert (status.session_id, status.payload.code) == ("s1", "disk-full")
    await arrival.connection.close()
    again = await world.control.next()
    await again.greet([Position(session_id="s1", seq=0, bytes=0)])
    status = await again.hear(Status)
    assert status.payload.code == "disk-full", "said again after a break"


def commands_condition():
    from earthshine.runner.holder.messages import Condition

    return Condition(code="disk-full", detail="no space")


@pytest.mark.parametrize(("steady", "anew"), [(0.0, 1), (60.0, 0)])
async def test_after_a_long_connection_the_next_comes_soon(world, monkeypatch, steady, anew):
    monkeypatch.setattr(dialhome, "STEADY_SECONDS", steady)
    monkeypatch.setattr(QuickBackoff, "began_anew", 0)
    arrival = await world.control.next()
    await arrival.greet()
    await arrival.say(Ping(seq=1))
    await arrival.hear(Pong)
    await arrival.connection.close()
    await world.control.next()
    assert QuickBackoff.began_anew == anew


async def test_sending_without_a_connection_is_an_error(world):
    await world.control.next()
    world.home._connection = None
    with pytest.raises(ConnectionError):
        await world.home.send_control(Done(request_id="1"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a:1", "ws://a:1/api/clients/stream"),
        ("https://a/", "wss://a/api/clients/stream"),
        ("https://a/sub/", "wss://a/sub/api/clients/stream"),
        ("wss://[::1]:5", "wss://[::1]:5/api/clients/stream"),
    ],
)
def test_the_address_of_the_connection(url, expected):
    assert websocket_url(url) == expected


@pytest.mark.parametrize("url", ["", "a:1", "ftp://a", "http://", "https://user:secret@a"])
def test_what_is_no_address(url):
    with pytest.raises(ValueError, match="address"):
        websocket_url(url)
