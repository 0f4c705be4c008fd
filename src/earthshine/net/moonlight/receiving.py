"""A UDP socket read on the event loop, in batches so that one callback never takes long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BATCH: Final = 64
MAX_DATAGRAM_BYTES: Final = 8192


class DatagramReader:
    """Calls ``receive(datagram, address)`` for what comes in on ``sock`` until `close`."""

    def __init__(
        self, sock: socket.socket, receive: Callable[[bytes, tuple[str, int]], None]
    ) -> None:
        self.socket = sock
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    def close(self) -> None:
        """Stop reading and close the socket."""
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                data, address = self.socket.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:  # nothing more, or word of an earlier datagram's fate
                return
            self._receive(data, address)
            if self.socket.fileno() < 0:
                return
