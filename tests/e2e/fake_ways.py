"""The fake control plane's part about desktops: small fakes of every way to see one.

A fake viewer stream that sends stills, a fake VNC server, a fake guacd, and a gateway for RDP that
only ever refuses. They speak their protocols far enough for the clients in the page, show one
made-up screen and keep what arrives. Real servers are in tests/peers and test_desktop_methods.py.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.protocols import viewer
from earthshine.protocols.guacamole import Instruction, parse_message
from earthshine.protocols.rdcleanpath import ErrorCode, Failure, Pdu
from earthshine.protocols.rfb import BrowserHandshake, BrowserStage, ServerInit
from tests.e2e.fake_desktop import png
from tests.e2e.fake_problems import problem
from tests.e2e.fake_session import iso

if TYPE_CHECKING:
    from tests.e2e.fake_control_plane import FakeControlPlane

WIDTH, HEIGHT = 960, 600
OLA: Final = 99
"""Number of somebody else at the desktop, who is not in any browser."""
LABELS: Final = {
    "native": "Built in",
    "webrtc": "WebRTC",
    "vnc": "VNC",
    "rdp": "RDP",
    "guacamole": "Guacamole",
    "moonlight": "Moonlight",
}
LENGTHS: Final = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 255: 12}
"""RFC 6143, 7.5, of messages whose length does not vary."""
PIXELS: Final = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)


def screen() -> np.ndarray:
    """A desktop with two windows on it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 0] = 28 + y * 40 // HEIGHT
    picture[..., 1] = 62 + x * 50 // WIDTH
    picture[..., 2] = 96 + y * 60 // HEIGHT
    for left, top, width, height, shade in ((60, 50, 520, 360, 245), (420, 230, 480, 320, 24)):
        picture[top : top + height, left : left + width] = (90, 96, 110)
        picture[top + 26 : top + height - 2, left + 2 : left + width - 2] = shade
        for row in range(top + 44, top + height - 16, 18):
            length = (row * 37) % (width - 60) + 30
            picture[row : row + 6, left + 14 : left + 14 + length] = (110, 160, 190)
    return picture


class FakeWays:
    """State that tests may set before or while a page looks at it."""

    def __init__(self, plane: FakeControlPlane) -> None:
        self._plane = plane
        self.screen = screen()
        self.missing: dict[str, str] = {"webrtc": "Not built yet."}
        """Ways that are not available, and why."""
        self.broken: dict[str, tuple[int, str]] = {}
        """Ways whose sockets are closed at once: code and reason."""
        self.control = 0
        self.someone_else = False
        self.opened: list[str] = []
        """By which way sockets were opened, in order."""
        self.queries: list[dict[str, str]] = []
        """Of the Guacamole tunnels that were opened."""
        self.running: list[dict[str, str]] = []
        """Guacamole connections that can be joined."""
        self.application = False
        """Whether there is a Guacamole web application."""
        self.keys: list[tuple[str, int, int]] = []
        """Way, down, keysym."""
        self.mouse: list[tuple[str, int, int, int]] = []
        """Way, x, y, buttons."""
        self.pasted: list[tuple[str, str]] = []
        self.login_seconds = 300.0
        self.logins = 0
        self._viewers: dict[int, WebSocket] = {}
        self._open: dict[str, set[WebSocket]] = {}

    def routes(self) -> list[BaseRoute]:
        one = "/api/v1/sessions/{id}"
        return [
            Route(f"{one}/connection-methods", self._methods),
            Route(f"{one}/rdp-connection", self._rdp_connection),
            Route(f"{one}/guac/connections", self._guacamole_connections),
            Route(f"{one}/guac/application", self._guacamole_application, methods=["POST"]),
            WebSocketRoute(f"{one}/desktop", self._native),
            WebSocketRoute(f"{one}/desktop/vnc", self._vnc),
            WebSocketRoute(f"{one}/desktop/rdp", self._rdp),
            WebSocketRoute(f"{one}/guac/proxy", self._guacamole),
        ]

    # What tests do; in the server's loop.

    async def close(self, way: str, code: int, reason: str = "") -> None:
        """All connections of one way."""
        for websocket in list(self._open.get(way, ())):
            with contextlib.suppress(RuntimeError):
                await websocket.close(code, reason)

    async def give(self, number: int) -> None:
        """Control to somebody; to OLA, who comes in for it."""
        self.someone_else = self.someone_else or number == OLA
        self.control = number
        await self._tell_viewers()

    async def copy(self, text: str) -> None:
        """A program on the desktop copies Latin-1 text; told to who looks by VNC."""
        data = text.encode("latin-1")
        for websocket in self._open.get("vnc", ()):
            await websocket.send_bytes(struct.pack(">B3xI", 3, len(data)) + data)

    # The API.

    def _path(self, session_id: str, way: str) -> str | None:
        tail = {"native": "desktop", "vnc": "desktop/vnc", "rdp": "desktop/rdp"}.get(way)
        if way == "guacamole":
            tail = "guac/proxy"
        return f"/api/v1/sessions/{session_id}/{tail}" if tail else None

    async def _methods(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        methods = [
            {
                "name": name,
                "label": label,
                "available": name not in self.missing,
                "detail": self.missing.get(name),
                "path": self._path(session_id, name),
                "control": self._may_steer,
            }
            for name, label in LABELS.items()
        ]
        return JSONResponse({"methods": methods})

    async def _guacamole_connections(self, _request: Request) -> Response:
        return JSONResponse({"connections": self.running, "application": self.application})

    async def _guacamole_application(self, _request: Request) -> Response:
        if "guacamole" in self.broken:
            return problem(503, "part-missing", self.broken["guacamole"][1], "Ask its admin.")
        return JSONResponse(
            {
                "url": "https://guacamole.example/#/client/MTc",
                "name": "Earthshine s1 for mia",
                "viewOnly": not self._may_steer,
                "expiresAt": iso(time.time() + self.login_seconds),
            }
        )

    async def _rdp_connection(self, request: Request) -> Response:
        if "rdp" in self.broken:
            return problem(
                409, "part-missing", self.broken["rdp"][1], "Install `xrdp` on the runner."
            )
        self.logins += 1
        login: dict[str, Any] = {
            "address": "127.0.0.1",
            "port": 15900 + self.logins,
            "user": "es-3f9c",
            "password": f"vQ7t-Kd3x-9mZp-{self.logins}",
            "file": f"full address:s:127.0.0.1:{15900 + self.logins}\r\nusername:s:es-3f9c\r\n",
            "expiresAt": iso(time.time() + self.login_seconds),
            "viewOnly": not self._may_steer,
        }
        return JSONResponse(login)

    @property
    def _may_steer(self) -> bool:
        return self._plane.role in {"owner", "controller"}

    @contextlib.asynccontextmanager
    async def _connection(
        self, websocket: WebSocket, way: str, subprotocol: str | None
    ) -> AsyncIterator[bool]:
        """False: this way is broken now."""
        await websocket.accept(subprotocol)
        self.opened.append(way)
        if way in self.broken:
            await websocket.close(*self.broken[way])
            yield False
            return
        connections = self._open.setdefault(way, set())
        connections.add(websocket)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            yield True
        connections.discard(websocket)

    # The viewer stream, as stills: it has no encoder.

    async def _native(self, websocket: WebSocket) -> None:
        async with self._connection(websocket, "native", viewer.SUBPROTOCOL) as works:
            if not works:
                return
            number = max(self._viewers, default=0) + 1
            self._viewers[number] = websocket
            try:
                await self._say(
                    websocket, viewer.DesktopIs(state="ready", width=WIDTH, height=HEIGHT)
                )
                await self._tell_viewers()
                while True:
                    await self._hear(number, await websocket.receive_bytes())
            finally:
                del self._viewers[number]
                if self.control == number:
                    self.control = 0
                await self._tell_viewers()

    async def _hear(self, number: int, data: bytes) -> None:
        heard = viewer.decode_from_viewer(data)
        match heard:
            case viewer.Watch(video=video) if video != "none":
                still = viewer.Still(1, 0, 0, WIDTH, HEIGHT, 0, png(self.screen))
                await self._say(self._viewers[number], still)
            case viewer.TakeControl():
                await self.give(number)
            case viewer.GiveControl(to=to):
                await self.give(to)
            case viewer.Ping(sent=sent):
                await self._say(
                    self._viewers[number], viewer.Pong(sent, time.monotonic_ns() // 1000)
                )
            case viewer.Key(down=down, keysym=keysym):
                self.keys.append(("native", down, keysym))
                if self.control == 0:
                    await self.give(number)
            case _:
                pass

    async def _say(self, websocket: WebSocket, message: viewer.Message) -> None:
        await websocket.send_bytes(viewer.encode(message))

    async def _tell_viewers(self) -> None:
        role = self._plane.role
        here = [(number, "mira", role) for number in self._viewers]
        if self.someone_else:
            here.append((OLA, "Ola", "controller"))
        for own, websocket in list(self._viewers.items()):
            people = [
                viewer.ViewerIs(number=number, name=name, role=role, you=number == own)
                for number, name, role in here
            ]
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._say(websocket, viewer.Viewers(viewers=people, control=self.control))

    # VNC: one raw picture, whenever it is asked for as a whole.

    async def _vnc(self, websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        async with self._connection(
            websocket, "vnc", "binary" if "binary" in offered else None
        ) as works:
            if not works:
                return
            handshake = BrowserHandshake(ServerInit(WIDTH, HEIGHT, PIXELS, "Fake"))
            await websocket.send_bytes(handshake.begin())
            while handshake.stage is not BrowserStage.DONE:
                answer = handshake.receive(await websocket.receive_bytes())
                if answer:
                    await websocket.send_bytes(answer)
            early = handshake.early
            while True:
                early = await self._take_vnc(websocket, early + await websocket.receive_bytes())

    async def _take_vnc(self, websocket: WebSocket, data: bytes) -> bytes:
        """Take all whole messages; the rest."""
        while data:
            length = LENGTHS.get(data[0])
            if data[0] == 2 and len(data) >= 4:
                length = 4 + 4 * int.from_bytes(data[2:4])
            elif data[0] == 6 and len(data) >= 8:
                length = 8 + int.from_bytes(data[4:8])
            elif length is None and data[0] not in {2, 6}:
                raise AssertionError(f"noVNC sent a message of type {data[0]}")
            if length is None or len(data) < length:
                return data
            await self._vnc_message(websocket, data[:length])
            data = data[length:]
        return data

    async def _vnc_message(self, websocket: WebSocket, message: bytes) -> None:
        kind = message[0]
        if kind == 3 and not message[1]:
            whole = np.dstack([self.screen, np.zeros((HEIGHT, WIDTH), np.uint8)])
            head = struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0)
            await websocket.send_bytes(head + whole.tobytes())
        elif kind == 4:
            self.keys.append(("vnc", message[1], int.from_bytes(message[4:8])))
        elif kind == 5:
            x, y = struct.unpack(">HH", message[2:6])
            self.mouse.append(("vnc", x, y, message[1]))
        elif kind == 6:
            self.pasted.append(("vnc", message[8:].decode("latin-1")))

    # Guacamole: one picture as PNG.

    async def _guacamole(self, websocket: WebSocket) -> None:
        query = dict(websocket.query_params)
        self.queries.append(query)
        if "join" in query and query["join"] not in {one["id"] for one in self.running}:
            await websocket.accept("guacamole")
            await websocket.close(4004, "516 That connection has ended.")
            return
        async with self._connection(websocket, "guacamole", "guacamole") as works:
            if not works:
                return

            async def say(opcode: str, *arguments: object) -> None:
                texts = tuple(str(argument) for argument in arguments)
                await websocket.send_text(Instruction(opcode, texts).to_browser())

            await say("", "5ce5cd9c-4f2c-4b0a-8c6c-0f4f6b5ad0a1")
            await say("size", 0, WIDTH, HEIGHT)
            picture = png(self.screen)
            await say("img", 1, 14, 0, "image/png", 0, 0)
            for at in range(0, len(picture), 4096):
                part = picture[at : at + 4096]
                await say("blob", 1, base64.b64encode(part).decode())
            await say("end", 1)
            await say("sync", 1000)
            while True:
                for heard in parse_message(await websocket.receive_text()):
                    match heard:
                        case Instruction("", ("ping", when)):
                            await say("", "ping", when)
                        case Instruction("key", (keysym, down, *_)):
                            self.keys.append(("guacamole", int(down), int(keysym)))
                        case Instruction("mouse", (x, y, buttons, *_)):
                            self.mouse.append(("guacamole", int(x), int(y), int(buttons)))

    # RDP: refuses, as a gateway does that could not connect.

    async def _rdp(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.opened.append("rdp")
        status = self.broken.get("rdp", (502, ""))[0]
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await websocket.receive_bytes()
            failure = Failure(ErrorCode.GENERAL, http_status=status)
            await websocket.send_bytes(Pdu(failure=failure).encode())
            await asyncio.sleep(0.05)  # a client that is told twice listens to the first
            await websocket.close(1011)
