"""What the runner itself decides. Dialling as a whole is in tests/peers/test_revdial.py."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from earthshine.net.relay import Relay
from earthshine.net.upgrade import Endpoint
from earthshine.protocols.revdial import Dial, DialFailed, DialFault, DialSpares, parse_destination
from earthshine.runner import dialback as dialback_module
from earthshine.runner.dialback import DialBack, local_policy
from earthshine.runner.policy.rules import Policy, Rules


@pytest.mark.parametrize(
    ("destination", "permitted"),
    [
        ("localhost:3000", True),
        ("127.0.0.1:3000", True),
        ("127.9.9.9:1", True),
        ("[::1]:3000", True),
        ("[::ffff:127.0.0.1]:3000", False),
        ("192.168.1.1:80", False),
        ("169.254.169.254:80", False),  # a cloud's metadata service
        ("localhost.evil.example:80", False),
        ("unix:/run/docker.sock", False),
    ],
)
def test_by_default_loopback_only(destination, permitted):
    assert local_policy()(parse_destination(destination)) is permitted


def test_unix_sockets_of_its_own_folder(tmp_path):
    permits = local_policy(tmp_path)
    (tmp_path / "out").symlink_to("/run")
    assert permits(parse_destination(f"unix:{tmp_path}/a.sock"))
    assert permits(parse_destination(f"unix:{tmp_path}/deep/a.sock"))
    assert not permits(parse_destination(f"unix:{tmp_path}/out/docker.sock"))
    assert not permits(parse_destination(f"unix:{tmp_path}x/a.sock"))


@pytest.fixture
def relay():
    relay = Relay()
    relay.start()
    yield relay
    relay.close()


@contextlib.asynccontextmanager
async def listening(answer=b""):
    """A TCP service that takes connections and sends `answer`."""
    connections = []

    async def handle(reader, writer):
        connections.append(writer)
        if answer:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        for writer in connections:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def dialback(relay, reports, url="http://127.0.0.1:1", **options):
    async def report(message):
        reports.append(message)

    return DialBack(Endpoint(url), lambda: "Bearer x", relay, report, **options)


@pytest.mark.parametrize(
    ("destination", "fault"),
    [
        ("0.0.0.0:80", DialFault.BAD_DESTINATION),
        ("no port", DialFault.BAD_DESTINATION),
        ("10.0.0.1:80", DialFault.NOT_PERMITTED),
        ("127.0.0.1:{closed}", DialFault.REFUSED),
        ("localhost:{closed}", DialFault.REFUSED),
    ],
)
async def test_faults_are_reported(relay, destination, fault):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    reports: list[DialFailed] = []
    back = dialback(relay, reports)
    async with asyncio.TaskGroup() as tasks:
        await back.handle(Dial("d1", "t1", destination.format(closed=closed)), tasks)
    assert [(r.dial_id, r.fault) for r in reports] == [("d1", fault)]
    assert back.active == 0


async def test_the_policys_words_go_back_with_the_report(relay):
    policy = Policy(Rules(ports=[3000]), Path("/etc/p.toml"))

    def permits(destination):
        policy.check_destination(destination)
        return True

    reports: list[DialFailed] = []
    back = dialback(relay, reports, policy=permits)
    async with asyncio.TaskGroup() as tasks:
        await back.handle(Dial("d1", "t1", "localhost:22"), tasks)
    assert reports[0].fault is DialFault.NOT_PERMITTED
    assert reports[0].detail.startswith("refused-by-policy: ")
    assert "(`ports` in /etc/p.toml)" in reports[0].detail


async def test_a_destination_that_does_not_answer(relay, monkeypatch):
    async def never(destination):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(dialback_module, "_open", never)
    reports: list[DialFailed] = []
    back = dialback(relay, reports, local_timeout=0.01)
    async with asyncio.TaskGroup() as tasks:
        await back.handle(Dial("d1", "t1", "localhost:1"), tasks)
    assert reports[0].fault is DialFault.TIMED_OUT


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 410 this ticket has been used\r\ncontent-length: 0\r\n\r\n", "410 this ticket"),
        (b"HTTP/1.1 799 odd\r\ncontent-length: 0\r\n\r\n", "799"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "200"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 40_000, "longer than"),
    ],
)
async def test_a_control_plane_that_says_no(relay, answer, says):
    async with listening() as (port, _targets), listening(answer) as (control, _):
        reports: list[DialFailed] = []
        back = dialback(relay, reports, f"http://127.0.0.1:{control}")
        async with asyncio.TaskGroup() as tasks:
            await back.handle(Dial("d1", "t1", f"127.0.0.1:{port}"), tasks)
        assert reports[0].fault is DialFault.DIAL_BACK
        assert says in reports[0].detail
        assert len(relay) == 0


async def test_the_limit_of_streams(relay, monkeypatch):
    monkeypatch.setattr(dialback_module, "MAX_STREAMS", 0)
    reports: list[DialFailed] = []
    async with asyncio.TaskGroup() as tasks:
        await dialback(relay, reports).handle(Dial("d1", "t1", "localhost:1"), tasks)
    assert reports[0].fault is DialFault.BUSY


async def test_a_report_that_cannot_be_sent_is_not_an_error(relay):
    async def report(message):
        raise ConnectionResetError

    back = DialBack(Endpoint("http://127.0.0.1:1"), lambda: "x", relay, report)
    async with asyncio.TaskGroup() as tasks:
        await back.handle(Dial("d1", "t1", "0.0.0.0:1"), tasks)


async def test_spares_are_bounded_and_their_failures_silent(relay):
    reports: list[DialFailed] = []
    back = dialback(relay, reports)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            back.start(DialSpares([f"t{n}" for n in range(100)]), tasks)
        assert len(tasks._tasks) == 5 * 4
        await asyncio.sleep(0)
        assert back._spares <= 8
    assert back._spares == 0
    assert reports == []


async def test_ending_the_task_group_ends_dials_and_streams(relay):
    """A runner that stops leaves nothing behind, wherever a dial stands."""
    switching = (
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: earthshine-revdial\r\n\r\n"
    )
    for answer in (b"", switching):
        async with listening() as (port, targets), listening(answer) as (control, _):
            back = dialback(relay, [], f"http://127.0.0.1:{control}")
            task = asyncio.create_task(group(back, Dial("d1", "t1", f"127.0.0.1:{port}")))
            async with asyncio.timeout(5):
                while not targets or (answer and not len(relay)):
                    await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(5):
                while len(relay):
                    await asyncio.sleep(0.001)
            assert back.active == 0


async def group(back, command):
    async with asyncio.TaskGroup() as tasks:
        back.start(command, tasks)
