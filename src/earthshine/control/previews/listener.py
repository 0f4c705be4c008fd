"""Where previews are served: a port, or ports, of their own, apart from the control plane's origin.

Mode "host": one port, and a host name for each preview under a base domain; browsers take
`*.localhost` for this machine. Mode "port": a port for each preview on one host name, for networks
without wildcard DNS and for phones. In port mode cookies are shared with whatever else that host
name serves; see docs/protocols/reverse-dial.md for what stands in for the missing boundary.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Self

import uvicorn
from uvicorn.server import ServerState

from earthshine.control.access import Access
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import TooManyError
from earthshine.net.relay import Relay

from .book import Preview, PreviewBook
from .guard import RECHECK_SECONDS, Guard
from .proxy import PreviewProxy
from .websocket import Sockets, preview_protocol

KEEP_ALIVE_SECONDS: Final = 30
STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class PreviewSettings:
    """`host` is where to listen. `public_*` is how browsers reach it, if a proxy is in front."""

    mode: Literal["host", "port"] = "host"
    host: str = "127.0.0.1"
    port: int = 0
    """Mode "host": where to listen; 0 takes a free port."""
    base_domain: str = "preview.localhost"
    """Mode "host": previews are <id>.<base_domain>."""
    ports: tuple[int, int] = (0, 0)
    """Mode "port": first and last port to use; (0, 0) takes free ones."""
    host_name: str = "127.0.0.1"
    """Mode "port": the name or address browsers use (IPv6 in brackets)."""
    public_scheme: Literal["http", "https", ""] = ""
    public_port: int | None = None
    """Mode "host", behind a proxy: the port in the browser's address."""
    tls_certificate: str | None = None
    tls_key: str | None = None

    @property
    def scheme(self) -> str:
        """The browser's."""
        return self.public_scheme or ("https" if self.tls_certificate else "http")


class PreviewListener:
    """Listens for previews and gives them addresses. `async with` it, and `run` it inside."""

    def __init__(
        self,
        settings: PreviewSettings,
        book: PreviewBook,
        access: Access,
        dials: DialService,
        relay: Relay,
        control_origins: frozenset[str],
    ) -> None:
        self._settings = settings
        self._book = book
        self._guard = guard = Guard(book, access, control_origins)
        proxy = PreviewProxy(guard, dials)
        self._config = uvicorn.Config(
            proxy,
            http=preview_protocol(Sockets(guard, proxy, relay)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
        )
        self._state = ServerState()
        self._servers: dict[str, asyncio.Server] = {}
        self._port = 0
        book.on_removed.append(self._removed)

    @property
    def port(self) -> int:
        """Mode "host": the port that was bound."""
        return self._port

    async def __aenter__(self) -> Self:
        """Raises OSError if the port is taken."""
        self._config.load()
        if self._settings.mode == "host":
            self._port = await self._listen("", self._settings.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all previews and connections."""
        self._book.close()
        for server in self._servers.values():
            server.close()
        for connection in list(self._state.connections):
            connection.transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._state.tasks:
                    await asyncio.wait(self._state.tasks)
        left = list(self._state.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._servers.clear()

    async def run(self) -> None:
        """Close what has expired, and put out who may not be here any more, until cancelled.

        Requests are checked as they come; this is for streams that stay open.
        """
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            await self._guard.recheck()

    async def doubt(self, session_id: str) -> None:
        """Rights in a session have changed: put out who may not be here any more."""
        self._guard.book.doubt(session_id)
        await self._guard.recheck()

    async def assign(self, preview_id: str) -> tuple[str, int]:
        """An origin and the local port for a new preview. Raises TooManyError."""
        settings = self._settings
        if settings.mode == "host":
            public_port = settings.public_port or self._port
            name = f"{preview_id}.{settings.base_domain.lower()}"
            return _origin(settings.scheme, name, public_port), self._port
        first, last = settings.ports
        for port in range(first, last + 1):
            with contextlib.suppress(OSError):
                bound = await self._listen(preview_id, port)
                return _origin(settings.scheme, settings.host_name.lower(), bound), bound
        raise TooManyError(
            f"No port from {first} to {last} is free for another preview.",
            remedy="Close a preview, or widen the range in the server's settings.",
        )

    async def _listen(self, key: str, port: int) -> int:
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        sock = socket.create_server((self._settings.host, port), family=family)
        protocol: Any = self._config.http_protocol_class
        factory = partial(protocol, config=self._config, server_state=self._state, app_state={})
        try:
            self._servers[key] = await asyncio.get_running_loop().create_server(
                lambda: factory(_loop=asyncio.get_running_loop()), sock=sock, ssl=self._config.ssl
            )
        except BaseException:
            sock.close()
            raise
        bound: int = sock.getsockname()[1]
        return bound

    def _removed(self, preview: Preview) -> None:
        server = self._servers.pop(preview.id, None)
        if server is not None:
            server.close()


def _origin(scheme: str, name: str, port: int) -> str:
    default = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{name}" if port == default else f"{scheme}://{name}:{port}"
