"""A runner's GameStream host on real displays, as a process that types ``pin`` for whoever pairs.

``python -m tests.moonlight_runner JSON``, until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from earthshine.runner import moonlight
from earthshine.runner.desktops.moonlight_host.configuration import MoonlightApp, MoonlightSettings
from earthshine.runner.desktops.settings import DesktopSettings
from tests import moonlight_clock
from tests.moonlight_world import run_until_stopped, type_pins

CLOCK_RATE = 25


async def serve(arguments: dict[str, Any]) -> None:
    """One app, which draws a clock; HEVC and AV1 in software."""
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    os.environ["XDG_RUNTIME_DIR"] = runtime
    for name in ("DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY"):
        os.environ.pop(name, None)
    command = f"{sys.executable} -m {moonlight_clock.__name__} {CLOCK_RATE}"
    settings = MoonlightSettings(
        name="Runner",
        base_port=arguments["port"],
        max_hosts=1,
        codecs=["hevc", "av1"],
        apps=[MoonlightApp(title="Pattern", command=command, id="7")],
    )
    desktops = DesktopSettings(width=800, height=600, window_manager="off")
    try:
        async with asyncio.TaskGroup() as tasks:
            state = Path(arguments["state_dir"])
            async with moonlight.serving(settings, state, desktops, lambda _: None, tasks) as host:
                await type_pins(host, arguments)
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    run_until_stopped(serve(json.loads(sys.argv[1])))
