"""Encryption of the control stream. All numbers are little-endian.

Packet: u16 0x0001, u16 length of the rest, u32 sequence, 16-byte GCM tag, ciphertext of one plain
control packet. AES-128-GCM under the session key, no associated data; sequences count from 0 per
direction.

The IV depends on what ANNOUNCE agreed on:

* V2 (encryptionEnabled bit 0): 12 bytes: u32 sequence, six zeros, 'C' or 'H' for the sender, 'C'.
* legacy: 16 bytes: the low byte of the sequence, then zeros; both directions alike. IVs repeat
  after 256 packets and the rest of the sequence is not authenticated, so somebody on the path can
  read along and play packets again. Nothing can be done about that here; prefer V2.
"""

from __future__ import annotations

import enum
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.rtsp import Role

SEALED_TYPE = 0x0001
HEADER_BYTES = 8
TAG_BYTES = 16
MAX_PLAIN_BYTES = 2048
REPLAY_WINDOW = 4096
"""How far behind the newest a packet may come; channels overtake each other."""

_HEAD = struct.Struct("<HHI")
_MAX_SEQUENCE = 0xFFFFFFFF


class ControlCipherError(MoonlightError):
    """A packet is malformed, does not decrypt or was received before."""


class IvScheme(enum.Enum):
    """How IVs are made; see the module."""

    V2 = enum.auto()
    LEGACY = enum.auto()


class ControlCipher:
    """Both directions of one control stream, from one end. ``key``: 16 bytes."""

    def __init__(self, key: bytes, role: Role, scheme: IvScheme) -> None:
        self._aead = AESGCM(key)
        self._role = role
        self._scheme = scheme
        self._next = 0
        self._highest = -1
        self._seen = 0

    def seal(self, plain: bytes) -> bytes:
        """The next packet of this end: 24 bytes longer than ``plain``."""
        if len(plain) > MAX_PLAIN_BYTES:
            raise ControlCipherError(f"control packet is larger than {MAX_PLAIN_BYTES} bytes")
        if self._next > _MAX_SEQUENCE:
            raise ControlCipherError("control sequence numbers are used up")
        sequence, self._next = self._next, self._next + 1
        sealed = self._aead.encrypt(self._iv(sequence, self._role), plain, None)
        head = _HEAD.pack(SEALED_TYPE, 4 + len(sealed), sequence)
        return head + sealed[-TAG_BYTES:] + sealed[:-TAG_BYTES]

    def open(self, packet: bytes) -> bytes:
        """The plain packet inside. Raises `ControlCipherError`; then nothing has changed."""
        if not HEADER_BYTES + TAG_BYTES <= len(packet) <= MAX_PLAIN_BYTES + 24:
            raise ControlCipherError("encrypted control packet has an impossible size")
        kind, length, sequence = _HEAD.unpack_from(packet)
        if kind != SEALED_TYPE or length != len(packet) - 4:
            raise ControlCipherError("not an encrypted control packet")
        if not self._is_new(sequence):
            raise ControlCipherError("control packet was received before")
        tag = packet[HEADER_BYTES : HEADER_BYTES + TAG_BYTES]
        sealed = packet[HEADER_BYTES + TAG_BYTES :] + tag
        try:
            plain = self._aead.decrypt(self._iv(sequence, self._role.other), sealed, None)
        except InvalidTag as error:
            raise ControlCipherError("control packet does not decrypt") from error
        self._remember(sequence)
        return plain

    def _iv(self, sequence: int, sender: Role) -> bytes:
        if self._scheme is IvScheme.LEGACY:
            return bytes([sequence & 0xFF]) + bytes(15)
        return sequence.to_bytes(4, "little") + bytes(6) + sender.value + b"C"

    def _is_new(self, sequence: int) -> bool:
        behind = self._highest - sequence
        return behind < 0 or (behind < REPLAY_WINDOW and not self._seen >> behind & 1)

    def _remember(self, sequence: int) -> None:
        ahead = sequence - self._highest
        if ahead > 0:
            self._seen = self._seen << ahead if ahead < REPLAY_WINDOW else 0
            self._seen = (self._seen | 1) & (1 << REPLAY_WINDOW) - 1
            self._highest = sequence
        else:
            self._seen |= 1 << -ahead
