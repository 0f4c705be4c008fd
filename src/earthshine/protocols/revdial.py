"""Reverse dial: how the control plane reaches one address on a runner that only dials out.

Over the control connection the control plane sends `Dial`; the runner connects to the destination,
dials back to `PATH` and shows the ticket it was given. From then on the new connection is a plain
byte pipe. A *spare* is a data connection dialled ahead (`DialSpares`): it waits until the control
plane writes a preamble that names the destination, and the runner answers with one status byte.

Data connection, in order:

1. HTTP/1.1 `GET /api/v1/revdial` with `Upgrade: earthshine-revdial` (RFC 9110, 7.8) or, for proxies
   that insist on it and over TLS, `Upgrade: websocket` with `Sec-WebSocket-Protocol:
   earthshine-revdial` (RFC 6455). Headers: `Authorization`, `Earthshine-Ticket`,
   `Earthshine-Destination`.
2. `101 Switching Protocols`, or an HTTP error and the end.
3. Spares only: preamble (control plane to runner), then a status byte (runner to control plane).
4. The bytes of the stream. With WebSocket framing they travel in binary messages, and the text
   message `END_OF_STREAM` stands for TCP's half-close, which WebSocket lacks.

Preamble: version u8 (1), length u16 big-endian, that many bytes of JSON (`Preamble`).
Status byte: see `STATUS_BYTES`; 0 means connected.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

PATH: Final = "/api/v1/revdial"
UPGRADE_TOKEN: Final = "earthshine-revdial"  # noqa: S105
TICKET_HEADER: Final = "Earthshine-Ticket"
DESTINATION_HEADER: Final = "Earthshine-Destination"
SPARE: Final = "spare"
"""What a spare states as its destination: none yet."""
END_OF_STREAM: Final = "end"

DIAL_ID_BYTES: Final = 16
TICKET_ENTROPY_BYTES: Final = 32
TICKET_LIFE_SECONDS: Final = 25.0
"""A little more than the 20 s a dial waits, so that the clearer of the two errors wins."""
MAX_TICKETS: Final = 4096
MAX_DESTINATION_CHARS: Final = 300
MAX_UNIX_PATH_BYTES: Final = 107
"""sun_path less its NUL, unix(7)."""
MAX_SPARES_PER_COMMAND: Final = 4

PREAMBLE_VERSION: Final = 1
PREAMBLE_HEADER_BYTES: Final = 3
MAX_PREAMBLE_BYTES: Final = 1024


class RevdialError(ValueError):
    """Base of the errors of this module; the message can be shown to a person."""


class BadDestinationError(RevdialError):
    """The text is not exactly one address."""


class BadPreambleError(RevdialError):
    """The bytes on a spare are not a preamble, or its answer is not a status."""


class TicketRefusedError(RevdialError):
    """A ticket was not accepted; `why` says which rule it broke."""

    def __init__(self, why: TicketFault) -> None:
        super().__init__(why.value)
        self.why = why


# --- Destinations ---------------------------------------------------------------------------------


class TcpDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One TCP address: `host` is a lower-case name or a canonical IP literal without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class UnixDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One UNIX stream socket: an absolute, normalised path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Destination = TcpDestination | UnixDestination

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_destination(text: str) -> Destination:
    """Read `host:port`, `[ipv6]:port` or `unix:/absolute/path`; raises BadDestinationError.

    Wildcard addresses, ports 0, lists, ranges, zone ids, and the shorthand spellings of IPv4 that
    resolvers accept (`0`, `127.1`, `0x7f000001`) are refused: a ticket names exactly one address.
    """
    if len(text) > MAX_DESTINATION_CHARS:
        raise BadDestinationError("the destination is too long")
    if not text.isascii() and not text.startswith("unix:"):
        raise BadDestinationError("the destination is not plain ASCII")
    if text.startswith("unix:"):
        return UnixDestination(_unix_path(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise BadDestinationError("the destination has no port")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise BadDestinationError("the port is not a number from 1 to 65535")
    return TcpDestination(_host(host), int(port))


def _unix_path(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or path == "/":
        raise BadDestinationError("a socket path must be absolute")
    if any(part in {"", ".", ".."} for part in parts[1:]):
        raise BadDestinationError("a socket path must not contain empty, '.' or '..' parts")
    if not path.isprintable() or any(sign in path for sign in "*?"):
        raise BadDestinationError("a socket path must not contain wildcards or control characters")
    if len(path.encode("utf-8", "surrogatepass")) > MAX_UNIX_PATH_BYTES:
        raise BadDestinationError(f"a socket path has at most {MAX_UNIX_PATH_BYTES} bytes")
    return path


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        return _address(text[1:-1], 6)
    if ":" in text:
        raise BadDestinationError("an IPv6 address belongs in brackets")
    name = text.lower()
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _address(name, 4)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadDestinationError("the host is neither a name nor an address")
    return name


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadDestinationError("the host is not an IP address") from None
    if address.version != version or "%" in text:
        raise BadDestinationError("the host is not an IP address")
    plain = address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        plain = address.ipv4_mapped
    if (
        plain.is_unspecified
        or plain.is_multicast
        or plain == ipaddress.IPv4Address("255.255.255.255")
    ):
        raise BadDestinationError("a wildcard or group address is not a destination")
    return str(address)


# --- Control messages -----------------------------------------------------------------------------


class DialFault(Enum):
    """Why a runner could not connect to a destination."""

    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    NOT_FOUND = "not-found"
    UNREACHABLE = "unreachable"
    NOT_PERMITTED = "not-permitted"
    BAD_DESTINATION = "bad-destination"
    BUSY = "busy"
    DIAL_BACK = "dial-back"
    """The destination answered, but the control plane could not be reached or said no."""


class Dial(msgspec.Struct, frozen=True, tag_field="action", tag="dial"):
    """Command to the runner: connect to `destination`, then dial back with `ticket`."""

    dial_id: str
    ticket: str
    destination: str


class DialSpares(msgspec.Struct, frozen=True, tag_field="action", tag="dial-spares"):
    """Command to the runner: dial back once for each ticket, and wait for a preamble on each."""

    tickets: list[str]


class DialFailed(msgspec.Struct, frozen=True, tag_field="action", tag="dial-failed"):
    """The runner's report that a dial came to nothing. `detail` is for people."""

    dial_id: str
    fault: DialFault
    detail: str = ""


# --- Spares ---------------------------------------------------------------------------------------


class Preamble(msgspec.Struct, frozen=True):
    """The first bytes on a spare."""

    dial_id: str
    destination: str


CONNECTED: Final = 0
STATUS_BYTES: Final[dict[int, DialFault]] = {
    1: DialFault.REFUSED,
    2: DialFault.TIMED_OUT,
    3: DialFault.NOT_FOUND,
    4: DialFault.UNREACHABLE,
    5: DialFault.NOT_PERMITTED,
    6: DialFault.BAD_DESTINATION,
    7: DialFault.BUSY,
}
_STATUS_OF: Final = {fault: byte for byte, fault in STATUS_BYTES.items()}
_preamble = msgspec.json.Decoder(Preamble)


def encode_preamble(preamble: Preamble) -> bytes:
    """Raises BadPreambleError if it does not fit, or is not text."""
    try:
        body = msgspec.json.encode(preamble)
    except UnicodeEncodeError:
        raise BadPreambleError("the preamble cannot be written") from None
    if len(body) > MAX_PREAMBLE_BYTES:
        raise BadPreambleError("the preamble is too long")
    return bytes((PREAMBLE_VERSION,)) + len(body).to_bytes(2, "big") + body


def preamble_length(header: bytes) -> int:
    """Bytes that follow the `PREAMBLE_HEADER_BYTES` of a preamble; raises BadPreambleError."""
    if len(header) != PREAMBLE_HEADER_BYTES or header[0] != PREAMBLE_VERSION:
        raise BadPreambleError("this is not a preamble of version 1")
    length = int.from_bytes(header[1:], "big")
    if not 0 < length <= MAX_PREAMBLE_BYTES:
        raise BadPreambleError("the preamble has an impossible length")
    return length


def decode_preamble(body: bytes) -> Preamble:
    """Read what follows the header; raises BadPreambleError."""
    try:
        return _preamble.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadPreambleError("the preamble cannot be read") from None


def encode_status(fault: DialFault | None) -> bytes:
    """The one byte that answers a preamble; None means connected."""
    return bytes(
        (CONNECTED if fault is None else _STATUS_OF.get(fault, _STATUS_OF[DialFault.UNREACHABLE]),)
    )


def decode_status(byte: bytes) -> DialFault | None:
    """The other way round; raises BadPreambleError."""
    if len(byte) != 1 or (byte[0] != CONNECTED and byte[0] not in STATUS_BYTES):
        raise BadPreambleError("the answer on a spare is not a status byte")
    return STATUS_BYTES.get(byte[0])


# --- Tickets --------------------------------------------------------------------------------------


class TicketFault(Enum):
    """The rule a refused ticket broke."""

    UNKNOWN = "nobody asked for this connection"
    USED = "this ticket has been used"
    EXPIRED = "this ticket has expired"
    OTHER_RUNNER = "this ticket belongs to another runner"
    OTHER_DESTINATION = "this ticket is for another destination"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a ticket allows: one data connection of one runner for one dial."""

    dial_id: str
    runner_id: str
    destination: str


@dataclass(slots=True)
class _Issued:
    grant: Grant
    expires: float
    used: bool = False


class TicketBook:
    """Tickets that are out. Only their digests are kept. Times are seconds on any one clock.

    A ticket is bound to one runner and one destination and is good once. Showing it wrongly spends
    it as well: whoever holds another's ticket gets no second try.
    """

    def __init__(self, *, life: float = TICKET_LIFE_SECONDS, limit: int = MAX_TICKETS) -> None:
        self._life = life
        self._limit = limit
        self._issued: dict[bytes, _Issued] = {}

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, grant: Grant, *, entropy: bytes, now: float) -> str:
        """A new ticket's text. Raises RevdialError if too many are out or entropy is short."""
        if len(entropy) < TICKET_ENTROPY_BYTES:
            raise RevdialError(f"a ticket needs {TICKET_ENTROPY_BYTES} random bytes")
        self.forget_expired(now)
        if len(self._issued) >= self._limit:
            self._issued = {key: out for key, out in self._issued.items() if not out.used}
        if len(self._issued) >= self._limit:
            raise RevdialError("too many dials are under way")
        text = urlsafe_b64encode(entropy).rstrip(b"=").decode("ascii")
        self._issued[_digest(text)] = _Issued(grant, now + self._life)
        return text

    def redeem(self, text: str, *, runner_id: str, destination: str, now: float) -> Grant:
        """Spend a ticket; raises TicketRefusedError."""
        issued = self._issued.get(_digest(text))
        if issued is None:
            raise TicketRefusedError(TicketFault.UNKNOWN)
        if issued.used:
            raise TicketRefusedError(TicketFault.USED)
        issued.used = True
        if issued.expires <= now:
            raise TicketRefusedError(TicketFault.EXPIRED)
        if issued.grant.runner_id != runner_id:
            raise TicketRefusedError(TicketFault.OTHER_RUNNER)
        if issued.grant.destination != destination:
            raise TicketRefusedError(TicketFault.OTHER_DESTINATION)
        return issued.grant

    def withdraw(self, *, dial_id: str | None = None, runner_id: str | None = None) -> None:
        """Forget the tickets of one dial, or of one runner."""
        self._issued = {
            key: issued
            for key, issued in self._issued.items()
            if issued.grant.dial_id != dial_id and issued.grant.runner_id != runner_id
        }

    def forget_expired(self, now: float) -> None:
        """Drop what is past its time. Tickets expire in the order in which they were issued."""
        for key, issued in list(self._issued.items()):
            if issued.expires > now:
                break
            del self._issued[key]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def dial_id_from(entropy: bytes) -> str:
    """A dial's id from `DIAL_ID_BYTES` random bytes; raises RevdialError if they are fewer."""
    if len(entropy) < DIAL_ID_BYTES:
        raise RevdialError(f"a dial id needs {DIAL_ID_BYTES} random bytes")
    return entropy.hex()
