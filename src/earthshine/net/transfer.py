"""`protocols.transfer` on a stream: one end of it, for either side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from earthshine.net.bridge import ByteStream
from earthshine.protocols import transfer
from earthshine.protocols.transfer import (
    Answer,
    Deframer,
    Event,
    FileEnded,
    PieceCame,
    Request,
    Said,
    TransferError,
)

STALLED_SECONDS: Final = 60.0
"""A stream on which nothing moves for so long, while something should, is given up."""


class TransferBrokenError(ConnectionError):
    """The stream ended, stalled, or brought what is not this protocol."""


class TransferLink:
    """Says and hears. Every method raises TransferBrokenError when the stream is of no use."""

    def __init__(self, stream: ByteStream, *, stalled: float = STALLED_SECONDS) -> None:
        self._stream = stream
        self._stalled = stalled
        self._deframer = Deframer()
        self._events: deque[Event] = deque()

    async def say(self, message: Request | Answer) -> None:
        """Send a message."""
        await self._write(transfer.encode(message))

    async def send(self, data: bytes) -> None:
        """Send bytes of a file; returns when there is room for more."""
        for at in range(0, len(data), transfer.MAX_PIECE):
            await self._write(transfer.piece(data[at : at + transfer.MAX_PIECE]))

    async def end(self) -> None:
        """The file is complete."""
        await self._write(transfer.END)

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._stalled):
                await self._stream.write(data)
        except TimeoutError:
            raise TransferBrokenError("nothing was taken for too long") from None
        except OSError as error:
            raise TransferBrokenError(str(error)) from None

    async def hear(self, *, patient: bool = False) -> Event:
        """What comes next. `patient`: it may take as long as it takes."""
        while not self._events:
            try:
                async with asyncio.timeout(None if patient else self._stalled):
                    data = await self._stream.read()
                self._events += self._deframer.feed(data)
            except TimeoutError:
                raise TransferBrokenError("nothing came for too long") from None
            except (OSError, TransferError) as error:
                raise TransferBrokenError(str(error)) from None
            if not data:
                raise TransferBrokenError("the stream ended")
        return self._events.popleft()

    async def message(self, *, patient: bool = False) -> Request | Answer:
        """The next message; nothing else may come before it."""
        event = await self.hear(patient=patient)
        if not isinstance(event, Said):
            raise TransferBrokenError("a message was due")
        return event.message

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes of a file, until its end."""
        while True:
            match await self.hear():
                case PieceCame(data):
                    yield data
                case FileEnded():
                    return
                case _:
                    raise TransferBrokenError("a message in the middle of a file")

    def abort(self) -> None:
        """Break it, so that the other end notices."""
        self._stream.abort()
