"""Gateways on a port, with pages that use them: what routes will do, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from earthshine.net.bridge import TransportStream
from earthshine.net.desktop_gateways import (
    AdmissionRefusedError,
    AsgiBrowser,
    Ending,
    GatewayError,
    GuacamoleGateway,
    RdpGateway,
    RdpTarget,
    VncGateway,
    tls_context,
)
from earthshine.protocols.guacamole import (
    SUBPROTOCOL,
    NewConnection,
    RunningConnection,
    Screen,
    Viewer,
)
from earthshine.protocols.rdp import Login
from tests.peers.desktop_servers import HEIGHT, WIDTH
from tests.world import free_port, wait_for

PAGES = Path(__file__).parent / "desktop_clients"
TOKEN = "opens-this-desktop"
Gateway = VncGateway | RdpGateway | GuacamoleGateway


@dataclass
class GatewayServer:
    """Serves the desktops that the test sets; keeps how each connection ended."""

    port: int = field(default_factory=free_port)
    vnc_port: int = 0
    vnc_password: str | None = None
    rdp_port: int = 0
    login: Login = field(default_factory=lambda: Login("", ""))
    fingerprint: bytes | None = None
    guacd_port: int = 0
    guacamole: NewConnection | RunningConnection | None = None
    endings: list[Ending | GatewayError] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    connection_ids: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve_vnc(self, websocket: WebSocket) -> None:
        await websocket.accept("binary")
        browser = AsgiBrowser(websocket.receive, websocket.send)
        gateway = VncGateway(
            await _connect(self.vnc_port),
            browser,
            password=self.vnc_password,
            view_only="view" in websocket.query_params,
            extended_clipboard="clipboard" in websocket.query_params,
        )
        await self._run(gateway, browser)

    async def serve_rdp(self, websocket: WebSocket) -> None:
        await websocket.accept()

        async def admit(token: str, _: str) -> RdpTarget:
            if not token.startswith(TOKEN):
                raise AdmissionRefusedError("This link has been used. Open the desktop again.")
            return RdpTarget(
                await _connect(self.rdp_port),
                f"127.0.0.1:{self.rdp_port}",
                self.login,
                tls_context(),
                view_only=token.endswith("-view"),
                fingerprint=self.fingerprint,
            )

        browser = AsgiBrowser(websocket.receive, websocket.send)
        await self._run(RdpGateway(browser, admit), browser)

    async def serve_guacamole(self, websocket: WebSocket) -> None:
        await websocket.accept(SUBPROTOCOL)
        assert self.guacamole is not None
        read_only = "view" in websocket.query_params
        viewer = Viewer(Screen(WIDTH, HEIGHT), name="Ada 🛰", timezone="UTC", read_only=read_only)
        browser = AsgiBrowser(websocket.receive, websocket.send)
        guacd = await _connect(self.guacd_port)
        tunnel_id = "5ce5cd9c-4f2c-4b0a-8c6c-0f4f6b5ad0a1"
        gateway = GuacamoleGateway(guacd, browser, self.guacamole, viewer, tunnel_id=tunnel_id)
        gateway.connected.add_done_callback(self._connected)
        await self._run(gateway, browser)

    def _connected(self, done: asyncio.Future[str]) -> None:
        if not done.cancelled():
            self.connection_ids.append(done.result())

    async def _run(self, gateway: Gateway, browser: AsgiBrowser) -> None:
        self.gateways.append(gateway)
        close = (1000, "")
        try:
            self.endings.append(await gateway.run())
        except GatewayError as error:
            self.endings.append(error)
            close = error.close
        await browser.close(*close)

    def last_error(self) -> GatewayError:
        """How the last connection failed, once it has."""
        wait_for(lambda: self.endings, 15, "the gateway has not ended")
        error = self.endings[-1]
        assert isinstance(error, GatewayError), error
        return error

    @contextlib.contextmanager
    def running(self) -> Iterator[GatewayServer]:
        """In a thread with an event loop of its own."""
        app = Starlette(
            routes=[
                WebSocketRoute("/vnc", self.serve_vnc),
                WebSocketRoute("/rdp", self.serve_rdp),
                WebSocketRoute("/guacamole", self.serve_guacamole),
                Mount("/", StaticFiles(directory=PAGES, follow_symlink=True)),
            ]
        )
        config = uvicorn.Config(
            app,
            "127.0.0.1",
            self.port,
            log_level="warning",
            lifespan="off",
            ws="websockets-sansio",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_for(lambda: server.started, 10, "the gateway server does not start")
            self.loop = server.servers[0].get_loop()
            yield self
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(10)

    def set_view_only(self, gateway: Gateway, view_only: bool) -> None:
        """What the control plane does when control of a desktop changes hands."""
        asyncio.run_coroutine_threadsafe(gateway.set_view_only(view_only), self.loop).result(5)


async def _connect(port: int) -> TransportStream:
    return TransportStream(*await asyncio.open_connection("127.0.0.1", port))
