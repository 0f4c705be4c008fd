"""RDCleanPath: how a browser's RDP client has a gateway connect, and speak TLS, on its behalf.

IronRDP opens a binary WebSocket and sends one DER PDU with its X.224 connection request; the
gateway connects, does the TLS handshake with the RDP server and answers with one PDU: the X.224
confirm and the server's certificates, or an error. What follows is RDP without TLS, both ways.

The PDU is a SEQUENCE whose fields are EXPLICIT, context-tagged and in ascending order. Reading is
strict DER (X.690, 10) within stated limits and raises RdCleanPathError and nothing else. See
docs/protocols/rdcleanpath.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

VERSION: Final = 3390
MAX_PDU: Final = 64 << 10
"""Bytes of one PDU, its header included."""
MAX_TEXT: Final = 4096
"""Bytes of one text field; tokens are the longest."""
MAX_X224: Final = 1024
MAX_CERTIFICATES: Final = 16

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_TEXT: Final = 0x0C
_SEQUENCE: Final = 0x30
_CONTEXT: Final = 0xA0


class RdCleanPathError(ValueError):
    """The bytes are not an RDCleanPath PDU, or break a limit; the message is for people."""


class ErrorCode(IntEnum):
    """Why a gateway did not connect."""

    GENERAL = 1
    NEGOTIATION = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """A gateway's error, with as much as it knows: HTTP status, socket error, TLS alert."""

    code: int
    http_status: int | None = None
    socket_error: int | None = None
    tls_alert: int | None = None


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU; which fields are there says which of the three kinds it is.

    A request has `destination`, `proxy_auth` and `x224`; an answer `x224`, `certificates` (leaf
    first) and `server_address`; an error `failure`, and `x224` if the server said something.
    """

    version: int = VERSION
    failure: Failure | None = None
    destination: str | None = None
    proxy_auth: str | None = field(default=None, repr=False)
    server_auth: str | None = field(default=None, repr=False)
    preconnection_blob: str | None = None
    x224: bytes | None = None
    certificates: tuple[bytes, ...] | None = None
    server_address: str | None = None

    def encode(self) -> bytes:
        """The bytes; RdCleanPathError beyond a limit."""
        fields = [(0, _integer(self.version))]
        if self.failure is not None:
            fields.append((1, _failure(self.failure)))
        for tag, text in (
            (2, self.destination),
            (3, self.proxy_auth),
            (4, self.server_auth),
            (5, self.preconnection_blob),
        ):
            if text is not None:
                fields.append((tag, _element(_TEXT, _utf8(text))))
        if self.x224 is not None:
            fields.append((6, _element(_OCTETS, self.x224)))
        if self.certificates is not None:
            chain = b"".join(_element(_OCTETS, one) for one in self.certificates)
            fields.append((7, _element(_SEQUENCE, chain)))
        if self.server_address is not None:
            fields.append((9, _element(_TEXT, _utf8(self.server_address))))
        pdu = _fields(fields)
        if len(pdu) > MAX_PDU:
            raise RdCleanPathError("an RDCleanPath PDU would be too long")
        return pdu


def request(pdu: Pdu) -> tuple[str, str, bytes]:
    """Destination, proxy_auth and X.224 request of what shall be a request; RdCleanPathError."""
    if pdu.version != VERSION:
        raise RdCleanPathError(f"the browser speaks RDCleanPath {pdu.version}, not {VERSION}")
    if pdu.destination is None or pdu.proxy_auth is None or pdu.x224 is None:
        raise RdCleanPathError("the browser's first message is not a request")
    return pdu.destination, pdu.proxy_auth, pdu.x224


# --- Writing --------------------------------------------------------------------------------------


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _integer(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise RdCleanPathError("a number of RDCleanPath has sixteen bits")
    return _element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _fields(fields: list[tuple[int, bytes]]) -> bytes:
    return _element(_SEQUENCE, b"".join(_element(_CONTEXT | tag, body) for tag, body in fields))


def _failure(failure: Failure) -> bytes:
    numbers = (failure.code, failure.http_status, failure.socket_error, failure.tls_alert)
    return _fields([(tag, _integer(n)) for tag, n in enumerate(numbers) if n is not None])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RdCleanPathError("a text of RDCleanPath contains half of a character") from None


# --- Reading --------------------------------------------------------------------------------------


def pdu_length(data: bytes) -> int | None:
    """The length of the PDU that begins `data`; None if more bytes are needed to know it."""
    if not data:
        return None
    if data[0] != _SEQUENCE:
        raise RdCleanPathError("the browser's first message is not an RDCleanPath PDU")
    head = _head(data, 0)
    if head is None:
        return None
    begin, length = head
    if begin + length > MAX_PDU:
        raise RdCleanPathError("the RDCleanPath PDU is too long")
    return begin + length


def decode(data: bytes) -> Pdu:
    """Read exactly one PDU; RdCleanPathError."""
    if len(data) > MAX_PDU:
        raise RdCleanPathError("the RDCleanPath PDU is too long")
    fields = _read_fields(data)
    if 0 not in fields:
        raise RdCleanPathError("the RDCleanPath PDU has no version")
    texts = {tag: _read_text(fields.pop(tag)) for tag in (2, 3, 4, 5, 9) if tag in fields}
    pdu = Pdu(
        version=_read_integer(fields.pop(0)),
        failure=_read_failure(fields.pop(1)) if 1 in fields else None,
        destination=texts.get(2),
        proxy_auth=texts.get(3),
        server_auth=texts.get(4),
        preconnection_blob=texts.get(5),
        x224=_read_octets(fields.pop(6), MAX_X224) if 6 in fields else None,
        certificates=_read_chain(fields.pop(7)) if 7 in fields else None,
        server_address=texts.get(9),
    )
    if fields:
        raise RdCleanPathError("the RDCleanPath PDU has an unknown field")
    return pdu


def _head(data: bytes, at: int) -> tuple[int, int] | None:
    """Where an element's content begins and how long it is; None if its head is cut off."""
    if len(data) < at + 2:
        return None
    first = data[at + 1]
    if first < 0x80:
        return at + 2, first
    count = first & 0x7F
    if not 1 <= count <= 3:
        raise RdCleanPathError("an element of the RDCleanPath PDU has an impossible length")
    octets = data[at + 2 : at + 2 + count]
    if len(octets) < count:
        return None
    length = int.from_bytes(octets)
    if length < 0x80 or octets[0] == 0:
        raise RdCleanPathError("a length in the RDCleanPath PDU is not written as DER wants")
    return at + 2 + count, length


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the elements one behind the other that make up `data`."""
    elements = []
    at = 0
    while at < len(data):
        head = _head(data, at)
        if head is None or sum(head) > len(data):
            raise RdCleanPathError("the RDCleanPath PDU is cut off")
        begin, length = head
        elements.append((data[at], data[begin : begin + length]))
        at = begin + length
    return elements


def _only(data: bytes, tag: int) -> bytes:
    """The content of the one element that `data` is."""
    elements = _elements(data)
    if len(elements) != 1 or elements[0][0] != tag:
        raise RdCleanPathError("a field of the RDCleanPath PDU has the wrong type")
    return elements[0][1]


def _read_fields(data: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    last = -1
    for tag, content in _elements(_only(data, _SEQUENCE)):
        number = tag - _CONTEXT
        if not last < number < 0x1F:
            raise RdCleanPathError("the fields of the RDCleanPath PDU are out of order")
        fields[number] = content
        last = number
    return fields


def _read_integer(data: bytes) -> int:
    octets = _only(data, _INTEGER)
    if not 1 <= len(octets) <= 3 or octets[0] & 0x80:
        raise RdCleanPathError("a number in the RDCleanPath PDU is out of range")
    if len(octets) > 1 and octets[0] == 0 and not octets[1] & 0x80:
        raise RdCleanPathError("a number in the RDCleanPath PDU is not written as DER wants")
    value = int.from_bytes(octets)
    if value > 0xFFFF:
        raise RdCleanPathError("a number in the RDCleanPath PDU is out of range")
    return value


def _read_text(data: bytes) -> str:
    octets = _only(data, _TEXT)
    if len(octets) > MAX_TEXT:
        raise RdCleanPathError("a text in the RDCleanPath PDU is too long")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise RdCleanPathError("a text in the RDCleanPath PDU is not UTF-8") from None


def _read_octets(data: bytes, limit: int) -> bytes:
    octets = _only(data, _OCTETS)
    if len(octets) > limit:
        raise RdCleanPathError("a field of the RDCleanPath PDU is too long")
    return octets


def _read_chain(data: bytes) -> tuple[bytes, ...]:
    elements = _elements(_only(data, _SEQUENCE))
    if len(elements) > MAX_CERTIFICATES or any(tag != _OCTETS for tag, _ in elements):
        raise RdCleanPathError("the certificates in the RDCleanPath PDU cannot be read")
    return tuple(content for _, content in elements)


def _read_failure(data: bytes) -> Failure:
    numbers = {tag: _read_integer(content) for tag, content in _read_fields(data).items()}
    if 0 not in numbers or max(numbers) > 3:
        raise RdCleanPathError("the error in the RDCleanPath PDU cannot be read")
    return Failure(numbers[0], numbers.get(1), numbers.get(2), numbers.get(3))
