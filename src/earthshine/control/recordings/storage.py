"""Recordings on the disk: FOLDER/SESSION/RECORDING/NUMBER.m4s, and an index beside the pieces.

No table of the database: what there is to know about a recording belongs to its bytes, is written
once and dies with them, so one folder is all that a backup needs. The index has a line of JSON for
each piece, added when the piece is on the disk. Reads and writes the disk; for a thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import Indexed, Tracks
from earthshine.protocols.transfer import Segment

INDEX: Final = "index"
MAX_PIECE: Final = 128 * 1024 * 1024
"""Bytes of one piece that is taken."""
BUSY_SECONDS: Final = 600.0
"""A recording that got a piece so shortly ago is not deleted to make room."""
_ID: Final = re.compile(r"[0-9a-z-]{1,64}", re.ASCII)
_RECORDING: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


class DamagedPieceError(Exception):
    """What came is not what was announced."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where recordings are kept, how many bytes of them, and for how long."""

    folder: Path
    limit: int = 50 * 1024**3
    days: int = 90


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, as far as it has come. Times in ticks of `fmp4`."""

    id: str
    pieces: list[Segment]

    @property
    def began(self) -> int:
        """Milliseconds since 1970. The first pieces may have been lost."""
        return self.pieces[0].began + self.pieces[0].start * 1000 // fmp4.TICKS

    @property
    def duration(self) -> int:
        """From the first piece to the end of the last."""
        last = self.pieces[-1]
        return max(0, last.start + last.duration - self.pieces[0].start)

    @property
    def tracks(self) -> Tracks:
        """What it holds."""
        first = self.pieces[0]
        return Tracks(first.width, first.height, first.sps, first.pps, first.audio)

    def indexed(self) -> list[Indexed]:
        """Its pieces, each lasting until the next: also over one that was lost."""
        starts = [piece.start for piece in self.pieces[1:]]
        ends = [*starts, self.pieces[-1].start + self.pieces[-1].duration]
        return [
            Indexed(piece.size, max(0, end - piece.start))
            for piece, end in zip(self.pieces, ends, strict=True)
        ]


class RecordingStorage:
    """Recordings of all sessions."""

    def __init__(self, keeping: Keeping) -> None:
        self._folder = keeping.folder
        self._limit = keeping.limit
        self._seconds = keeping.days * 86_400
        self._total: int | None = None
        """Bytes of all recordings, as far as they were counted."""

    # --- taking ----------------------------------------------------------------------------------

    def has(self, piece: Segment) -> bool:
        """Whether this piece is here already."""
        found = self.get(piece.session, piece.recording)
        return found is not None and any(one.number == piece.number for one in found.pieces)

    def begin(self, piece: Segment) -> IO[bytes]:
        """A file to write the piece into; `finish` or `discard` must follow. Raises OSError."""
        folder = self._of(piece.session, piece.recording)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._place(piece).with_suffix(".new").open("w+b")

    def finish(self, piece: Segment, file: IO[bytes]) -> None:
        """All of it was written. Raises OSError, DamagedPieceError."""
        file.flush()
        crc = 0
        file.seek(0)
        while data := file.read(1024 * 1024):
            crc = zlib.crc32(data, crc)
        if file.tell() != piece.size or crc != piece.crc:
            raise DamagedPieceError(f"piece {piece.number} of {piece.recording} came damaged")
        os.fsync(file.fileno())
        file.close()
        if self._total is not None:
            self._total += piece.size
        place = self._place(piece)
        place.with_suffix(".new").replace(place)
        index = place.with_name(INDEX)
        with index.open("a+b") as lines:
            # A line that a power cut left unfinished must not swallow this one.
            lines.write(b"\n" + msgspec.json.encode(piece) + b"\n")
            lines.flush()
            os.fsync(lines.fileno())

    def discard(self, piece: Segment, file: IO[bytes]) -> None:
        """It did not come whole."""
        file.close()
        self._place(piece).with_suffix(".new").unlink(missing_ok=True)

    # --- giving ----------------------------------------------------------------------------------

    def of_session(self, session_id: str) -> list[Recording]:
        """A session's recordings, oldest first."""
        if not _ID.fullmatch(session_id):
            return []
        found = []
        for folder in sorted((self._folder / session_id).glob("*/")):
            recording = self.get(session_id, folder.name)
            if recording is not None:
                found.append(recording)
        return found

    def get(self, session_id: str, recording_id: str) -> Recording | None:
        """A recording, if it is here."""
        if not (_ID.fullmatch(session_id) and _RECORDING.fullmatch(recording_id)):
            return None
        try:
            lines = (self._of(session_id, recording_id) / INDEX).read_bytes().split(b"\n")
        except OSError:
            return None
        pieces: dict[int, Segment] = {}
        for line in lines:
            if line:
                with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
                    piece = msgspec.json.decode(line, type=Segment)
                    pieces[piece.number] = piece
        if not pieces:
            return None
        return Recording(recording_id, [pieces[number] for number in sorted(pieces)])

    def place(self, session_id: str, piece: Segment) -> Path:
        """The file of a piece."""
        return self._of(session_id, piece.recording) / f"{piece.number:08}.m4s"

    def _place(self, piece: Segment) -> Path:
        return self.place(piece.session, piece)

    def _of(self, session_id: str, recording_id: str) -> Path:
        return self._folder / session_id / recording_id

    # --- deleting --------------------------------------------------------------------------------

    def delete(self, session_id: str, recording_id: str) -> None:
        """A recording."""
        if self.get(session_id, recording_id) is not None:
            self._total = None
            shutil.rmtree(self._of(session_id, recording_id), ignore_errors=True)

    def forget(self, session_id: str) -> None:
        """All of a session."""
        if _ID.fullmatch(session_id):
            self._total = None
            shutil.rmtree(self._folder / session_id, ignore_errors=True)

    def sessions(self) -> list[str]:
        """Which have any."""
        with contextlib.suppress(OSError):
            return [folder.name for folder in self._folder.iterdir() if folder.is_dir()]
        return []

    def is_full(self) -> bool:
        """Whether nothing more can be taken until something is deleted."""
        if self._total is None:
            self._total = sum(size for _, size, _ in self._all())
        return self._total >= self._limit

    def sweep(self) -> int:
        """Delete what is too old, then the oldest as long as there is too much; how many."""
        now = time.time()
        recordings = sorted(self._all(), key=lambda found: found[0].name)
        total = sum(size for _, size, _ in recordings)
        deleted = 0
        for folder, size, changed in recordings:
            old = changed < now - self._seconds
            crowded = total > self._limit * 9 // 10 and changed < now - BUSY_SECONDS
            if old or crowded:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
                deleted += 1
        self._total = total
        return deleted

    def _all(self) -> Iterator[tuple[Path, int, float]]:
        """Folder, bytes and last change of each recording."""
        for folder in self._folder.glob("*/*/"):
            size, changed = 0, 0.0
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size
                    changed = max(changed, status.st_mtime)
            yield folder, size, changed
