"""Terminal throughput and echo latency: Earthshine, ssh with a PTY, and a PTY alone (the limit).

The ways take turns within each round, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import contextlib
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.local_ssh import local_sshd
from benchmarks.plane import Plane, Viewer, plane
from earthshine.protocols.events import Kind

BULK = 64 * 1024 * 1024
ECHOES = 400
PRINT = (
    "import os,tty;tty.setraw(1);d=(b'0123456789abcdef'*4+b'\\r\\n')*1000;n={size}\n"
    "while n>0:\n n-=os.write(1,d[:n])\n"
)
ECHO = "import os,tty;tty.setraw(0)\nos.write(1,b'!')\nwhile 1:\n os.write(1,os.read(0,64))\n"


def _read_all(fd: int, size: int) -> None:
    while size > 0:
        size -= len(os.read(fd, 65536))


def _time_echoes(send: Callable[[bytes], Any], receive: Callable[[], Any]) -> list[float]:
    """Microseconds from a key to its echo. Keys come one at a time, as people type."""
    times = []
    for _ in range(ECHOES):
        begun = time.perf_counter()
        send(b"x")
        receive()
        times.append((time.perf_counter() - begun) * 1e6)
        time.sleep(0.001)
    return times


# --- the three ways -------------------------------------------------------------------------------


def pty_bulk() -> float:
    """MB/s of a PTY read in this process."""
    return _pty(PRINT.format(size=BULK), lambda fd: _read_all(fd, BULK))


def _pty(program: str, use: Callable[[int], Any]) -> float:
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    os.read(fd, 0)
    begun = time.perf_counter()
    use(fd)
    seconds = time.perf_counter() - begun
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return BULK / seconds / 1e6


def pty_echo() -> list[float]:
    """Echo through a PTY alone."""
    times: list[float] = []

    def use(fd: int) -> None:
        tty.setraw(fd)
        assert os.read(fd, 1) == b"!"
        times.extend(_time_echoes(lambda key: os.write(fd, key), lambda: os.read(fd, 64)))

    _pty(ECHO, use)
    return times


def _ssh(command: list[str], program: str) -> subprocess.Popen[bytes]:
    quoted = "'" + program.replace("'", "'\\''") + "'"
    return subprocess.Popen(
        [*command, "-tt", "127.0.0.1", f"{sys.executable} -c {quoted}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def ssh_bulk(command: list[str]) -> float:
    """MB/s through ssh -tt; the time begins with the first byte, as for the others."""
    with _ssh(command, PRINT.format(size=BULK)) as process:
        assert process.stdout is not None
        first = len(os.read(process.stdout.fileno(), 65536))
        begun = time.perf_counter()
        _read_all(process.stdout.fileno(), BULK - first)
        seconds = time.perf_counter() - begun
        process.kill()
    return (BULK - first) / seconds / 1e6


def ssh_echo(command: list[str]) -> list[float]:
    """Echo through ssh -tt."""
    with _ssh(command, ECHO) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin.fileno(), process.stdout.fileno()
        while not os.read(back, 64).endswith(b"!"):
            pass
        times = _time_echoes(lambda key: os.write(to, key), lambda: os.read(back, 64))
        process.kill()
    return times


def earthshine_bulk(it: Plane) -> float:
    """MB/s from the PTY to a viewer that joins before it begins."""
    session = it.command(sys.executable, "-c", "input();" + PRINT.format(size=BULK))
    viewer = Viewer(it, session)
    viewer.until_live()
    viewer.type(b"\r")
    size = 0
    begun = 0.0
    for event in viewer.events():
        if event.kind == Kind.OUTPUT:
            begun = begun or time.perf_counter()
            size += len(event.data)
            if size >= BULK:
                break
    seconds = time.perf_counter() - begun
    viewer.close()
    return size / seconds / 1e6


def earthshine_echo(it: Plane) -> list[float]:
    """Echo from a viewer through control plane, runner and holder, and back."""
    session = it.command(sys.executable, "-c", ECHO)
    viewer = Viewer(it, session)
    entries = viewer.events()
    while next(entries).data != b"!":
        pass

    def receive() -> None:
        while next(entries).kind != Kind.OUTPUT:
            pass

    times = _time_echoes(viewer.type, receive)
    viewer.close()
    with contextlib.suppress(Exception):
        it.api("POST", f"/sessions/{session}/kill", {})
    return times


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_us": round(statistics.median(ordered), 1),
        "p99_us": round(ordered[int(len(ordered) * 0.99)], 1),
    }


def run(rounds: int = 5) -> dict[str, Any]:
    """All ways, interleaved; medians of throughput, percentiles over all echoes."""
    bulk: dict[str, list[float]] = {"pty": [], "ssh": [], "earthshine": []}
    echo: dict[str, list[float]] = {"pty": [], "ssh": [], "earthshine": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        local_sshd(Path(folder)) as ssh,
        plane() as it,
    ):
        for _ in range(rounds):
            bulk["pty"].append(pty_bulk())
            bulk["ssh"].append(ssh_bulk(ssh.command))
            bulk["earthshine"].append(earthshine_bulk(it))
            echo["pty"] += pty_echo()
            echo["ssh"] += ssh_echo(ssh.command)
            echo["earthshine"] += earthshine_echo(it)
    return {
        way: {"MB_per_s": round(statistics.median(bulk[way]), 1), **_percentiles(echo[way])}
        for way in bulk
    }


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'terminal':<12}{'MB/s':>8}{'echo p50 us':>14}{'p99 us':>10}"]
    for way, row in result.items():
        lines.append(f"{way:<12}{row['MB_per_s']:>8}{row['p50_us']:>14}{row['p99_us']:>10}")
    return "\n".join(lines)
