"""A network between runner and control plane that can break: a TCP forwarder in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Self

CHUNK = 64 * 1024


class BreakableNetwork:
    """Forwards a loopback port to another. `cut` resets all connections, `stall` lets them hang."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._up = True
        self._server: asyncio.Server | None = None
        self.port = 0
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection; new ones are reset too until `restore`."""
        self._call(self._cut())

    def stall(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._call(self._set(flowing=False))

    def restore(self) -> None:
        """As before; what was stalled flows on."""
        self._call(self._set(flowing=True))

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, *, flowing: bool) -> None:
        self._up = True
        (self._flowing.set if flowing else self._flowing.clear)()

    async def _cut(self) -> None:
        self._up = False
        for writer in list(self._writers):
            _reset(writer)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()
        self._flowing.set()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if not self._up:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._copy(reader, far_writer))
                tasks.create_task(self._copy(far_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= {writer, far_writer}
            for one in (writer, far_writer):
                one.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
