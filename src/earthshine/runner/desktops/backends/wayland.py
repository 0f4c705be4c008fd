"""pixelflux's own Wayland compositor. It lives in the worker: who draws the screen encodes it.

So the worker of such a display is its server: when that ends, its programs end with it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import children
from earthshine.runner.desktops.backends.display import Display, DisplaySpec, tail
from earthshine.runner.desktops.children import Child, read_line
from earthshine.runner.desktops.x11 import DisplayError

START_SECONDS: Final = 30.0
"""How long the worker may take to load its libraries and listen."""
MAX_NAME: Final = 64
"""Bytes of the socket's name."""


class WaylandDisplay(Display):
    """A compositor for this session alone; clients find it by its socket's path."""

    session_type = "wayland"

    def __init__(self, spec: DisplaySpec) -> None:
        super().__init__(spec)
        self._child: Child | None = None

    @property
    def authority(self) -> Path | None:
        return None

    @property
    def crashed(self) -> asyncio.Future[int]:
        assert self._child is not None
        return self._child.exited

    @property
    def worker(self) -> Child | None:
        return self._child

    @property
    def environment(self) -> dict[str, str]:
        return {"WAYLAND_DISPLAY": str(self.spec.runtime / self.name)}

    async def start(self) -> None:
        own = self.spec.runtime / "wayland"
        own.mkdir(mode=0o700, exist_ok=True)
        reading, writing = os.pipe()
        log = self.spec.runtime / "display.log"
        others = ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET")
        kept = {k: v for k, v in self.spec.worker_environment.items() if k not in others}
        size = f"--wayland={self.spec.width}x{self.spec.height}"
        try:
            with log.open("wb") as output:
                self._child = children.start(
                    "the compositor",
                    [*self.spec.worker, size, f"--ready={writing}"],
                    {**kept, "XDG_RUNTIME_DIR": str(own)},
                    output=output,
                    pass_fds=[writing],
                )
        except OSError as error:
            os.close(reading)
            raise DisplayError(f"the compositor could not be started: {error.strerror}") from None
        finally:
            os.close(writing)
        self.pid = self._child.pid
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await read_line(reading, MAX_NAME)
        except TimeoutError:
            said = b""
        name = said.decode(errors="replace").strip()
        if not name or "/" in name:
            await self.stop()
            raise DisplayError(
                f"the compositor did not start: {tail(log)}",
                "see the log of the desktop; `earthshine doctor` checks the machine",
            )
        self.name = f"wayland/{name}"

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.end()
