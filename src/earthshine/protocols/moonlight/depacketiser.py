"""Video packets back into frames, at the client.

Packets of a frame may come in any order and twice. A block is whole when as many of its packets are
there as it has data packets. A newer frame's packet means that an older unfinished frame is lost,
at once; only when packets were seen overtaking each other is it given until the newer frame is
whole.

At most two frames are kept open, and only what was received is stored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from earthshine.protocols.moonlight.control import FecStatus
from earthshine.protocols.moonlight.fec import MAX_SHARDS, recover
from earthshine.protocols.moonlight.nal import is_idr, without_prefix
from earthshine.protocols.moonlight.sdp import Codec
from earthshine.protocols.moonlight.video import (
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    MAX_BLOCK_SHARDS,
    RTP_OVERHEAD,
    SEAL_BYTES,
    FrameType,
    VideoCipher,
    VideoError,
    parity_for,
    sealed_frame_number,
)

MAX_FRAME_JUMP = 1 << 16
"""A packet further ahead than this many frames is no packet of this stream."""
REORDER_MEMORY = 1000
"""Packets for which overtaking is remembered."""

RESYNC_AFTER = 500
"""Packets in a row from far behind that mean the numbering began anew."""
RESYNC_DISTANCE = 600
"""How many frames behind is far: late packets come from frames just gone."""

_HEAD = struct.Struct("<II4BI")


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. ``data`` is what a decoder gets: no padding, for H.264 and HEVC no AUD or SEI
    in front. ``latency`` is the host's, in 0.1 ms; ``timestamp`` 90 kHz."""

    number: int
    type: int
    idr: bool
    data: bytes = field(repr=False)
    latency: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class FramesLost:
    """Frames ``first`` to ``last`` will not come."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BlockDamaged:
    """A block had losses; ``status`` is what to tell the host."""

    status: FecStatus


DepacketiserEvent = Frame | FramesLost | BlockDamaged


@dataclass(frozen=True, slots=True)
class _Packet:
    sequence: int
    timestamp: int
    frame: int
    block: int
    blocks: int
    percent: int
    shard: int
    data: int
    octets: bytes

    @property
    def parity(self) -> int:
        return parity_for(self.data, self.percent)


@dataclass(slots=True)
class _Block:
    data: int
    percent: int
    first_sequence: int
    packets: dict[int, bytes] = field(default_factory=dict)
    highest: int = -1
    payload: bytes | None = None

    @property
    def parity(self) -> int:
        return parity_for(self.data, self.percent)

    @property
    def damaged(self) -> bool:
        return self.highest + 1 > len(self.packets)

    def status(self, frame: int, block: int, blocks: int) -> FecStatus:
        received_data = sum(1 for shard in self.packets if shard < self.data)
        missing = (n for n in range(self.highest + 2) if n not in self.packets)
        return FecStatus(
            frame=frame,
            highest_sequence=self.first_sequence + self.highest & 0xFFFF,
            next_contiguous_sequence=self.first_sequence + next(missing) & 0xFFFF,
            missing=self.highest + 1 - len(self.packets),
            data=self.data,
            parity=self.parity,
            received_data=received_data,
            received_parity=len(self.packets) - received_data,
            fec_percent=self.percent,
            block=block,
            blocks=blocks,
        )


@dataclass(slots=True)
class _Assembly:
    number: int
    timestamp: int
    count: int
    blocks: dict[int, _Block] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        done = sum(1 for block in self.blocks.values() if block.payload is not None)
        return done == self.count


class VideoDepacketiser:
    """Frames of one session. ``packet_size`` as announced; ``cipher`` if video is encrypted."""

    def __init__(
        self,
        packet_size: int,
        codec: Codec = Codec.H264,
        cipher: VideoCipher | None = None,
    ) -> None:
        self._size = packet_size + RTP_OVERHEAD
        self._codec = codec
        self._cipher = cipher
        self._next: int | None = None
        self._open: dict[int, _Assembly] = {}
        self._highest_sequence: int | None = None
        self._reordered = 0
        self._from_behind = 0

    @property
    def datagram_size(self) -> int:
        """Bytes of every datagram of this session."""
        return self._size + (SEAL_BYTES if self._cipher else 0)

    def receive(self, datagram: bytes) -> list[DepacketiserEvent]:
        """Take in one datagram. Raises `VideoError` for one that cannot belong to the stream.

        Late packets and doubles are ignored.
        """
        if len(datagram) != self.datagram_size:
            raise VideoError(f"video datagram has {len(datagram)} bytes")
        if self._cipher is not None:
            if self._is_late(sealed_frame_number(datagram)):
                return []
            datagram = self._cipher.open(datagram)
        packet = _parse(datagram)
        if self._is_late(packet.frame):
            return []
        if self._next is None:
            self._next = packet.frame
        if packet.frame < self._next:
            return self._from_the_past(packet)
        self._from_behind = 0
        if packet.frame - self._next > MAX_FRAME_JUMP:
            raise VideoError("video packet is too far ahead")
        self._notice_order(packet.sequence)
        events = self._make_room(packet.frame)
        self._store(packet, events)
        return events

    def _is_late(self, frame: int) -> bool:
        # Frame numbers have 32 bits: two years at 60 frames per second.
        return self._next is not None and self._next - RESYNC_DISTANCE <= frame < self._next

    def _from_the_past(self, packet: _Packet) -> list[DepacketiserEvent]:
        """Nearly always a stray packet; when nothing else comes any more, what we took for the
        present was the stray one, and the stream goes on from here."""
        self._from_behind += 1
        if self._from_behind < RESYNC_AFTER:
            return []
        self._from_behind = 0
        self._open.clear()
        self._highest_sequence = None
        self._next = packet.frame + 1
        return [FramesLost(packet.frame, packet.frame)]

    def _notice_order(self, sequence: int) -> None:
        if self._highest_sequence is None:
            self._highest_sequence = sequence
            return
        ahead = sequence - self._highest_sequence & 0xFFFF
        if ahead < 0x8000:
            self._highest_sequence = sequence
            self._reordered = max(self._reordered - 1, 0)
        else:
            self._reordered = REORDER_MEMORY

    def _make_room(self, frame: int) -> list[DepacketiserEvent]:
        """Give up frames that ``frame`` proves lost."""
        assert self._next is not None
        patience = 1 if self._reordered else 0
        events: list[DepacketiserEvent] = []
        while frame - self._next > patience:
            self._give_up(min(self._open, default=frame), frame - patience, events)
            self._deliver(events)
        return events

    def _give_up(self, oldest: int, before: int, events: list[DepacketiserEvent]) -> None:
        """Skip from the expected frame to the next one that may still become whole."""
        assert self._next is not None
        first = self._next
        assembly = self._open.pop(first, None)
        if assembly is not None:
            self._report_damage(assembly, events)
            following = first + 1
        else:
            following = max(min(oldest, before), first + 1)
        events.append(FramesLost(first, following - 1))
        self._next = following

    def _report_damage(self, assembly: _Assembly, events: list[DepacketiserEvent]) -> None:
        for number, block in sorted(assembly.blocks.items()):
            if block.payload is None:
                status = block.status(assembly.number, number, assembly.count)
                events.append(BlockDamaged(status))

    def _store(self, packet: _Packet, events: list[DepacketiserEvent]) -> None:
        assembly = self._open.get(packet.frame)
        if assembly is None:
            assembly = _Assembly(packet.frame, packet.timestamp, packet.blocks)
            self._open[packet.frame] = assembly
        block = assembly.blocks.get(packet.block)
        first = packet.sequence - packet.shard & 0xFFFF
        if block is None:
            block = _Block(packet.data, packet.percent, first)
        expected = (assembly.count, block.data, block.percent, block.first_sequence)
        if expected != (packet.blocks, packet.data, packet.percent, first):
            raise VideoError("packets of one block disagree")
        assembly.blocks[packet.block] = block
        if block.payload is not None or packet.shard in block.packets:
            return
        block.packets[packet.shard] = packet.octets
        block.highest = max(block.highest, packet.shard)
        if len(block.packets) >= block.data:
            if block.damaged:
                status = block.status(packet.frame, packet.block, assembly.count)
                events.append(BlockDamaged(status))
            block.payload = _payload(block)
            block.packets.clear()
            self._deliver(events)

    def _deliver(self, events: list[DepacketiserEvent]) -> None:
        """Hand up frames that are whole, oldest first."""
        assert self._next is not None
        while self._open:
            oldest = min(self._open)
            assembly = self._open[oldest]
            if not assembly.whole:
                # The frame before may not wait any longer once this newer one is whole.
                newer = [n for n, a in self._open.items() if n > self._next and a.whole]
                if not newer:
                    return
                self._give_up(oldest, min(newer), events)
                continue
            if oldest > self._next:
                events.append(FramesLost(self._next, oldest - 1))
            del self._open[oldest]
            self._next = oldest + 1
            events.append(self._frame(assembly))

    def _frame(self, assembly: _Assembly) -> Frame | FramesLost:
        room = self._size - HEADER_BYTES
        data = b"".join(assembly.blocks[n].payload or b"" for n in range(assembly.count))
        kind, latency, frame_type, used, _ = FRAME_HEADER.unpack_from(data)
        end = len(data) - room + used if 0 < used <= room else len(data)
        picture = data[FRAME_HEADER_BYTES : max(end, FRAME_HEADER_BYTES)]
        if self._codec is not Codec.AV1:
            picture = without_prefix(picture, self._codec)
        if kind != 1 or not picture:
            # A frame nobody can decode is as good as lost.
            return FramesLost(assembly.number, assembly.number)
        idr = is_idr(picture, self._codec)
        if self._codec is Codec.AV1:
            idr = frame_type == FrameType.IDR
        return Frame(assembly.number, frame_type, idr, picture, latency, assembly.timestamp)


def _parse(octets: bytes) -> _Packet:
    if octets[0] & 0xD0 != 0x90:
        raise VideoError("not a video packet")
    _, frame, _, _, _, where, info = _HEAD.unpack_from(octets, 16)
    packet = _Packet(
        sequence=int.from_bytes(octets[2:4], "big"),
        timestamp=int.from_bytes(octets[4:8], "big"),
        frame=frame,
        block=where >> 4 & 3,
        blocks=(where >> 6) + 1,
        percent=info >> 4 & 0xFF,
        shard=info >> 12 & MAX_BLOCK_SHARDS,
        data=info >> 22,
        octets=octets,
    )
    parity = packet.parity
    if packet.block >= packet.blocks or not packet.data or packet.shard >= packet.data + parity:
        raise VideoError("video packet names an impossible place")
    if parity and packet.data + parity > MAX_SHARDS:
        raise VideoError("video packet names an impossible code")
    return packet


def _payload(block: _Block) -> bytes:
    """The data packets' payloads joined, restored from parity where they did not come."""
    missing = [shard for shard in range(block.data) if shard not in block.packets]
    if not missing:
        return b"".join(block.packets[shard][HEADER_BYTES:] for shard in range(block.data))
    blank = bytes(len(next(iter(block.packets.values()))) - HEADER_BYTES)
    rows = [
        block.packets[n][HEADER_BYTES:] if n in block.packets else blank for n in range(block.data)
    ]
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(block.data, -1).copy()
    parity_shards = sorted(shard for shard in block.packets if shard >= block.data)
    joined = b"".join(block.packets[shard][HEADER_BYTES:] for shard in parity_shards)
    parity = np.frombuffer(joined, np.uint8).reshape(len(parity_shards), -1)
    parity_rows = [shard - block.data for shard in parity_shards]
    recover(data, missing, parity, parity_rows, block.parity)
    return data.tobytes()
