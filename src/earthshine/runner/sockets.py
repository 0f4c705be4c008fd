"""Folders for sockets: of this user only, with a path short enough for a socket's address."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MAX_BASE: Final = 60
"""Bytes of the folder in which ours is made: an address has room for 107."""


class SocketFolder:
    """`make`, and `remove` at the end. Reads the disk."""

    def __init__(self, record: Path, prefix: str) -> None:
        """In the file `record` stands where the sockets of a runner are that was killed."""
        self._record = record
        self._prefix = prefix
        self._folder: Path | None = None

    def make(self) -> Path:
        """A fresh folder; one that was left behind is removed. Raises OSError."""
        with contextlib.suppress(OSError, ValueError):
            before = Path(self._record.read_text())
            if before.name.startswith(self._prefix) and before.stat().st_uid == os.getuid():
                shutil.rmtree(before, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=_base()))
        self._record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._record.write_text(str(self._folder))
        return self._folder

    def remove(self) -> None:
        """It is not needed any more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._record.unlink(missing_ok=True)


def _base() -> str:
    """Where a folder has a short path."""
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        if candidate and len(os.fsencode(candidate)) <= MAX_BASE and os.access(candidate, os.W_OK):
            return candidate
    return "/tmp"  # noqa: S108
