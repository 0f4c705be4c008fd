"""A control plane that has stopped taking anything: memory stays flat, and what is lost is said."""

from __future__ import annotations

import base64
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.printer import stream
from tests.world import World, running_world, wait_for

SIZE = 80 * 10**6
SEED = 7
MEGABYTE = 2**20
GROWTH = 24 * MEGABYTE
"""What runner and holder may grow by while 80 MB are printed and nobody takes them."""
pytestmark = [pytest.mark.pair, pytest.mark.faults, pytest.mark.timeout(180)]


def entries(world: World, session_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        page = world.api("GET", f"/sessions/{session_id}/events?limit=1000&after={after}")
        if not page["events"]:
            return found
        found += page["events"]


def print_while_stopped(world: World) -> tuple[str, int, int]:
    """Print with the control plane stopped; the session, and by how much memory grew at most."""
    printer = Path(__file__).with_name("printer.py")
    view = world.api(
        "POST",
        "/sessions",
        {
            "agent": "command",
            "command": [sys.executable, str(printer), str(SEED), str(SIZE), "4"],
        },
    )
    wait_for(lambda: world.session(view["id"])["lastSeq"] > 5, 10, "it prints")
    (holder,) = [psutil.Process(pid) for pid in world.holders()]
    runner = psutil.Process(world.runners[0].pid)
    before = runner.memory_info().rss, holder.memory_info().rss
    peak = [0, 0]
    os.kill(world.control.pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + 7
        while time.monotonic() < end:
            for index, process in enumerate((runner, holder)):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    grown = process.memory_info().rss - before[index]
                    peak[index] = max(peak[index], grown)
            time.sleep(0.1)  # a sample of memory, not a wait
    finally:
        os.kill(world.control.pid, signal.SIGCONT)
    return str(view["id"]), peak[0], peak[1]


def test_beyond_the_spool_limit_one_gap_stands_for_exactly_what_is_missing(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, runner={"EARTHSHINE_RUNNER_SPOOL_LIMIT": str(8 * MEGABYTE)}) as it:
        session, runner_grew, holder_grew = print_while_stopped(it)
        it.wait_state(session, "exited", 60)
        log = entries(it, session)
    print(f"runner grew by {runner_grew / 1e6:.1f} MB, holder by {holder_grew / 1e6:.1f} MB")
    assert runner_grew < GROWTH
    assert holder_grew < GROWTH
    (gap,) = [entry for entry in log if entry["kind"] == "gap"]
    whole = stream(SEED, SIZE)
    position = 0
    expected = 1
    for entry in log:
        if entry["kind"] == "gap":
            assert entry["data"]["firstSeq"] == expected
            position += entry["data"]["bytes"]
        else:
            assert entry["seq"] == expected
        expected = entry["seq"] + 1
        if entry["kind"] == "output":
            data = base64.b64decode(entry["data"])
            assert whole[position : position + len(data)] == data
            position += len(data)
    assert position == SIZE
    assert gap["data"]["bytes"] > SIZE // 4


def test_with_overflow_pause_the_agent_waits_and_nothing_is_lost(tmp_path: Path) -> None:
    limits = {
        "EARTHSHINE_RUNNER_SPOOL_LIMIT": str(8 * MEGABYTE),
        "EARTHSHINE_RUNNER_OVERFLOW": "pause",
    }
    with running_world(tmp_path, runner=limits) as it:
        session, runner_grew, holder_grew = print_while_stopped(it)
        assert it.session(session)["state"] == "running"
        it.wait_state(session, "exited", 60)
        log = entries(it, session)
    print(f"runner grew by {runner_grew / 1e6:.1f} MB, holder by {holder_grew / 1e6:.1f} MB")
    assert runner_grew < GROWTH
    assert holder_grew < GROWTH
    data = b"".join(base64.b64decode(e["data"]) for e in log if e["kind"] == "output")
    assert data == stream(SEED, SIZE)
    assert [entry["seq"] for entry in log] == list(range(1, len(log) + 1))
