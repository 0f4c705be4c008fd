"""What a holder leaves on disk, so that its traces can be removed even if it was killed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Final

import msgspec
import psutil

from earthshine.runner.desktops.authority import write_private
from earthshine.runner.desktops.backends.display import remove_traces
from earthshine.runner.desktops.children import marked

RECORD: Final = "desktop.json"
MARKER: Final = "EARTHSHINE_DESKTOP"
"""Variable that every process of a display has in its environment."""
KILL_SECONDS: Final = 2.0


class Record(msgspec.Struct, kw_only=True):
    """Of a running display: its private folder, the marker's value, the server's number and pid."""

    desktop_id: str
    runtime: str
    marker: str
    number: int | None = None
    pid: int | None = None


def write_record(folder: Path, record: Record) -> None:
    """Replace the record."""
    write_private(folder / RECORD, msgspec.json.encode(record))


def sweep(folder: Path) -> None:
    """Remove what a dead holder left: processes, X locks, sockets, files. Blocks for a moment.

    The caller holds the desktop's lock, so nobody owns these things any more.
    """
    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return
    left = marked(f"{MARKER}={record.marker}")
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_SECONDS)
    if record.number is not None and record.pid is not None and not psutil.pid_exists(record.pid):
        remove_traces(record.number, record.pid)
    shutil.rmtree(record.runtime, ignore_errors=True)
    (folder / RECORD).unlink(missing_ok=True)
