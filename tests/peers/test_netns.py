"""The NAT harness itself: what it promises about who reaches whom."""

import contextlib
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.peers.netns import nat_world, why_not

REASON = why_not()
pytestmark = [
    pytest.mark.pair,
    pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}"),
]

ECHO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as sock:
    while data := sock.recv(100):
        sock.sendall(data)
"""
LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 7777)) as server:
    print("listening", flush=True)
    server.accept()
"""


@contextlib.contextmanager
def echo_through(net):
    """A connection dialled out of the runner's namespace, and echoed there."""
    with socket.create_server((net.control_address, 0)) as server:
        server.settimeout(5)
        port = str(server.getsockname()[1])
        net.runner_ns.popen([sys.executable, "-c", ECHO, net.control_address, port])
        connection, peer = server.accept()
    with connection:
        connection.settimeout(5)
        yield connection, peer[0]


def round_trip(connection: socket.socket) -> float:
    started = time.perf_counter()
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    return time.perf_counter() - started


def test_the_runner_reaches_us_and_we_do_not_reach_it():
    with nat_world() as net:
        with echo_through(net) as (connection, seen_as):
            assert seen_as == net.nat_address
            assert round_trip(connection) < 1
        listener = net.runner_ns.popen([sys.executable, "-c", LISTEN], stdout=-1)
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"listening\n"
        for address in (net.runner_address, net.nat_address):
            with pytest.raises(OSError):
                socket.create_connection((address, 7777), timeout=0.3)
        name = net.runner_ns.name
    assert listener.poll() is not None
    assert why_not() is None
    assert not Path(f"/run/netns/{name}").exists()


def test_cut_and_restore():
    with nat_world() as net, echo_through(net) as (connection, _):
        round_trip(connection)
        net.cut()
        connection.settimeout(0.3)
        connection.sendall(b"y")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        net.restore()
        connection.settimeout(10)
        assert connection.recv(1) == b"y"


def test_delay():
    with nat_world(delay_ms=20) as net, echo_through(net) as (connection, _):
        round_trip(connection)
        assert 0.04 <= round_trip(connection) < 0.1
        net.set_delay(5)
        assert 0.01 <= round_trip(connection) < 0.04
