"""Segment names and records, as the package's docstring describes them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from earthshine.protocols import events

RECORD: Final = struct.Struct(">IIQI")
MAX_BODY: Final = events.MAX_PROMPT_DATA + 64
"""Bytes of one encoded entry."""


class DamagedError(ValueError):
    """A record's bytes do not match its checksum, or make no sense."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of a spool."""

    first_seq: int
    offset: int
    path: Path

    @staticmethod
    def name(first_seq: int, offset: int) -> str:
        """The file's name."""
        return f"{first_seq:016x}-{offset:016x}.log"


def segments(folder: Path) -> list[Segment]:
    """The segments of a spool, oldest first; files of other names are not ours."""
    found = []
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []  # somebody removed the session's folder
    for path in paths:
        first, dash, offset = path.stem.partition("-")
        if path.suffix == ".log" and dash:
            try:
                found.append(Segment(int(first, 16), int(offset, 16), path))
            except ValueError:
                continue
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Record:
    """One entry as a segment holds it; `end` is where the next record begins."""

    seq: int
    output: int
    body: memoryview
    end: int


def record(seq: int, output: int, body: bytes) -> bytes:
    """A record to append; `output` is the bytes of terminal output in it."""
    return RECORD.pack(len(body), zlib.crc32(body), seq, output) + body


def parse(data: memoryview, position: int) -> Record | None:
    """The record at `position`, None when it is not whole yet. Raises DamagedError."""
    if len(data) - position < RECORD.size:
        return None
    length, crc, seq, output = RECORD.unpack_from(data, position)
    if not 0 < length <= MAX_BODY:
        raise DamagedError(f"a record of {length} bytes")
    start = position + RECORD.size
    if len(data) < start + length:
        return None
    body = data[start : start + length]
    if zlib.crc32(body) != crc:
        raise DamagedError(f"checksum of entry {seq}")
    return Record(seq, output, body, start + length)
