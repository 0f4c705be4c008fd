"""The display's own sound server: PulseAudio with a null sink, whose monitor is what is heard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import capabilities, children
from earthshine.runner.desktops.children import Child

SINK: Final = "earthshine"
READY_SECONDS: Final = 5.0
LOOK: Final = 0.02
"""Seconds between attempts to reach a server that starts."""
log = logging.getLogger(__name__)


class SoundServer:
    """PulseAudio in the display's private folder. `missing` says why there is none."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._folder = runtime / "pulse"
        self._child: Child | None = None
        self._program: str | None = None
        self.missing: list[str] = []
        self.environment: dict[str, str] = {}

    @property
    def child(self) -> Child | None:
        """The server, while there should be one."""
        return self._child

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended by itself."""
        return self._child is not None and not self._child.running

    @property
    def pid(self) -> int | None:
        """Of the server, while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    def prepare(self, programs: Mapping[str, str]) -> None:
        """Find the program; `environment` then points to where its socket will be."""
        self.missing = []
        server = capabilities.first(capabilities.programs(programs), capabilities.AUDIO)
        self._program = server.path
        if server.path is None:
            self.missing.append(f"no sound: {server.detail}; {server.remedy}")
        else:
            self.environment = {"PULSE_SERVER": f"unix:{self._folder / 'native'}"}

    async def start(self, environment: Mapping[str, str]) -> None:
        """Start what `prepare` found; returns when it can be used, or `missing` says why not."""
        if self._program is None:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self.missing.append(f"no sound: no folder for the sound server: {error.strerror}")
            return
        socket = self._folder / "native"
        own = {
            **environment,
            "HOME": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder),
            "PULSE_RUNTIME_PATH": str(self._folder),
            "PULSE_STATE_PATH": str(self._folder),
        }
        try:
            self._child = children.start(
                "the sound server",
                [
                    self._program,
                    "-n",
                    "--daemonize=no",
                    "--use-pid-file=no",
                    "--exit-idle-time=-1",
                    "--disallow-exit",
                    "--realtime=no",
                    "--high-priority=no",
                    "--log-target=stderr",
                    f"--load=module-null-sink sink_name={SINK} rate=48000 channels=2",
                    f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
                ],
                own,
            )
        except OSError as error:
            self.missing.append(f"no sound: {self._program} could not be started: {error.strerror}")
            return
        if not await self._until_listening(socket):
            self.missing.append("no sound: PulseAudio did not start")
            await self.stop()

    async def _until_listening(self, socket: Path) -> bool:
        """Until it accepts connections."""
        assert self._child is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while self._child.running:
                    try:
                        _, writer = await asyncio.open_unix_connection(str(socket))
                    except OSError:
                        await asyncio.sleep(LOOK)
                    else:
                        writer.close()
                        return True
        return False

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.end()
            self._child = None
        self.environment = {}
