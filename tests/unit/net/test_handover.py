"""A connection read on the event loop and handed on as a socket. Under both event loops."""

import asyncio
import contextlib
import socket

import pytest
import uvloop

from earthshine.net.bridge import HandoverStream, TransportStream, bridge, socket_pair
from earthshine.net.entry import entry_port
from earthshine.net.handover import (
    BUFFER_BYTES,
    ConnectionEndedError,
    HeadTooLongError,
    adopt_socket,
    connect_tcp,
    connect_unix,
    send_now,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine function on a pair: (handover, blocking far socket)."""

    def run(play, **options):
        async def main():
            near, far = socket_pair()
            far.setblocking(True)
            far.settimeout(5)
            with far:
                connection = await adopt_socket(near, **options)
                try:
                    async with asyncio.timeout(5):
                        return await play(connection, far)
                finally:
                    connection.abort()
                    await asyncio.sleep(0.001)

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(main())

    return run


def test_reads_exactly_what_is_asked_for_and_hands_on_the_rest(run):
    async def play(connection, far):
        far.sendall(b"HTTP/1.1 101 X\r\n\r\nab-rest")
        assert await connection.read_head(1000) == b"HTTP/1.1 101 X\r\n\r\n"
        assert await connection.read_exactly(2) == b"ab"
        detached = connection.detach()
        with detached.sock:
            detached.sock.setblocking(True)
            detached.sock.settimeout(5)
            rest = detached.early
            far.sendall(b"!")
            far.shutdown(socket.SHUT_WR)
            while data := detached.sock.recv(100):
                rest += data
            assert rest == b"-rest!"
            detached.sock.sendall(b"back")
        assert far.recv(10) == b"back"
        assert await asyncio.to_thread(far.recv, 10) == b""

    run(play)


def test_a_head_byte_by_byte(run):
    async def play(connection, far):
        async def send():
            for byte in b"a: b\r\nc\r\n\r\n":
                far.sendall(bytes([byte]))
                await asyncio.sleep(0.0005)

        _, head = await asyncio.gather(send(), connection.read_head(100))
        assert head == b"a: b\r\nc\r\n\r\n"

    run(play)


def test_a_head_that_does_not_end(run):
    async def play(connection, far):
        far.sendall(b"x" * 200)
        with pytest.raises(HeadTooLongError):
            await connection.read_head(100)

    run(play)


@pytest.mark.parametrize("how", ["eof", "reset"])
def test_an_end_in_the_middle(run, how):
    async def play(connection, far):
        far.sendall(b"abc")
        if how == "reset":
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        with pytest.raises(ConnectionEndedError):
            await connection.read_exactly(4)
        assert connection.ended.done()

    run(play)


def test_reading_stops_when_nobody_takes(run):
    async def play(connection, far):
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                far.sendall(bytes(1 << 16))
        assert len(connection._buffer) < 8 * BUFFER_BYTES
        await connection.read_exactly(BUFFER_BYTES)

    run(play)


def test_half_closed_by_the_peer_it_can_still_be_detached(run):
    async def play(connection, far):
        far.sendall(b"last")
        far.shutdown(socket.SHUT_WR)
        await connection.ended
        detached = connection.detach()
        with detached.sock:
            assert detached.early == b"last"
            send_now(detached.sock, b"answer")
        assert far.recv(10) == b"answer"

    run(play)


def test_gone_or_given_away_it_cannot_be_used(run):
    async def play(connection, far):
        connection.detach().sock.close()
        assert connection.detached
        for use in (connection.detach, lambda: connection.write(b"x")):
            with pytest.raises(ConnectionEndedError):
                use()
        with pytest.raises(ConnectionEndedError):
            await connection.read_exactly(1)

    run(play)


def test_early_bytes_come_first(run):
    async def play(connection, far):
        far.sendall(b" late")
        assert await connection.read_exactly(10) == b"early late"

    run(play, early=b"early")


def test_send_now_needs_an_idle_connection(run):
    async def play(connection, far):
        detached = connection.detach()
        with detached.sock, pytest.raises(ConnectionEndedError):
            while True:
                send_now(detached.sock, bytes(1 << 20))

    run(play)


def test_a_bridge_passes_bytes_and_ends(run):
    async def play(connection, far):
        inner, outer = socket_pair()
        task = asyncio.create_task(
            bridge(HandoverStream(connection), await TransportStream.on_socket(inner))
        )
        reader, writer = await asyncio.open_connection(sock=outer)
        data = bytes(range(256)) * 8000
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(loop.sock_sendall(far, data))
        assert await reader.readexactly(len(data)) == data
        await sending
        writer.write(b"back")
        writer.write_eof()
        far.setblocking(True)
        assert await asyncio.to_thread(far.recv, 10) == b"back"
        far.shutdown(socket.SHUT_WR)
        assert await task is True
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(play)


def test_an_entry_port_hands_over_sockets_with_nothing_lost(run):
    async def play(connection, far):
        taken = []

        async def serve(entry):
            taken.append(entry)

        async with entry_port("127.0.0.1", 0, serve) as port:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"at once")
                while not taken:
                    await asyncio.sleep(0.001)
                with taken[0].sock as sock:
                    sock.setblocking(True)
                    sock.settimeout(5)
                    data = taken[0].early
                    while len(data) < 7:
                        data += sock.recv(10)
                    assert data == b"at once"

    run(play)


def test_a_failing_or_cancelled_entry_is_reset(run):
    async def play(connection, far):
        entered = asyncio.Event()

        async def serve(entry):
            entered.set()
            await asyncio.get_running_loop().create_future()

        async with entry_port("127.0.0.1", 0, serve) as port:
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
            await entered.wait()
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)

    run(play)


def test_connecting(run, tmp_path):
    async def play(connection, far):
        server = await asyncio.start_unix_server(lambda r, w: w.close(), tmp_path / "s")
        there = await connect_unix(str(tmp_path / "s"))
        await there.ended
        there.abort()
        server.close()
        with pytest.raises(OSError):
            await connect_unix(str(tmp_path / "none"))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await connect_tcp("127.0.0.1", port)
        with contextlib.suppress(OSError):
            await server.wait_closed()

    run(play)
