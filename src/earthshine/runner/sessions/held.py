"""One session on this runner: the line to its holder, and its log on the way to the control plane.

The log is read from the spool, never kept in memory, so a slow control plane costs disk, not RAM.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from earthshine.protocols import events
from earthshine.protocols.envelope import MAX_LOG, SpoolPosition
from earthshine.protocols.replay import Sender
from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import Acked, Condition, MessageError, Tail, Unpacker
from earthshine.runner.holder.place import LOCK, SOCKET, SPOOL
from earthshine.runner.spool.reader import Batch, SpoolReader
from earthshine.runner.spool.segments import segments
from earthshine.runner.spool.writer import SpoolWriter

HOLDER_RETRY: Final = 0.2
"""Seconds between attempts to reach a holder that is alive."""
MAX_TO_HOLDER: Final = 8 * 1024 * 1024
"""Bytes that may wait for a holder that does not read."""
OK: Final = Condition(code="ok")
log = logging.getLogger(__name__)


class HolderGoneError(Exception):
    """The session's holder does not run any more, or does not read."""


class HeldSession:
    """A session's log and the way to its agent. `run` must be running."""

    def __init__(self, session_id: str, folder: Path) -> None:
        self.session_id = session_id
        self.folder = folder
        self.sender = Sender()
        self.condition = OK
        self.ended = False
        self.tail = 0
        """Last entry known to be in the spool."""
        self.on_condition: Callable[[HeldSession], None] = lambda _: None
        self._reader = SpoolReader(folder / SPOOL)
        self._changed = asyncio.Event()
        self._to_holder: asyncio.StreamWriter | None = None
        self._resumed = False

    # --- the holder ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the holder until it has gone and the spool is complete."""
        while True:
            try:
                if await asyncio.to_thread(self._take_over_if_gone):
                    break
                await self._follow()
            except FileNotFoundError:
                if not await asyncio.to_thread(self.folder.is_dir):
                    break  # somebody removed it
            except (MessageError, msgspec.MsgspecError) as error:
                log.warning("a holder says what this runner does not know: %s", error)
            except OSError as error:
                log.debug("session %s: %s", self.session_id, error)
            await asyncio.sleep(HOLDER_RETRY)
        self.ended = True
        self._changed.set()

    async def _follow(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{handle}/{SOCKET}")
        finally:
            os.close(handle)
        unpacker = Unpacker()
        self._to_holder = writer
        try:
            while data := await reader.read(64 * 1024):
                for body in unpacker.feed(data):
                    self._heard(messages.from_holder.decode(body))
        finally:
            self._to_holder = None
            writer.close()

    def _heard(self, message: Tail | Condition) -> None:
        if isinstance(message, Tail):
            if message.seq > self.tail:
                self.tail = message.seq
                self._changed.set()
        elif message != self.condition:
            self.condition = message
            self.on_condition(self)

    def _take_over_if_gone(self) -> bool:
        """Finish the log of a holder that died before its agent's end was written."""
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            with SpoolWriter(self.folder / SPOOL, limit=2**62) as writer:
                if not _is_complete(self.folder / SPOOL, writer.last_seq):
                    log.error(
                        "a holder died",
                        extra={"session": self.session_id, "said": _last_words(self.folder)},
                    )
                    writer.append_detail(
                        events.Failed(
                            code="holder-died",
                            detail="the process that held the agent's terminal ended unexpectedly",
                            remedy="the machine may have restarted or run out of memory; "
                            "start a new session",
                        ),
                        _now(),
                    )
                self.tail = max(self.tail, writer.last_seq)
            return True
        finally:
            os.close(lock)

    def tell(self, message: msgspec.Struct) -> None:
        """Send a command to the holder. Raises HolderGoneError."""
        writer = self._to_holder
        if writer is None or writer.transport.is_closing():
            raise HolderGoneError(f"session {self.session_id} has ended")
        if writer.transport.get_write_buffer_size() > MAX_TO_HOLDER:
            raise HolderGoneError(f"session {self.session_id} does not take any input")
        writer.write(messages.pack(message))

    @property
    def attached(self) -> bool:
        """Whether commands reach the holder now."""
        return self._to_holder is not None

    # --- the log ---------------------------------------------------------------------------------

    def position(self) -> SpoolPosition:
        """What the spool contains."""
        found = segments(self.folder / SPOOL)
        first = found[0].first_seq if found else self.tail + 1
        return SpoolPosition(
            session_id=self.session_id, first_seq=first, last_seq=self.tail, ended=self.ended
        )

    def resume(self, seq: int, offset: int) -> None:
        """Send from behind `seq`, up to which the control plane has `offset` bytes of output."""
        self.sender.resume(seq)
        self._reader.seek(seq, offset)
        self._resumed = True
        self.acked(seq)
        self._changed.set()

    def acked(self, seq: int) -> bool:
        """The control plane has stored entries up to `seq`; False if that cannot be."""
        plausible = self.sender.ack(seq)
        if plausible:
            with contextlib.suppress(HolderGoneError):
                self.tell(Acked(seq=seq))
            self._changed.set()
        return plausible

    @property
    def delivered(self) -> bool:
        """Whether the log is complete and stored: nothing here is needed any more."""
        return self.ended and self._resumed and self.sender.acked >= self.tail

    async def next_batch(self) -> Batch | None:
        """The next entries to send; waits for them and for room. None: all is delivered."""
        while not self.delivered:
            self._changed.clear()
            if self._resumed and self.sender.sent < self.tail and self.sender.room > 0:
                batch = await self._read()
                if batch is not None:
                    self.sender.send(batch.last, batch.size)
                    return batch
            await self._changed.wait()
        return None

    async def _read(self) -> Batch | None:
        limit = min(MAX_LOG, self.sender.room)
        if self.tail - self.sender.sent > 1 or self.ended:
            # May come from a cold disk; what was written this instant is in the page cache.
            reading = asyncio.ensure_future(asyncio.to_thread(self._reader.read, limit, _now()))
            try:
                return await asyncio.shield(reading)
            except asyncio.CancelledError:
                await asyncio.wait([reading])  # the reader must not be in use when we resume
                raise
        return self._reader.read(limit, _now())

    def close(self) -> None:
        """Let go of files and the holder; the holder goes on."""
        self._reader.close()
        if self._to_holder is not None:
            self._to_holder.close()


def _last_words(folder: Path) -> str:
    """The end of what the holder complained about."""
    with contextlib.suppress(OSError):
        return (folder / "holder.log").read_bytes()[-2000:].decode(errors="replace")
    return ""


def _is_complete(spool: Path, last_seq: int) -> bool:
    """Whether the spool's last entry is a final one."""
    if last_seq == 0:
        return False
    reader = SpoolReader(spool, last_seq - 1)
    try:
        batch = reader.read(1, 0)
    finally:
        reader.close()
    if batch is None:
        return False
    last = events.decode(bytes(batch.events[-1]))
    return last.kind in (events.Kind.EXITED, events.Kind.FAILED)


def _now() -> int:
    return time.time_ns() // 1_000_000
