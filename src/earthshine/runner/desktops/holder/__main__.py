"""`python -m earthshine.runner.desktops.holder FOLDER`: the specification is on standard input."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.holder.process import DesktopHolder
from earthshine.runner.desktops.messages import Status
from earthshine.runner.holder.place import listen, take_lock


def main() -> int:
    """Leave the runner behind, make the desktop, and say on standard output how that went."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    folder = Path(sys.argv[1])
    spec = messages.spec.decode(sys.stdin.buffer.read())
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    lock = take_lock(folder)
    listener = listen(folder)
    answer = os.dup(1)
    _detach(folder)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        holder = DesktopHolder(folder, spec, listener)
    except OSError as error:
        detail = f"no folder can be made for the display's files: {error.strerror}"
        remedy = "make room where temporary files lie (XDG_RUNTIME_DIR, or TMPDIR)"
        failed = Status(phase="failed", pid=os.getpid(), detail=detail, remedy=remedy)
        os.write(answer, messages.pack(failed))
        return 1
    try:
        asyncio.run(holder.run(answer))
    finally:
        os.close(lock)
    return 0


def _detach(folder: Path) -> None:
    """Let go of the runner's pipes; complaints go to a file in the desktop's folder."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(folder / "holder.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main())
