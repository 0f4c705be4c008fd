"""A real desktop, watched over GameStream and by the native stream in the same run.

The runner's part is this process, with the display's worker in one of its own, as in the product;
both watchers are another process. The native stream is taken where the control plane takes it: its
relay, the network and the browser's canvas are not in it (`benchmarks desktop` measures those), and
GameStream's packets cross loopback. Same encoder, same decoder.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.moonlight import said, spread
from benchmarks.moonlight_watchers import NAME
from earthshine.net.moonlight.identities import load_identity
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.viewers.server import ViewerServer
from tests.moonlight_processes import ROOT, environment
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.moonlight_host.desktops import running

RATE = 30
"""Pictures a second that the application draws."""


def run(seconds: float = 10.0, starts: int = 10) -> dict[str, Any]:
    """Ages in ms of both, alone and at the same time; launches and three resumes after each."""
    with mock.patch.dict(os.environ):
        for name in ("DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY"):
            os.environ.pop(name, None)
        return asyncio.run(_run(seconds, starts))


async def _run(seconds: float, starts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        mine = await asyncio.to_thread(load_identity, folder / "client", NAME, datetime.now(UTC))
        command = f"{sys.executable} {barcode.__file__} {RATE} 1000000"
        async with (
            running(folder, [HostApp("7", "Clock", command)], window_manager="off") as host,
            asyncio.TaskGroup() as tasks,
        ):
            host.pairings.add(mine.certificate, NAME, datetime.now(UTC))
            pinned = folder / "client" / "pinned.pem"
            pinned.write_bytes(host.identity.certificate.pem)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.moonlight_watchers"),
                *(str(folder / "client"), str(host.base_port), str(seconds), str(starts)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env=environment(),
            )
            assert process.stdin is not None
            assert process.stdout is not None
            assert await process.stdout.readline() == b"started\n"
            [session] = host.sessions.all
            stage: Any = session.stage
            server = ViewerServer(folder, DesktopSettings())
            server.begin(tasks)
            path = await server.place(stage._desktop)
            process.stdin.write(f"{path}\n".encode())
            line = await process.stdout.readline()
            await process.wait()
            await server.close()
    found = json.loads(line)
    found["first_picture"] = {name: spread(t) for name, t in found["first_picture"].items()}
    return {"drawn_per_second": RATE, **found}


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"1280x720, drawn {found['drawn_per_second']} times a second: ms from drawn to decoded",
        f"{'watched by':36} {'p50':>6} {'p95':>6} {'worst':>6} {'pictures':>9}",
    ]
    for when in ("alone", "together"):
        for way, name in (("gamestream", "GameStream, encrypted"), ("native", "native stream")):
            row = found[when][way]
            label = name if when == "alone" else f"{name}, both at once"
            lines.append(
                f"{label:36} {row['p50_ms']:>6.0f} {row['p95_ms']:>6.0f} {row['worst_ms']:>6.0f} "
                f"{row['pictures']:>9}"
            )
    lines.append(said(found["first_picture"]))
    return "\n".join(lines)
