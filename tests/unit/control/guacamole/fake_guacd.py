"""A fake of guacd: its handshake and its protocol, no desktops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from earthshine.protocols.guacamole import GuacdReader, Instruction

NAMES = ("hostname", "port", "username", "password", "read-only")


class FakeUser:
    """One connection to the fake: what it selected, with which parameters."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._instructions = GuacdReader()
        self._ready: list[Instruction] = []
        self.selected = ""
        self.parameters: dict[str, str] = {}
        self.connection_id = ""

    def say(self, opcode: str, *arguments: str) -> None:
        self._writer.write(Instruction(opcode, arguments).to_guacd())

    async def hear(self) -> Instruction:
        """The next instruction. Raises EOFError."""
        async with asyncio.timeout(10):
            while not self._ready:
                data = await self._reader.read(65536)
                if not data:
                    raise EOFError
                self._ready = self._instructions.feed(data)
        return self._ready.pop(0)

    async def expect(self, opcode: str) -> Instruction:
        """The next instruction of a kind."""
        while (instruction := await self.hear()).opcode != opcode:
            pass
        return instruction

    async def greet(self, serial: int) -> None:
        self.selected = (await self.expect("select")).arguments[0]
        self.say("args", "VERSION_1_3_0", *NAMES)
        connect = await self.expect("connect")
        self.parameters = dict(zip(NAMES, connect.arguments[1:], strict=True))
        new = f"$0000-{serial}"
        self.connection_id = self.selected if self.selected.startswith("$") else new
        self.say("ready", self.connection_id)
        self.say("sync", "1")

    async def has_ended(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                await self.hear()

    def close(self) -> None:
        self._writer.close()


class FakeGuacd:
    """Listens on `port`; `users` are those whose handshake is complete."""

    def __init__(self) -> None:
        self.port = 0
        self.users: asyncio.Queue[FakeUser] = asyncio.Queue()
        self._all: list[FakeUser] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeGuacd]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            user = FakeUser(reader, writer)
            self._all.append(user)
            with contextlib.suppress(EOFError, ConnectionError):
                await user.greet(len(self._all))
                self.users.put_nowait(user)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for user in self._all:
                user.close()
            await server.wait_closed()
