"""What every worker does, whatever its display: serve consumers, pulse to the holder, end in order.

Everything happens on one event loop, except what libraries do on threads of their own; those come
in by `_soon`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.audio import AudioCapture
from earthshine.runner.desktops.capture import CaptureError
from earthshine.runner.desktops.messages import Message, Pulse, ToWorker, Trouble
from earthshine.runner.desktops.stream import STREAM_SOCKET
from earthshine.runner.desktops.worker.lines import Line, Lines
from earthshine.runner.desktops.worker.pulses import Pulses
from earthshine.runner.holder.place import listen

MAX_STILLS: Final = 8
"""Still pictures under way at once."""


class DisplayWorker(ABC):
    """Consumers, sound, still pictures and pulses of one display."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._audio = AudioCapture(self._heard)
        self._lines = Lines(self._joined, self._left, self._obey)
        self._pulses = Pulses(folder, self._beat)
        self._audio_wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._notes: list[str] = []
        self._stills_under_way = 0
        self._tasks: asyncio.TaskGroup | None = None

    async def _serve(
        self,
        *work: Callable[[], Coroutine[Any, Any, None]],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Until the holder has gone or `_ended` is set; `work` goes on beside.

        `ready` is called once consumers may come.
        """
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ended.set)
        listener = listen(self._folder, STREAM_SOCKET)
        ready()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._lines.open(listener, self._tasks)
                background = [
                    self._tasks.create_task(one()) for one in (self._pulse, self._sound, *work)
                ]
                await self._ended.wait()
                for task in background:
                    task.cancel()
                self._lines.close()
        finally:
            self._audio.stop()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work)

    def _soon(self, work: Callable[..., None], *arguments: Any) -> None:
        """From a thread of a library's."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(work, *arguments)

    # --- consumers -------------------------------------------------------------------------------

    @abstractmethod
    def _joined(self, line: Line) -> None:
        """A consumer has come."""

    @abstractmethod
    def _left(self, line: Line) -> None:
        """It has gone."""

    @abstractmethod
    def _obey(self, line: Line, message: ToWorker) -> None:
        """It wants something, and may."""

    def _nobody_controls(self, left: Line) -> bool:
        """Whether the one that left was the last that could hold keys down."""
        return left.wants.control and not any(other.wants.control for other in self._lines)

    def _rewish(self, line: Line, wants: m.Watch) -> m.Watch:
        """Take another `Watch`, and return the one before.

        What a consumer may do, and which video it gets, stay.
        """
        before = line.wants
        line.wants = msgspec.structs.replace(
            wants, control=before.control, video=before.video, codec=before.codec
        )
        return before

    def _tell_all(self, message: Message, wants: str) -> None:
        for line in self._lines:
            if getattr(line.wants, wants):
                line.tell(message)

    def _capture_failed(self, error: CaptureError, lines: Iterable[Line]) -> None:
        self._note(error.detail)
        for line in lines:
            line.tell(Trouble(code="capture", detail=error.detail, remedy=error.remedy))

    # --- sound -----------------------------------------------------------------------------------

    async def _sound(self) -> None:
        """Start and stop what is heard, off the loop: the sound server may take its time."""
        while True:
            await self._audio_wanted.wait()
            self._audio_wanted.clear()
            wanted = any(line.wants.audio for line in self._lines)
            await asyncio.to_thread(self._audio.start if wanted else self._audio.stop)
            if wanted and self._audio.problem:
                self._note(self._audio.problem)

    def _heard(self, pts: int, data: bytes) -> None:
        """On the library's thread."""
        self._soon(self._tell_all, m.Audio(pts=pts, data=data), "audio")

    # --- still pictures --------------------------------------------------------------------------

    def _begin_still(self, line: Line, message: m.TakeStill) -> None:
        if self._stills_under_way >= MAX_STILLS:
            words = "too many pictures are under way"
            line.tell(Trouble(code="busy", detail=words, request_id=message.request_id))
            return
        self._stills_under_way += 1
        self._begin(self._still(line, message))

    async def _still(self, line: Line, message: m.TakeStill) -> None:
        try:
            line.tell(await self._picture(message))
        finally:
            self._stills_under_way -= 1

    @abstractmethod
    async def _picture(self, message: m.TakeStill) -> m.Still | Trouble:
        """The picture, or why there is none."""

    # --- the holder ------------------------------------------------------------------------------

    async def _pulse(self) -> None:
        """Tell the holder how things are; end when it has gone."""
        await self._pulses.run()
        self._ended.set()

    @abstractmethod
    def _beat(self) -> Pulse | None:
        """How things are; None: nothing is said now."""

    def _note(self, words: str) -> None:
        """For the holder's log, once."""
        if words not in self._notes:
            self._notes.append(words)
