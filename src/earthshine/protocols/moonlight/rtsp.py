"""RTSP as GameStream uses it: RFC 2326's shape, one TCP connection per request.

A client connects, sends one request and reads until the host closes. Header names are compared
exactly by clients, case included, and the body length travels as ``Content-length``.

With an ``rtspenc`` URL each message is sealed with AES-128-GCM under the session key::

    u32 BE  0x80000000 | n        n = length of the plain message = length of the ciphertext
    u32 BE  sequence              counts from 1 per direction, across the separate connections
    16      tag
    n       ciphertext

    IV, 12 bytes: u32 LE sequence, six zero bytes, 'C' or 'H' for the sender, 'R'

ASCII never sets the top bit of its first byte, so the two forms cannot be confused.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from earthshine.protocols.moonlight.errors import MoonlightError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_REQUEST_BYTES = 16384
MAX_RESPONSE_BYTES = 1 << 20
MAX_HEADERS = 64
MAX_LINE = 2048

SEALED_HEADER_BYTES = 24
_SEALED_BIT = 0x80000000
_MAX_SEQUENCE = 0xFFFFFFFF
_TAG_BYTES = 16

VERSION = "RTSP/1.0"
CONTENT_LENGTH = "Content-length"

_METHOD = re.compile(r"[A-Z_]{1,32}\Z")
_LENGTH = re.compile(r"[0-9]{1,7}\Z", re.ASCII)

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class RtspError(MoonlightError):
    """An RTSP message cannot be read, is too large, or does not decrypt."""


class Role(enum.Enum):
    """Who sends; the value is the letter in the IV."""

    CLIENT = b"C"
    HOST = b"H"

    @property
    def other(self) -> Role:
        """The opposite end."""
        return Role.HOST if self is Role.CLIENT else Role.CLIENT


@dataclass(frozen=True, slots=True)
class Headers:
    """Header lines in order. Names keep their case and are matched without regard to it."""

    lines: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """Value of the first header of that name."""
        wanted = name.lower()
        return next((value for key, value in self.lines if key.lower() == wanted), None)

    def encode(self) -> bytes:
        """The lines with CRLF, and the empty line after them."""
        text = "".join(f"{name}: {value}\r\n" for name, value in self.lines)
        return f"{text}\r\n".encode("latin-1", "replace")


@dataclass(frozen=True, slots=True)
class RtspRequest:
    """One request. The caller puts Content-length into the headers when there is a body."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""

    def encode(self) -> bytes:
        """The plain bytes."""
        start = f"{self.method} {self.target} {VERSION}\r\n".encode("latin-1", "replace")
        return start + self.headers.encode() + self.body


@dataclass(frozen=True, slots=True)
class RtspResponse:
    """One response; its body ends where the connection ends."""

    status: int
    headers: Headers
    body: bytes = b""

    def encode(self) -> bytes:
        """The plain bytes."""
        start = f"{VERSION} {self.status} {REASONS.get(self.status, 'Error')}\r\n".encode()
        return start + self.headers.encode() + self.body


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """An encrypted message, not yet opened."""

    sequence: int
    tag: bytes
    ciphertext: bytes


class MessageReader:
    """Collects one message from a byte stream; at most ``limit`` plain bytes are kept.

    Responses end with the connection, requests with their body: ``until_close`` says which.
    """

    def __init__(self, limit: int = MAX_REQUEST_BYTES, *, until_close: bool = False) -> None:
        self._limit = limit
        self._until_close = until_close
        self._buffer = bytearray()
        self._total: int | None = None

    def feed(self, data: bytes) -> bytes | SealedMessage | None:
        """Add bytes; returns the message once it is whole. Raises `RtspError`."""
        if len(self._buffer) + len(data) > self._limit + SEALED_HEADER_BYTES:
            raise RtspError(f"RTSP message is larger than {self._limit} bytes")
        self._buffer += data
        if self._buffer and self._buffer[0] & 0x80:
            return self._sealed()
        if self._until_close:
            return None
        return self._request()

    def close(self) -> bytes | SealedMessage:
        """The stream ended; returns the message. Raises `RtspError` if it is not whole."""
        if not self._buffer:
            raise RtspError("connection closed before an RTSP message")
        if self._buffer[0] & 0x80:
            message = self._sealed()
            if message is None:
                raise RtspError("encrypted RTSP message is cut off")
            return message
        if not self._until_close:
            raise RtspError("RTSP request is cut off")
        return bytes(self._buffer)

    def _sealed(self) -> SealedMessage | None:
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big") & ~_SEALED_BIT
        if length > self._limit:
            raise RtspError(f"RTSP message is larger than {self._limit} bytes")
        if len(self._buffer) < SEALED_HEADER_BYTES + length:
            return None
        if len(self._buffer) > SEALED_HEADER_BYTES + length:
            raise RtspError("bytes after the encrypted RTSP message")
        sequence = int.from_bytes(self._buffer[4:8], "big")
        tag = bytes(self._buffer[8:SEALED_HEADER_BYTES])
        return SealedMessage(sequence, tag, bytes(self._buffer[SEALED_HEADER_BYTES:]))

    def _request(self) -> bytes | None:
        if self._total is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            lines = bytes(self._buffer[:end]).split(b"\r\n")[1:]
            self._total = end + 4 + _body_length(_headers(lines))
            if self._total > self._limit:
                raise RtspError(f"RTSP message is larger than {self._limit} bytes")
        if len(self._buffer) > self._total:
            raise RtspError("bytes after the RTSP request")
        return bytes(self._buffer) if len(self._buffer) == self._total else None


class RtspCipher:
    """Seals and opens the messages of one session from one end. ``key``: 16 bytes.

    The peer's sequence numbers must rise, so a recorded message cannot be played again.
    """

    def __init__(self, key: bytes, role: Role) -> None:
        self._aead = AESGCM(key)
        self._role = role
        self._sent = 0
        self._received = 0

    def seal(self, plain: bytes) -> bytes:
        """Encrypt the next message of this end."""
        if self._sent >= _MAX_SEQUENCE:
            raise RtspError("RTSP sequence numbers are used up")
        self._sent += 1
        sealed = self._aead.encrypt(_iv(self._sent, self._role), plain, None)
        head = (_SEALED_BIT | len(plain)).to_bytes(4, "big") + self._sent.to_bytes(4, "big")
        return head + sealed[-_TAG_BYTES:] + sealed[:-_TAG_BYTES]

    def open(self, message: SealedMessage) -> bytes:
        """Decrypt a message of the peer.

        Raises `RtspError` when the tag does not verify or the sequence number is not new. Then
        nothing changes, so a host may try the keys of several waiting sessions.
        """
        if message.sequence <= self._received:
            raise RtspError("RTSP message was received before")
        iv = _iv(message.sequence, self._role.other)
        try:
            plain = self._aead.decrypt(iv, message.ciphertext + message.tag, None)
        except InvalidTag as error:
            raise RtspError("RTSP message does not decrypt") from error
        self._received = message.sequence
        return plain


def parse_request(message: bytes) -> RtspRequest:
    """Read one plain request. Raises `RtspError`."""
    start, headers, body = _split(message, MAX_REQUEST_BYTES)
    parts = start.split(" ")
    if len(parts) != 3 or parts[2] != VERSION or not _METHOD.match(parts[0]) or not parts[1]:
        raise RtspError("malformed RTSP request line")
    if len(body) != _body_length(headers):
        raise RtspError("RTSP body does not have the announced length")
    return RtspRequest(parts[0], parts[1], headers, body)


def parse_response(message: bytes) -> RtspResponse:
    """Read one plain response. Raises `RtspError`."""
    start, headers, body = _split(message, MAX_RESPONSE_BYTES)
    parts = start.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("RTSP/") or not re.match(r"[0-9]{3}\Z", parts[1]):
        raise RtspError("malformed RTSP status line")
    return RtspResponse(int(parts[1]), headers, body)


def _split(message: bytes, limit: int) -> tuple[str, Headers, bytes]:
    if len(message) > limit:
        raise RtspError(f"RTSP message is larger than {limit} bytes")
    head, separator, body = message.partition(b"\r\n\r\n")
    if not separator:
        raise RtspError("RTSP message has no end of headers")
    lines = head.split(b"\r\n")
    if len(lines[0]) > MAX_LINE:
        raise RtspError("RTSP line is too long")
    return lines[0].decode("latin-1"), _headers(lines[1:]), body


def _headers(lines: Iterable[bytes]) -> Headers:
    found: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or len(line) > MAX_LINE or len(found) == MAX_HEADERS:
            raise RtspError("malformed RTSP header")
        found.append((name.decode("latin-1").strip(), value.decode("latin-1").strip()))
    return Headers(tuple(found))


def _body_length(headers: Headers) -> int:
    text = headers.get(CONTENT_LENGTH)
    if text is None:
        return 0
    if not _LENGTH.match(text):
        raise RtspError("malformed RTSP body length")
    return int(text)


def _iv(sequence: int, sender: Role) -> bytes:
    return sequence.to_bytes(4, "little") + bytes(6) + sender.value + b"R"
