"""Reading a spool behind a cursor, while it grows and while its oldest part goes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from earthshine.protocols import events
from earthshine.protocols.events import Gap
from earthshine.runner.spool.segments import (
    MAX_BODY,
    RECORD,
    DamagedError,
    Record,
    Segment,
    parse,
    segments,
)

if TYPE_CHECKING:
    from pathlib import Path

READ: Final = 256 * 1024
"""Bytes asked of the file at once."""
MAX_HOPS: Final = 10_000
"""Segments that one call may pass through."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries `first` to `last`, encoded; `size` is their bytes."""

    first: int
    last: int
    size: int
    events: list[msgspec.Raw]


class SpoolReader:
    """Reads from behind `seq`; `offset` is the bytes of terminal output up to there."""

    def __init__(self, folder: Path, seq: int = 0, offset: int = 0) -> None:
        self._folder = folder
        self._fd = -1
        self._segment: Segment | None = None
        self._position = 0
        self._damaged = False
        self.seq = seq
        self.offset = offset

    def seek(self, seq: int, offset: int) -> None:
        """Continue behind another cursor."""
        self.close()
        self.seq = seq
        self.offset = offset

    def close(self) -> None:
        """Close the open segment, if any."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._segment = None
        self._position = 0
        self._damaged = False

    def read(self, limit: int, now: int) -> Batch | None:
        """About `limit` bytes of entries, at least one; None when there is no more yet.

        Where entries are missing the batch is one `gap`; `now` is its time in milliseconds.
        """
        for _ in range(MAX_HOPS):
            if self._segment is None and not self._open():
                return None
            assert self._segment is not None
            if self._segment.first_seq > self.seq + 1:
                return self._gap(self._segment, now)
            batch = self._records(limit)
            if batch is not None:
                return batch
            following = self._following(self._segment)
            if following is None:
                return None
            # The writer is done with a segment before it begins the next: one last look.
            batch = self._records(limit)
            if batch is not None:
                return batch
            if following.first_seq > self.seq + 1:
                # Listing a folder is not atomic: only what two listings miss is missing.
                following = self._following(self._segment) or following
            if following.first_seq > self.seq + 1:
                return self._gap(following, now)
            self.close()
        return None

    def _open(self) -> bool:
        """Open the segment that holds the next entry, else the oldest there is."""
        for _ in range(8):  # a segment may vanish between listing and opening
            found = segments(self._folder)
            if not found:
                return False
            begun = [segment for segment in found if segment.first_seq <= self.seq + 1]
            segment = begun[-1] if begun else found[0]
            try:
                self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            self._segment = segment
            return True
        return False

    def _following(self, segment: Segment) -> Segment | None:
        return next((s for s in segments(self._folder) if s.first_seq > segment.first_seq), None)

    def _gap(self, following: Segment, now: int) -> Batch:
        first, last = self.seq + 1, following.first_seq - 1
        lost = max(0, following.offset - self.offset)
        reason = "damaged" if self._damaged else "spool-limit"
        gap = Gap(first_seq=first, last_seq=last, bytes=lost, reason=reason)
        body = events.encode(events.entry(last, now, gap))
        self.close()
        self.seq, self.offset = last, following.offset
        return Batch(last, last, len(body), [msgspec.Raw(body)])

    def _records(self, limit: int) -> Batch | None:
        self._damaged = False
        taken: list[msgspec.Raw] = []
        first = size = 0
        want = max(READ, limit)
        while True:
            data = memoryview(os.pread(self._fd, want, self._position))
            position = 0
            while size < limit and (item := self._parse(data, position)) is not None:
                if taken and size + len(item.body) > limit:
                    break
                position = item.end
                if item.seq > self.seq:
                    first = first or item.seq
                    taken.append(msgspec.Raw(bytes(item.body)))
                    size += len(item.body)
                    self.seq = item.seq
                    self.offset += item.output
            self._position += position
            if taken:
                return Batch(first, self.seq, size, taken)
            if position == 0:
                if len(data) < want or want > MAX_BODY:
                    return None
                want = MAX_BODY + RECORD.size + 1

    def _parse(self, data: memoryview, position: int) -> Record | None:
        try:
            return parse(data, position)
        except DamagedError:
            # A record that is just being written may look like this for a moment; it counts as
            # damage when the writer has gone on to the next segment.
            self._damaged = True
            return None
