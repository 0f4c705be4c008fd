"""Fetches what runners have recorded: each piece once, and a runner deletes it only when told.

Whatever breaks on the way, the piece is fetched again: it is kept under its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from earthshine.control.errors import DomainError
from earthshine.control.recordings.storage import MAX_PIECE, DamagedPieceError, RecordingStorage
from earthshine.control.transfers.links import TransferLinks
from earthshine.net.transfer import TransferBrokenError, TransferLink
from earthshine.protocols.transfer import (
    Dropped,
    DropSegment,
    GetSegment,
    ListSegments,
    Ready,
    Refused,
    Segment,
    Segments,
)

MAX_RUNNERS: Final = 4
"""Fetched from at once: recordings can wait, what people watch cannot."""
MAX_DAMAGED: Final = 3
"""Times that a piece may come other than announced, before it is given up."""
FIRST_RETRY: Final = 2.0
LAST_RETRY: Final = 60.0
SWEEP_SECONDS: Final = 3600.0
FULL_SECONDS: Final = 60.0
log = logging.getLogger(__name__)


class _FullError(Exception):
    """There is no room for more here."""


class Collector:
    """`run` it; `wake` says that a runner may have something."""

    def __init__(
        self,
        links: TransferLinks,
        storage: RecordingStorage,
        runner_of: Callable[[str], Awaitable[str | None]],
        is_connected: Callable[[str], bool],
    ) -> None:
        """`runner_of` a session; None for one that was deleted."""
        self._links = links
        self._storage = storage
        self._runner_of = runner_of
        self._is_connected = is_connected
        self._due: set[str] = set()
        self._busy: set[str] = set()
        self._news = asyncio.Event()
        self._room = asyncio.Semaphore(MAX_RUNNERS)
        self._damaged: Counter[tuple[str, str, int]] = Counter()
        self.on_stored: Callable[[str], None] = lambda _: None
        """Hears of a session that has a new piece."""

    def wake(self, runner_id: str) -> None:
        """It has recorded something."""
        self._due.add(runner_id)
        self._news.set()

    def connected(self, runner_id: str) -> None:
        """It may be back: what could not be fetched may be now."""
        if runner_id in self._due:
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                await self._news.wait()
                self._news.clear()
                for runner_id in self._due - self._busy:
                    self._busy.add(runner_id)
                    tasks.create_task(self._collect(runner_id))

    async def _collect(self, runner_id: str) -> None:
        delay = FIRST_RETRY
        try:
            while runner_id in self._due and self._is_connected(runner_id):
                self._due.discard(runner_id)
                try:
                    async with self._room:
                        await self._fetch_all(runner_id)
                    delay = FIRST_RETRY
                except _FullError:
                    log.warning("recordings take as much as they may: nothing more is fetched")
                    self._due.add(runner_id)
                    await asyncio.sleep(FULL_SECONDS)
                except (DomainError, DamagedPieceError, OSError) as error:
                    log.info("fetching recordings of %s failed: %s", runner_id, error)
                    self._due.add(runner_id)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, LAST_RETRY)
        finally:
            self._busy.discard(runner_id)
            if runner_id in self._due and self._is_connected(runner_id):
                self._news.set()

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                deleted = await asyncio.to_thread(self._storage.sweep)
                if deleted:
                    log.info("%d recordings were too old or too many, and deleted", deleted)
                for session_id in await asyncio.to_thread(self._storage.sessions):
                    if await self._runner_of(session_id) is None:
                        await asyncio.to_thread(self._storage.forget, session_id)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _fetch_all(self, runner_id: str) -> None:
        async with self._links.opened(runner_id) as link:
            while True:
                await link.say(ListSegments())
                listed = await link.message()
                if not isinstance(listed, Segments):
                    raise TransferBrokenError("no list of recordings came")
                for piece in listed.segments:
                    await self._take(runner_id, link, piece)
                if not listed.segments:
                    return

    async def _take(self, runner_id: str, link: TransferLink, piece: Segment) -> None:
        owner = await self._runner_of(piece.session)
        if owner == runner_id and not await asyncio.to_thread(self._storage.has, piece):
            if piece.size > MAX_PIECE:
                log.warning("a piece of %d bytes is not taken", piece.size)
            else:
                await self._try(link, piece)
        # Of a session that was deleted, or is another runner's, nothing is kept.
        await link.say(DropSegment(piece.session, piece.recording, piece.number))
        if not isinstance(await link.message(), Dropped):
            raise TransferBrokenError("a piece of a recording could not be dropped")

    async def _try(self, link: TransferLink, piece: Segment) -> None:
        """Fetch it; one that comes damaged again and again must not hold up the others."""
        which = (piece.session, piece.recording, piece.number)
        try:
            await self._fetch(link, piece)
        except DamagedPieceError as error:
            self._damaged[which] += 1
            if self._damaged[which] < MAX_DAMAGED:
                raise
            log.warning("a piece of a recording is given up: %s", error)
        self._damaged.pop(which, None)

    async def _fetch(self, link: TransferLink, piece: Segment) -> None:
        if await asyncio.to_thread(self._storage.is_full):
            await asyncio.to_thread(self._storage.sweep)
            if await asyncio.to_thread(self._storage.is_full):
                raise _FullError
        await link.say(GetSegment(piece.session, piece.recording, piece.number))
        answer = await link.message()
        if isinstance(answer, Refused):
            return  # gone meanwhile: too old, or its session was deleted
        if not isinstance(answer, Ready) or answer.size != piece.size:
            raise DamagedPieceError("a piece is not as large as it was announced")
        file = await asyncio.to_thread(self._storage.begin, piece)
        try:
            received = 0
            async for data in link.pieces():
                received += len(data)
                if received > piece.size:
                    raise DamagedPieceError("more came than was announced")
                await asyncio.to_thread(file.write, data)
            await asyncio.to_thread(self._storage.finish, piece, file)
        except BaseException:
            await asyncio.to_thread(self._storage.discard, piece, file)
            raise
        self.on_stored(piece.session)
