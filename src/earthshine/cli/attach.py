"""`earthshine session attach`: this terminal becomes the session's, reconnecting by cursor."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from earthshine.cli.client import EXIT_NOT_ALLOWED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, Access
from earthshine.net.backoff import Backoff
from earthshine.protocols import events, feed
from earthshine.protocols.events import Event, Kind
from earthshine.protocols.feed import SUBPROTOCOL
from earthshine.runner.holder.terminal import TerminalQueries

LEAVE: Final = b"\x1d"
"""Ctrl-]; with d after it: leave."""
READ: Final = 16 * 1024
MAX_MESSAGE: Final = 4 * 1024 * 1024
FINAL_CODES: Final = {
    4000: (EXIT_UNAVAILABLE, "superseded by a newer connection"),
    4001: (EXIT_NOT_ALLOWED, "the sign-in has ended: run `earthshine sign-in`"),
    4003: (EXIT_NOT_ALLOWED, "not allowed"),
    4004: (EXIT_NOT_FOUND, "there is no such session, or it is not yours"),
    4009: (1, "the server did not understand this version of earthshine"),
}
RESTORE: Final = {
    1000: b"\x1b[?1000l",
    1002: b"\x1b[?1002l",
    1003: b"\x1b[?1003l",
    1004: b"\x1b[?1004l",
    1006: b"\x1b[?1006l",
    2004: b"\x1b[?2004l",
    2026: b"\x1b[?2026l",
    2031: b"\x1b[?2031l",
    1049: b"\x1b[?1049l",
}
"""How to leave the modes that the session's program may have left on in this terminal."""


class _LeftError(Exception):
    """The attachment ends with this exit code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class EscapeKeys:
    """Finds Ctrl-] d among what is typed, however the keys are split over reads."""

    def __init__(self) -> None:
        self._pending = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether to leave. Ctrl-] before another key is passed on with it."""
        passed = bytearray()
        for key in data:
            if self._pending and key == ord("d"):
                return bytes(passed), True
            if self._pending:
                passed += LEAVE
            self._pending = key == LEAVE[0]
            if not self._pending:
                passed.append(key)
        return bytes(passed), False


class _Attachment:
    def __init__(self, access: Access, session_id: str) -> None:
        base = access.url.replace("http", "ws", 1)
        self._url = f"{base}/api/v1/sessions/{session_id}/feed"
        self._access = access
        self._cursor = 0
        self._keys = EscapeKeys()
        # Only to know which modes are on; the holder answers the program's questions.
        self._modes = TerminalQueries(80, 24, lambda *_: (1, 1))
        self._input: asyncio.Queue[bytes | str] = asyncio.Queue(maxsize=256)
        self._left = asyncio.Event()
        self._socket: ClientConnection | None = None

    async def run(self) -> int:
        """Until the session ends or the person leaves; the exit code."""
        backoff = Backoff(random.random)
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self._read_keys)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        try:
            while True:
                left: BaseException | None = None
                words = "the connection broke"
                try:
                    await self._connected(backoff)
                except* _LeftError as group:
                    left = _first(group)
                except* (OSError, ConnectionClosed, InvalidHandshake, TimeoutError) as group:
                    words = str(_first(group)) or words
                if isinstance(left, _LeftError):
                    self._restore()
                    _note(left.words)
                    return left.code
                wait = backoff.next()
                _note(f"{words}; connecting again in {wait:.0f} s")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._left.wait()
                        return 0
        finally:
            loop.remove_reader(0)

    async def _connected(self, backoff: Backoff) -> None:
        try:
            socket = await connect(
                f"{self._url}?after={self._cursor}",
                additional_headers=self._access.headers,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                compression=None,
                max_size=MAX_MESSAGE,
                ssl=self._access.tls,
            )
        except InvalidStatus as error:
            if error.response.status_code < 500:
                raise _LeftError(1, f"the server answered {error.response.status_code}") from None
            raise
        async with socket, asyncio.TaskGroup() as tasks:
            self._socket = socket
            helpers = [
                tasks.create_task(self._send(socket)),
                tasks.create_task(self._until_left()),
            ]
            try:
                async for message in socket:
                    backoff.delivered()
                    if isinstance(message, bytes):
                        self._draw(message)
                    else:
                        self._told(msgspec.json.decode(message))
            finally:
                self._socket = None
                for task in helpers:
                    task.cancel()
            code = socket.close_code or 1006
            if code in FINAL_CODES:
                raise _LeftError(*FINAL_CODES[code])
            if code == 4010:
                self._cursor = 0
            raise ConnectionError(socket.close_reason or "the server closed the connection")

    async def _send(self, socket: ClientConnection) -> None:
        await self._say(socket, _size())
        while True:
            await socket.send(await self._input.get())

    async def _until_left(self) -> None:
        await self._left.wait()
        raise _LeftError(0, "left; the session goes on")

    async def _say(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        await socket.send(msgspec.json.encode(message).decode())

    def _draw(self, message: bytes) -> None:
        for event in feed.records(message):
            if event.seq <= self._cursor:
                continue
            self._cursor = event.seq
            if event.kind == Kind.OUTPUT:
                sys.stdout.buffer.write(event.data)
                self._modes.feed(event.data)
            else:
                self._happened(event)
        sys.stdout.buffer.flush()

    def _restore(self) -> None:
        on = [leave for mode, leave in RESTORE.items() if mode in self._modes.modes]
        keyboard = b"\x1b[<u" * self._modes.keyboard_depth
        sys.stdout.buffer.write(b"".join(on) + keyboard + b"\x1b[?25h\x1b[0m")
        sys.stdout.buffer.flush()

    def _happened(self, event: Event) -> None:
        if event.kind == Kind.EXITED:
            exited = events.detail(event, events.Exited)
            code = exited.exit_code if exited.exit_code is not None else 128 + (exited.signal or 0)
            raise _LeftError(code, f"the session has ended with code {code}")
        if event.kind == Kind.FAILED:
            failed = events.detail(event, events.Failed)
            raise _LeftError(1, f"the session has failed: {failed.detail}")
        if event.kind == Kind.GAP:
            gap = events.detail(event, events.Gap)
            _note(f"{gap.bytes} bytes of output are missing here ({gap.reason})")

    def _told(self, message: dict[str, Any]) -> None:
        if message.get("type") == "error":
            _note(str(message.get("detail", "")))

    def _read_keys(self) -> None:
        data = os.read(0, READ)
        if not data:
            data = LEAVE + b"d"
        data, leave = self._keys.feed(data)
        if leave:
            self._left.set()
            return
        if data:
            # A line that does not take any more input loses what is typed now, as a dead one does.
            with contextlib.suppress(asyncio.QueueFull):
                self._input.put_nowait(data)

    def _resized(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(asyncio.QueueFull):
                self._input.put_nowait(msgspec.json.encode(_size()).decode())


def _size() -> dict[str, Any]:
    rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
    return {"type": "resize", "cols": cols or 80, "rows": rows or 24}  # 0: not known


def _note(words: str) -> None:
    sys.stderr.write(f"\r\n[earthshine: {words}]\r\n")
    sys.stderr.flush()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead counts
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


async def attach(access: Access, session_id: str) -> int:
    """Attach; the exit code is the agent's when it ends."""
    if not (os.isatty(0) and os.isatty(1)):
        _note("attach needs a terminal; `earthshine session logs -f` does not")
        return 1
    with _raw_terminal():
        return await _Attachment(access, session_id).run()
