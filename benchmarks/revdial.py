"""Reverse dial beside `ssh -R` and a direct loopback connection, in the same run.

    python -m benchmarks.revdial [--rounds N] [--seconds S]

The way measured: entry socket -> control plane process -> runner process -> target process. For
`ssh -R`: entry socket -> sshd -> ssh -> target, with an sshd, keys and configuration of its own.
Rounds are interleaved and medians reported, so that a busy moment of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.local_ssh import free_port, local_sshd, wait_for_port

HERE = Path(__file__).resolve().parent
PEERS = str(HERE / "revdial_peers.py")
CHUNK = 1 << 20
PING = b"p" * 64
GIB = 1 << 30
PINGS_IDLE = 3000
DIALS = 40


# --- The target, in a process of its own ----------------------------------------------------------


def target() -> None:
    """First byte of a connection: D send for ever, U count and tell, P echo."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()


def _serve(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock, contextlib.suppress(OSError):
        kind = sock.recv(1)
        if kind == b"D":
            block = bytes(CHUNK)
            while True:
                sock.sendall(block)
        elif kind == b"U":
            count = 0
            buffer = bytearray(CHUNK)
            while size := sock.recv_into(buffer):
                count += size
            sock.sendall(count.to_bytes(8, "big"))
        else:
            while data := sock.recv(4096):
                sock.sendall(data)


def _connect(port: int, kind: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(kind)
    return sock


# --- What is measured -----------------------------------------------------------------------------


@dataclass
class Way:
    """One way to the target: a port to connect to, and the processes whose CPU counts."""

    name: str
    port: int
    near: list[int] = field(default_factory=list)
    """Process ids on the control plane's side."""
    far: list[int] = field(default_factory=list)
    """Process ids on the runner's side."""
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def cpu(self) -> tuple[float, float]:
        return _cpu(self.near), _cpu(self.far)


def _cpu(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        family = [psutil.Process(pid)]
        family += family[0].children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
    return total


def down(way: Way, seconds: float) -> None:
    """Bytes from the target to the entry."""
    buffer = bytearray(CHUNK)
    with _connect(way.port, b"D") as sock:
        sock.recv_into(buffer)
        before, started, count = way.cpu(), time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            count += sock.recv_into(buffer)
        after = way.cpu()
    _note_bulk(way, "down", count, elapsed, before, after)


def up(way: Way, seconds: float) -> None:
    """Bytes from the entry to the target, counted where they arrive."""
    block = bytes(CHUNK)
    with _connect(way.port, b"U") as sock:
        before, started = way.cpu(), time.perf_counter()
        while time.perf_counter() - started < seconds:
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        count = int.from_bytes(sock.recv(8), "big")
        elapsed = time.perf_counter() - started
        after = way.cpu()
    _note_bulk(way, "up", count, elapsed, before, after)


def _note_bulk(
    way: Way,
    direction: str,
    count: int,
    elapsed: float,
    before: tuple[float, float],
    after: tuple[float, float],
) -> None:
    way.note(f"gbit_s_{direction}", count * 8 / elapsed / 1e9)
    way.note(f"cpu_s_per_gib_{direction}_near", (after[0] - before[0]) * GIB / count)
    way.note(f"cpu_s_per_gib_{direction}_far", (after[1] - before[1]) * GIB / count)


def ping(way: Way, count: int, name: str) -> None:
    """Round trips of 64 bytes on one open stream."""
    times = []
    with _connect(way.port, b"P") as sock:
        for number in range(count + 20):
            started = time.perf_counter()
            sock.sendall(PING)
            left = len(PING)
            while left:
                left -= len(sock.recv(left))
            if number >= 20:
                times.append(time.perf_counter() - started)
    times.sort()
    way.note(f"ping_us_{name}_p50", times[len(times) // 2] * 1e6)
    way.note(f"ping_us_{name}_p99", times[len(times) * 99 // 100] * 1e6)


def ping_beside_bulk(way: Way, seconds: float) -> None:
    """The same while another process downloads as fast as it can over the same way."""
    load = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.revdial", "load", str(way.port)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert load.stdin is not None
    assert load.stdout is not None
    try:
        load.stdout.readline()
        count = max(100, min(1000, int(seconds * 400)))
        ping(way, count, "beside_bulk")
    finally:
        load.stdin.close()
        moved = json.loads(load.stdout.read())
        load.stdout.close()
        load.wait()
    way.note("gbit_s_beside_ping", moved["gbit_s"])


def load(port: int) -> None:
    """Download until standard input ends."""
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    buffer = bytearray(CHUNK)
    with _connect(port, b"D") as sock:
        sock.recv_into(buffer)
        print("loading", flush=True)
        started, count = time.perf_counter(), 0
        while not ended.is_set():
            count += sock.recv_into(buffer)
    print(json.dumps({"gbit_s": count * 8 / (time.perf_counter() - started) / 1e9}), flush=True)


def dial(way: Way, count: int) -> None:
    """From connecting to the first byte back."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        with _connect(way.port, b"P") as sock:
            sock.sendall(b"x")
            sock.recv(1)
            times.append(time.perf_counter() - started)
        time.sleep(0.005)  # a spare needs a moment to be replaced
    way.note("dial_ms_p50", statistics.median(times) * 1e3)
    way.note("dial_ms_max", max(times) * 1e3)


# --- The ways -------------------------------------------------------------------------------------


def _spawn(stack: contextlib.ExitStack, argv: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end() -> None:
        process.terminate()
        process.communicate()

    stack.callback(end)
    return process


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended before it was ready")
    return line


def _reverse_dial(
    stack: contextlib.ExitStack, name: str, port: int, *options: str, framing: str = "raw"
) -> Way:
    control = _spawn(
        stack, [sys.executable, PEERS, "control", "--entry", f"127.0.0.1:{port}", *options]
    )
    ports = json.loads(_line(control))
    runner = _spawn(
        stack,
        [sys.executable, PEERS, "runner", f"http://127.0.0.1:{ports['port']}", "127.0.0.1",
         str(ports["link"]), "--framing", framing],
    )  # fmt: skip
    _line(runner)
    return Way(name, ports["entries"][0], [control.pid], [runner.pid])


def _ssh(stack: contextlib.ExitStack, folder: Path, port: int, cipher: str | None) -> Way:
    """Its own sshd and ssh, ended by process id."""
    keys = folder / f"ssh-{cipher or 'default'}"
    keys.mkdir()
    sshd = stack.enter_context(local_sshd(keys))
    remote = free_port()
    options = ["-c", cipher] if cipher else []
    forward = f"127.0.0.1:{remote}:127.0.0.1:{port}"
    ssh = _spawn(stack, [*sshd.command, *options, "-N", "-R", forward, "127.0.0.1"])
    wait_for_port(remote)
    return Way(f"ssh -R{f' ({cipher})' if cipher else ''}", remote, [sshd.pid], [ssh.pid])


@contextlib.contextmanager
def _ways() -> Iterator[tuple[list[Way], dict[str, str]]]:
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-bench-")))
        destination = _spawn(stack, [sys.executable, "-m", "benchmarks.revdial", "target"])
        port = int(_line(destination))
        ways = [
            Way("direct", port),
            _reverse_dial(stack, "reverse dial", port),
            _reverse_dial(stack, "reverse dial, no spares", port, "--no-spares"),
            _reverse_dial(stack, "reverse dial, WebSocket frames", port, framing="websocket"),
        ]
        for cipher in (None, "aes128-gcm@openssh.com"):
            try:
                ways.append(_ssh(stack, folder, port, cipher))
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                missing[f"ssh -R{f' ({cipher})' if cipher else ''}"] = str(error)
        yield ways, missing


def run(rounds: int = 5, seconds: float = 0.7) -> dict[str, Any]:
    """Measure; medians over the rounds. Takes about `rounds` * 6 * 4 * `seconds`."""
    with _ways() as (ways, missing):
        steps: list[Callable[[Way], None]] = [
            lambda way: down(way, seconds),
            lambda way: up(way, seconds),
            lambda way: ping(way, PINGS_IDLE // rounds, "idle"),
            lambda way: ping_beside_bulk(way, seconds),
            lambda way: dial(way, DIALS // rounds),
        ]
        for way in ways:
            ping(way, 50, "warm_up")
            del way.figures["ping_us_warm_up_p50"], way.figures["ping_us_warm_up_p99"]
        for _ in range(rounds):
            for step in steps:
                for way in ways:
                    step(way)
        result = {
            way.name: {name: _round(statistics.median(v)) for name, v in way.figures.items()}
            for way in ways
        }
    for figures in result.values():
        for direction in ("down", "up"):
            near, far = (figures[f"cpu_s_per_gib_{direction}_{side}"] for side in ("near", "far"))
            figures[f"cpu_s_per_gib_{direction}"] = _round(near + far)
    return {
        "benchmark": "reverse dial",
        "rounds": rounds,
        "seconds_per_bulk": seconds,
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "ways": result,
        "not_measured": missing,
        "against_ssh": _against(result),
    }


def _against(result: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The aims: 3 times the throughput, a third of the CPU, ping beside bulk not above ssh's."""
    ours = result["reverse dial"]
    ssh = result.get("ssh -R")
    if ssh is None:
        return {}
    return {
        "throughput_down": _round(ours["gbit_s_down"] / ssh["gbit_s_down"]),
        "throughput_up": _round(ours["gbit_s_up"] / ssh["gbit_s_up"]),
        "cpu_down": _round(ours["cpu_s_per_gib_down"] / ssh["cpu_s_per_gib_down"]),
        "cpu_up": _round(ours["cpu_s_per_gib_up"] / ssh["cpu_s_per_gib_up"]),
        "ping_beside_bulk_p50": _round(
            ours["ping_us_beside_bulk_p50"] / ssh["ping_us_beside_bulk_p50"]
        ),
        "ping_beside_bulk_p99": _round(
            ours["ping_us_beside_bulk_p99"] / ssh["ping_us_beside_bulk_p99"]
        ),
    }


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def table(result: dict[str, Any]) -> str:
    """For people."""
    columns = {
        "Gbit/s down": "gbit_s_down",
        "up": "gbit_s_up",
        "CPU s/GiB down": "cpu_s_per_gib_down",
        "up ": "cpu_s_per_gib_up",
        "ping us p50": "ping_us_idle_p50",
        "p99": "ping_us_idle_p99",
        "beside bulk p50": "ping_us_beside_bulk_p50",
        "p99 ": "ping_us_beside_bulk_p99",
        "dial ms": "dial_ms_p50",
    }
    lines = ["| way | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, figures in result["ways"].items():
        cells = [f"{figures[key]:g}" for key in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["target"]:
        with contextlib.suppress(KeyboardInterrupt):
            target()
        return
    if sys.argv[1:2] == ["load"]:
        load(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7)
    options = parser.parse_args()
    result = run(options.rounds, options.seconds)
    print(json.dumps(result, indent=2))
    print(table(result))


if __name__ == "__main__":
    main()
