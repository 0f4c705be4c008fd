"""A host on this runner's real displays, and what a client sees of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np

from earthshine.protocols.moonlight.sdp import Codec
from earthshine.runner.desktops.limits import Codec as CodecName
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.desktop_stage import DesktopProvider
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.settings import DesktopSettings
from tests.unit.runner.desktops import barcode
from tests.world import free_port

CLOCK = f"{sys.executable} {barcode.__file__} 20 100000"
"""An application: the time, twenty times a second."""
DECODERS = {Codec.H264: "h264", Codec.HEVC: "hevc", Codec.AV1: "libdav1d"}


class _DoneError(Exception):
    """Ends the runner's task group."""


@asynccontextmanager
async def running(
    folder: Path, apps: Sequence[HostApp], codecs: Sequence[CodecName] = (), **more: Any
) -> AsyncIterator[MoonlightHost]:
    """A host whose apps get displays of 800 x 600; afterwards no display is left."""
    runtime = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    own = {"XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        with mock.patch.dict(os.environ, own):
            async with asyncio.TaskGroup() as tasks:
                settings = DesktopSettings(width=800, height=600, **more)
                provider = DesktopProvider(folder, settings, lambda _: None, tasks, codecs)
                await provider.load()
                base = HostSettings(folder / "host", base_port=free_port())
                async with MoonlightHost(base, provider, apps) as host:
                    yield host
                assert list((folder / "moonlight" / "desktops").iterdir()) == []
                provider.close()
                raise _DoneError
    except* _DoneError:
        pass
    finally:
        shutil.rmtree(runtime)


class Clock:
    """Decodes frames as they come and reads the time in them."""

    def __init__(self, codec: Codec = Codec.H264) -> None:
        self._decoder: Any = av.CodecContext.create(DECODERS[codec], "r")
        self._decoder.options = {"max_frame_delay": "1"} if codec is Codec.AV1 else {}
        self._decoder.flags |= av.codec.context.Flags.low_delay
        self.sizes: set[tuple[int, int]] = set()

    def read(self, data: bytes) -> int | None:
        found = None
        for image in self._decoder.decode(av.Packet(data)):
            self.sizes.add((image.width, image.height))
            plane = image.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            found = barcode.read(luma[: image.height, : image.width])
        return found
