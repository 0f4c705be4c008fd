"""A display's authority file, written here so that its cookie is on no command line (Xau(7))."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final

COOKIE_BYTES: Final = 16
_NAME: Final = b"MIT-MAGIC-COOKIE-1"
_LOCAL: Final = 256
_WILD: Final = 0xFFFF


def entry(family: int, address: bytes, number: bytes, cookie: bytes) -> bytes:
    """One entry: family and four counted strings, all big-endian."""
    fields = (address, number, _NAME, cookie)
    return struct.pack(">H", family) + b"".join(
        struct.pack(">H", len(field)) + field for field in fields
    )


def write_authority(path: Path, cookie: bytes, number: int | None) -> None:
    """Let whoever reads `path` use the display. `number` is None until the server has chosen it.

    The wild entry serves a machine whose host name changes; some clients know only exact ones.
    """
    data = b""
    if number is not None:
        data += entry(_LOCAL, socket.gethostname().encode(), str(number).encode(), cookie)
    data += entry(_WILD, b"", b"", cookie)
    write_private(path, data)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file that only this user may read, at once for whoever reads it meanwhile.

    Where that fails the file before it stays. Raises OSError.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
