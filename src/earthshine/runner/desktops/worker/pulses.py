"""A worker's line to its holder: who watches, and whether something moves."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.messages import Pulse
from earthshine.runner.holder.place import SOCKET

PULSE_SECONDS: Final = 2.0


class Pulses:
    """Sends a pulse now and then, and at once when asked."""

    def __init__(self, folder: Path, feel: Callable[[], Pulse | None]) -> None:
        """`feel` gives what is to be said; None: nothing now."""
        self._folder = folder
        self._feel = feel
        self._asked = asyncio.Event()

    def now(self) -> None:
        """Something has changed that the holder should know."""
        self._asked.set()

    async def run(self) -> None:
        """Until the holder has gone."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{handle}/{SOCKET}")
        except OSError:
            return
        finally:
            os.close(handle)
        try:
            async with asyncio.TaskGroup() as tasks:
                gone = tasks.create_task(_until_closed(reader))
                gone.add_done_callback(lambda _: self._asked.set())
                while not gone.done():
                    self._asked.clear()
                    pulse = self._feel()
                    if pulse is not None:
                        writer.write(m.pack(pulse))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PULSE_SECONDS):
                            await self._asked.wait()
        finally:
            writer.close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(64 * 1024):
            pass
