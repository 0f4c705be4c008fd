"""Exact pictures, made on a thread and an X connection of their own: input never waits for them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.capture import pictures
from earthshine.runner.desktops.x11 import Rectangle


class Stills:
    """Grabs places of the display."""

    def __init__(self, display: str) -> None:
        self._display = display
        self._connection: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stills")

    async def take(self, place: Rectangle, form: str = "png") -> bytes:
        """A picture of this place. Raises DisplayError, or python-xlib's errors."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._take, place, form
        )

    def _take(self, place: Rectangle, form: str) -> bytes:
        if self._connection is None:
            self._connection = x11.connect(self._display)
        pixels = pictures.grab(self._connection, place)
        return pictures.jpeg(pixels) if form == "jpeg" else pictures.png(pixels)

    def close(self) -> None:
        """Finish."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._connection is not None:
            x11.disconnect(self._connection)
