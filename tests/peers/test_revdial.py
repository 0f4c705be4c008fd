"""Reverse dial end to end in one process: dial service, uvicorn, dial-back, two relays."""

import asyncio
import contextlib
import random
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from earthshine.control.dialing import service as service_module
from earthshine.control.dialing.registry import (
    RunnerDidNotReturnError,
    RunnerNeverSeenError,
)
from earthshine.control.errors import (
    DialFailedError,
    InvalidRequestError,
    RunnerUnavailableError,
)
from earthshine.net.handover import Detached
from earthshine.net.upgrade import DialBackRefusedError, DialBackRequest, Endpoint, dial_back
from earthshine.protocols.revdial import PATH, SPARE, Dial, DialFailed, DialFault, Grant
from earthshine.runner.dialback import local_policy
from tests.peers.revdial_world import echo, streams_of, tcp_service, world


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture(params=["raw", "websocket", "tls"])
def settings(request):
    if request.param == "tls":
        return {"tls": request.getfixturevalue("certificate")}
    return {"framing": request.param}


async def exchange(stream, data: bytes) -> bytes:
    """Send all, half-close, read to the end."""
    reader, writer = await streams_of(stream.take())

    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    try:
        answer: bytes = await reader.read()
        return answer
    finally:
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def settled(condition, what: str) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


async def test_bytes_go_there_and_back_with_half_close(settings):
    """The answer comes after our end-of-stream: WebSocket framing carries that too."""

    async def reverse(reader, writer):
        data = await reader.read()
        writer.write(data[::-1])
        await writer.drain()

    data = random.Random(1).randbytes(3_000_000)
    async with world(**settings) as here, tcp_service(reverse) as port:
        for _ in range(4):  # the later ones on spares
            stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
            assert await exchange(stream, data) == data[::-1]
        await settled(lambda: len(here.runner_relay) == 0, "the runner's relay is empty")


async def test_a_reset_at_the_destination_is_a_reset_here(settings):
    async def rude(reader, writer):
        await reader.readexactly(1)
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()

    async with world(**settings) as here, tcp_service(rude) as port:
        stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        reader, writer = await streams_of(stream.take())
        writer.write(b"x")
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_joined_to_an_entry_by_the_relay(settings):
    async with world(**settings) as here, tcp_service(echo) as port:
        stream = await here.service.dial("runner-1", f"localhost:{port}")
        browser, entry = socket.socketpair()
        relayed = stream.join(here.control_relay, Detached(entry, b"early "), to_entry=b"hi ")
        reader, writer = await asyncio.open_connection(sock=browser)
        writer.write(b"late")
        writer.write_eof()
        assert await reader.read() == b"hi early late"
        ended = await relayed.wait()
        assert (ended.bytes_a_to_b, ended.bytes_b_to_a) == (10, 13)
        await settled(lambda: not here.service._streams["runner-1"], "the stream is forgotten")
        writer.close()
        await writer.wait_closed()


async def test_concurrent_dials_never_swap_connections(settings):
    """Each of many dials at once must reach its own destination."""

    def greeter(name: bytes):
        async def greet(reader, writer):
            writer.write(name)
            await writer.drain()

        return greet

    async with world(**settings) as here, contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(tcp_service(greeter(b"%d" % i))) for i in range(8)]

        async def one(number: int) -> None:
            stream = await here.service.dial("runner-1", f"127.0.0.1:{ports[number % 8]}")
            assert await exchange(stream, b"") == b"%d" % (number % 8)

        async with asyncio.TaskGroup() as tasks:
            for number in range(60):
                tasks.create_task(one(number))


async def test_spares_only_while_the_runner_is_in_use(settings, monkeypatch):
    async with world(**settings) as here, tcp_service(echo) as port:
        assert here.service.spares.count("runner-1") == 0
        for _ in range(2):
            stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
            assert await exchange(stream, b"x") == b"x"
            await settled(lambda: here.service.spares.count("runner-1") == 2, "two spares")
        for _ in range(3):
            stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
            assert await exchange(stream, b"x") == b"x"
        await settled(lambda: here.service.spares.count("runner-1") == 4, "four when busy")
        # Only the first dial needed a Dial command.
        assert sum(isinstance(message, Dial) for message in here.link.sent) == 1
        monkeypatch.setattr("earthshine.control.dialing.spares.ACTIVE_SECONDS", 0.0)
        here.service.spares.sweep()
        assert here.service.spares.count("runner-1") == 0
        await settled(lambda: here.dialback._spares == 0, "the runner's spares have ended")


async def test_a_dead_spare_is_not_used(settings):
    async with world(**settings) as here, tcp_service(echo) as port:
        stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        await exchange(stream, b"x")
        await settled(lambda: here.service.spares.count("runner-1") == 2, "two spares")
        for task in list(here.tasks._tasks):
            task.cancel()  # the runner ends its side
        await settled(lambda: here.service.spares.count("runner-1") == 0, "noticed")
        stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        assert await exchange(stream, b"y") == b"y"


@pytest.mark.parametrize("spare", [False, True], ids=["plain", "spare"])
@pytest.mark.parametrize(
    ("destination", "says"),
    [
        ("127.0.0.1:{closed}", "Nothing listens"),
        ("192.0.2.1:80", "does not permit"),
        ("example.org:80", "does not permit"),
        ("unix:/run/other.sock", "does not permit"),
        ("unix:{folder}/absent.sock", "does not exist"),
    ],
)
async def test_the_destination_fails_in_words(tmp_path, spare, destination, says):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with world(policy=local_policy(tmp_path)) as here, tcp_service(echo) as good:
        if spare:
            await exchange(await here.service.dial("runner-1", f"127.0.0.1:{good}"), b"")
            await settled(lambda: here.service.spares.count("runner-1") == 2, "two spares")
        with pytest.raises(DialFailedError, match=says) as failed:
            await here.service.dial("runner-1", destination.format(closed=port, folder=tmp_path))
        assert failed.value.stage == "destination"


async def test_unix_sockets_of_the_runners_folder(tmp_path):
    server = await asyncio.start_unix_server(echo_and_close, tmp_path / "x.sock")
    (tmp_path / "link.sock").symlink_to("/run/other.sock")
    async with world(policy=local_policy(tmp_path)) as here:
        stream = await here.service.dial("runner-1", f"unix:{tmp_path}/x.sock")
        assert await exchange(stream, b"unix") == b"unix"
        with pytest.raises(DialFailedError, match="does not permit"):
            await here.service.dial("runner-1", f"unix:{tmp_path}/link.sock")
    server.close()
    await server.wait_closed()


async def echo_and_close(reader, writer):
    await echo(reader, writer)
    writer.close()
    await writer.wait_closed()


async def test_localhost_is_found_on_ipv6_too():
    async with world() as here, tcp_service(echo, "::1") as port:
        stream = await here.service.dial("runner-1", f"localhost:{port}")
        assert await exchange(stream, b"six") == b"six"


async def test_not_an_address():
    async with world() as here:
        with pytest.raises(InvalidRequestError):
            await here.service.dial("runner-1", "0.0.0.0:80")


async def test_a_runner_that_was_never_here():
    async with world() as here:
        with pytest.raises(RunnerNeverSeenError):
            await here.service.dial("runner-9", "localhost:1")


async def test_a_runner_that_returns_within_its_grace():
    async with world() as here, tcp_service(echo) as port:
        here.registry.detach("runner-1", here.link)
        dial = asyncio.create_task(here.service.dial("runner-1", f"127.0.0.1:{port}"))
        await asyncio.sleep(0.01)
        assert not dial.done()
        await here.attach()
        assert await exchange(await dial, b"back") == b"back"


async def test_a_runner_that_does_not_return():
    async with world(grace=0.05) as here:
        here.registry.detach("runner-1", here.link)
        with pytest.raises(RunnerDidNotReturnError):
            await here.service.dial("runner-1", "localhost:1")


async def test_the_control_connection_breaks_while_asking():
    async with world() as here:
        await here.link.close(1006, "gone")
        with pytest.raises(DialFailedError) as failed:
            await here.service.dial("runner-1", "localhost:1")
        assert failed.value.stage == "ask"


async def test_a_runner_that_never_dials_back():
    async with world(dial_back_timeout=0.05) as here:
        here.receive = lambda command: None
        await here.attach()
        with pytest.raises(DialFailedError) as failed:
            await here.service.dial("runner-1", "localhost:1")
        assert failed.value.stage == "dial-back"
        assert here.service._slots == {}
        assert len(here.service._tickets) <= 2  # the spares'


async def test_a_runner_that_cannot_dial_back_says_so():
    async with world() as here, tcp_service(echo) as port:
        here.dialback._endpoint = Endpoint("http://127.0.0.1:1")
        with pytest.raises(DialFailedError, match="could not dial back") as failed:
            await here.service.dial("runner-1", f"127.0.0.1:{port}")
        assert failed.value.stage == "dial-back"


async def test_reports_of_another_runner_are_ignored():
    async with world() as here, tcp_service(echo) as port:
        seen = []

        def receive(command):
            if isinstance(command, Dial):
                report = DialFailed(command.dial_id, DialFault.REFUSED)
                here.service.dial_failed("runner-2", report)
                seen.append(command)
            here.dialback.start(command, here.tasks)

        here.receive = receive
        await here.attach()
        stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        assert await exchange(stream, b"x") == b"x"
        assert seen


async def test_a_caller_that_leaves_leaks_nothing(settings):
    """At whatever moment: before the runner is asked, while it dials back, as it arrives."""
    async with world(**settings) as here, tcp_service(echo) as port:
        await exchange(await here.service.dial("runner-1", f"127.0.0.1:{port}"), b"")
        await settled(lambda: len(here.runner_relay) == 0, "quiet")
        for delay in [0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.01]:
            dial = asyncio.create_task(here.service.dial("runner-1", f"127.0.0.1:{port}"))
            await asyncio.sleep(delay)
            dial.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await dial).close()
        await settled(lambda: len(here.runner_relay) == 0, "no stream is left on the runner")
        await settled(lambda: here.dialback.active == 0, "no dial is left on the runner")
        assert here.service._slots == {}
        assert here.service._pending == {}


async def test_a_connection_nobody_waits_for_is_closed():
    """The caller leaves after the ticket was spent and before the socket arrives."""
    async with world() as here:
        taken: list[Dial] = []
        here.receive = taken.append
        await here.attach()
        dial = asyncio.create_task(here.service.dial("runner-1", "localhost:1"))
        await settled(lambda: taken, "asked")
        seat = await here.service.admit(
            DialBackRequest("Bearer token-1", taken[0].ticket, "localhost:1")
        )
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        ours, theirs = socket.socketpair()
        seat.take_socket(Detached(theirs))
        assert theirs.fileno() == -1
        ours.close()


async def test_arrived_and_cancelled_in_the_same_moment():
    async with world() as here:
        taken: list[Dial] = []
        here.receive = taken.append
        await here.attach()
        dial = asyncio.create_task(here.service.dial("runner-1", "localhost:1"))
        await settled(lambda: taken, "asked")
        seat = await here.service.admit(
            DialBackRequest("Bearer token-1", taken[0].ticket, "localhost:1")
        )
        ours, theirs = socket.socketpair()
        seat.take_socket(Detached(theirs))
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        assert theirs.fileno() == -1
        ours.close()


async def test_revoking_a_runner_ends_everything_at_once(settings):
    async with world(**settings) as here, tcp_service(echo) as port:
        taken = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        reader, writer = await streams_of(taken.take())
        joined = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        browser, entry = socket.socketpair()
        relayed = joined.join(here.control_relay, Detached(entry))
        hanging = asyncio.create_task(here.service.dial("runner-1", "localhost:1"))
        here.receive = lambda command: None
        await here.service.revoke("runner-1")
        assert here.link.closed == (4003, "revoked")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert (await relayed.wait()).outcome.value == "aborted"
        with pytest.raises((RunnerUnavailableError, DialFailedError)):
            await hanging
        assert here.service.spares.count("runner-1") == 0
        with pytest.raises(RunnerNeverSeenError):
            await here.service.dial("runner-1", f"127.0.0.1:{port}")
        writer.close()
        browser.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await settled(lambda: len(here.runner_relay) == 0, "the runner's relay is empty")


async def test_streams_outlive_the_control_connection():
    async with world() as here, tcp_service(echo) as port:
        stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
        here.registry.detach("runner-1", here.link)
        assert await exchange(stream, b"still") == b"still"


@pytest.mark.parametrize("framing", ["raw", "websocket"])
@pytest.mark.parametrize(
    ("authorization", "ticket", "destination", "status"),
    [
        ("Bearer token-1", None, "localhost:7", None),
        ("Bearer token-2", None, "localhost:7", 403),
        ("Bearer wrong", None, "localhost:7", 401),
        ("", None, "localhost:7", 401),
        ("Bearer token-1", "guessed", "localhost:7", 410),
        ("Bearer token-1", "", "localhost:7", 410),
        ("Bearer token-1", None, "localhost:8", 403),
        ("Bearer token-1", None, SPARE, 403),
    ],
)
async def test_who_may_dial_back(framing, authorization, ticket, destination, status):
    async with world() as here, asyncio.TaskGroup() as tasks:
        grant = Grant("d1", "runner-1", "localhost:7")
        good = here.service._issue(grant)
        here.service._slots["d1"] = service_module._Slot("runner-1", "localhost:7")
        request = DialBackRequest(authorization, good if ticket is None else ticket, destination)
        endpoint = Endpoint(f"http://127.0.0.1:{here.port}", framing)
        if status is None:
            connection = await dial_back(endpoint, request, timeout=5, tasks=tasks)
            connection.abort()
            arrived = await here.service._slots["d1"].arrival
            arrived.sock.close()
        with pytest.raises(DialBackRefusedError) as refused:
            await dial_back(endpoint, request, timeout=5, tasks=tasks)
        assert refused.value.status == (status or 410)
        here.service._slots.clear()


RAW = (
    f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: earthshine-revdial\r\n"
    "Authorization: Bearer token-1\r\n"
)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (RAW + "\r\n", 400),
        (RAW + "Earthshine-Ticket: t\r\nEarthshine-Destination: d\r\n\r\n", 410),
        (RAW + "Earthshine-Ticket: t\r\nEarthshine-Destination: d\r\n\r\nearly bytes", 400),
        (RAW + "Content-Length: 3\r\n\r\nabc", 400),
        (RAW + "Earthshine-Ticket: t\r\nEarthshine-Ticket: t\r\n\r\n", 400),
        (RAW + "Origin: https://evil.example\r\n\r\n", 403),
        (RAW.replace("GET", "POST") + "\r\n", 403),
        (RAW.replace("Authorization", "X") + "\r\n", 401),
        ("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)
async def test_the_upgrade_checks_for_itself(head, status):
    async with world() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        # Byte by byte at the end, so that the head's end is found across reads.
        writer.write(head[:-3].encode())
        await writer.drain()
        await asyncio.sleep(0.002)
        writer.write(head[-3:].encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()
        await writer.wait_closed()


async def test_other_requests_go_to_the_application():
    async with world() as here, httpx.AsyncClient() as client:
        for path, status in (("/hello", 200), (PATH, 404), ("/nothing", 404)):
            answer = await client.get(f"http://127.0.0.1:{here.port}{path}")
            assert answer.status_code == status
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{here.port}/nowhere")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{here.port}{PATH}")
        assert refused.value.response.status_code == 400


async def test_raw_upgrade_over_tls_is_told_to_use_frames(certificate):
    import ssl

    async with world(tls=certificate) as here:
        context = ssl.create_default_context(cafile=certificate[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port, ssl=context)
        writer.write((RAW + "\r\n").encode())
        assert b" 426 " in await reader.readline()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_descriptors_do_not_grow(settings):
    """uvloop's add_reader leaks one for each reset connection; nothing here may."""

    async def rude(reader, writer):
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()

    async with world(spares=False, **settings) as here, tcp_service(rude) as port:

        async def some():
            for _ in range(15):
                stream = await here.service.dial("runner-1", f"127.0.0.1:{port}")
                with contextlib.suppress(ConnectionError):
                    await exchange(stream, b"x" * 1000)
            await settled(lambda: here.dialback.active == 0, "quiet")
            await settled(lambda: len(here.tasks._tasks) == 0, "no bridge is left")

        await some()
        before = len(list(Path("/proc/self/fd").iterdir()))
        await some()
        await settled(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 4, "no growth")
