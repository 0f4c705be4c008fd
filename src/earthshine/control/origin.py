"""Where the request that is being served came from, for the audit log and for limits.

Services know nothing of HTTP; what they do is done for somebody at some address all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

MAX_USER_AGENT: Final = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is at the other end of the line."""

    address: str
    """IP address, or `local` for what the server does by itself."""
    user_agent: str = ""


LOCAL: Final = Origin("local")
_current: ContextVar[Origin] = ContextVar("earthshine_origin", default=LOCAL)


def current_origin() -> Origin:
    """Of the request that this task serves."""
    return _current.get()


@contextlib.contextmanager
def serving(address: str) -> Iterator[None]:
    """For requests that do not come through the application; an empty address changes nothing."""
    with acting_from(Origin(address)) if address else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """For work that is done later, for a request that is over."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


class KnowsOrigin:
    """ASGI middleware that sets it. Inside whatever rewrites addresses for proxies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            headers = dict(scope["headers"])
            agent = headers.get(b"user-agent", b"").decode("latin-1")[:MAX_USER_AGENT]
            _current.set(Origin(client[0] if client else "local", agent))
        await self._app(scope, receive, send)
