"""The byte relay: one thread that joins pairs of sockets with `epoll` and `splice`.

Bytes never enter Python. For each direction the thread moves up to a quota from the source into a
kernel pipe and on to the destination, then gives the next direction its turn, so that small
messages do not wait behind a bulk stream. A pipe is borrowed only while bytes are in it: an idle
stream costs two descriptors and a small object.

Hand `join` two connected stream sockets; they belong to the relay from then on. TLS connections
cannot be spliced: `net.bridge` turns them into a plain socket first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from prometheus_client import Counter, Gauge

logger = logging.getLogger(__name__)

PIPE_BYTES: Final = 1 << 20
QUOTA_ALONE: Final = 1 << 20
QUOTA_SHARED: Final = 64 << 10
MAX_STREAMS: Final = 8192
MAX_IDLE_PIPES: Final = 16
MAX_EVENTS: Final = 256
CLOSE_SECONDS: Final = 5.0
COUNT_BYTES: Final = 1 << 20
"""The metric is brought up to date after so many bytes, and at the end of a stream."""

KEEPALIVE_IDLE_SECONDS: Final = 30
KEEPALIVE_INTERVAL_SECONDS: Final = 10
KEEPALIVE_PROBES: Final = 6

_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_INTEREST: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_SPLICE_FLAGS: Final = 1 | 2  # SPLICE_F_MOVE | SPLICE_F_NONBLOCK, splice(2)
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

RELAYED_BYTES = Counter("earthshine_relay_bytes", "Bytes moved by the relay, both directions")
STREAMS_OPEN = Gauge("earthshine_relay_streams_open", "Streams the relay is carrying")
STREAMS_ENDED = Counter(
    "earthshine_relay_streams_ended", "Streams that ended, by outcome", ["outcome"]
)


class RelayError(Exception):
    """The relay cannot take a stream: it is closed, or full."""


class Outcome(Enum):
    """How a stream ended."""

    FINISHED = "finished"
    """Both ends said end-of-stream and every byte before it was passed on."""
    RESET = "reset"
    """One end broke the connection; the other has been reset as well."""
    ABORTED = "aborted"
    """We broke it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What `Stream.wait` returns. Byte counts are what was written to the far end."""

    outcome: Outcome
    bytes_a_to_b: int
    bytes_b_to_a: int


@dataclass(slots=True, eq=False)
class _Direction:
    """One way of a stream: source -> pipe -> destination."""

    stream: Stream
    source: socket.socket
    target: socket.socket
    early: memoryview
    pipe: tuple[int, int] | None = None
    in_pipe: int = 0
    readable: bool = True
    writable: bool = True
    ended: bool = False
    shut: bool = False
    queued: bool = False
    moved: int = 0
    counted: int = 0
    """How much of `moved` the metric knows."""


@dataclass(slots=True, eq=False)
class Stream:
    """A joined pair. `wait` and `abort` may be called from any event loop or thread."""

    relay: Relay
    ends: tuple[socket.socket, socket.socket]
    directions: tuple[_Direction, _Direction] = field(init=False)
    done: Future[Ended] = field(default_factory=Future)
    broken: bool = False
    """One end is gone; what it had sent before is still being passed on."""

    @property
    def bytes_a_to_b(self) -> int:
        """So far."""
        return self.directions[0].moved

    @property
    def bytes_b_to_a(self) -> int:
        """So far."""
        return self.directions[1].moved

    async def wait(self) -> Ended:
        """Until it has ended. Giving up waiting does not end the stream."""
        return await asyncio.shield(asyncio.wrap_future(self.done))

    def abort(self) -> None:
        """Reset both ends at once."""
        self.relay.abort(self)


class Relay:
    """The thread. `start` it once; `close` resets every stream that is left and ends the thread."""

    def __init__(
        self,
        *,
        max_streams: int = MAX_STREAMS,
        alone: int = QUOTA_ALONE,
        shared: int = QUOTA_SHARED,
    ) -> None:
        self._max_streams = max_streams
        self._alone = alone
        self._shared = shared
        self._lock = threading.Lock()
        self._commands: deque[Stream] = deque()
        self._count = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        # The rest belongs to the thread.
        self._streams: set[Stream] = set()
        self._by_fd: dict[int, tuple[_Direction, _Direction]] = {}
        self._ready: deque[_Direction] = deque()
        self._pipes: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """Streams open now."""
        return self._count

    def start(self) -> None:
        """Start the thread. A relay that was closed stays closed."""
        if self._thread is not None:
            raise RelayError("the relay has been started before")
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="earthshine-relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Reset what is open and end the thread; waits for it, briefly."""
        with self._lock:
            if self._thread is None or self._closing:
                self._closing = True
                return
            self._closing = True
            os.eventfd_write(self._wake, 1)
        self._thread.join(CLOSE_SECONDS)

    def join(
        self, a: socket.socket, b: socket.socket, *, to_a: bytes = b"", to_b: bytes = b""
    ) -> Stream:
        """Relay between two connected sockets until both directions have ended.

        `to_a` and `to_b` are written first (bytes that were read before the hand-over). The sockets
        are taken over and closed in every case, also when RelayError is raised.
        """
        stream = Stream(self, (a, b))
        stream.done.set_running_or_notify_cancel()  # from here on nobody can cancel it
        stream.directions = (
            _Direction(stream, a, b, memoryview(to_b)),
            _Direction(stream, b, a, memoryview(to_a)),
        )
        for end in (a, b):
            prepare(end)
        with self._lock:
            refusal = None
            if self._closing or self._thread is None:
                refusal = "the relay is not running"
            elif self._count >= self._max_streams:
                refusal = f"the relay carries its limit of {self._max_streams} streams"
            else:
                self._count += 1
                self._commands.append(stream)
                os.eventfd_write(self._wake, 1)
        if refusal is not None:
            reset(a)
            reset(b)
            raise RelayError(refusal)
        STREAMS_OPEN.inc()
        return stream

    def abort(self, stream: Stream) -> None:
        """Reset both ends of a stream; harmless if it has ended."""
        with self._lock:
            if not self._closing and not stream.done.done():
                self._commands.append(stream)
                os.eventfd_write(self._wake, 1)

    # --- In the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                self._poll(0.0 if self._ready else -1)
                for _ in range(len(self._ready)):
                    direction = self._ready.popleft()
                    direction.queued = False
                    self._turn(direction)
        except Exception:
            logger.exception("the relay thread failed; its streams are reset")
        finally:
            self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            self._closing = True
            waiting = [stream for stream in self._commands if stream not in self._streams]
            self._commands.clear()
        for stream in {*self._streams, *waiting}:
            self._end(stream, Outcome.ABORTED)
        for pipe in self._pipes:
            _close_pipe(pipe)
        self._pipes.clear()
        self._epoll.close()
        os.close(self._wake)

    def _poll(self, timeout: float) -> None:
        for fd, events in self._epoll.poll(timeout, MAX_EVENTS):
            if fd == self._wake:
                os.eventfd_read(self._wake)
                self._obey()
                continue
            pair = self._by_fd.get(fd)
            if pair is None:
                continue
            outbound, inbound = pair
            if events & _READABLE:
                outbound.readable = True
                self._enqueue(outbound)
            # Every event says "writable" too; it is news only to a direction that was blocked.
            if events & _WRITABLE and not inbound.writable:
                inbound.writable = True
                self._enqueue(inbound)
            if events & select.EPOLLERR and outbound.ended:
                # Nobody reads from this end any more, so nobody else would notice the reset.
                self._end(outbound.stream, Outcome.RESET)

    def _obey(self) -> None:
        while True:
            with self._lock:
                if not self._commands:
                    return
                stream = self._commands.popleft()
            if stream.done.done():
                continue
            if stream in self._streams:
                self._end(stream, Outcome.ABORTED)
            else:
                self._begin(stream)

    def _begin(self, stream: Stream) -> None:
        self._streams.add(stream)
        forth, back = stream.directions
        try:
            for end, pair in zip(stream.ends, ((forth, back), (back, forth)), strict=True):
                self._by_fd[end.fileno()] = pair
                self._epoll.register(end.fileno(), _INTEREST)
        except (OSError, ValueError):
            self._end(stream, Outcome.RESET)
            return
        self._enqueue(forth)
        self._enqueue(back)

    def _enqueue(self, direction: _Direction) -> None:
        if not direction.queued and not direction.stream.done.done():
            direction.queued = True
            self._ready.append(direction)

    def _turn(self, direction: _Direction) -> None:
        """Let one direction move up to its quota."""
        stream = direction.stream
        if stream.done.done() or direction.shut:
            return
        try:
            self._move(direction, self._alone if len(self._streams) == 1 else self._shared)
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.ECONNRESET} or not self._drain_other(
                direction
            ):
                self._end(stream, Outcome.RESET)
        if direction.moved - direction.counted >= COUNT_BYTES:
            RELAYED_BYTES.inc(direction.moved - direction.counted)
            direction.counted = direction.moved
        self._end_if_over(stream)

    def _end_if_over(self, stream: Stream) -> None:
        forth, back = stream.directions
        if forth.shut and back.shut:
            self._end(stream, Outcome.FINISHED)

    def _move(self, way: _Direction, quota: int) -> None:
        limit = way.moved + quota
        while way.moved < limit:
            if way.early:
                if not self._write_early(way):
                    return
            elif way.in_pipe:
                if not self._empty_pipe(way):
                    return
            elif way.ended:
                self._shut(way)
                return
            elif not self._fill_pipe(way, limit - way.moved):
                return
        self._enqueue(way)

    def _write_early(self, way: _Direction) -> bool:
        try:
            count = way.target.send(way.early)
        except BlockingIOError:
            way.writable = False
            return False
        way.early = way.early[count:]
        way.moved += count
        return True

    def _fill_pipe(self, way: _Direction, limit: int) -> bool:
        """Into an empty pipe only: then "would block" can only mean that the source has nothing."""
        if not way.readable:
            return False
        if way.pipe is None:
            way.pipe = self._pipes.pop() if self._pipes else _open_pipe()
        try:
            count = os.splice(way.source.fileno(), way.pipe[1], limit, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            way.readable = False
            self._return_pipe(way)
            return False
        way.in_pipe = count
        if count == 0:
            way.ended = True
            self._return_pipe(way)
        return True

    def _empty_pipe(self, way: _Direction) -> bool:
        if not way.writable or way.pipe is None:
            return False
        try:
            count = os.splice(way.pipe[0], way.target.fileno(), way.in_pipe, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            way.writable = False
            return False
        way.in_pipe -= count
        way.moved += count
        return True

    def _return_pipe(self, way: _Direction) -> None:
        if way.pipe is not None:
            if way.in_pipe == 0 and len(self._pipes) < MAX_IDLE_PIPES:
                self._pipes.append(way.pipe)
            else:
                _close_pipe(way.pipe)
            way.pipe = None

    def _shut(self, way: _Direction) -> None:
        way.shut = True
        if way.stream.broken:
            # The failed write took the error with it; what followed only looks like an orderly end.
            self._end(way.stream, Outcome.RESET)
            return
        try:
            way.target.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def _drain_other(self, way: _Direction) -> bool:
        """After a failed write: what its target sent before it went away is still to be passed on.

        True if the other direction goes on by itself; it ends the stream when it meets the reset.
        """
        forth, back = way.stream.directions
        other = back if way is forth else forth
        if way.in_pipe == 0 and not way.early and not way.ended:
            return False  # the read failed: the source is gone, and its target must learn of it
        if other.ended or way.shut:
            return False
        way.early = memoryview(b"")
        if way.pipe is not None:
            _close_pipe(way.pipe)
            way.pipe = None
        way.in_pipe = 0
        way.readable = way.writable = False
        way.shut = way.ended = True
        way.stream.broken = True
        other.readable = True
        self._enqueue(other)
        return True

    def _end(self, stream: Stream, outcome: Outcome) -> None:
        if stream.done.done():
            return
        self._streams.discard(stream)
        for end in stream.ends:
            fd = end.fileno()
            if fd >= 0 and self._by_fd.pop(fd, None) is not None:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(fd)
        for way in stream.directions:
            self._return_pipe(way)
            RELAYED_BYTES.inc(way.moved - way.counted)
            way.counted = way.moved
        for end in stream.ends:
            if outcome is Outcome.FINISHED:
                end.close()
            else:
                reset(end)
        with self._lock:
            self._count -= 1
        STREAMS_OPEN.dec()
        STREAMS_ENDED.labels(outcome.value).inc()
        forth, back = stream.directions
        stream.done.set_result(Ended(outcome, forth.moved, back.moved))


def prepare(sock: socket.socket) -> None:
    """Settings of a relayed socket: non-blocking, no Nagle delay, keep-alive finds dead peers."""
    sock.setblocking(False)
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def reset(sock: socket.socket) -> None:
    """Close so that the peer sees a broken connection (RST), not an orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


def _open_pipe() -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Past the user's soft limit on pipe memory the kernel says no; a small pipe is only slower.
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def _close_pipe(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    os.close(pipe[1])
