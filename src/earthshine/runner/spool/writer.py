"""Appending to a spool, and giving up the oldest of it at the limit."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from earthshine.protocols import events
from earthshine.protocols.events import Event, Kind
from earthshine.runner.spool.segments import DamagedError, Segment, parse, record, segments

if TYPE_CHECKING:
    from typing import Self

DEFAULT_LIMIT: Final = 256 * 1024 * 1024
"""Bytes a spool may take on disk."""
SEGMENT: Final = 4 * 1024 * 1024
"""Bytes after which a new segment begins."""
MIN_LIMIT: Final = 1024 * 1024


class SpoolWriter:
    """The one writer of a spool. Opening an existing spool cuts a torn last record off.

    Methods that write raise OSError, for example when the disk is full; the spool is then as it was
    before, and the same call may be made again.
    """

    def __init__(self, folder: Path, *, limit: int = DEFAULT_LIMIT) -> None:
        self._folder = folder
        self._limit = max(limit, MIN_LIMIT)
        self._segment_limit = min(SEGMENT, self._limit // 8)
        self._fd = -1
        self._end = 0
        self._older = 0  # bytes of the segments before the current one
        self._segments: deque[tuple[Segment, int]] = deque()
        self.last_seq = 0
        self.output_bytes = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def first_seq(self) -> int:
        """The oldest entry still there; `last_seq + 1` when there is none."""
        return self._segments[0][0].first_seq if self._segments else self.last_seq + 1

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._older + self._end

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.size >= self._limit

    def append(self, kind: Kind, data: bytes, ts: int) -> int:
        """Append an entry and return its `seq`."""
        event = Event(self.last_seq + 1, ts, kind, data)
        return self._write(event)

    def append_detail(self, detail: events.Detail, ts: int) -> int:
        """Append a non-output entry and return its `seq`."""
        return self._write(events.entry(self.last_seq + 1, ts, detail))

    def _write(self, event: Event) -> int:
        events.validate(event)
        if self._fd < 0 or self._end >= self._segment_limit:
            self._begin(event.seq)
        output = events.output_bytes(event)
        data = record(event.seq, output, events.encode(event))
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
            raise
        self._end += len(data)
        self.last_seq = event.seq
        self.output_bytes += output
        return event.seq

    def acked(self, seq: int) -> None:
        """Remove segments whose entries are all stored elsewhere."""
        while len(self._segments) > 1 and self._segments[1][0].first_seq <= seq + 1:
            self._remove_oldest()

    def trim(self) -> None:
        """Give up the oldest segments until the limit holds. A reader makes one gap of them."""
        while self.full and len(self._segments) > 1:
            self._remove_oldest()

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _remove_oldest(self) -> None:
        segment, size = self._segments.popleft()
        self._older -= size
        segment.path.unlink(missing_ok=True)

    def _begin(self, seq: int) -> None:
        name = Segment.name(seq, self.output_bytes)
        path = self._folder / name
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._segments:
            last, _ = self._segments[-1]
            self._segments[-1] = (last, self._end)
            self._older += self._end
        self.close()
        self._fd = fd
        self._end = 0
        self._segments.append((Segment(seq, self.output_bytes, path), 0))

    def _recover(self) -> None:
        found = segments(self._folder)
        for segment in found[:-1]:
            self._segments.append((segment, segment.path.stat().st_size))
            self._older += self._segments[-1][1]
        if not found:
            return
        last = found[-1]
        self.last_seq = last.first_seq - 1
        self.output_bytes = last.offset
        data = memoryview(last.path.read_bytes())
        position = 0
        try:
            while (item := parse(data, position)) is not None:
                self.last_seq = item.seq
                self.output_bytes += item.output
                position = item.end
        except DamagedError:
            pass  # the tail that a dying writer left behind
        self._fd = os.open(last.path, os.O_WRONLY | os.O_CLOEXEC)
        os.ftruncate(self._fd, position)
        os.lseek(self._fd, position, os.SEEK_SET)
        self._end = position
        self._segments.append((last, 0))
