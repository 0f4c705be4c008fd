"""The doorkeeper's own way to a display: through the door to its TigerVNC, as anybody's."""

from __future__ import annotations

import asyncio
from typing import Final

from earthshine.net.bridge import CHUNK_BYTES, TransportStream
from earthshine.protocols.rfb import RfbError, ServerHandshake, ServerInit, ServerStage
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.keeper import Desktop, DesktopError

CONNECT_SECONDS: Final = 10.0


class DisplayGoneError(Exception):
    """TigerVNC cannot be reached or does not do what it should; the message says what."""


async def connect(doors: Doors, desktop: Desktop) -> tuple[TransportStream, ServerInit, bytes]:
    """A stream behind its handshake, the desktop, and what came early. Raises DisplayGoneError."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await _connect(doors, desktop)
    except TimeoutError:
        raise DisplayGoneError("TigerVNC does not answer") from None
    except OSError as error:
        words = error.strerror or str(error) or type(error).__name__
        raise DisplayGoneError(f"TigerVNC cannot be reached: {words}") from None
    except (RfbError, DesktopError) as error:
        raise DisplayGoneError(str(error)) from None


async def _connect(doors: Doors, desktop: Desktop) -> tuple[TransportStream, ServerInit, bytes]:
    door = await doors.of(desktop)
    # Full rights: who only watches may be given control, so it is the doorkeeper who filters.
    offer = door.offer(seconds=CONNECT_SECONDS)
    reader, writer = await asyncio.open_unix_connection(doors.path(door), limit=CHUNK_BYTES)
    stream = TransportStream(reader, writer)
    try:
        handshake = ServerHandshake(offer.password)
        while handshake.stage is not ServerStage.DONE:
            data = await stream.read()
            if not data:
                raise handshake.refused_at_end() or RfbError("TigerVNC closed the connection")
            await stream.write(handshake.receive(data))
    except BaseException:
        stream.abort()
        raise
    assert handshake.desktop is not None
    return stream, handshake.desktop, handshake.early
