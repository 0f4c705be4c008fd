"""Records one desktop for as long as its task lives.

A consumer like any viewer, so there is no second encoder. A recording goes on while pictures have
the same size and parameters; otherwise, and when the display or the runner was started again,
another one begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from operator import is_not
from typing import Final

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import StreamError, Tracks
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.recording import journal
from earthshine.runner.desktops.recording.journal import Record
from earthshine.runner.desktops.recording.piece import Begun, Piece
from earthshine.runner.desktops.recording.store import RecordingStore
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError

TICK_SECONDS: Final = 1.0
"""Between looks, and what a killed runner loses at most."""
STILL_SECONDS: Final = 60.0
"""Of a piece in which nothing moves: its key frame is all that it costs."""
PIECE_BYTES: Final = 8 * 1024 * 1024
"""A piece so large asks for a key frame at once."""
MAX_PIECE_BYTES: Final = 64 * 1024 * 1024
"""One for which none came is closed; what follows is another recording."""
RECORDING_SECONDS: Final = 3600.0
"""After an hour another recording begins: what is deleted or damaged is never all."""
RETRY_SECONDS: Final = 1.0
FULL_SECONDS: Final = 10.0
"""Between looks whether there is room again."""
LOOK_SECONDS: Final = 60.0
MAX_DRIFT: Final = 200_000
"""Microseconds between a packet's own time and ours before the two are matched anew."""
log = logging.getLogger(__name__)


class _FullError(Exception):
    """Too much waits to be fetched."""


class Recorder:
    """`run` it; cancelling it ends the recording in order."""

    def __init__(
        self,
        desktop: Desktop,
        store: RecordingStore,
        seq: Callable[[], int],
        changed: Callable[[], None],
        *,
        audio: bool,
        piece_seconds: float,
    ) -> None:
        """`seq` tells where the session's log is; `changed` hears of new pieces and problems.

        A piece is closed at the first key frame after `piece_seconds`; while things move one is
        asked for.
        """
        self._desktop = desktop
        self._store = store
        self._seq = seq
        self._changed = changed
        self._audio = audio
        self._piece_seconds = piece_seconds
        self._begun: Begun | None = None
        self._piece: Piece | None = None
        self._unwritten: list[bytes] = []
        self._last_number = 0
        self._audio_to = 0
        self._sound_start: int | None = None
        self._since = 0
        self.problem = ""
        """Why nothing is recorded at the moment."""

    async def run(self) -> None:
        """Until the desktop has ended, or cancelled."""
        try:
            while await self._until_up():
                try:
                    await self._record()
                except (StreamGoneError, FileNotFoundError):
                    pass
                except _FullError:
                    await self._end()
                    self._trouble("Too much waits to be fetched from this machine.")
                    await self._until_room()
                    continue
                except OSError as error:
                    self._begun = self._piece = None
                    self._trouble(f"It cannot be stored there: {error.strerror or error}.")
                    await asyncio.sleep(FULL_SECONDS)
                    continue
                await self._end()
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._end()

    async def _until_up(self) -> bool:
        desktop = self._desktop
        while not (desktop.status.phase == "running" and desktop.status.streaming):
            if desktop.ended:
                return False
            known = desktop.status
            with contextlib.suppress(TimeoutError):
                await desktop.until(partial(is_not, known), LOOK_SECONDS)
        return True

    async def _until_room(self) -> None:
        while await asyncio.to_thread(self._store.is_full):  # noqa: ASYNC110  it is the disk
            await asyncio.sleep(FULL_SECONDS)

    def _trouble(self, words: str) -> None:
        if words != self.problem:
            self.problem = words
            self._changed()

    @property
    def _hears(self) -> bool:
        return self._audio and "PULSE_SERVER" in self._desktop.status.environment

    # --- the stream ------------------------------------------------------------------------------

    async def _record(self) -> None:
        if await asyncio.to_thread(self._store.is_full):
            raise _FullError
        self._since = _micros()
        wants = m.Watch(video=True, repaint=False, cursor=True, audio=self._hears)
        async with self._desktop.stream(wants) as stream:
            messages = aiter(stream)
            due = time.monotonic() + TICK_SECONDS
            coming = asyncio.ensure_future(anext(messages, None))
            try:
                while True:
                    wait = max(0.0, due - time.monotonic())
                    done, _ = await asyncio.wait({coming}, timeout=wait)
                    if done:
                        message = coming.result()
                        if message is None:
                            return
                        await self._take(message)
                        coming = asyncio.ensure_future(anext(messages, None))
                    if time.monotonic() >= due:
                        due = time.monotonic() + TICK_SECONDS
                        await self._tick(stream)
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _take(self, message: m.FromWorker) -> None:
        match message:
            case m.Video():
                await self._picture(message)
            case m.Audio() if self._piece is not None:
                self._add(Record(self._played(message.pts), packet=message.data))
            case m.Trouble(code="capture"):
                self._trouble(f"Nothing can be captured: {message.detail}.")

    async def _picture(self, message: m.Video) -> None:
        try:
            unit = fmp4.access_unit(message.data)
        except StreamError:
            return
        # The first picture may have stood there for long; it is recorded from now on.
        captured = max(message.captured, self._since)
        if unit.key and unit.sps and unit.pps:
            tracks = Tracks(message.width, message.height, unit.sps, unit.pps, self._hears)
            await self._key_frame(captured, tracks)
        if self._piece is not None:
            self._add(Record(captured, frame=message.data))

    async def _key_frame(self, captured: int, tracks: Tracks) -> None:
        """Where a piece may end, and another begin."""
        begun, piece = self._begun, self._piece
        same = begun is not None and begun.tracks == tracks
        if same and piece is not None and captured - piece.start < self._piece_seconds * 1_000_000:
            return
        await self._close(captured)
        if begun is None or not same or captured - begun.origin > RECORDING_SECONDS * 1_000_000:
            begun = self._begin(captured, tracks)
        self._last_number += 1
        self._piece = Piece(begun, self._last_number, captured, self._audio_to)
        self._piece.log_is_at(captured, self._seq())
        await asyncio.to_thread(self._store.begin, self._piece)
        self._trouble("")

    def _begin(self, captured: int, tracks: Tracks) -> Begun:
        ago = time.monotonic_ns() // 1_000_000 - captured // 1000
        began = time.time_ns() // 1_000_000 - ago
        recording = f"{began:012x}{secrets.token_hex(2)}"
        self._begun = Begun(self._desktop.desktop_id, recording, began, captured, tracks)
        self._last_number = self._audio_to = 0
        self._sound_start = None
        return self._begun

    def _played(self, pts: int) -> int:
        """When a packet was played: its count of samples gives even times."""
        now, played = _micros(), pts * 1_000_000 // fmp4.SAMPLES
        if self._sound_start is None or abs(self._sound_start + played - now) > MAX_DRIFT:
            self._sound_start = now - played
        return self._sound_start + played

    def _add(self, added: Record) -> None:
        assert self._piece is not None
        journal.apply(self._piece, added)
        self._unwritten.append(journal.record(added))

    # --- pieces ----------------------------------------------------------------------------------

    async def _tick(self, stream: DesktopStream) -> None:
        piece, now = self._piece, _micros()
        if piece is None:
            stream.tell(m.KeyFrame())
            return
        self._add(Record(now, seq=self._seq()))
        await self._write()
        age = (now - piece.start) / 1_000_000
        if piece.size > MAX_PIECE_BYTES:
            await self._end()
        elif piece.size > PIECE_BYTES or age > (
            self._piece_seconds if piece.moved else STILL_SECONDS
        ):
            stream.tell(m.KeyFrame(lost=False))

    async def _write(self) -> None:
        records, self._unwritten = b"".join(self._unwritten), []
        if records and self._piece is not None:
            await asyncio.to_thread(self._store.add, self._piece, records)

    async def _close(self, end: int) -> None:
        piece, self._piece = self._piece, None
        self._unwritten = []
        if piece is None or not piece.frames:
            return
        self._audio_to = await asyncio.to_thread(self._store.keep, piece, end)
        self._changed()
        if await asyncio.to_thread(self._store.is_full):
            raise _FullError

    async def _end(self) -> None:
        """The recording ends here."""
        try:
            await self._close(_micros())
        except OSError as error:
            self._trouble(f"It cannot be stored there: {error.strerror or error}.")
        except _FullError:
            pass
        self._begun = None


def _micros() -> int:
    return time.monotonic_ns() // 1000
