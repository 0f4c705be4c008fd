"""The live end of sessions' logs: what has just come, and who waits for it.

A channel keeps the newest entries, encoded once for all viewers. Entries leave it when they are
stored and the ring is larger than `RING`, so a viewer finds every entry in the ring or in the
database, and memory stays bounded by `RING` plus what waits to be stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from earthshine.control.access import Actor
from earthshine.control.authorization import SessionRole
from earthshine.control.sessions.record import SessionRecord
from earthshine.control.sessions.watching import Watcher
from earthshine.protocols import feed
from earthshine.protocols.envelope import RecordingCondition, SessionCondition
from earthshine.protocols.events import Event
from earthshine.protocols.replay import Receiver

RING: Final = 512 * 1024
"""Bytes of encoded entries that a channel keeps beyond what is not stored yet."""
MAX_IDLE_CHANNELS: Final = 128
"""Channels without viewers that are kept for a while; those of living sessions among them."""


@dataclass(slots=True)
class Entry:
    """An entry on its way to viewers."""

    first: int
    """Differs from `seq` only for a gap."""
    seq: int
    data: bytes


class Viewer(Watcher):
    """Somebody who waits on a channel for entries."""

    __slots__ = ("session_changed", "size")

    def __init__(self, actor: Actor, role: SessionRole) -> None:
        super().__init__(actor, role)
        self.session_changed = True
        self.size: tuple[int, int] | None = None


class Channel:
    """One session's live end."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.receiver = Receiver(record.last_seq, record.log_bytes)
        self.stored = record.last_seq
        """Last entry known to be in the database."""
        self.condition = SessionCondition(code="ok")
        self.recording = RecordingCondition(on=False)
        """Whether its desktop is recorded, as far as the runner has said."""
        self.viewers: set[Viewer] = set()
        self.watchers: set[Watcher] = set()
        """Others who have the session open: its desktop."""
        self.leader: Viewer | None = None
        self.removed = False
        """The session is being deleted: nothing more is stored."""
        self._ring: deque[Entry] = deque()
        self._size = 0
        self._progress = asyncio.Event()

    @property
    def last_seq(self) -> int:
        """The last entry that has come."""
        return self.receiver.seq

    def publish(self, first: int, event: Event) -> None:
        """An entry that is new; call in order."""
        data = feed.record(event)
        self._ring.append(Entry(first, event.seq, data))
        self._size += len(data)

    def wake(self, *, session: bool = False) -> None:
        """Tell the viewers that there is something."""
        for viewer in self.viewers:
            viewer.session_changed |= session
            viewer.changed.set()

    def store(self, seq: int) -> None:
        """Entries up to `seq` are in the database now."""
        self.stored = max(self.stored, seq)
        self._progress.set()
        self._trim()

    async def settled(self, seconds: float) -> None:
        """Until what has come by now is in the database, but no longer than `seconds`."""
        wanted = self.last_seq
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.stored < wanted:
                    self._progress.clear()
                    await self._progress.wait()

    def _trim(self) -> None:
        while self._size > RING and self._ring and self._ring[0].seq <= self.stored:
            self._size -= len(self._ring.popleft().data)

    def after(self, cursor: int, limit: int) -> Sequence[Entry] | None:
        """Entries behind `cursor`, about `limit` bytes; None when they are in the database."""
        if cursor >= self.last_seq:
            return ()
        if not self._ring or self._ring[0].first > cursor + 1:
            return None
        found: list[Entry] = []
        size = 0
        for entry in reversed(self._ring):  # viewers are mostly near the end
            if entry.seq <= cursor:
                break
            found.append(entry)
        found.reverse()
        for count, entry in enumerate(found):
            size += len(entry.data)
            if size >= limit:
                return found[: count + 1]
        return found


class ChannelBook:
    """The channels in memory; others are made from their session's row."""

    def __init__(self, load: Callable[[str], Awaitable[SessionRecord | None]]) -> None:
        self._load = load
        self._channels: OrderedDict[str, Channel] = OrderedDict()
        self._loading: dict[str, asyncio.Lock] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._channels.values()))

    def live(self, session_id: str) -> Channel | None:
        """The channel, if it is in memory."""
        return self._channels.get(session_id)

    def add(self, record: SessionRecord) -> Channel:
        """The channel of a session that is new."""
        channel = self._channels[record.id] = Channel(record)
        self._evict()
        return channel

    async def open(self, session_id: str) -> Channel | None:
        """The channel of a session; None when there is no such session."""
        channel = self._channels.get(session_id)
        if channel is not None:
            self._channels.move_to_end(session_id)
            return channel
        lock = self._loading.setdefault(session_id, asyncio.Lock())
        try:
            async with lock:
                if session_id in self._channels:
                    return self._channels[session_id]
                record = await self._load(session_id)
                return None if record is None else self.add(record)
        finally:
            if not lock.locked():
                self._loading.pop(session_id, None)

    def drop(self, session_id: str) -> None:
        """The session was deleted."""
        channel = self._channels.pop(session_id, None)
        if channel is not None:
            channel.wake(session=True)

    def _evict(self) -> None:
        """Forget idle channels, longest unused first. What is not stored yet is never idle."""
        idle = [
            session_id
            for session_id, channel in self._channels.items()
            if not channel.viewers
            and not channel.watchers
            and channel.stored == channel.last_seq
            and channel.record.is_final
        ]
        for session_id in idle[: max(0, len(idle) - MAX_IDLE_CHANNELS)]:
            del self._channels[session_id]
