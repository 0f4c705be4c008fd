"""What lies in a session's folder: the command socket, the lock, the spool."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Final

SOCKET: Final = "holder.sock"
LOCK: Final = "holder.lock"
SPOOL: Final = "spool"
BACKLOG: Final = 4


def listen(folder: Path, name: str = SOCKET) -> socket.socket:
    """A socket in the session's folder, for this user only."""
    path = folder / name
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The address of a UNIX socket has room for 108 bytes: go through the folder's descriptor.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{name}")
    finally:
        os.close(handle)
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def take_lock(folder: Path) -> int:
    """Hold the session's lock for as long as this process lives. Raises OSError if held."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd
