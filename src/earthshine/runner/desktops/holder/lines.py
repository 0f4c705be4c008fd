"""The holder's connections: to the runner, and to its own worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.messages import (
    MAX_COMMAND,
    MessageError,
    Pulse,
    Status,
    ToHolder,
    Unpacker,
    Watching,
)

MAX_LINES: Final = 16
READ: Final = 64 * 1024
MAX_WAITING: Final = 256 * 1024
"""Bytes of `Status` that may wait for somebody who does not read; then they are let go."""


class Lines:
    """Accepts connections, hands what they say to `obey`, tells each the newest status."""

    def __init__(
        self, obey: Callable[[ToHolder], None], counted: Callable[[], None], status: Status
    ) -> None:
        """`counted` is called when the number of viewers has changed."""
        self._obey = obey
        self._counted = counted
        self._status = status
        self._viewers: dict[asyncio.StreamWriter, int] = {}
        self._server: asyncio.Server | None = None

    @property
    def viewers(self) -> int:
        """People who see the display, as far as the lines say."""
        return sum(self._viewers.values())

    async def open(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accept from now on; connections are served in `tasks`."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.create_task(self._serve(reader, writer))

        self._server = await asyncio.start_unix_server(accept, sock=listener)

    def announce(self, status: Status) -> None:
        """Tell everybody."""
        self._status = status
        data = messages.pack(status)
        for writer in list(self._viewers):
            if writer.transport.get_write_buffer_size() > MAX_WAITING:
                writer.transport.abort()
            else:
                writer.write(data)

    async def close(self) -> None:
        """Let everybody have what was said, and hang up."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._viewers):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.drain()
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._viewers) >= MAX_LINES:
            writer.close()
            return
        self._viewers[writer] = 0
        unpacker = Unpacker(MAX_COMMAND)
        writer.write(messages.pack(self._status))
        try:
            while data := await reader.read(READ):
                for body in unpacker.feed(data):
                    message = messages.to_holder.decode(body)
                    if isinstance(message, Watching | Pulse):
                        self._count(writer, message.viewers)
                    self._obey(message)
        except (OSError, MessageError, msgspec.MsgspecError):
            pass
        finally:
            self._count(writer, 0)
            del self._viewers[writer]
            writer.close()

    def _count(self, writer: asyncio.StreamWriter, viewers: int) -> None:
        before, self._viewers[writer] = self._viewers[writer], viewers
        if viewers != before:
            self._counted()
