"""The runner's own way into a display's TigerVNC: over its socket, with its current password."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from earthshine.net.bridge import CHUNK_BYTES, TransportStream
from earthshine.protocols.rfb import (
    RefusedError,
    RfbError,
    ServerHandshake,
    ServerInit,
    ServerStage,
)
from earthshine.runner.desktops.vncpassword import PASSWORDS, read_passwords

CONNECT_SECONDS: Final = 10.0
ATTEMPTS: Final = 3
"""The password may be replaced between reading it and using it."""


class DisplayGoneError(Exception):
    """TigerVNC cannot be reached or does not do what it should; the message says what."""


async def connect(rfb_path: str) -> tuple[TransportStream, ServerInit, bytes]:
    """A stream behind its handshake, the desktop, and what came early. Raises DisplayGoneError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await _connect(rfb_path)
        except RefusedError as error:
            if attempt == ATTEMPTS:
                raise DisplayGoneError(str(error)) from None
        except TimeoutError:
            raise DisplayGoneError("TigerVNC does not answer") from None
        except (OSError, ValueError) as error:  # RfbError is one
            words = error.strerror if isinstance(error, OSError) else str(error)
            raise DisplayGoneError(f"TigerVNC cannot be used: {words}") from None
    raise AssertionError


async def _connect(rfb_path: str) -> tuple[TransportStream, ServerInit, bytes]:
    full, _ = read_passwords(Path(rfb_path).with_name(PASSWORDS))
    stream = TransportStream(*await asyncio.open_unix_connection(rfb_path, limit=CHUNK_BYTES))
    try:
        handshake = ServerHandshake(full)
        while handshake.stage is not ServerStage.DONE:
            data = await stream.read()
            if not data:
                raise handshake.refused_at_end() or RfbError("it closed the connection")
            await stream.write(handshake.receive(data))
    except BaseException:
        stream.abort()
        raise
    assert handshake.desktop is not None
    return stream, handshake.desktop, handshake.early
