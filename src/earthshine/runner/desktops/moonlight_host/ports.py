"""A host's ports: one base, fixed offsets, and the next base when one of them is taken.

All of a host's sockets are bound before it says anything, so that it never shares a number with
another host on this machine. GameStream's ports lie inside the range from which the kernel gives
ports to outgoing connections; a clash with one of those is met the same way.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass, field
from typing import Final

from earthshine.net.moonlight import datagrams

STEP: Final = 100
"""Distance of two hosts' bases."""
HTTPS_OFFSET: Final = -5
VIDEO_OFFSET: Final = 9
CONTROL_OFFSET: Final = 10
AUDIO_OFFSET: Final = 11
RTSP_OFFSET: Final = 21
PLAIN_RTSP_OFFSET: Final = 22
PLAIN_RTSP_PORTS: Final = 16
"""Sessions whose client cannot encrypt RTSP get a port each, so that they cannot be confused."""
LOWEST_BASE: Final = 1024 - HTTPS_OFFSET
HIGHEST_BASE: Final = 65535 - PLAIN_RTSP_OFFSET - PLAIN_RTSP_PORTS
BACKLOG: Final = 64


class PortsTakenError(Exception):
    """No base port in the range is free. The message says which were tried."""


@dataclass(slots=True)
class HostSockets:
    """Bound sockets of one host. The caller owns them."""

    base: int
    http: socket.socket
    https: socket.socket
    rtsp: socket.socket
    video: socket.socket
    control: socket.socket
    audio: socket.socket

    @property
    def all(self) -> tuple[socket.socket, ...]:
        """In no particular order."""
        return (self.http, self.https, self.rtsp, self.video, self.control, self.audio)

    def close(self) -> None:
        """Let go of all of them."""
        for sock in self.all:
            sock.close()


def bind_host(bind: str, base: int, tries: int) -> HostSockets:
    """Sockets at ``base`` or up to ``tries`` - 1 steps above. Raises PortsTakenError."""
    reason = ""
    tried = []
    for index in range(tries):
        candidate = base + index * STEP
        if not LOWEST_BASE <= candidate <= HIGHEST_BASE:
            break
        tried.append(candidate)
        try:
            return _bind_at(bind, candidate)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
    words = f"{tried[0]} to {tried[-1]}" if tried else str(base)
    raise PortsTakenError(
        f"no GameStream ports are free on {bind} (base ports {words}): {reason or 'out of range'}; "
        "choose another base port"
    )


def _bind_at(bind: str, base: int) -> HostSockets:
    with contextlib.ExitStack() as undo:

        def keep(sock: socket.socket) -> socket.socket:
            undo.callback(sock.close)
            return sock

        found = HostSockets(
            base=base,
            http=keep(listen(bind, base)),
            https=keep(listen(bind, base + HTTPS_OFFSET)),
            rtsp=keep(listen(bind, base + RTSP_OFFSET)),
            video=keep(datagrams.bind(bind, base + VIDEO_OFFSET, dscp=datagrams.VIDEO_DSCP)),
            control=keep(datagrams.bind(bind, base + CONTROL_OFFSET)),
            audio=keep(datagrams.bind(bind, base + AUDIO_OFFSET, dscp=datagrams.AUDIO_DSCP)),
        )
        undo.pop_all()
        return found


def listen(bind: str, port: int) -> socket.socket:
    """A listening, non-blocking TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.bind((bind, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


@dataclass(slots=True)
class PlainRtspPorts:
    """Ports for sessions without encrypted RTSP, given out in turn so that none is soon reused."""

    bind: str
    base: int
    _next: int = 0
    _taken: set[int] = field(default_factory=set)

    def take(self) -> socket.socket | None:
        """A listening socket; None when all are taken."""
        for _ in range(PLAIN_RTSP_PORTS):
            port = self.base + PLAIN_RTSP_OFFSET + self._next
            self._next = (self._next + 1) % PLAIN_RTSP_PORTS
            if port in self._taken:
                continue
            with contextlib.suppress(OSError):
                sock = listen(self.bind, port)
                self._taken.add(port)
                return sock
        return None

    @property
    def taken(self) -> int:
        """How many are in use."""
        return len(self._taken)

    def give_back(self, port: int) -> None:
        """The socket of that port was closed."""
        self._taken.discard(port)
