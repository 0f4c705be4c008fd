"""A uvicorn WebSocket protocol that lets the application end a connection at once.

ASGI knows only the closing handshake, and uvicorn grants the peer ten seconds for its part of it.
Whoever was revoked gets less.
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT: Final = "earthshine.abort"
"""In a WebSocket scope's `extensions`: a function that ends the connection."""


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """For uvicorn's `ws=` setting."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        # The application's task has been made but has not begun.
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][ABORT] = self.transport.abort
