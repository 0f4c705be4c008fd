"""Pictures to one client: a thread that cuts, protects, seals and sends what the encoder makes.

A thread of its own, because pacing sleeps between bursts and the event loop has the control stream
to look after. A viewer that cannot keep up is skipped forward to the next key frame; it never slows
the encoder or other viewers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.datagrams import Address, FrameSender
from earthshine.protocols.moonlight.nal import prefix_bytes, without_prefix
from earthshine.protocols.moonlight.sdp import Announce, Codec, Encryption
from earthshine.protocols.moonlight.video import (
    CLOCK_RATE,
    MAX_LATENCY,
    VideoCipher,
    VideoError,
    VideoPacketiser,
)
from earthshine.runner.desktops.moonlight_host.feedback import (
    FrameDemand,
    InvalidationWanted,
    KeyFrameWanted,
)

if TYPE_CHECKING:
    import socket

    from earthshine.protocols.moonlight.control import Message
    from earthshine.runner.desktops.moonlight_host.stage import (
        AccessUnit,
        Producer,
        Subscription,
    )

MAX_QUEUED: Final = 4
"""Units waiting to be sent; one more and the viewer is skipped forward."""
SLICE_ROOM: Final = 64
"""Bytes of the first slice that must lie in the first packet with the parameter sets."""
JOIN_SECONDS: Final = 2.0
_LATENCY_UNITS: Final = 10_000
"""0.1 ms per second."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class VideoCounters:
    """What was sent to one client."""

    frames: int = 0
    bytes: int = 0
    skipped: int = 0
    """Units not sent: no address yet, too slow, or waiting for a key frame."""
    key_frames: int = 0
    after_invalidation: int = 0


class VideoSender:
    """One client's pictures. `start` it, `aim` it at an address, `watch` a producer, `close` it."""

    def __init__(
        self, sock: socket.socket, announce: Announce, key: bytes, fec_percent: int
    ) -> None:
        """Raises VideoError when the announced packet size is impossible."""
        sealed = bool(announce.encryption & Encryption.VIDEO)
        self.counters = VideoCounters()
        self._codec = announce.codec
        self._interval = 1 / max(announce.exact_fps, 1.0)
        self._packetiser = VideoPacketiser(
            announce.packet_size,
            fec_percent=fec_percent,
            min_fec_packets=announce.min_fec_packets,
            cipher=VideoCipher(key) if sealed else None,
        )
        self._sender = FrameSender(sock)
        self._demand = FrameDemand()
        self._condition = threading.Condition()
        self._queue: deque[AccessUnit] = deque()
        self._address: Address | None = None
        self._producer: Producer | None = None
        self._subscription: Subscription | None = None
        self._closed = False
        self._number = 0
        self._begun = 0.0
        self._thread = threading.Thread(target=self._run, name="moonlight-video", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def aim(self, address: Address) -> None:
        """Send there from now on."""
        with self._condition:
            if self._address == address:
                return
            first = self._address is None
            self._address = address
            if first:
                self._demand.need_key()
            producer = self._producer
        if first and producer is not None:
            producer.request_key_frame()

    def watch(self, producer: Producer | None) -> None:
        """Take pictures from there from now on, beginning with a key frame; None: from nowhere."""
        with self._condition:
            old, self._subscription = self._subscription, None
            self._producer = producer
            self._queue.clear()
            self._demand.need_key()
        if old is not None:
            old.close()
        if producer is not None:
            subscription = producer.subscribe(lambda unit: self._offer(producer, unit))
            with self._condition:
                if self._producer is producer and not self._closed:
                    self._subscription = subscription
                    return
            subscription.close()

    def receive(self, message: Message) -> None:
        """A request of the client about lost frames."""
        with self._condition:
            want = self._demand.receive(message)
            producer = self._producer
        match want:
            case None:
                return
            case _ if producer is None:
                return
            case KeyFrameWanted():
                producer.request_key_frame()
            case InvalidationWanted(first, last):
                if not (producer.invalidates and producer.invalidate_reference(first, last)):
                    with self._condition:
                        self._demand.need_key()
                    producer.request_key_frame()

    def close(self) -> None:
        """Stop. Blocks for a moment; nothing is sent afterwards."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self.watch(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def _offer(self, producer: Producer, unit: AccessUnit) -> None:
        """From the producer's thread."""
        ask = False
        with self._condition:
            if self._closed or self._producer is not producer:
                return
            # Once a key frame waits in the queue, what follows it may wait behind it.
            awaited = self._demand.awaits_key and not any(queued.key for queued in self._queue)
            if self._address is None or (awaited and not unit.key):
                self.counters.skipped += 1
                return
            if len(self._queue) >= MAX_QUEUED:
                self.counters.skipped += len(self._queue) + 1
                self._queue.clear()
                self._demand.need_key()
                ask = True
            else:
                self._queue.append(unit)
                self._condition.notify_all()
        if ask:
            producer.request_key_frame()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            unit, address = work
            try:
                self._send(unit, address)
            except VideoError as error:
                log.warning("a frame could not be sent: %s", error)
                self._begin_anew()
            except OSError as error:
                log.debug("a frame could not be sent: %s", error)
                self._begin_anew()

    def _next(self) -> tuple[AccessUnit, Address] | None:
        with self._condition:
            while not self._closed:
                if self._queue and self._address is not None:
                    return self._queue.popleft(), self._address
                self._condition.wait()
        return None

    def _begin_anew(self) -> None:
        with self._condition:
            self._demand.need_key()
            self._queue.clear()
            producer = self._producer
        if producer is not None:
            producer.request_key_frame()

    def _send(self, unit: AccessUnit, address: Address) -> None:
        with self._condition:
            if self._demand.awaits_key and not unit.key:
                self.counters.skipped += 1
                return
            frame_type = self._demand.frame_type(unit, self._number + 1)
        if not self._number:
            self._begun = unit.captured
        self._number += 1
        frame = self._packetiser.packetise(
            self._fitted(unit),
            frame=self._number,
            frame_type=frame_type,
            timestamp=int((unit.captured - self._begun) * CLOCK_RATE),
            latency=self._latency(unit),
        )
        self._sender.send(frame, address, self._interval)
        self.counters.frames += 1
        self.counters.bytes += len(frame.buffer)
        self.counters.key_frames += unit.key
        self.counters.after_invalidation += frame_type == frame_type.AFTER_INVALIDATION

    def _fitted(self, unit: AccessUnit) -> bytes:
        """The unit, without delimiters and SEI if they push the first slice out of the first
        packet: clients look for NAL units only there."""
        if self._codec is Codec.AV1 or not unit.key:
            return unit.data
        room = self._packetiser.first_packet_room
        if prefix_bytes(unit.data[: room + 1], self._codec) + SLICE_ROOM <= room:
            return unit.data
        return without_prefix(unit.data, self._codec) or unit.data

    @staticmethod
    def _latency(unit: AccessUnit) -> int:
        return max(0, min(int((time.monotonic() - unit.captured) * _LATENCY_UNITS), MAX_LATENCY))
