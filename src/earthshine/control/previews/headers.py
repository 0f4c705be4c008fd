"""What passes between browser and development server, and what must not.

A preview page is hostile until proven otherwise: it runs in the browser of somebody who is signed
in. So the control plane's cookies never reach it, and it can neither set them nor change how the
browser treats the host they live on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Header = tuple[bytes, bytes]

OUR_COOKIES: Final = b"earthshine"
"""Cookies whose name begins so, after `__Host-` or `__Secure-`, in any case, are ours."""

_HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"proxy-connection", b"http2-settings")
)  # fmt: skip
_NOT_FORWARDED: Final = frozenset(
    (b"host", b"origin", b"referer", b"cookie", b"expect", b"forwarded", b"x-real-ip", b"via")
)
_NOT_RETURNED: Final = frozenset(
    # Effects on the whole host, which ports and the control plane may share.
    (b"strict-transport-security", b"clear-site-data", b"public-key-pins", b"alt-svc",
     b"set-cookie2", b"nel", b"report-to")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """How the two sides call the same place."""

    outside: str
    """The preview's origin in the browser."""
    port: int
    """The development server's port; it is spoken to as localhost."""

    @property
    def inside(self) -> str:
        """The development server's own idea of its origin."""
        return f"http://localhost:{self.port}"

    @property
    def inside_host(self) -> str:
        """Its Host."""
        return f"localhost:{self.port}"


def to_server(headers: Iterable[Header], names: Names) -> list[Header]:
    """A browser's request headers (lower-case names) as the development server may see them.

    Framing headers are left to the caller, as are those of an upgrade.
    """
    headers = list(headers)
    dropped = _HOP_BY_HOP | _NOT_FORWARDED | _nominated(headers)
    result = [(b"host", names.inside_host.encode())]
    outside = names.outside.encode()
    for name, value in headers:
        if name == b"origin" and value == outside:
            result.append((name, names.inside.encode()))
        elif name == b"referer" and (value == outside or value.startswith(outside + b"/")):
            result.append((name, names.inside.encode() + value[len(outside) :]))
        elif name == b"cookie":
            if kept := _without_ours(value):
                result.append((name, kept))
        elif name not in dropped and not name.startswith(b"x-forwarded-"):
            result.append((name, value))
    return result


def to_browser(headers: Iterable[Header], names: Names) -> list[Header]:
    """A development server's response headers (lower-case names) as the browser may see them."""
    headers = list(headers)
    dropped = _HOP_BY_HOP | _NOT_RETURNED | _nominated(headers)
    result = []
    for name, value in headers:
        if name == b"set-cookie":
            if cookie := _host_only(value):
                result.append((name, cookie))
        elif name in {b"location", b"content-location", b"access-control-allow-origin"}:
            result.append((name, _outward(value, names)))
        elif name not in dropped:
            result.append((name, value))
    return result


def cookies_named(headers: Iterable[Header], name: str) -> list[str]:
    """Every value of one cookie, across all Cookie headers."""
    prefix = name.encode() + b"="
    return [
        part[len(prefix) :].decode("latin-1")
        for key, value in headers
        if key == b"cookie"
        for part in map(bytes.strip, value.split(b";"))
        if part.startswith(prefix)
    ]


def _nominated(headers: list[Header]) -> frozenset[bytes]:
    """Headers that the Connection header declares to be for one hop (RFC 9110, 7.6.1)."""
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )


def _is_ours(name: bytes) -> bool:
    name = name.strip().lower()
    for prefix in (b"__host-", b"__secure-"):
        name = name.removeprefix(prefix)
    return name.startswith(OUR_COOKIES)


def _without_ours(cookies: bytes) -> bytes:
    parts = [part.strip() for part in cookies.split(b";")]
    return b"; ".join(part for part in parts if part and not _is_ours(part.partition(b"=")[0]))


def _host_only(cookie: bytes) -> bytes | None:
    """A Set-Cookie without its Domain, so that it reaches this preview alone; None if ours."""
    pair, *attributes = cookie.split(b";")
    # A cookie without a name is sent as its bare value: "=earthshine=x" would read as ours.
    name, _, value = pair.partition(b"=")
    if _is_ours(name) or (not name.strip() and _is_ours(value)):
        return None
    kept = [a for a in attributes if a.partition(b"=")[0].strip().lower() != b"domain"]
    return b";".join([pair, *kept])


def _outward(value: bytes, names: Names) -> bytes:
    for host in (b"localhost", b"127.0.0.1", b"[::1]"):
        inside = b"http://%s:%d" % (host, names.port)
        if value == inside or value.startswith((inside + b"/", inside + b"?", inside + b"#")):
            return names.outside.encode() + value[len(inside) :]
    return value
