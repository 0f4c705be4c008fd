"""Xvfb: an X server that only has memory. Its screen can shrink from what it started with."""

from __future__ import annotations

from typing import Final

from earthshine.runner.desktops.backends.display import XServer

LARGEST: Final = (3840, 2160)
"""The framebuffer, 32 MiB, inside which RANDR sets the size."""


class XvfbDisplay(XServer):
    """Xvfb with a framebuffer large enough for later sizes."""

    program_name = "Xvfb"

    def arguments(self) -> list[str]:
        width = max(self.spec.width, LARGEST[0])
        height = max(self.spec.height, LARGEST[1])
        return ["-screen", "0", f"{width}x{height}x24", "+extension", "RANDR"]
