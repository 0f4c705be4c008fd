"""Starting a holder: a process that leaves its parent, and says first how it began."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from earthshine.runner.holder.messages import MessageError, Unpacker


async def spawn(module: str, folder: Path, spec: bytes, seconds: float) -> bytes | None:
    """Run `python -m module folder` with `spec` on its standard input.

    The body of its one answer; None when there was none within `seconds`. Raises OSError.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith("EARTHSHINE_")},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(spec)
    process.stdin.close()
    try:
        async with asyncio.timeout(seconds):
            # The first process leaves at once; the second answers and lets go of the pipe.
            answer = await process.stdout.read()
            await process.wait()
        return next(iter(Unpacker().feed(answer)), None)
    except (TimeoutError, MessageError):
        return None
