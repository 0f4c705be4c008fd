"""The relay joins two sockets; the tests hold the outer ends of two real TCP connections."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from pathlib import Path

import pytest

from earthshine.net.relay import Outcome, Relay, RelayError

WAIT = 10


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.settimeout(WAIT)
    return client, server


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture
def relay():
    relay = Relay()
    relay.start()
    yield relay
    relay.close()


@pytest.fixture
def joined(relay):
    """(left, right, stream): what goes into left comes out of right."""
    left, a = tcp_pair()
    right, b = tcp_pair()
    stream = relay.join(a, b)
    with left, right:
        yield left, right, stream


def test_bytes_pass_both_ways(joined):
    left, right, stream = joined
    left.sendall(b"ping")
    assert right.recv(10) == b"ping"
    right.sendall(b"pong!")
    assert left.recv(10) == b"pong!"
    left.close()
    right.close()
    ended = stream.done.result(WAIT)
    assert (ended.outcome, ended.bytes_a_to_b, ended.bytes_b_to_a) == (Outcome.FINISHED, 4, 5)


def test_half_close_ends_one_direction_only(joined):
    left, right, stream = joined
    left.sendall(b"question")
    left.shutdown(socket.SHUT_WR)
    assert read_all(right) == b"question"
    assert not stream.done.done()
    right.sendall(b"a late answer")
    right.shutdown(socket.SHUT_WR)
    assert read_all(left) == b"a late answer"
    assert stream.done.result(WAIT).outcome is Outcome.FINISHED


def test_early_bytes_come_first(relay):
    left, a = tcp_pair()
    right, b = tcp_pair()
    right.sendall(b" world")
    stream = relay.join(a, b, to_a=b"hello", to_b=b"early")
    with left, right:
        right.shutdown(socket.SHUT_WR)
        assert read_all(left) == b"hello world"
        assert right.recv(5) == b"early"
    assert stream.done.result(WAIT).outcome in {Outcome.FINISHED, Outcome.RESET}


def test_a_reset_reaches_the_other_end(joined):
    left, right, stream = joined
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    reset(left)
    with pytest.raises(ConnectionResetError):
        right.recv(1)
    assert stream.done.result(WAIT).outcome is Outcome.RESET


def test_a_reset_after_half_close_is_noticed(joined):
    left, right, stream = joined
    left.shutdown(socket.SHUT_WR)
    assert right.recv(1) == b""
    reset(left)
    assert stream.done.result(WAIT).outcome is Outcome.RESET
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        right.send(b"too late")


def test_what_was_sent_before_a_reset_is_passed_on_when_the_way_back_breaks(joined):
    """A server that answers early and leaves: the answer arrives although the upload fails."""
    left, right, stream = joined
    right.sendall(b"413 too large")
    left.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            left.send(bytes(1 << 16))
    left.settimeout(WAIT)
    assert left.recv(100) == b"413 too large"
    right.close()  # with unread bytes: the kernel sends a reset
    assert stream.done.result(WAIT).outcome is Outcome.RESET


def test_abort_resets_both_ends(joined):
    left, right, stream = joined
    stream.abort()
    for end in (left, right):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert stream.done.result(WAIT).outcome is Outcome.ABORTED
    stream.abort()  # again: nothing happens


def test_a_reader_that_stops_stops_the_writer(joined):
    """Backpressure: with nobody reading, what the relay takes in is bounded."""
    left, right, _stream = joined
    left.settimeout(0.3)
    taken = 0
    with pytest.raises(TimeoutError):
        while True:
            taken += left.send(bytes(1 << 16))
    assert taken < 64 << 20
    left.settimeout(WAIT)
    received = 0
    while received < taken:
        received += len(right.recv(1 << 20))
    assert received == taken


def test_descriptors_are_given_back(relay):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for turn in range(30):
        left, a = tcp_pair()
        right, b = tcp_pair()
        stream = relay.join(a, b)
        left.sendall(b"x" * 1000)
        if turn % 3 == 0:
            reset(left)
        elif turn % 3 == 1:
            stream.abort()
        else:
            left.close()
        right.close()
        left.close()
        stream.done.result(WAIT)
    # Two descriptors for each pooled pipe at most.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
    assert len(relay) == 0


def test_limit_and_closed_relay_refuse_and_close_what_they_are_given():
    relay = Relay(max_streams=1)
    relay.start()
    ends = [tcp_pair() for _ in range(4)]
    relay.join(ends[0][1], ends[1][1])
    with pytest.raises(RelayError, match="limit"):
        relay.join(ends[2][1], ends[3][1])
    assert ends[2][1].fileno() == -1
    relay.close()
    for outer, _ in ends:
        with outer, pytest.raises(ConnectionResetError):
            outer.recv(1)
    with pytest.raises(RelayError, match="not running"):
        relay.join(*tcp_pair())


def test_closing_twice_is_harmless():
    relay = Relay()
    relay.start()
    relay.close()
    relay.close()


async def test_waiting_can_be_given_up_without_ending_the_stream(joined):
    left, right, stream = joined
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.wait()
    left.sendall(b"still here")
    assert right.recv(20) == b"still here"
    left.close()
    right.close()
    assert (await stream.wait()).outcome is Outcome.FINISHED


@pytest.mark.parametrize("seed", range(3))
def test_random_streams_arrive_whole(relay, seed):
    """Many streams at once, odd sizes, half-closes at random moments, some resets."""
    rng = random.Random(seed)
    failures: list[str] = []

    def one(seed: int) -> None:
        rng = random.Random(seed)
        left, a = tcp_pair()
        right, b = tcp_pair()
        stream = relay.join(a, b)
        out = rng.randbytes(rng.choice([0, 1, 1000, 300_000, 3_000_000]))
        back = rng.randbytes(rng.choice([0, 1, 70_000, 1_500_000]))
        if rng.random() < 0.1:
            reset(left)
            right.close()
            stream.done.result(WAIT)
            return

        def write(sock: socket.socket, data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[sock.send(view[: rng.randrange(1, 200_000)]) :]
            sock.shutdown(socket.SHUT_WR)

        writers = [
            threading.Thread(target=write, args=args) for args in ((left, out), (right, back))
        ]
        got: dict[str, bytes] = {}
        reader = threading.Thread(target=lambda: got.update(left=read_all(left)))
        for thread in (*writers, reader):
            thread.start()
        got["right"] = read_all(right)
        for thread in (*writers, reader):
            thread.join()
        ended = stream.done.result(WAIT)
        left.close()
        right.close()
        if (got["right"], got["left"]) != (out, back) or ended.outcome is not Outcome.FINISHED:
            failures.append(f"seed {seed}: {ended}")

    threads = [threading.Thread(target=one, args=(rng.randrange(1 << 30),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
