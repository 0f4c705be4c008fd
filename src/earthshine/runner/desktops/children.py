"""Child processes that leave nothing behind: each leads a session of its own and is ended with it.

The holder is made the adopter of orphans (`adopt_orphans`), so that whatever a program in the
display started, however it detached itself, is found and ended with the display.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil

TERM_SECONDS: Final = 2.0
"""How long a process may take to end when asked, before it is killed."""
KILL_ROUNDS: Final = 20
KILL_PAUSE: Final = 0.05
_PR_SET_CHILD_SUBREAPER: Final = 36
log = logging.getLogger(__name__)


class Child:
    """A started program; `exited` is done when it has ended. Needs a running event loop."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.pid = process.pid
        self.exited: asyncio.Future[int] = loop.create_future()
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self.exited.done():
            self.exited.set_result(code)

    @property
    def running(self) -> bool:
        """Whether it has not been seen to end."""
        return not self.exited.done()

    def signal(self, number: int) -> None:
        """Send a signal to the program and what it started in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self, grace: float = TERM_SECONDS) -> None:
        """Ask, then insist; returns when it has ended. Its number is not used after that."""
        if not self.running:
            return
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.shield(self.exited)
                return
        self.signal(signal.SIGKILL)
        await asyncio.shield(self.exited)


def start(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    output: IO[bytes] | int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    folder: str | None = None,
) -> Child:
    """Start a program that ends with this process. Raises OSError."""
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    wrapper = shutil.which("setpriv")  # util-linux; without it an orphan is found by its marker
    prefix = [wrapper, "--pdeathsig", "TERM", "--"] if wrapper else []
    process = subprocess.Popen(
        [*prefix, program, *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(environment),
        pass_fds=pass_fds,
        cwd=folder,
        start_new_session=True,
    )
    return Child(name, process)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("orphans cannot be adopted: %s", os.strerror(ctypes.get_errno()))


def reap_orphans(own: set[int]) -> None:
    """Take leave of adopted processes that have ended; `own` are those that a Child waits for."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)


async def end_descendants(spare: set[int]) -> None:
    """Kill what is left of the processes below this one, except `spare` and their descendants."""
    for _ in range(KILL_ROUNDS):
        left = [p for p in _descendants(spare) if p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        await asyncio.sleep(KILL_PAUSE)
    log.error("processes of the display do not end", extra={"pids": [p.pid for p in left]})


def _descendants(spare: set[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    fresh = [psutil.Process()]
    while fresh:
        process = fresh.pop()
        with contextlib.suppress(psutil.Error):
            for child in process.children():
                if child.pid not in spare:
                    found.append(child)
                    fresh.append(child)
    return found


def marked(marker: str) -> list[psutil.Process]:
    """Processes of this user that were started with `marker` (NAME=VALUE) in their environment."""
    wanted = marker.encode()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


async def read_line(fd: int, limit: int) -> bytes:
    """What is written to a pipe up to a newline, its end or `limit`; closes it."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    ready = asyncio.Event()
    data = b""
    loop.add_reader(fd, ready.set)
    try:
        while b"\n" not in data and len(data) < limit:
            await ready.wait()
            ready.clear()
            try:
                fresh = os.read(fd, limit)
            except BlockingIOError:
                continue
            if not fresh:
                break
            data += fresh
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return data
