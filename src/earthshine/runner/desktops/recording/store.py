"""What was recorded, on the disk: `state`/recordings/SESSION/RECORDING/NUMBER.piece.

A piece's file is its description's length (u32), the description (MessagePack) and the fragment; it
gets its name when it is complete. Beside the pieces lies the `journal` of the one being made, and
above the recordings `on`, while the session is recorded. Reads and writes the disk; for a thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from earthshine.protocols.transfer import MAX_SEGMENTS, Segment, Segments
from earthshine.runner.desktops.recording import journal
from earthshine.runner.desktops.recording.piece import Piece
from earthshine.runner.transfers.folders import FileError

SUFFIX: Final = ".piece"
JOURNAL: Final = "journal"
ON: Final = "on"
MAX_DESCRIPTION: Final = 64 * 1024
log = logging.getLogger(__name__)


class Wish(msgspec.Struct, kw_only=True):
    """Somebody wants the session recorded, since then (ms of 1970)."""

    by: str
    since: int


class RecordingStore:
    """The recordings of all sessions of this runner."""

    def __init__(self, state: Path, *, limit: int, days: int) -> None:
        self._folder = state / "recordings"
        self._limit = limit
        self._seconds = days * 86_400

    # --- wishes ----------------------------------------------------------------------------------

    def wish(self, session_id: str, wish: Wish | None) -> None:
        """Remember whether the session is recorded, over a restart. Raises OSError."""
        place = self._folder / session_id / ON
        if wish is None:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = place.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(wish))
        temporary.replace(place)

    def wishes(self) -> dict[str, Wish]:
        """Sessions that are recorded, as an earlier run left it."""
        found = {}
        for place in self._folder.glob(f"*/{ON}"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                found[place.parent.name] = msgspec.json.decode(place.read_bytes(), type=Wish)
        return found

    # --- making ----------------------------------------------------------------------------------

    def begin(self, piece: Piece) -> None:
        """A piece is being made. Raises OSError."""
        self._append(piece, journal.beginning(piece), "wb")

    def add(self, piece: Piece, records: bytes) -> None:
        """What came since. Raises OSError."""
        self._append(piece, records, "ab")

    def _append(self, piece: Piece, records: bytes, mode: str) -> None:
        folder = self._of(piece)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / JOURNAL).open(mode) as file:
            file.write(records)

    def _of(self, piece: Piece) -> Path:
        return self._folder / piece.begun.session / piece.begun.recording

    def keep(self, piece: Piece, end: int) -> int:
        """The piece is complete; where its sound ends. Raises OSError."""
        segment, data, audio_to = piece.close(end)
        segment.crc = zlib.crc32(data)
        description = msgspec.msgpack.encode(segment)
        folder = self._of(piece)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = folder / f"{piece.number:08}{SUFFIX}"
        temporary = place.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(len(description).to_bytes(4) + description)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
        (folder / JOURNAL).unlink(missing_ok=True)
        return audio_to

    def recover(self) -> None:
        """Complete what a runner that was killed was making."""
        for place in self._folder.glob(f"*/*/{JOURNAL}"):
            try:
                found = journal.recover(place.read_bytes())
                if found is not None:
                    self.keep(*found)
                place.unlink(missing_ok=True)
            except OSError as error:
                log.warning("a recording cannot be completed: %s", error)
        for place in self._folder.glob("*/*/*.new"):
            place.unlink(missing_ok=True)

    # --- what waits ------------------------------------------------------------------------------

    def _pieces(self) -> Iterator[Path]:
        yield from self._folder.glob(f"*/*/*{SUFFIX}")

    def sessions(self) -> list[str]:
        """Of which something is here."""
        return [folder.name for folder in self._folder.glob("*/")]

    def waiting(self, session_id: str) -> int:
        """Pieces of a session that can be fetched."""
        return sum(1 for _ in (self._folder / session_id).glob(f"*/*{SUFFIX}"))

    def is_full(self) -> bool:
        """Whether no more may be recorded now."""
        total = 0
        for place in self._pieces():
            with contextlib.suppress(OSError):
                total += place.stat().st_size
        return total >= self._limit

    def sweep(self) -> None:
        """Delete what nobody fetched for too long, and empty folders."""
        oldest = time.time() - self._seconds
        for place in list(self._pieces()):
            with contextlib.suppress(OSError):
                if place.stat().st_mtime < oldest:
                    log.warning(
                        "a recording was never fetched: deleted", extra={"piece": str(place)}
                    )
                    place.unlink()
        for folder in (*self._folder.glob("*/*/"), *self._folder.glob("*/")):
            with contextlib.suppress(OSError):
                folder.rmdir()  # which only takes empty ones

    def segments(self) -> Segments:
        """What waits, oldest first."""
        places = sorted(self._pieces(), key=lambda place: (place.parent.name, place.name))
        found = []
        for place in places[:MAX_SEGMENTS]:
            try:
                with place.open("rb") as file:
                    found.append(_describe(file))
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                log.warning("a piece of a recording is damaged: %s: %s", place, error)
                place.unlink(missing_ok=True)
        return Segments(segments=found, more=len(places) > MAX_SEGMENTS)

    def read(self, session_id: str, recording: str, number: int) -> tuple[IO[bytes], int]:
        """A piece's fragment and its size. Raises FileError."""
        try:
            file = self._place(session_id, recording, number).open("rb")
        except OSError:
            raise FileError("no-piece", "that piece of a recording is not here") from None
        try:
            return file, _describe(file).size
        except (OSError, ValueError, msgspec.MsgspecError):
            file.close()
            raise FileError("no-piece", "that piece of a recording is damaged") from None

    def drop(self, session_id: str, recording: str, number: int) -> None:
        """It is stored elsewhere now."""
        self._place(session_id, recording, number).unlink(missing_ok=True)

    def _place(self, session_id: str, recording: str, number: int) -> Path:
        return self._folder / session_id / recording / f"{number:08}{SUFFIX}"

    def forget(self, session_id: str) -> None:
        """The session was deleted."""
        shutil.rmtree(self._folder / session_id, ignore_errors=True)


def _describe(file: IO[bytes]) -> Segment:
    """The description at a file's beginning; reading goes on at the fragment."""
    length = int.from_bytes(file.read(4))
    if not 0 < length <= MAX_DESCRIPTION:
        raise ValueError("no description")
    return msgspec.msgpack.decode(file.read(length), type=Segment)
