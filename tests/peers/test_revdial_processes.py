"""Control plane and runner as separate processes; the runner also behind NAT."""

import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.peers.netns import nat_world, why_not

PEERS = str(Path(__file__).parents[2] / "benchmarks" / "revdial_peers.py")
REASON = why_not()
RESET = struct.pack("ii", 1, 0)

TARGET = """
import socket, threading
def serve(sock):
    with sock:
        while data := sock.recv(1 << 16):
            sock.sendall(data)
        sock.sendall(b"<end>")
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Pair:
    """The two processes and a TCP service beside the runner."""

    def __init__(self, spawn_here, spawn_there, host="127.0.0.1", framing="auto"):
        target = spawn_there([sys.executable, "-c", TARGET])
        self.target = int(target.stdout.readline())
        self.control = spawn_here(
            [
                sys.executable,
                PEERS,
                "control",
                "--host",
                host,
                "--entry",
                f"localhost:{self.target}",
                "--entry",
                "127.0.0.1:1",
            ]
        )
        ports = json.loads(self.control.stdout.readline())
        self.entry, self.closed_entry = ports["entries"]
        self.runner = spawn_there(
            [
                sys.executable,
                PEERS,
                "runner",
                f"http://{host}:{ports['port']}",
                host,
                str(ports["link"]),
                "--framing",
                framing,
            ]
        )
        assert self.runner.stdout.readline() == b"ready\n"

    def dial(self, port=None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.entry), timeout=20)


@contextlib.contextmanager
def processes():
    started = []

    def spawn(argv):
        process = subprocess.Popen(argv, stdin=-1, stdout=-1, stderr=-1)
        started.append(process)
        return process

    try:
        yield spawn
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.communicate(timeout=10)


def echo(sock: socket.socket, data: bytes) -> bytes:
    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    sender.join()
    return b"".join(parts)


@pytest.mark.parametrize("framing", ["raw", "websocket"])
def test_three_hundred_streams_none_wrong(framing):
    """Random sizes, several at once, half-closed by us; some reset in the middle."""
    with processes() as spawn:
        pair = Pair(spawn, spawn, framing=framing)
        wrong = []

        def some(seed):
            rng = random.Random(seed)
            for _ in range(30):
                data = rng.randbytes(rng.choice([0, 1, 100, 5_000, 200_000, 1_000_000]))
                with pair.dial() as sock:
                    if rng.random() < 0.15:
                        sock.sendall(data[:50_000])
                        sock.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        continue
                    if echo(sock, data) != data + b"<end>":
                        wrong.append((seed, len(data)))

        threads = [threading.Thread(target=some, args=(seed,)) for seed in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        with pair.dial(pair.closed_entry) as sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
        with pair.dial() as sock:
            assert echo(sock, b"and still") == b"and still<end>"


def test_an_ended_runner_process_ends_its_streams():
    with processes() as spawn:
        pair = Pair(spawn, spawn)
        with pair.dial() as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            pair.runner.kill()
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""


@pytest.mark.serial
@pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}")
def test_behind_nat_and_through_a_cut():
    """The control plane cannot reach the runner; a dial and an open stream can."""
    with nat_world() as net, processes() as spawn:

        def there(argv):
            return net.runner_ns.popen(argv, stdin=-1, stdout=-1, stderr=-1)

        pair = Pair(spawn, there, net.control_address)
        with pytest.raises(OSError):
            socket.create_connection((net.runner_address, pair.target), timeout=0.3)
        with pair.dial() as sock, pair.dial() as other:
            sock.sendall(b"before")
            assert sock.recv(10) == b"before"
            net.cut()
            sock.sendall(b"during")
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(10)
            net.restore()
            sock.settimeout(15)
            assert sock.recv(10) == b"during"
            assert echo(other, b"after") == b"after<end>"


@pytest.mark.serial
@pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}")
def test_a_spare_saves_round_trips():
    """At 40 ms of round-trip time: one for the dial and one for the echo, instead of three."""
    with nat_world(delay_ms=20) as net, processes() as spawn:

        def there(argv):
            return net.runner_ns.popen(argv, stdin=-1, stdout=-1, stderr=-1)

        pair = Pair(spawn, there, net.control_address)

        def first_byte() -> float:
            started = time.perf_counter()
            with pair.dial() as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
                return time.perf_counter() - started

        plain = first_byte()
        assert plain > 0.115
        spare = plain
        deadline = time.monotonic() + 10  # spares need a moment to arrive
        while spare > plain - 0.03 and time.monotonic() < deadline:
            spare = first_byte()
        print(f"first byte: plain {plain * 1000:.0f} ms, with a spare {spare * 1000:.0f} ms")
        assert 0.075 < spare < plain - 0.03
