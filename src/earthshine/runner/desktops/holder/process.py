"""The holder's life: display up, display down, up again after a crash, down when idle.

One thread. The phases, and what leads from one to the next:

    starting  -- the display is up ------------------------> running
    starting  -- it does not come up, budget used up ------> failed
    running   -- it crashed -------------------------------> starting
    running   -- `Halt`, or idle for long enough ----------> stopped
    stopped, failed -- `Wake` -----------------------------> starting
    any       -- `End`, SIGTERM ---------------------------> ended
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import children, messages
from earthshine.runner.desktops.backends import Display, DisplaySpec, choose
from earthshine.runner.desktops.children import Child
from earthshine.runner.desktops.holder.budget import RestartBudget
from earthshine.runner.desktops.holder.furniture import Furniture
from earthshine.runner.desktops.holder.lines import Lines
from earthshine.runner.desktops.holder.record import MARKER, Record, write_record
from earthshine.runner.desktops.messages import (
    DesktopSpec,
    End,
    Halt,
    Phase,
    Pulse,
    Status,
    ToHolder,
    Wake,
)
from earthshine.runner.desktops.x11 import DisplayError
from earthshine.runner.holder.place import SOCKET

IDLE_LOOK: Final = 0.5
"""Seconds between looks whether the display is idle, where it may be stopped for that."""
PULSE_LOOK: Final = 10.0
"""Seconds between looks whether the worker still answers."""
PULSE_SECONDS: Final = 45.0
"""After so long without a sign of life the worker is ended, and another started."""
_UNWANTED: Final = ("WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "XAUTHORITY", "SESSION_MANAGER")
"""Variables that would lead a program to another display."""
log = logging.getLogger(__name__)


class DesktopHolder:
    """Owns one desktop until it is told to `End`."""

    def __init__(self, folder: Path, spec: DesktopSpec, listener: socket.socket) -> None:
        self._folder = folder
        self._spec = spec
        self._listener = listener
        self._runtime = Path(tempfile.mkdtemp(prefix="earthshine-desktop-", dir=_short_folder()))
        self._marker = secrets.token_hex(8)
        self._wanted = True
        self._ending = False
        self._changed = asyncio.Event()
        self._status = Status(phase="starting", pid=os.getpid())
        self._lines = Lines(self._obey, self._count, self._status)
        self._budget = RestartBudget()
        self._worker_budget = RestartBudget()
        self._display: Display | None = None
        self._furniture = Furniture(spec, self._runtime, self._changed.set)
        self._worker: Child | None = None
        self._number: int | None = None
        self._cookie = secrets.token_bytes(16)
        self._pulse: Pulse | None = None
        self._pulse_at = time.monotonic()
        self._used_at = time.monotonic()
        """When somebody watched or woke it, or a program was in it or drew something."""

    async def run(self, answer: int) -> None:
        """Until the end. How the start went also goes to the descriptor `answer`."""
        loop = asyncio.get_running_loop()
        children.adopt_orphans()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGTERM, self._obey, End())
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._lines.open(self._listener, tasks)
                try:
                    await self._live(answer)
                finally:
                    await self._take_down()
                    self._tell("ended")
                    await self._lines.close()
        finally:
            (self._folder / SOCKET).unlink(missing_ok=True)
            shutil.rmtree(self._runtime, ignore_errors=True)
            self._record(None)

    async def _live(self, answer: int) -> None:
        while not self._ending:
            if not self._wanted:
                await self._next_change()
                continue
            self._tell("starting")
            try:
                await self._bring_up()
            except (DisplayError, OSError) as problem:
                error = _in_words(problem, self._runtime)
                log.warning("%s", error.detail)
                await self._take_down()
                delay = self._budget.spend(time.monotonic()) if answer < 0 else None
                if delay is None:
                    self._wanted = False
                    self._tell("failed", detail=error.detail, remedy=error.remedy)
                    answer = self._answer(answer)
                else:
                    await asyncio.sleep(delay)
                continue
            self._tell("running")
            answer = self._answer(answer)
            crashed = await self._until_down()
            await self._take_down()
            if crashed and not self._ending:
                await self._consider_restart()
            elif not self._ending:
                self._tell("stopped")

    def _answer(self, answer: int) -> int:
        """Tell whoever started us, once."""
        if answer >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(answer, messages.pack(self._status))
            os.close(answer)
        return -1

    async def _consider_restart(self) -> None:
        delay = self._budget.spend(time.monotonic())
        log.error("the display crashed (%d times so far)", self._budget.total)
        if delay is None:
            self._wanted = False
            self._tell(
                "failed",
                detail="the display crashes again and again",
                remedy=f"see {self._runtime}/display.log; `earthshine doctor` checks the machine",
            )
        else:
            await asyncio.sleep(delay)

    # --- up and down -----------------------------------------------------------------------------

    async def _bring_up(self) -> None:
        own = self._spec
        environment = {k: v for k, v in own.environment.items() if k not in _UNWANTED}
        environment[MARKER] = self._marker
        self._record(None)
        furnished = own.backend != "attach"
        if furnished:
            self._furniture.prepare()
        display = choose(
            DisplaySpec(
                backend=own.backend,
                runtime=self._runtime,
                width=own.width,
                height=own.height,
                environment=environment,
                number=self._number,
                cookie=self._cookie,
                rfb_port=own.rfb_port,
                attach_to=own.attach_to,
                authority=None if own.authority is None else Path(own.authority),
                programs=own.programs_path,
                worker=self._worker_command(),
                worker_environment=self._worker_environment(),
            )
        )
        self._display = display
        await display.start()
        self._number = display.number
        self._record(display)
        self._start_worker()  # it takes longest, and needs only the display
        if furnished:
            await self._furniture.place(display, environment)
            self._status.environment = {**display.environment, **self._furniture.shared}

    def _worker_command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "earthshine.runner.desktops.worker",
            str(self._folder),
            f"--encoder={self._spec.encoder}",
            f"--preset={self._spec.preset}",
            f"--frames-per-second={self._spec.frames_per_second}",
        ]

    def _worker_environment(self) -> dict[str, str]:
        return {**os.environ, **self._furniture.sound_environment, MARKER: self._marker}

    def _start_worker(self) -> None:
        display = self._display
        assert display is not None
        self._worker = display.worker or self._spawn_worker(display)
        self._pulse_at = time.monotonic()
        self._worker.exited.add_done_callback(lambda _: self._changed.set())

    def _spawn_worker(self, display: Display) -> Child:
        environment = {**self._worker_environment(), **display.environment}
        with (self._folder / "worker.log").open("wb") as output:
            try:
                return children.start(
                    "the worker", self._worker_command(), environment, output=output
                )
            except OSError as error:
                raise DisplayError(f"the worker cannot start: {error.strerror}") from None

    async def _until_down(self) -> bool:
        """Until the display is to go; True when it went by itself."""
        assert self._display is not None
        crashed = self._display.crashed
        crashed.add_done_callback(lambda _: self._changed.set())
        while True:
            if crashed.done():
                return True
            if self._ending or not self._wanted:
                return False
            if self._idle():
                log.info("the display is idle and stops")
                self._wanted = False
                return False
            if self._worker is not None and time.monotonic() - self._pulse_at > PULSE_SECONDS:
                log.error("the worker does not answer and is ended")
                self._worker.signal(signal.SIGKILL)
                await asyncio.shield(self._worker.exited)
            if crashed.done():
                continue
            if self._worker is not None and not self._worker.running:
                await self._replace_worker()
            if await self._mended():
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    IDLE_LOOK if self._spec.idle_seconds > 0 else PULSE_LOOK
                ):
                    await self._next_change()

    async def _mended(self) -> bool:
        """Whether some part of the display was started again."""
        try:
            mended = await self._furniture.mend()
        except DisplayError as error:
            log.warning("%s", error)  # its own end is seen next
            return False
        if mended:
            self._announce()
        return mended

    async def _replace_worker(self) -> None:
        """Its crash costs viewers a moment, the programs nothing."""
        self._worker = None
        self._pulse = None
        delay = self._worker_budget.spend(time.monotonic())
        log.error("the worker ended (%d times so far)", self._worker_budget.total)
        if delay is None:
            self._status.notes.append(
                f"no stream: its process ends again and again; see {self._folder}/worker.log"
            )
            self._announce()
            return
        self._announce()
        await asyncio.sleep(delay)
        assert self._display is not None
        if not self._display.crashed.done() and not self._ending:
            self._start_worker()
            self._announce()

    async def _take_down(self) -> None:
        if self._worker is not None:
            await self._worker.end()
            self._worker = None
        await self._furniture.remove()
        if self._display is not None:
            await self._display.stop()
            self._display = None
        await children.end_descendants(set())
        self._pulse = None
        self._record(None)

    # --- what is heard ---------------------------------------------------------------------------

    def _obey(self, message: ToHolder) -> None:
        match message:
            case Wake():
                self._used_at = time.monotonic()
                if not self._wanted:
                    self._budget.restore()
                    self._worker_budget.restore()
                    self._wanted = True
            case Halt():
                self._wanted = False
            case End():
                self._ending = True
            case Pulse():
                self._felt(message)
                return
            case _:
                return
        self._changed.set()

    def _felt(self, pulse: Pulse) -> None:
        """The worker says how things are. From its first word on the display can be used."""
        felt_at = pulse.at or time.monotonic()
        if self._pulse is None or pulse.guests:
            self._used_at = max(self._used_at, felt_at)
        self._used_at = max(self._used_at, felt_at - pulse.quiet)
        self._pulse, self._pulse_at = pulse, time.monotonic()
        if not self._status.streaming:
            self._announce()

    def _count(self) -> None:
        self._used_at = time.monotonic()

    def _idle(self) -> bool:
        """Whether nobody has used it for long enough, by a pulse that came after that time.

        An older one does not know of a program that has come since. Without the worker nobody
        knows whether something moves.
        """
        limit = self._spec.idle_seconds
        if limit <= 0 or self._lines.viewers or self._pulse is None:
            return False
        return (self._pulse.at or self._pulse_at) - self._used_at > limit

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    # --- what is said ----------------------------------------------------------------------------

    def _tell(self, phase: Phase, detail: str = "", remedy: str | None = None) -> None:
        if phase != "running":
            self._status.environment = {}
        self._status.phase = phase
        self._status.detail, self._status.remedy = detail, remedy
        self._status.notes = []
        self._announce()

    def _announce(self) -> None:
        status, display = self._status, self._display
        status.display = display.name if display is not None else ""
        if display is not None and not status.environment and status.phase == "running":
            status.environment = display.environment
        rfb = None if display is None else display.rfb_path
        status.rfb_path = None if rfb is None else str(rfb)
        status.rfb_port = None if display is None else display.rfb_port
        status.restarts = self._budget.total
        status.streaming = self._pulse is not None
        notes = [*self._furniture.missing, *(self._pulse.notes if self._pulse else [])]
        status.notes = list(dict.fromkeys([*status.notes, *notes]))
        log.info("%s %s %s", status.phase, status.display, status.detail)
        self._lines.announce(status)

    def _record(self, display: Display | None) -> None:
        if self._ending and display is None:
            with contextlib.suppress(OSError):
                (self._folder / "desktop.json").unlink(missing_ok=True)
            return
        record = Record(
            desktop_id=self._spec.desktop_id, runtime=str(self._runtime), marker=self._marker
        )
        if display is not None:
            record.number, record.pid = display.number, display.pid
        with contextlib.suppress(OSError):
            write_record(self._folder, record)

    def _reap(self) -> None:
        pids = self._furniture.pids
        if self._worker is not None and self._worker.running:
            pids.add(self._worker.pid)
        if self._display is not None and self._display.pid is not None:
            pids.add(self._display.pid)
        children.reap_orphans(pids)


def _in_words(problem: DisplayError | OSError, folder: Path) -> DisplayError:
    """Why the display cannot be had."""
    if isinstance(problem, DisplayError):
        return problem
    return DisplayError(
        f"the display's files cannot be written: {problem.strerror}",
        f"make room where {folder} lies, then open the desktop again",
    )


def _short_folder() -> str:
    """Where sockets get short paths: their addresses have room for 108 bytes."""
    candidate = os.environ.get("XDG_RUNTIME_DIR", "")
    if candidate and len(candidate) < 40 and os.access(candidate, os.W_OK):
        return candidate
    return tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"  # noqa: S108
