"""Requests of the GameStream HTTP API: a path and a query, nothing else.

Clients send a plain GET. ``uniqueid`` is the same placeholder in nearly every client, so it names
nobody; identity is the TLS certificate. ``uuid`` is fresh in each request.
"""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from earthshine.protocols.moonlight.errors import MoonlightError

HTTP_PORT = 47989
HTTPS_PORT = 47984

MAX_TARGET_BYTES = 32768
MAX_PARAMETERS = 64

DEFAULT_UNIQUE_ID = "0123456789ABCDEF"
UUID_BYTES = 16

_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class RequestError(MoonlightError):
    """A request cannot be read or misses something; the host answers status 400."""


@dataclass(frozen=True, slots=True)
class Request:
    """A path such as ``/launch`` and its parameters, each name at most once."""

    path: str
    parameters: dict[str, str]

    def require(self, name: str) -> str:
        """The parameter's value; raises `RequestError` when missing or empty."""
        value = self.parameters.get(name)
        if not value:
            raise RequestError(f"{self.path} lacks the parameter {name}")
        return value

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """A decimal parameter within ``low`` to ``high``. Raises `RequestError`."""
        text = self.parameters.get(name)
        if not text:
            if default is None:
                raise RequestError(f"{self.path} lacks the parameter {name}")
            return default
        return number(name, text, low, high)

    def octets(self, name: str, length: int | None = None, *, limit: int = 16384) -> bytes:
        """A parameter in hex; exactly ``length`` bytes, or at most ``limit``."""
        return unhex(name, self.require(name), length, limit=limit)

    @property
    def target(self) -> str:
        """The request target as a client sends it, parameters in the order given."""
        query = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in self.parameters.items()
        )
        return f"{self.path}?{query}" if query else self.path


def number(name: str, text: str, low: int, high: int) -> int:
    """Decimal ``text`` from ``low`` to ``high``. Raises `RequestError`."""
    digits = text.removeprefix("-")
    if len(digits) > 19 or not (digits.isascii() and digits.isdigit()):
        raise RequestError(f"{name} is not a number")
    value = int(text)
    if not low <= value <= high:
        raise RequestError(f"{name} is not within {low} to {high}")
    return value


def unhex(name: str, text: str, length: int | None = None, *, limit: int = 16384) -> bytes:
    """Hex of either case. Raises `RequestError` for other characters or another length."""
    if len(text) > 2 * limit or len(text) % 2 or not _HEX_DIGITS.issuperset(text):
        raise RequestError(f"{name} is not hex of at most {limit} bytes")
    value = bytes.fromhex(text)
    if length is not None and len(value) != length:
        raise RequestError(f"{name} has {len(value)} bytes instead of {length}")
    return value


def parse_target(target: str) -> Request:
    """Read a request target (``/path?name=value&...``). Raises `RequestError`."""
    if len(target) > MAX_TARGET_BYTES:
        raise RequestError(f"request target is longer than {MAX_TARGET_BYTES}")
    if not target.startswith("/") or target.startswith("//"):
        raise RequestError("request target is not a path")
    try:
        parts = urlsplit(target)
        pairs = parse_qsl(
            parts.query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise RequestError(f"request target cannot be read: {error}") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name in parameters:
            raise RequestError("a parameter occurs twice")
        parameters[name] = value
    return Request(parts.path, parameters)


def build_request(
    path: str,
    parameters: dict[str, str] | None = None,
    *,
    uuid: bytes,
    unique_id: str = DEFAULT_UNIQUE_ID,
) -> Request:
    """A client's request. ``uuid`` is 16 random bytes; they are written as a version 4 UUID."""
    head = {"uniqueid": unique_id, "uuid": str(uuids.UUID(bytes=uuid, version=4))}
    return Request(path, head | (parameters or {}))
