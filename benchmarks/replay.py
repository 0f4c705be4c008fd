"""How fast a log of 100 MB is replayed to a viewer that comes late, beside reading a file."""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

from benchmarks.plane import Viewer, plane
from benchmarks.terminal import PRINT
from earthshine.protocols.events import Kind

SIZE = 100 * 10**6


def run(rounds: int = 3) -> dict[str, Any]:
    """MB/s of the best and the median round; the machine's limit is a file read in 1 MiB blocks."""
    speeds, limits = [], []
    with plane() as it:
        session = it.command(sys.executable, "-c", PRINT.format(size=SIZE))
        while it.api("GET", f"/sessions/{session}")["state"] != "exited":
            time.sleep(0.2)
        time.sleep(1)  # what is stored settles
        for _ in range(rounds):
            begun = time.perf_counter()
            viewer = Viewer(it, session)
            size = 0
            for event in viewer.events():
                size += len(event.data) if event.kind == Kind.OUTPUT else 0
                if size >= SIZE:
                    break
            speeds.append(size / (time.perf_counter() - begun) / 1e6)
            viewer.close()
            limits.append(_file())
    speeds.sort()
    return {
        "MB": SIZE / 1e6,
        "MB_per_s": round(speeds[len(speeds) // 2], 1),
        "file_MB_per_s": round(sorted(limits)[len(limits) // 2], 1),
    }


def _file() -> float:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(SIZE))
        file.seek(0)
        begun = time.perf_counter()
        while file.read(2**20):
            pass
        return SIZE / (time.perf_counter() - begun) / 1e6


def table(result: dict[str, Any]) -> str:
    """For people."""
    return (
        f"replay of a {result['MB']:.0f} MB log: {result['MB_per_s']} MB/s "
        f"(reading a file: {result['file_MB_per_s']} MB/s)"
    )
