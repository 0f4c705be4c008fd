"""Which desktops of this runner are recorded, and what was recorded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from earthshine.protocols.envelope import RecordingCondition
from earthshine.protocols.transfer import Segments
from earthshine.runner.desktops.keeper import Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.recording.recorder import Recorder
from earthshine.runner.desktops.recording.settings import RecordingSettings
from earthshine.runner.desktops.recording.store import RecordingStore, Wish

SWEEP_SECONDS: Final = 3600.0
log = logging.getLogger(__name__)


class _Running:
    """A session that is recorded."""

    def __init__(self, wish: Wish, recorder: Recorder, task: asyncio.Task[None]) -> None:
        self.wish = wish
        self.recorder = recorder
        self.task = task


class Recordings:
    """`load`, and `close` at the end. `on_condition` hears of everything that changes."""

    def __init__(
        self,
        state: Path,
        settings: RecordingSettings,
        desktops: DesktopKeeper,
        seq: Callable[[str], int] = lambda _: 0,
    ) -> None:
        """`seq` tells where a session's log is."""
        self._settings = settings
        self._desktops = desktops
        self._seq = seq
        self._store = RecordingStore(state, limit=settings.limit, days=settings.days)
        self._running: dict[str, _Running] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.on_condition: Callable[[str, RecordingCondition], None] = lambda *_: None

    async def load(self, tasks: asyncio.TaskGroup) -> None:
        """Complete what was cut off, and go on with what is wanted; in `tasks`."""
        self._tasks = tasks
        await asyncio.to_thread(self._store.recover)
        await asyncio.to_thread(self._store.sweep)
        for session_id, wish in (await asyncio.to_thread(self._store.wishes)).items():
            desktop = self._desktops.get(session_id)
            if desktop is None or not self._settings.enabled:
                await asyncio.to_thread(self._store.wish, session_id, None)
            else:
                self._begin(desktop, wish)

    async def run(self) -> None:
        """Delete what is too old, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await asyncio.to_thread(self._store.sweep)

    # --- on and off ------------------------------------------------------------------------------

    async def begin(self, session_id: str, by: str) -> RecordingCondition:
        """Record from now on; harmless when it is. Raises DesktopError."""
        if not self._settings.enabled:
            raise DesktopError(
                "recording-off",
                "recording is switched off on this machine",
                "whoever runs it can set runner.recording.enabled",
            )
        desktop = self._desktops.get(session_id)
        if desktop is None or desktop.ended:
            raise DesktopError("no-desktop", "the session has no desktop, or none any more")
        if session_id not in self._running:
            wish = Wish(by=by[:200], since=time.time_ns() // 1_000_000)
            try:
                await asyncio.to_thread(self._store.wish, session_id, wish)
            except OSError as error:
                raise DesktopError(
                    "storage", f"it cannot be recorded there: {error.strerror}"
                ) from None
            self._begin(desktop, wish)
        return await self._tell(session_id)

    def _begin(self, desktop: Desktop, wish: Wish) -> None:
        assert self._tasks is not None
        session_id = desktop.desktop_id
        recorder = Recorder(
            desktop,
            self._store,
            lambda: self._seq(session_id),
            lambda: self._news(session_id),
            audio=self._settings.audio,
            piece_seconds=self._settings.piece_seconds,
        )
        task = self._tasks.create_task(self._keep(session_id, recorder))
        self._running[session_id] = _Running(wish, recorder, task)
        log.info("recording", extra={"session": session_id})

    async def _keep(self, session_id: str, recorder: Recorder) -> None:
        try:
            await recorder.run()
        except Exception:  # one recording must not end the runner
            log.exception("recording failed", extra={"session": session_id})
        self._running.pop(session_id, None)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._store.wish, session_id, None)
        await self._tell(session_id)

    async def end(self, session_id: str) -> RecordingCondition:
        """Record no more; what was recorded stays until it is fetched. Raises DesktopError."""
        running = self._running.pop(session_id, None)
        try:
            await asyncio.to_thread(self._store.wish, session_id, None)
        except OSError as error:
            raise DesktopError("storage", f"it cannot be ended: {error.strerror}") from None
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        return await self._tell(session_id)

    async def forget(self, session_id: str) -> None:
        """The session was deleted: nothing of it stays."""
        await self.end(session_id)
        await asyncio.to_thread(self._store.forget, session_id)

    # --- how it is -------------------------------------------------------------------------------

    def _news(self, session_id: str) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._tell(session_id))

    async def _tell(self, session_id: str) -> RecordingCondition:
        condition = await self.condition(session_id)
        self.on_condition(session_id, condition)
        return condition

    async def condition(self, session_id: str) -> RecordingCondition:
        """Whether a session is recorded, and what waits."""
        waiting = await asyncio.to_thread(self._store.waiting, session_id)
        running = self._running.get(session_id)
        if running is None:
            return RecordingCondition(on=False, waiting=waiting)
        return RecordingCondition(
            on=True,
            by=running.wish.by,
            since=running.wish.since,
            problem=running.recorder.problem,
            waiting=waiting,
        )

    async def conditions(self) -> dict[str, RecordingCondition]:
        """Of all sessions that are, can be, or were recorded."""
        known = {desktop.desktop_id for desktop in self._desktops}
        known.update(await asyncio.to_thread(self._store.sessions))
        return {session_id: await self.condition(session_id) for session_id in known}

    # --- what waits to be fetched ----------------------------------------------------------------

    def segments(self) -> Segments:
        """See `transfers.server.Recorded`."""
        return self._store.segments()

    def read(self, session_id: str, recording: str, number: int) -> tuple[IO[bytes], int]:
        """See `transfers.server.Recorded`."""
        return self._store.read(session_id, recording, number)

    def drop(self, session_id: str, recording: str, number: int) -> None:
        """See `transfers.server.Recorded`."""
        self._store.drop(session_id, recording, number)

    async def close(self) -> None:
        """End the recorders in order; they go on with the next runner."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
