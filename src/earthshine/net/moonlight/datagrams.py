"""UDP for media: sockets with room, segmentation offload, and pacing.

All packets of a video stream have one size, so the kernel can cut a whole burst by itself
(UDP_SEGMENT, Linux 4.18): one system call for up to 64 packets.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.protocols.moonlight.video import FrameDatagrams

Address = tuple[str, int]

BUFFER_BYTES: Final = 4 << 20
"""Asked for both buffers; the kernel may give less."""
BURST_PACKETS: Final = 16
"""Packets sent at once: small enough for a receiver with default buffers."""
MAX_SPREAD: Final = 0.5
"""Part of a frame's interval over which its packets are spread at most."""
SEND_WAIT_SECONDS: Final = 0.05
"""How long a full socket is waited for before the rest of a frame is dropped."""

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_MAX_SEGMENTED_BYTES: Final = 65000
_DSCP_SHIFT: Final = 2
VIDEO_DSCP: Final = 40
AUDIO_DSCP: Final = 48


def bind(host: str, port: int, *, dscp: int = 0) -> socket.socket:
    """A bound, non-blocking UDP socket with large buffers. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        enlarge(sock)
        if dscp:
            mark(sock, dscp)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def connected(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket that only hears ``host``. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        enlarge(sock)
        sock.connect((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def enlarge(sock: socket.socket) -> None:
    """Ask for large buffers."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)


def mark(sock: socket.socket, dscp: int) -> None:
    """Ask the network for preference; networks may ignore it."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << _DSCP_SHIFT)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << _DSCP_SHIFT)


class FrameSender:
    """Sends the packets of frames in paced bursts. Blocks, so it belongs into a thread.

    ``segment``: use segmentation offload; it is given up by itself where the kernel or the path
    cannot do it.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        segment: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = sock
        self._segment = segment
        self._sleep = sleep
        self._clock = clock
        self.dropped = 0
        """Packets that the socket did not take in time."""

    def send(self, frame: FrameDatagrams, address: Address, interval: float) -> None:
        """Send one frame, spread over at most `MAX_SPREAD` of ``interval`` seconds.

        Raises OSError when the address cannot be reached at all.
        """
        size = frame.size
        view = memoryview(frame.buffer)
        burst = max(1, min(BURST_PACKETS, _MAX_SEGMENTED_BYTES // size)) * size
        bursts = -(-len(view) // burst)
        begun = self._clock()
        pause = interval * MAX_SPREAD / bursts
        for index in range(bursts):
            ahead = begun + index * pause - self._clock()
            if ahead > 0:
                self._sleep(ahead)
            if not self._burst(view[index * burst : (index + 1) * burst], size, address):
                self.dropped += (len(view) - index * burst) // size
                return

    def _burst(self, view: memoryview, size: int, address: Address) -> bool:
        if self._segment and len(view) > size:
            control = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("H", size))]
            try:
                return self._retried(lambda: self._socket.sendmsg([view], control, 0, address))
            except OSError:
                self._segment = False
        for at in range(0, len(view), size):
            piece = view[at : at + size]
            if not self._retried(lambda piece=piece: self._socket.sendto(piece, address)):  # type: ignore[misc]
                return False
        return True

    def _retried(self, send: Callable[[], int]) -> bool:
        deadline = self._clock() + SEND_WAIT_SECONDS
        while True:
            try:
                send()
            except BlockingIOError:
                left = deadline - self._clock()
                if left <= 0 or not select.select([], [self._socket], [], left)[1]:
                    return False
            else:
                return True
