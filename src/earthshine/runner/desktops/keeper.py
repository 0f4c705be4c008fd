"""All desktops of this runner: starting, finding again after a restart, ending.

A desktop lives in `state`/desktops/<id>; its id is the session's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.holder.record import sweep
from earthshine.runner.desktops.limits import MAX_SIZE
from earthshine.runner.desktops.messages import (
    DesktopSpec,
    End,
    Halt,
    MessageError,
    Status,
    Unpacker,
    Wake,
    Watch,
    Watching,
)
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.stream import DesktopStream
from earthshine.runner.holder.place import LOCK, SOCKET
from earthshine.runner.holder.spawn import spawn

START_SECONDS: Final = 40.0
"""How long a holder may take to say whether its display runs."""
END_SECONDS: Final = 20.0
WAKE_SECONDS: Final = 40.0
RETRY: Final = 0.2
"""Seconds between attempts to reach a holder that is alive."""
MAX_DESKTOPS: Final = 100
_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")
log = logging.getLogger(__name__)


class DesktopError(Exception):
    """A desktop cannot be had: `code`, words, and what to do."""

    def __init__(self, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


class Desktop:
    """One desktop and the line to its holder. `run` must be running."""

    def __init__(self, desktop_id: str, folder: Path) -> None:
        self.desktop_id = desktop_id
        self.folder = folder
        self.status = Status(phase="starting", pid=0)
        self.on_status: Callable[[Desktop], None] = lambda _: None
        self._writer: asyncio.StreamWriter | None = None
        self._news = asyncio.Condition()
        self._viewers = 0
        self._ending = False

    @property
    def ended(self) -> bool:
        """Whether its holder has gone."""
        return self.status.phase == "ended"

    async def run(self) -> None:
        """Follow the holder until it has gone; remove what one that was killed left behind."""
        while True:
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(self._take_over_if_gone):
                    break
                await self._follow()
            if not await asyncio.to_thread(self.folder.is_dir):
                break
            await asyncio.sleep(RETRY)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        await self._heard(Status(phase="ended", pid=0, detail=self.status.detail))

    async def _follow(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{handle}/{SOCKET}")
        finally:
            os.close(handle)
        unpacker = Unpacker()
        self._writer = writer
        try:
            self.watching(self._viewers)
            if self._ending:
                self._tell(End())
            while data := await reader.read(64 * 1024):
                for body in unpacker.feed(data):
                    status = messages.from_holder.decode(body)
                    if status.phase != "ended":  # which `run` says once it is true
                        await self._heard(status)
        except (MessageError, msgspec.MsgspecError) as error:
            log.warning("a desktop says what this runner does not know: %s", error)
        finally:
            self._writer = None
            writer.close()

    async def _heard(self, status: Status) -> None:
        self.status = status
        async with self._news:
            self._news.notify_all()
        self.on_status(self)

    def _take_over_if_gone(self) -> bool:
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            sweep(self.folder)
            return True
        finally:
            os.close(lock)

    def _tell(self, message: msgspec.Struct) -> None:
        if self._writer is None or self._writer.transport.is_closing():
            raise DesktopError("ended", "the desktop does not run any more", "start a new session")
        self._writer.write(messages.pack(message))

    async def until(self, met: Callable[[Status], bool], seconds: float | None) -> Status:
        """The first status that meets a condition. Raises TimeoutError, unless that is None."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: met(self.status))
        return self.status

    # --- what can be done with it ----------------------------------------------------------------

    async def wake(self) -> Status:
        """The display, up and shown: started if it was stopped. Raises DesktopError."""
        try:
            # The line to a holder that was just found may need a moment.
            await self.until(lambda status: status.pid > 0 or status.phase == "ended", WAKE_SECONDS)
            if self.status.phase in ("stopped", "failed"):
                self._tell(Wake())
                await self.until(
                    lambda status: status.phase not in ("stopped", "failed"), RETRY * 25
                )
            else:
                with contextlib.suppress(DesktopError):
                    self._tell(Wake())  # it is about to be used
            status = await self.until(
                lambda status: (
                    status.phase not in ("starting", "running")
                    or (status.phase == "running" and status.streaming)
                ),
                WAKE_SECONDS,
            )
        except TimeoutError:
            raise DesktopError(
                "desktop-slow", "the desktop did not start in time", "look at the runner's load"
            ) from None
        if status.phase != "running":
            raise DesktopError(
                "desktop-failed", status.detail or "the desktop has ended", status.remedy
            )
        return status

    def halt(self) -> None:
        """Stop the display and its programs; `wake` starts it again. Raises DesktopError."""
        self._tell(Halt())

    async def end(self) -> None:
        """End it for good; returns when nothing is left of it."""
        self._ending = True
        with contextlib.suppress(DesktopError):
            self._tell(End())  # else `_follow` says it
        with contextlib.suppress(TimeoutError):
            await self.until(lambda status: status.phase == "ended", END_SECONDS)

    def watching(self, viewers: int) -> None:
        """How many see it by other ways than `stream`: RFB, say. Keeps it from being idle."""
        self._viewers = viewers
        with contextlib.suppress(DesktopError):
            self._tell(Watching(viewers=viewers))

    def stream(self, wants: Watch) -> DesktopStream:
        """A consumer's connection; `wake` first."""
        return DesktopStream(self.folder, wants)

    def close(self) -> None:
        """Let go of it; it goes on."""
        if self._writer is not None:
            self._writer.close()


class DesktopKeeper:
    """Holds the desktops under `state`/desktops."""

    def __init__(self, state: Path, settings: DesktopSettings) -> None:
        self._folder = state / "desktops"
        self._settings = settings
        self._desktops: dict[str, Desktop] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.on_status: Callable[[Desktop], None] = lambda _: None

    def __iter__(self) -> Iterator[Desktop]:
        return iter(list(self._desktops.values()))

    def get(self, desktop_id: str) -> Desktop | None:
        """The desktop, if it is here."""
        return self._desktops.get(desktop_id)

    async def load(self, tasks: asyncio.TaskGroup) -> None:
        """Find the desktops of earlier runs; their followers live in `tasks`."""
        self._tasks = tasks
        for folder in await asyncio.to_thread(self._folders):
            self._add(Desktop(folder.name, folder))

    def _folders(self) -> list[Path]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return sorted(f for f in self._folder.iterdir() if f.is_dir() and set(f.name) <= _ID)

    def _add(self, desktop: Desktop) -> None:
        assert self._tasks is not None
        desktop.on_status = self._status_changed
        self._desktops[desktop.desktop_id] = desktop
        self._tasks.create_task(self._keep(desktop), name=f"desktop {desktop.desktop_id}")

    async def _keep(self, desktop: Desktop) -> None:
        await desktop.run()
        self._desktops.pop(desktop.desktop_id, None)

    def _status_changed(self, desktop: Desktop) -> None:
        self.on_status(desktop)

    async def start(
        self,
        desktop_id: str,
        folder: str,
        environment: Mapping[str, str],
        size: tuple[int, int] | None = None,
    ) -> Desktop:
        """Start a desktop; one that is here already is woken. Raises DesktopError.

        `folder` is where its programs start, `environment` what they get beside the display's;
        `size` in pixels, that of the settings where it is None, no larger than displays can be.
        """
        if not desktop_id or len(desktop_id) > 64 or not set(desktop_id) <= _ID:
            raise DesktopError("invalid", "that is no desktop's id")
        if self._settings.backend == "off":
            raise DesktopError(
                "desktops-off",
                "desktops are switched off on this runner",
                "set runner.desktop.backend",
            )
        lock = self._starting.setdefault(desktop_id, asyncio.Lock())
        try:
            async with lock:
                desktop = self._desktops.get(desktop_id)
                if desktop is None or desktop.ended:
                    return await self._start(desktop_id, folder, environment, size)
        finally:
            self._starting.pop(desktop_id, None)
        await desktop.wake()
        return desktop

    async def _start(
        self,
        desktop_id: str,
        folder: str,
        environment: Mapping[str, str],
        size: tuple[int, int] | None,
    ) -> Desktop:
        if len(self._desktops) >= MAX_DESKTOPS:
            raise DesktopError(
                "too-many-desktops", f"this runner already has {MAX_DESKTOPS} desktops", "end some"
            )
        place = self._folder / desktop_id
        try:
            await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True, mode=0o700)
            answer = await _spawn(place, self._spec(desktop_id, folder, environment, size))
        except OSError as error:
            raise DesktopError(
                "spawn-failed", f"the desktop cannot be started: {error.strerror}"
            ) from None
        desktop = Desktop(desktop_id, place)
        desktop.status = answer
        self._add(desktop)
        if answer.phase != "running":
            await desktop.end()
            raise DesktopError("desktop-failed", answer.detail, answer.remedy)
        log.info("desktop started", extra={"desktop": desktop_id, "display": answer.display})
        return desktop

    def _spec(
        self,
        desktop_id: str,
        folder: str,
        environment: Mapping[str, str],
        size: tuple[int, int] | None,
    ) -> DesktopSpec:
        own = self._settings
        width, height = size or (own.width, own.height)
        return DesktopSpec(
            desktop_id=desktop_id,
            environment=dict(environment),
            folder=folder,
            backend=own.backend,
            width=min(width, MAX_SIZE),
            height=min(height, MAX_SIZE),
            attach_to=own.display,
            authority=None if own.authority is None else str(own.authority),
            window_manager=own.window_manager,
            programs=own.programs,
            programs_path=own.programs_path,
            encoder=own.encoder,
            preset=own.preset,
            frames_per_second=own.frames_per_second,
            audio=own.audio == "auto",
            rfb_port=own.rfb_port,
            idle_seconds=own.idle_seconds,
        )

    async def end(self, desktop_id: str) -> None:
        """End a desktop for good, if it is here."""
        desktop = self._desktops.get(desktop_id)
        if desktop is not None:
            await desktop.end()

    def close(self) -> None:
        """Let go of all desktops; they go on."""
        for desktop in self:
            desktop.close()


async def _spawn(folder: Path, spec: DesktopSpec) -> Status:
    packed = msgspec.msgpack.encode(spec)
    answer = await spawn("earthshine.runner.desktops.holder", folder, packed, START_SECONDS)
    try:
        return messages.from_holder.decode(answer or b"")
    except msgspec.MsgspecError:
        return Status(
            phase="failed",
            pid=0,
            detail="the process that holds the desktop did not start",
            remedy=f"see {folder / 'holder.log'}; `earthshine doctor` checks the machine",
        )
