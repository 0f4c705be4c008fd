"""The worker's consumers: one connection each on the desktop's stream socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.messages import (
    MAX_COMMAND,
    VIEWING,
    Message,
    MessageError,
    ToWorker,
    Trouble,
    Unpacker,
    Video,
    Watch,
)
from earthshine.runner.desktops.producer import Consumer

MAX_LINES: Final = 64
WATCH_SECONDS: Final = 5.0
"""How long a connection may take to say what it wants."""
READ: Final = 64 * 1024
MAX_BACKLOG: Final = 24 * 1024 * 1024
"""Unsent bytes above which a consumer is let go: it has asked for more than it reads."""


class Line(Consumer):
    """A consumer and its connection. Never waits for it."""

    def __init__(self, writer: asyncio.StreamWriter, wants: Watch) -> None:
        super().__init__(self._send_video, self._unsent)
        self.wants = wants
        self.paused = not wants.video
        self._writer = writer

    def tell(self, message: Message) -> None:
        """Say something; hang up on who does not read at all."""
        self._write(messages.pack(message))

    def _send_video(self, video: Video) -> None:
        self._write(packed(video))

    def _write(self, data: bytes) -> None:
        if self._writer.transport.is_closing():
            return
        if self._unsent() + len(data) > MAX_BACKLOG:
            self._writer.transport.abort()
        else:
            self._writer.write(data)

    def _unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()


_newest: tuple[Video, bytes] | None = None


def packed(video: Video) -> bytes:
    """The message's bytes; made once for all consumers of the newest frame."""
    global _newest  # noqa: PLW0603 - one producer in this process
    if _newest is None or _newest[0] is not video:
        _newest = (video, messages.pack(video))
    return _newest[1]


class Lines:
    """Accepts consumers on a socket."""

    def __init__(
        self,
        joined: Callable[[Line], None],
        left: Callable[[Line], None],
        obey: Callable[[Line, ToWorker], None],
    ) -> None:
        self._joined, self._left, self._obey = joined, left, obey
        self._lines: list[Line] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def __iter__(self) -> Iterator[Line]:
        return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    async def open(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accept from now on; connections are served in `tasks`."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            tasks.create_task(self._serve(reader, writer))

        self._server = await asyncio.start_unix_server(accept, sock=listener)

    def close(self) -> None:
        """Accept no more, and hang up."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line: Line | None = None
        unpacker = Unpacker(MAX_COMMAND)
        try:
            while data := await self._read(reader, line):
                for body in unpacker.feed(data):
                    message = messages.to_worker.decode(body)
                    if line is None:
                        line = self._admit(writer, message)
                    elif isinstance(message, VIEWING) or line.wants.control:
                        self._obey(line, message)
                    else:
                        line.tell(Trouble(code="forbidden", detail="this viewer may only watch"))
        except (OSError, TimeoutError):
            pass
        except (MessageError, msgspec.MsgspecError) as error:
            writer.write(messages.pack(Trouble(code="malformed", detail=str(error))))
        finally:
            if line is not None:
                self._lines.remove(line)
                self._left(line)
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, line: Line | None) -> bytes:
        if line is not None:
            return await reader.read(READ)
        async with asyncio.timeout(WATCH_SECONDS):
            return await reader.read(READ)

    def _admit(self, writer: asyncio.StreamWriter, message: ToWorker) -> Line:
        if not isinstance(message, Watch):
            raise MessageError("the first message is `watch`")
        if len(self._lines) >= MAX_LINES:
            raise MessageError(f"{MAX_LINES} consumers watch already")
        line = Line(writer, message)
        self._lines.append(line)
        self._joined(line)
        return line
