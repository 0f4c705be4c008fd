"""Audio packets: Opus over RTP, with parity for every four packets and optional AES-CBC.

Data packet: RTP (12 bytes, BE): 0x80, type 97, u16 sequence, u32 timestamp in **milliseconds**,
u32 SSRC 0; then one Opus packet. Four packets from a sequence divisible by 4 form a block, followed
by two parity packets: RTP with type 127, sequence last + 1 + x, timestamp 0; then u8 x (0 or 1),
u8 97, u16 sequence and u32 timestamp of the block's first packet, u32 SSRC; then the parity of the
four payloads, which must have one length, so Opus has to be CBR.

Encrypted payloads are AES-128-CBC with PKCS#7 padding under the session key; the IV is u32 BE
(rikeyid + sequence, modulo 2^32) and twelve zeros. Parity is made of what is sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.fec import (
    AUDIO_DATA,
    AUDIO_PARITY,
    FecError,
    encode_audio,
    recover_audio,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DATAGRAM_BYTES = 1500
DATA_TYPE = 97
PARITY_TYPE = 127

SKIPPED_MS = 500
"""What clients throw away at the start, while sound card and stream find together."""
REORDER_WAIT_MS = 10
"""How long a missing packet is waited for beyond the duration of its block."""
MAX_WAITING_BLOCKS = 2
RESYNC_AFTER = 100
"""Packets in a row from the past that mean the stream began anew."""

_RTP = struct.Struct(">BBHII")
_FEC = struct.Struct(">BBHII")
_BLOCK_BYTES = 16


class AudioError(MoonlightError):
    """An audio packet is malformed, too large, or does not decrypt."""


class AudioCipher:
    """Encrypts and decrypts payloads. ``key``: 16 bytes; ``key_id``: rikeyid, may be negative."""

    def __init__(self, key: bytes, key_id: int) -> None:
        self._algorithm = algorithms.AES128(key)
        self._key_id = key_id

    def encrypt(self, sequence: int, opus: bytes) -> bytes:
        """1 to 16 bytes longer than ``opus``. ``sequence`` is the 16-bit RTP number."""
        padding = _BLOCK_BYTES - len(opus) % _BLOCK_BYTES
        context = self._cipher(sequence).encryptor()
        return context.update(opus + bytes([padding]) * padding) + context.finalize()

    def decrypt(self, sequence: int, payload: bytes) -> bytes:
        """Raises `AudioError` when length or padding are impossible."""
        if not payload or len(payload) % _BLOCK_BYTES:
            raise AudioError("encrypted audio has an impossible length")
        context = self._cipher(sequence).decryptor()
        plain = context.update(payload) + context.finalize()
        padding = plain[-1]
        if not 1 <= padding <= _BLOCK_BYTES or plain[-padding:] != bytes([padding]) * padding:
            raise AudioError("audio does not decrypt")
        return plain[:-padding]

    def _cipher(self, sequence: int) -> Cipher[modes.CBC]:
        start = self._key_id + (sequence & 0xFFFF) & 0xFFFFFFFF
        return Cipher(self._algorithm, modes.CBC(start.to_bytes(4, "big") + bytes(12)))


class AudioPacketiser:
    """Packets of one session. ``duration_ms``: 5 or 10, as ANNOUNCE said.

    ``first_sequence`` must be divisible by 4.
    """

    def __init__(
        self,
        duration_ms: int,
        cipher: AudioCipher | None = None,
        *,
        parity: bool = True,
        first_sequence: int = 0,
    ) -> None:
        if first_sequence % AUDIO_DATA:
            raise AudioError(f"the first sequence number is not divisible by {AUDIO_DATA}")
        self._duration = duration_ms
        self._cipher = cipher
        self._parity = parity
        self._sequence = first_sequence
        self._block: list[bytes] = []

    def packetise(self, opus: bytes) -> list[bytes]:
        """One data packet, and after every fourth the two parity packets.

        Raises `AudioError` for an empty packet or one that no datagram holds. A block whose packets
        differ in length goes without parity.
        """
        if not opus or len(opus) > MAX_DATAGRAM_BYTES - _RTP.size - 2 * _BLOCK_BYTES:
            raise AudioError(f"an Opus packet of {len(opus)} bytes does not fit")
        number = self._sequence
        payload = self._cipher.encrypt(number, opus) if self._cipher else opus
        timestamp = number * self._duration & 0xFFFFFFFF
        head = _RTP.pack(0x80, DATA_TYPE, number & 0xFFFF, timestamp, 0)
        self._sequence += 1
        self._block.append(payload)
        packets = [head + payload]
        if len(self._block) == AUDIO_DATA:
            packets += self._parity_packets()
            self._block.clear()
        return packets

    def _parity_packets(self) -> Iterator[bytes]:
        if not self._parity or len({len(payload) for payload in self._block}) > 1:
            return
        base = self._sequence - AUDIO_DATA
        timestamp = base * self._duration & 0xFFFFFFFF
        for index, shard in enumerate(encode_audio(self._block)):
            head = _RTP.pack(0x80, PARITY_TYPE, self._sequence + index & 0xFFFF, 0, 0)
            yield head + _FEC.pack(index, DATA_TYPE, base & 0xFFFF, timestamp, 0) + shard


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """The next Opus packet; ``recovered`` says that parity restored it."""

    sequence: int
    opus: bytes = field(repr=False)
    recovered: bool


@dataclass(frozen=True, slots=True)
class AudioMissing:
    """The next packet will not come: let the decoder conceal it."""

    sequence: int


AudioEvent = AudioReceived | AudioMissing


@dataclass(slots=True)
class _Block:
    data: list[bytes | None] = field(default_factory=lambda: [None] * AUDIO_DATA)
    parity: list[bytes | None] = field(default_factory=lambda: [None] * AUDIO_PARITY)
    restored: set[int] = field(default_factory=set)
    hopeless: bool = False

    def restore(self) -> None:
        """Fill what is missing if enough came."""
        came = sum(1 for shard in (*self.data, *self.parity) if shard is not None)
        if self.hopeless or came < AUDIO_DATA or None not in self.data:
            return
        missing = {index for index, shard in enumerate(self.data) if shard is None}
        try:
            self.data = list(recover_audio(self.data, self.parity))
        except FecError:
            self.hopeless = True  # payloads of different lengths
        else:
            self.restored = missing


class AudioDepacketiser:
    """Opus packets of one session in order. ``now`` arguments are milliseconds of any clock.

    Packets are handed on at once while nothing is missing. A gap is waited for until its block can
    be restored, two later blocks have begun, or its time is over.
    """

    def __init__(
        self,
        duration_ms: int,
        cipher: AudioCipher | None = None,
        *,
        skip_ms: int = SKIPPED_MS,
    ) -> None:
        self._skip = -(-skip_ms // max(duration_ms, 1))
        self._wait = REORDER_WAIT_MS + AUDIO_DATA * duration_ms
        self._cipher = cipher
        self._next: int | None = None
        self._highest = 0
        self._blocks: dict[int, _Block] = {}
        self._waiting_since: int | None = None
        self._late = 0

    @property
    def deadline(self) -> int | None:
        """When `poll` will give up waiting; None while nothing is missing."""
        return None if self._waiting_since is None else self._waiting_since + self._wait

    def receive(self, datagram: bytes, now: int) -> list[AudioEvent]:
        """Take in one datagram. Raises `AudioError` for one that is no audio packet."""
        if not _RTP.size < len(datagram) <= MAX_DATAGRAM_BYTES:
            raise AudioError("audio datagram has an impossible size")
        version, kind, sequence, _, _ = _RTP.unpack_from(datagram)
        if version & 0xC0 != 0x80:
            raise AudioError("not an audio packet")
        if kind == DATA_TYPE:
            self._store_data(sequence, datagram[_RTP.size :])
        elif kind == PARITY_TYPE:
            self._store_parity(datagram)
        else:
            raise AudioError(f"RTP type {kind} is no audio")
        return self._advance(now)

    def poll(self, now: int) -> list[AudioEvent]:
        """Give up what has been waited for long enough. Call at `deadline`."""
        return self._advance(now)

    def _store_data(self, sequence: int, payload: bytes) -> None:
        if self._next is None:
            self._begin(sequence)
        number = self._unwrap(sequence)
        assert self._next is not None
        if number < self._next:
            self._late += number < self._highest - self._skip
            if self._late < RESYNC_AFTER:
                return
            self._begin(sequence)
            number = sequence
        else:
            self._late = 0
        self._highest = max(self._highest, number)
        if number >= self._next:
            block = self._blocks.setdefault(number - number % AUDIO_DATA, _Block())
            if block.data[number % AUDIO_DATA] is None:
                block.data[number % AUDIO_DATA] = payload

    def _store_parity(self, datagram: bytes) -> None:
        if len(datagram) <= _RTP.size + _FEC.size:
            raise AudioError("audio parity is too short")
        index, kind, base, _, _ = _FEC.unpack_from(datagram, _RTP.size)
        if index >= AUDIO_PARITY or kind != DATA_TYPE or base % AUDIO_DATA:
            raise AudioError("audio parity names an impossible block")
        if self._next is None:
            return
        number = self._unwrap(base)
        if number + AUDIO_DATA > self._next:
            block = self._blocks.setdefault(number, _Block())
            if block.parity[index] is None:
                block.parity[index] = datagram[_RTP.size + _FEC.size :]

    def _begin(self, sequence: int) -> None:
        first = sequence + self._skip
        self._next = first + -first % AUDIO_DATA
        self._highest = sequence
        self._blocks.clear()
        self._waiting_since = None
        self._late = 0

    def _unwrap(self, sequence: int) -> int:
        ahead = sequence - self._highest & 0xFFFF
        return self._highest + (ahead if ahead < 0x8000 else ahead - 0x10000)

    def _advance(self, now: int) -> list[AudioEvent]:
        events: list[AudioEvent] = []
        while True:
            self._hand_on(events)
            if self._next is None or not self._blocks:
                self._waiting_since = None
                return events
            if self._waiting_since is None:
                self._waiting_since = now
            base = self._next - self._next % AUDIO_DATA
            later = sum(1 for block in self._blocks if block > base)
            overdue = now - self._waiting_since >= self._wait
            if later < MAX_WAITING_BLOCKS and not overdue:
                return events
            self._give_up(events)
            self._waiting_since = None

    def _hand_on(self, events: list[AudioEvent]) -> None:
        """Emit everything that is there, without a gap."""
        while self._next is not None:
            base, place = self._next - self._next % AUDIO_DATA, self._next % AUDIO_DATA
            block = self._blocks.get(base)
            if block is None:
                return
            if block.data[place] is None:
                block.restore()
            if block.data[place] is None:
                return
            self._emit(block, place, events)
            self._waiting_since = None

    def _give_up(self, events: list[AudioEvent]) -> None:
        """Finish the block that is waited for, or skip to the next that has begun."""
        assert self._next is not None
        base = self._next - self._next % AUDIO_DATA
        block = self._blocks.get(base)
        if block is None:
            self._next = min(self._blocks)
            return
        while self._next < base + AUDIO_DATA:
            self._emit(block, self._next % AUDIO_DATA, events)

    def _emit(self, block: _Block, place: int, events: list[AudioEvent]) -> None:
        assert self._next is not None
        sequence = self._next & 0xFFFF
        opus = self._opened(sequence, block.data[place])
        if opus is None:
            events.append(AudioMissing(sequence))
        else:
            events.append(AudioReceived(sequence, opus, place in block.restored))
        self._next += 1
        if place == AUDIO_DATA - 1:
            del self._blocks[self._next - AUDIO_DATA]

    def _opened(self, sequence: int, payload: bytes | None) -> bytes | None:
        if payload is None or self._cipher is None:
            return payload
        try:
            return self._cipher.decrypt(sequence, payload)
        except AudioError:
            return None  # damaged on the way or made up: as good as lost
