"""Which codecs this machine can encode displays in, and whether a GPU does it.

Looking loads the libraries, and a broken driver may crash: `survey` does it in another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Final, Literal, get_args

from earthshine.runner.desktops.limits import Codec

Engine = Literal["hardware", "software"]
SURVEY_SECONDS: Final = 30.0
ALWAYS: Final[dict[Codec, Engine]] = {"h264": "software"}
"""What is taken for granted where nothing can be found out."""

log = logging.getLogger(__name__)


def found(encoder: str) -> dict[Codec, Engine]:
    """What `open_capture(encoder, ...)` can encode. Loads the libraries."""
    if encoder in ("auto", "pixelflux"):
        with contextlib.suppress(ImportError):
            return _pixelflux()
    with contextlib.suppress(ImportError):
        return _pyav()
    return dict(ALWAYS)


def _pixelflux() -> dict[Codec, Engine]:
    import pixelflux  # noqa: PLC0415

    from earthshine.runner.desktops.capture.pixelflux_x11 import NAMES  # noqa: PLC0415

    engines: dict[Codec, Engine] = {}
    hardware = pixelflux.hardware_encoders()
    for codec, name in NAMES.items():
        if name in hardware:
            engines[codec] = "hardware"
        elif name in pixelflux.SOFTWARE_ENCODERS:
            engines[codec] = "software"
    return engines


def _pyav() -> dict[Codec, Engine]:
    import av  # noqa: PLC0415

    from earthshine.runner.desktops.capture.pyav import ENCODERS  # noqa: PLC0415

    return {
        codec: "software"
        for codec, (name, _) in ENCODERS.items()
        if name in av.codec.codecs_available
    }


async def survey(encoder: str) -> dict[Codec, Engine]:
    """`found` in a process of its own. Never raises: H.264 is what is left."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            encoder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        log.warning("codecs cannot be looked for: %s", error)
        return dict(ALWAYS)
    try:
        async with asyncio.timeout(SURVEY_SECONDS):
            out, _ = await process.communicate()
        said = json.loads(out.splitlines()[-1])
        return {codec: said[codec] for codec in get_args(Codec) if codec in said} or dict(ALWAYS)
    except (TimeoutError, ValueError, LookupError, TypeError) as error:
        log.warning("codecs cannot be looked for: %s", type(error).__name__)
        return dict(ALWAYS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
                await process.wait()


if __name__ == "__main__":
    print(json.dumps(found(sys.argv[1])), flush=True)  # noqa: T201  read by `survey`
