"""A consumer's end of a desktop's stream, for whoever shows the desktop to somebody."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

import msgspec

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.messages import (
    MAX_MESSAGE,
    FromWorker,
    MessageError,
    Unpacker,
    Watch,
)

READ: Final = 256 * 1024
MAX_UNSENT: Final = 4 * 1024 * 1024
"""Bytes that may wait for a worker that does not read."""
STREAM_SOCKET: Final = "stream.sock"


class StreamGoneError(Exception):
    """The desktop's stream has ended: wait until the desktop runs again, and open another."""


class DesktopStream:
    """`async with DesktopStream(folder, Watch(...)) as stream: async for message in stream: ...`

    Read it all the time: what is not read for long is skipped to the next key frame, which is
    what a slow viewer should get, but not one whose consumer just looks away.
    """

    def __init__(self, folder: Path, wants: Watch) -> None:
        self._folder = folder
        self._wants = wants
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        """Raises StreamGoneError."""
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(
                f"/proc/self/fd/{handle}/{STREAM_SOCKET}"
            )
        except OSError as error:
            raise StreamGoneError(f"the desktop shows nothing now: {error.strerror}") from None
        finally:
            os.close(handle)
        self.tell(self._wants)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def tell(self, message: msgspec.Struct) -> None:
        """Say something of `messages.ToWorker`. Raises StreamGoneError."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            raise StreamGoneError("the desktop's stream has ended")
        if writer.transport.get_write_buffer_size() > MAX_UNSENT:
            raise StreamGoneError("the desktop takes no input")
        writer.write(messages.pack(message))

    async def __aiter__(self) -> AsyncIterator[FromWorker]:
        """What comes, until the stream ends."""
        assert self._reader is not None
        unpacker = Unpacker(MAX_MESSAGE)
        try:
            while data := await self._reader.read(READ):
                for body in unpacker.feed(data):
                    yield messages.from_worker.decode(body)
        except (OSError, MessageError, msgspec.MsgspecError) as error:
            raise StreamGoneError(f"the desktop's stream broke: {error}") from None
