"""The lines to runners: usually one, for a moment two while a runner restarts.

To a runner that does not read we owe at most its unread bytes and one `Tail`.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from earthshine.protocols.envelope import Attend
from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import Condition, MessageError, Tail, ToHolder, Unpacker

MAX_LINES: Final = 4
READ: Final = 256 * 1024


class _Line:
    """A connected runner."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unpacker = Unpacker()
        self.out = bytearray()
        self.told = 0
        self.attended = False


class RunnerLines:
    """Accepts runners on `selector`, hands their commands to `obey`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        obey: Callable[[ToHolder], None],
        deserted: Callable[[], None],
    ) -> None:
        """`deserted` is called when a runner has gone and none that is left knows a leader."""
        self._selector = selector
        self._obey = obey
        self._deserted = deserted
        self._lines: dict[int, _Line] = {}
        self.condition = Condition(code="ok")
        """What a runner hears first."""
        listener.setblocking(False)
        self._listener = listener
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def tell(self, last_seq: int) -> None:
        """How far the spool has grown; a runner that does not read hears of it later."""
        for line in list(self._lines.values()):
            if line.told < last_seq and not line.out:
                line.told = last_seq
                self._say(line, Tail(seq=last_seq))

    def announce(self, condition: Condition) -> None:
        """Tell all runners what holds the agent up."""
        if condition != self.condition:
            self.condition = condition
            for line in list(self._lines.values()):
                self._say(line, condition)

    def close(self) -> None:
        """Hang up."""
        for line in list(self._lines.values()):
            self._drop(line)

    def _accept(self, _: int) -> None:
        with suppress(BlockingIOError):
            sock, _address = self._listener.accept()
            sock.setblocking(False)
            if len(self._lines) >= MAX_LINES:
                sock.close()
                return
            line = _Line(sock)
            self._lines[sock.fileno()] = line
            self._selector.register(
                sock, selectors.EVENT_READ, lambda mask: self._serve(line, mask)
            )
            self._say(line, self.condition)

    def _serve(self, line: _Line, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush(line)
            if mask & selectors.EVENT_READ:
                data = line.sock.recv(READ)
                if not data:
                    raise ConnectionResetError
                for body in line.unpacker.feed(data):
                    message = messages.to_holder.decode(body)
                    if isinstance(message, Attend):
                        line.attended = message.attended
                    self._obey(message)
        except BlockingIOError:
            return
        except (OSError, MessageError, msgspec.MsgspecError):
            self._drop(line)

    def _say(self, line: _Line, message: msgspec.Struct) -> None:
        line.out += messages.pack(message)
        try:
            self._flush(line)
        except OSError:
            self._drop(line)

    def _flush(self, line: _Line) -> None:
        with suppress(BlockingIOError):
            while line.out:
                del line.out[: line.sock.send(line.out)]
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.out else 0)
        key = self._selector.get_key(line.sock)
        if key.events != mask:
            self._selector.modify(line.sock, mask, key.data)

    def _drop(self, line: _Line) -> None:
        if self._lines.pop(line.sock.fileno(), None) is not None:
            self._selector.unregister(line.sock)
            line.sock.close()
        # A runner that comes back may be here before its old line is seen to have ended.
        if not any(other.attended for other in self._lines.values()):
            self._deserted()
