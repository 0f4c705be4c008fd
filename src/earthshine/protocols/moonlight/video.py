"""Video packets: layout, encryption, and how a host cuts frames into them.

One packet, always ``packet_size + 16`` bytes; RTP fields are big-endian, the rest little-endian::

     0  RTP: 0x90, 0, u16 sequence, u32 timestamp (90 kHz), u32 SSRC 0
    12  u32 0
    16  u32 stream packet index: (running packet number mod 2^24) << 8
    20  u32 frame number, counting from 1
    24  u8 flags (1 picture data, 2 last of block, 4 first of block), u8 extra flags
    26  u8 0x10, u8 block: bits 4-5 this block, 6-7 last block
    28  u32 FEC: bits 4-11 percent, 12-21 shard in block, 22-31 data shards in block
    32  packet_size - 16 bytes of the frame, zero padded

A frame is an 8-byte header and the access unit; it is cut into at most 4 blocks of data packets,
each followed by its parity packets. Sequence numbers run on over all of them. Frame header: u8 1,
u16 host latency in 0.1 ms (0 unknown), u8 frame type, u16 used bytes of the last packet, u16 0.

Encrypted datagrams are 32 bytes longer: IV (u64 packet counter, three zeros, 'V'), u32 frame
number, 16-byte GCM tag, then the sealed packet. Parity is made before encryption.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.fec import MAX_SHARDS, encode, prepare
from earthshine.protocols.moonlight.sdp import (
    MAX_PACKET_SIZE,
    MIN_PACKET_SIZE,
    PACKET_SIZE_STEP,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 8
RTP_OVERHEAD = 16
"""Datagram size minus packet size."""
SEAL_BYTES = 32
MAX_BLOCKS = 4
MAX_BLOCK_SHARDS = 1023
"""Data packets of a block without parity; the field has 10 bits."""
MAX_PERCENT = 255
CLOCK_RATE = 90_000
MAX_LATENCY = 0xFFFF

FLAG_PICTURE = 1
FLAG_END = 2
FLAG_START = 4

FRAME_HEADER = struct.Struct("<BHBHH")
_RTP_FIRST = 0x90
_MULTI_FEC_FLAGS = 0x10
_SEALED_HEAD = struct.Struct("<Q3sBI")
_TAG_BYTES = 16


class VideoError(MoonlightError):
    """A video packet or frame is malformed, does not decrypt, or is too large."""


class FrameType(enum.IntEnum):
    """Frame types in the frame header."""

    P = 1
    IDR = 2
    INTRA_REFRESH = 4
    AFTER_INVALIDATION = 5
    """A P frame that refers to no invalidated frame."""


@dataclass(frozen=True, slots=True)
class Block:
    """Shards of one FEC block, and the percentage that tells the receiver ``parity``."""

    data: int
    parity: int
    percent: int


def parity_for(data: int, percent: int) -> int:
    """Parity shards a receiver expects for that many data shards."""
    return (data * percent + 99) // 100


def plan_blocks(packets: int, percent: int, min_parity: int) -> list[Block]:
    """Split a frame of that many data packets into 1 to 4 blocks, the longer ones first.

    A frame too large for parity in 4 blocks goes without. Raises `VideoError` when even that does
    not hold it.
    """
    largest = 100 * MAX_SHARDS // (100 + percent)
    count = -(-packets // largest)
    if count > MAX_BLOCKS:
        percent = 0
        count = min(-(-packets // MAX_SHARDS), MAX_BLOCKS)
    if packets > count * MAX_BLOCK_SHARDS:
        raise VideoError(f"a frame of {packets} packets is too large")
    each, longer = divmod(packets, count)
    sizes = [each + 1] * longer + [each] * (count - longer)
    return [_block(size, percent, min_parity) for size in sizes]


def _block(data: int, percent: int, min_parity: int) -> Block:
    if percent == 0:
        return Block(data, 0, 0)
    room = MAX_SHARDS - data
    if parity_for(data, percent) < min_parity:
        # The receiver computes the count from the percentage, which has 8 bits.
        wanted = min(min_parity, room)
        percent = min(100 * wanted // data, MAX_PERCENT)
        if parity_for(data, percent) < wanted and percent < MAX_PERCENT:
            percent += 1
        while parity_for(data, percent) > room:
            percent -= 1
    return Block(data, parity_for(data, percent), percent)


@dataclass(frozen=True, slots=True)
class FrameDatagrams:
    """The datagrams of one frame, all ``size`` bytes long, back to back in ``buffer``.

    Send them in order; because sizes are equal, generic segmentation offload can take the buffer
    whole. Iterating yields one view per datagram.
    """

    buffer: bytes | bytearray | memoryview
    size: int
    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        return len(self.buffer) // self.size

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self.buffer)
        return (view[at : at + self.size] for at in range(0, len(view), self.size))


class VideoCipher:
    """Seals and opens video packets. ``key``: 16 bytes. The counter lives as long as the
    session."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._counter = 0

    def seal_frame(self, packets: memoryview, size: int, frame: int) -> bytes:
        """Seal packets of ``size`` bytes lying back to back; each grows by `SEAL_BYTES`."""
        parts: list[bytes] = []
        encrypt, pack = self._aead.encrypt, _SEALED_HEAD.pack
        counter = self._counter
        for at in range(0, len(packets), size):
            head = pack(counter, b"\0\0\0", 0x56, frame)
            sealed = encrypt(head[:12], packets[at : at + size], None)
            parts += (head, sealed[size:], sealed[:size])
            counter += 1
        self._counter = counter
        return b"".join(parts)

    def open(self, datagram: bytes) -> bytes:
        """The packet inside. Raises `VideoError` when the tag does not verify."""
        if len(datagram) < SEAL_BYTES + HEADER_BYTES:
            raise VideoError("encrypted video datagram is too short")
        sealed = datagram[SEAL_BYTES:] + datagram[_TAG_BYTES:SEAL_BYTES]
        try:
            return self._aead.decrypt(datagram[:12], sealed, None)
        except InvalidTag as error:
            raise VideoError("video datagram does not decrypt") from error


def sealed_frame_number(datagram: bytes) -> int:
    """Frame number written outside the encryption, to drop late datagrams cheaply. Not trusted."""
    return int.from_bytes(datagram[12:16], "little")


class VideoPacketiser:
    """Cuts the access units of one session into datagrams.

    ``packet_size`` is what ANNOUNCE said, ``fec_percent`` the parity wanted (0: none) and
    ``min_fec_packets`` its floor per block. Raises `VideoError` for impossible values.
    """

    def __init__(
        self,
        packet_size: int,
        *,
        fec_percent: int = 20,
        min_fec_packets: int = 2,
        cipher: VideoCipher | None = None,
        first_sequence: int = 0,
    ) -> None:
        if (
            not MIN_PACKET_SIZE <= packet_size <= MAX_PACKET_SIZE
            or packet_size % PACKET_SIZE_STEP
            or not 0 <= fec_percent <= MAX_PERCENT
            or not 0 <= min_fec_packets <= MAX_SHARDS
        ):
            raise VideoError("packet size or FEC setting is out of range")
        if fec_percent:
            prepare()
        self._size = packet_size + RTP_OVERHEAD
        self._room = self._size - HEADER_BYTES
        self._percent = fec_percent
        self._min_parity = min_fec_packets
        self._cipher = cipher
        self._sequence = first_sequence

    @property
    def datagram_size(self) -> int:
        """Bytes of every datagram of this session."""
        return self._size + (SEAL_BYTES if self._cipher else 0)

    @property
    def next_sequence(self) -> int:
        """Running number of the next packet, not wrapped."""
        return self._sequence

    @property
    def first_packet_room(self) -> int:
        """Bytes of an access unit that fit into the first packet.

        Parameter sets, AUD and SEI and the start of the first slice must lie within them.
        """
        return self._room - FRAME_HEADER_BYTES

    def packetise(
        self,
        access_unit: bytes,
        *,
        frame: int,
        frame_type: FrameType,
        timestamp: int,
        latency: int = 0,
    ) -> FrameDatagrams:
        """Cut one access unit.

        ``frame`` counts from 1 without gaps, ``timestamp`` is 90 kHz and wraps, ``latency`` is the
        time from capture in 0.1 ms. Raises `VideoError` for an empty or too large access unit.
        """
        if not access_unit:
            raise VideoError("an access unit is empty")
        length = FRAME_HEADER_BYTES + len(access_unit)
        count = -(-length // self._room)
        blocks = plan_blocks(count, self._percent, self._min_parity)
        payload = self._payload(access_unit, count, frame_type, min(latency, MAX_LATENCY))
        total = count + sum(block.parity for block in blocks)
        packets = np.zeros((total, self._size), np.uint8)
        row = taken = 0
        for index, block in enumerate(blocks):
            rows = packets[row : row + block.data + block.parity]
            rows[: block.data, HEADER_BYTES:] = payload[taken : taken + block.data]
            self._write_data_headers(rows[: block.data], frame, timestamp)
            self._write_fec_headers(rows, block, index, len(blocks))
            if block.parity:
                encode(rows[: block.data], block.parity, out=rows[block.data :])
                self._write_rtp(rows[block.data :], self._sequence + block.data, timestamp)
                rows[block.data :, 20:24] = _le32(frame)
                self._write_fec_headers(rows, block, index, len(blocks))
            row += len(rows)
            taken += block.data
            self._sequence += len(rows)
        buffer = packets.data.cast("B")
        if self._cipher is None:
            return FrameDatagrams(buffer, self._size, tuple(blocks))
        sealed = self._cipher.seal_frame(buffer, self._size, frame & 0xFFFFFFFF)
        return FrameDatagrams(sealed, self.datagram_size, tuple(blocks))

    def _payload(
        self, access_unit: bytes, count: int, frame_type: FrameType, latency: int
    ) -> NDArray[np.uint8]:
        used = (FRAME_HEADER_BYTES + len(access_unit)) % self._room or self._room
        flat = np.zeros(count * self._room, np.uint8)
        head = FRAME_HEADER.pack(1, latency, frame_type, used, 0)
        flat[:FRAME_HEADER_BYTES] = np.frombuffer(head, np.uint8)
        end = FRAME_HEADER_BYTES + len(access_unit)
        flat[FRAME_HEADER_BYTES:end] = np.frombuffer(access_unit, np.uint8)
        return flat.reshape(count, self._room)

    def _write_data_headers(self, rows: NDArray[np.uint8], frame: int, timestamp: int) -> None:
        self._write_rtp(rows, self._sequence, timestamp)
        running = np.arange(self._sequence, self._sequence + len(rows), dtype=np.int64)
        index = (running & 0xFFFFFF) << 8
        rows[:, 16:20] = index.astype("<u4").view(np.uint8).reshape(-1, 4)
        rows[:, 20:24] = _le32(frame)
        rows[:, 24] = FLAG_PICTURE
        rows[0, 24] |= FLAG_START
        rows[-1, 24] |= FLAG_END
        rows[:, 26] = _MULTI_FEC_FLAGS

    @staticmethod
    def _write_rtp(rows: NDArray[np.uint8], sequence: int, timestamp: int) -> None:
        numbers = np.arange(sequence, sequence + len(rows), dtype=np.int64) & 0xFFFF
        rows[:, 0] = _RTP_FIRST
        rows[:, 1] = 0
        rows[:, 2:4] = numbers.astype(">u2").view(np.uint8).reshape(-1, 2)
        rows[:, 4:8] = np.frombuffer((timestamp & 0xFFFFFFFF).to_bytes(4, "big"), np.uint8)
        rows[:, 8:12] = 0

    @staticmethod
    def _write_fec_headers(rows: NDArray[np.uint8], block: Block, index: int, count: int) -> None:
        rows[:, 27] = index << 4 | (count - 1) << 6
        shards = np.arange(len(rows), dtype=np.int64)
        info = block.percent << 4 | shards << 12 | block.data << 22
        rows[:, 28:32] = info.astype("<u4").view(np.uint8).reshape(-1, 4)


def _le32(value: int) -> NDArray[np.uint8]:
    return np.frombuffer((value & 0xFFFFFFFF).to_bytes(4, "little"), np.uint8)
