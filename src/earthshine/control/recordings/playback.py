"""A recording as one MP4 of which any bytes can be read, and what a Range header means."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from earthshine.control.recordings.storage import Recording, RecordingStorage
from earthshine.protocols import fmp4

READ: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class UnsatisfiableRangeError(ValueError):
    """Nothing of what was asked for is there (RFC 9110 section 15.5.17)."""


def byte_range(header: str | None, total: int) -> tuple[int, int] | None:
    """First byte and the one behind the last; None for everything.

    Several ranges, and what is no range, are answered with everything (RFC 9110 section 14.2).
    Raises UnsatisfiableRangeError.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = int(match[2])
        if count == 0 or total == 0:
            raise UnsatisfiableRangeError
        return max(0, total - count), total
    first = int(match[1])
    last = int(match[2]) if match[2] else total - 1
    if match[2] and last < first:
        return None
    if first >= total:
        raise UnsatisfiableRangeError
    return first, min(last + 1, total)


class Playback:
    """The file that a recording is: header, then the pieces as they lie."""

    def __init__(self, storage: RecordingStorage, session_id: str, recording: Recording) -> None:
        header = fmp4.header(recording.tracks, recording.indexed())
        self._parts: list[tuple[bytes | Path, int]] = [(header, len(header))]
        for piece in recording.pieces:
            self._parts.append((storage.place(session_id, piece), piece.size))
        self.total = sum(size for _, size in self._parts)
        self.tag = f'"{recording.id}-{len(recording.pieces)}"'
        self.began = recording.began

    async def read(self, first: int, end: int) -> AsyncIterator[bytes]:
        """Bytes from `first` up to `end`. Raises OSError."""
        at = 0
        for part, size in self._parts:
            begin, stop = max(first - at, 0), min(end - at, size)
            at += size
            if begin >= stop:
                continue
            if isinstance(part, bytes):
                yield part[begin:stop]
                continue
            file = await asyncio.to_thread(_open, part, begin)
            try:
                left = stop - begin
                while left:
                    data = await asyncio.to_thread(file.read, min(left, READ))
                    if not data:
                        raise OSError("a piece of a recording became shorter")
                    left -= len(data)
                    yield data
            finally:
                file.close()


def _open(place: Path, at: int) -> IO[bytes]:
    file = place.open("rb")
    file.seek(at)
    return file
