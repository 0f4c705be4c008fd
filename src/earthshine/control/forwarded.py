"""Who a request is from, when a reverse proxy passes it on.

A proxy says so in `X-Forwarded-For` and `X-Forwarded-Proto`, or in `Forwarded` (RFC 7239). Anybody
can send these headers, so they count only from configured addresses, and of a list only what such
an address has added: read from the right, the first address that is no proxy of ours is the client.
Which of the two kinds counts is configured as well: a proxy that writes one passes on the other as
the client sent it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HEADER: Final = 2048
"""Bytes of one of these headers, all its lines together."""
MAX_HOPS: Final = 16
"""Proxies that may be between us and the client."""
Kind = Literal["x-forwarded", "forwarded"]

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

# RFC 9110 section 5.6: token, and a quoted string without anything that could hide a quote.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_PAIR: Final = rf"({_TOKEN})=({_TOKEN}|{_QUOTED})"
_ELEMENT: Final = re.compile(rf"[ \t]*(?:{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*)?[ \t]*")
_PAIRS: Final = re.compile(_PAIR)
_PORT: Final = re.compile(r"[0-9]{1,5}")


class BadForwardedError(ValueError):
    """The header is not what its definition says."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy says of the connection it took: who it is from, and how it came.

    `address` None: the proxy does not say, or hides it.
    """

    address: Address | None
    port: int = 0
    scheme: str | None = None


def client(
    peer: Address,
    headers: Sequence[tuple[bytes, bytes]],
    trusted: Sequence[Network],
    kind: Kind = "x-forwarded",
) -> Hop | None:
    """The client as the trusted proxies tell it; None if there is nothing to believe.

    `headers` have lower-case names. Raises BadForwardedError for what cannot be understood.
    """
    if not _is_trusted(peer, trusted):
        return None
    found: Hop | None = None
    for hop in _hops(headers, kind):
        if hop.address is None:
            break
        found = hop
        if not _is_trusted(hop.address, trusted):
            break
    return found


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _hops(headers: Sequence[tuple[bytes, bytes]], kind: Kind) -> Iterator[Hop]:
    """The nearest first."""
    if kind == "forwarded":
        yield from reversed(forwarded(_value(headers, b"forwarded")))
    else:
        yield from x_forwarded(
            _value(headers, b"x-forwarded-for"), _value(headers, b"x-forwarded-proto")
        )


def _value(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """All lines of a header, joined (RFC 9110 section 5.2)."""
    return b",".join(value for known, value in headers if known == name).decode("latin-1")


def forwarded(value: str) -> list[Hop]:
    """The hops of a `Forwarded` header, the client's first. Raises BadForwardedError."""
    if len(value) > MAX_HEADER:
        raise BadForwardedError("the header is too long")
    return [_hop(element) for element in _elements(value) if element.strip(" \t")]


def _elements(value: str) -> Iterator[str]:
    at = 0
    for _ in range(MAX_HOPS):
        match = _ELEMENT.match(value, at)
        assert match is not None  # it matches nothing, too
        yield match.group()
        at = match.end()
        if at == len(value):
            return
        if value[at] != ",":
            raise BadForwardedError("the header cannot be read")
        at += 1
    raise BadForwardedError("too many proxies")


def _hop(element: str) -> Hop:
    pairs: dict[str, str] = {}
    for name, value in _named(element):
        if name in pairs:
            raise BadForwardedError("a parameter comes twice")
        pairs[name] = value
    address, port = _node(pairs.get("for", "unknown"))
    return Hop(address, port, _SCHEMES.get(pairs.get("proto", "").lower()))


def _named(element: str) -> Iterator[tuple[str, str]]:
    for match in _PAIRS.finditer(element):
        value = match.group(2)
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        yield match.group(1).lower(), value


def x_forwarded(addresses: str, schemes: str) -> Iterator[Hop]:
    """The hops of the `X-Forwarded-` headers, the nearest first. Raises BadForwardedError.

    Only the last `MAX_HOPS` are looked at: the client may have sent the others, and must not be
    able to spoil what the proxies say. Where there are not as many schemes as addresses, the last
    one counts for all: it is the one that the nearest proxy has set.
    """
    parts, known = _last(addresses), _last(schemes)
    if len(known) != len(parts):
        known = known[-1:] * len(parts) or [""] * len(parts)
    for part, scheme in zip(reversed(parts), reversed(known), strict=True):
        yield Hop(*_node(part.strip(" \t")), _SCHEMES.get(scheme.strip(" \t").lower()))


def _last(value: str) -> list[str]:
    """The whole elements at the end of a list, within both limits."""
    parts = value[-MAX_HEADER:].split(",") if value else []
    return parts[1 if len(value) > MAX_HEADER else 0 :][-MAX_HOPS:]


def _node(text: str) -> tuple[Address | None, int]:
    """An address with or without a port. RFC 7239 section 6, and what others write."""
    if text == "unknown" or text.startswith("_"):
        return None, 0
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise BadForwardedError("an address cannot be read")
        return _address(host, 6), _port(port[1:]) if port else 0
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return _address(host, 4), _port(port)
    return _address(text), 0


def _address(text: str, version: int | None = None) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadForwardedError("an address cannot be read") from None
    if "%" in text or version not in (None, address.version):
        raise BadForwardedError("an address cannot be read")
    return plain(address)


def plain(address: Address) -> Address:
    """IPv4 as such, where a socket for both writes it as IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _port(text: str) -> int:
    if text.startswith("_"):
        return 0
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise BadForwardedError("a port cannot be read")
    return int(text)


class TrustsProxies:
    """ASGI middleware, outside all others: puts the client in the place of a trusted proxy.

    From any other peer, and where a header cannot be read, the headers mean nothing.
    """

    def __init__(
        self, app: ASGIApp, trusted: Sequence[Network], kind: Kind = "x-forwarded"
    ) -> None:
        self._app = app
        self._trusted = tuple(trusted)
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with `client` and `scheme` as they are at the proxy's other side."""
        if self._trusted and scope["type"] in ("http", "websocket"):
            found = self._client(scope)
            if found is not None:
                scope = {**scope, "client": (str(found.address), found.port)}
                if found.scheme is not None:
                    scope["scheme"] = _scheme(scope["type"], found.scheme)
        await self._app(scope, receive, send)

    def _client(self, scope: Scope) -> Hop | None:
        try:
            peer = plain(ipaddress.ip_address((scope.get("client") or ("",))[0]))
            return client(peer, scope["headers"], self._trusted, self._kind)
        except ValueError:  # a UNIX socket's peer has no address; or a header that is wrong
            return None


def _scheme(kind: str, scheme: str) -> str:
    if kind == "http":
        return scheme
    return "wss" if scheme == "https" else "ws"
