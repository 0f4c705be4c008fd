"""Which requests may come in at all: exact Host, exact Origin, JSON bodies, a limit on size.

A web page that a person happens to visit can send requests to a server on their machine or network.
It cannot choose the Origin header, it must not be able to choose the Host, and without
permission it cannot send `application/json`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthshine.control import metrics
from earthshine.control.problems import plain_problem

MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes of a request's body."""
MAX_FILE: Final = 64 * 1024**3
"""Bytes of a file that is passed on while it comes. The runner that gets it has its own limit."""
_FILE: Final = re.compile(r"/api/v1/sessions/[^/]+/files/[^/]+", re.ASCII)
"""Where bodies are files, which nobody reads into memory."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class AllowedOrigins:
    """The origins under which this server may be addressed. Fixed once the port is known."""

    def __init__(self, origins: list[str]) -> None:
        self.origins = frozenset(origins)
        self.hosts = frozenset(host for origin in origins for host in _hosts(urlsplit(origin)))


def _hosts(parts: object) -> list[str]:
    scheme, netloc = parts.scheme, parts.netloc.lower()  # type: ignore[attr-defined]
    # A browser leaves the default port out; other clients may write it.
    has_port = netloc.rpartition(":")[2].isdigit() and not netloc.endswith("]")
    return [netloc] if has_port else [netloc, f"{netloc}:{_DEFAULT_PORTS[scheme]}"]


def loopback_origins(scheme: str, port: int) -> list[str]:
    """The names by which programs of this machine reach a loopback port."""
    suffix = "" if str(port) == _DEFAULT_PORTS[scheme] else f":{port}"
    return [f"{scheme}://{name}{suffix}" for name in LOOPBACK_NAMES]


class OriginGuard:
    """ASGI middleware that refuses what does not come from our own pages or from no page."""

    def __init__(self, app: ASGIApp, allowed: AllowedOrigins) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            unlimited = scope["type"] == "websocket" or _is_file(scope)
            limited = receive if unlimited else _limit(receive)
            try:
                await self._app(scope, limited, send)
            except _TooLargeError:
                await plain_problem(413, f"More than {MAX_BODY} bytes.", "too-large")(
                    scope, receive, send
                )
            return
        why, response = refusal
        metrics.REFUSED_REQUESTS.labels(why).inc()
        if scope["type"] == "websocket":
            await send(
                {
                    "type": "websocket.http.response.start",
                    "status": response.status_code,
                    "headers": response.raw_headers,
                }
            )
            await send({"type": "websocket.http.response.body", "body": response.body})
        else:
            await response(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[str, Response] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._allowed.hosts:
            return "host", plain_problem(
                421, "This server does not answer under that host name.", "wrong-host"
            )
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if not changes:
            return None
        origins = headers.getlist("origin")
        # A program that is no browser sends no Origin; a page cannot leave it out.
        if origins and (len(origins) > 1 or origins[0] not in self._allowed.origins):
            return "origin", plain_problem(
                403, "This server does not take requests from other sites.", "wrong-origin"
            )
        if scope["type"] == "websocket":
            return None
        if not origins and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "origin", plain_problem(
                403, "This server does not take requests from other sites.", "wrong-origin"
            )
        limit = MAX_FILE if _is_file(scope) else MAX_BODY
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > limit:
            return "size", plain_problem(413, f"More than {limit} bytes.", "too-large")
        has_body = length != "0" or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        # Neither can be sent across origins without permission.
        wanted = "application/octet-stream" if _is_file(scope) else "application/json"
        if has_body and kind != wanted:
            return "content-type", plain_problem(415, f"Send {wanted}.", "unsupported-media-type")
        return None


def _is_file(scope: Scope) -> bool:
    """Whether the body is a file on its way to a runner."""
    return scope["type"] == "http" and (
        scope["method"] == "PUT" and _FILE.fullmatch(scope["path"]) is not None
    )


class _TooLargeError(HTTPException):
    """A body without a length turned out too long. The framework lets this kind pass."""

    def __init__(self) -> None:
        super().__init__(413, f"More than {MAX_BODY} bytes.")


def _limit(receive: Receive) -> Receive:
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise _TooLargeError
        return message

    return limited


_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": browsers would then send "Origin: null" when a form opens a preview.
    (b"referrer-policy", b"strict-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    """ASGI middleware: headers that every answer carries; API answers are never cached."""

    def __init__(self, app: ASGIApp, *, strict_transport: bool = False) -> None:
        """`strict_transport`: browsers shall not come over plain HTTP for a year (RFC 6797)."""
        self._app = app
        self._headers = [*_SECURITY_HEADERS, *([_STRICT_TRANSPORT] if strict_transport else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        extra = [*self._headers]
        if scope["path"].startswith("/api/"):
            extra.append((b"cache-control", b"no-store"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        await self._app(scope, receive, with_headers)
