"""`python -m earthshine.runner.desktops.worker FOLDER`: shows the display that DISPLAY names."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.capture import CaptureError, Tuning
from earthshine.runner.desktops.worker.process import XWorker
from earthshine.runner.desktops.x11 import DisplayError

log = logging.getLogger(__name__)


def main() -> int:
    """Until the display or the holder goes."""
    options = ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--encoder", default="auto")
    options.add_argument("--preset", default="text")
    options.add_argument("--frames-per-second", type=int, default=60)
    options.add_argument("--wayland", metavar="WIDTHxHEIGHT", help="be the display as well")
    options.add_argument("--ready", type=int, help="descriptor for the compositor's socket")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    tuning = Tuning(preset=chosen.preset, frames_per_second=chosen.frames_per_second)
    try:
        if chosen.wayland:
            return _be_the_display(chosen.folder, chosen.wayland, chosen.ready, tuning)
        worker = XWorker(chosen.folder, os.environ["DISPLAY"], chosen.encoder, tuning)
        asyncio.run(worker.run())
    except (CaptureError, DisplayError) as error:
        log.warning("%s; %s", error, error.remedy)
        return 1
    except x11.connection_errors() as error:
        log.warning("the display has gone: %s", error)
        return 1
    return 0


def _be_the_display(folder: Path, size: str, ready: int, tuning: Tuning) -> int:
    try:
        from earthshine.runner.desktops.worker.wayland import WaylandWorker  # noqa: PLC0415
    except ImportError as error:
        raise CaptureError(f"pixelflux cannot be loaded: {error}", x11.INSTALL) from None
    width, _, height = size.partition("x")
    asyncio.run(WaylandWorker(folder, (int(width), int(height)), tuning).run(ready))
    return 0


if __name__ == "__main__":
    sys.exit(main())
