"""pixelflux's own Wayland compositor. It lives in the worker: who draws the screen encodes it.

So the worker of such a display is its server: when that ends, its programs end with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from earthshine.runner.desktops.backends.display import OwnServer
from earthshine.runner.desktops.children import Child

START_SECONDS: Final = 30.0
"""How long the worker may take to load its libraries and listen."""
MAX_NAME: Final = 64
"""Bytes of the socket's name."""


class WaylandDisplay(OwnServer):
    """A compositor for this session alone; clients find it by its socket's path."""

    program_name = "the compositor"
    session_type = "wayland"

    @property
    def authority(self) -> Path | None:
        return None

    @property
    def worker(self) -> Child | None:
        return self._child

    @property
    def environment(self) -> dict[str, str]:
        return {"WAYLAND_DISPLAY": str(self.spec.runtime / self.name)}

    async def start(self) -> None:
        own = self.spec.runtime / "wayland"
        own.mkdir(mode=0o700, exist_ok=True)
        others = ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET")
        kept = {k: v for k, v in self.spec.worker_environment.items() if k not in others}
        size = f"--wayland={self.spec.width}x{self.spec.height}"
        name = await self._announced(
            lambda descriptor: [*self.spec.worker, size, f"--ready={descriptor}"],
            {**kept, "XDG_RUNTIME_DIR": str(own)},
            START_SECONDS,
            MAX_NAME,
        )
        if not name or "/" in name:
            raise await self._give_up()
        self.name = f"wayland/{name}"

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.end()
