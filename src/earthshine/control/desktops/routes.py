"""`/api/v1/sessions/{session_id}/desktop` and `/connection-methods`."""

from __future__ import annotations

from fastapi import APIRouter, Request, WebSocket

from earthshine.control.access import Actor
from earthshine.control.credentials import CurrentActor, current_actor
from earthshine.control.desktops.closing import closing
from earthshine.control.desktops.schemas import ConnectionMethods
from earthshine.control.desktops.service import DesktopService
from earthshine.control.desktops.sockets import serve_gateway
from earthshine.control.desktops.stream import DesktopStream
from earthshine.control.desktops.vnc import VncService
from earthshine.control.errors import DomainError
from earthshine.net.desktop_gateways import AsgiBrowser, Ending, tell_refusal
from earthshine.protocols import rfb
from earthshine.protocols.viewer import SUBPROTOCOL

router = APIRouter(tags=["desktops"])


def _desktops(request: Request) -> DesktopService:
    service: DesktopService = request.app.state.desktops
    return service


@router.get("/sessions/{session_id}/connection-methods")
async def list_connection_methods(
    request: Request, actor: CurrentActor, session_id: str
) -> ConnectionMethods:
    """By which ways the session's desktop can be seen, best first."""
    return await _desktops(request).methods(actor, session_id)


@router.delete("/sessions/{session_id}/desktop", status_code=204)
async def stop_desktop(request: Request, actor: CurrentActor, session_id: str) -> None:
    """Stop the desktop; it starts again when somebody opens it."""
    await _desktops(request).stop(actor, session_id)


@router.websocket("/sessions/{session_id}/desktop")
async def desktop_stream(websocket: WebSocket, session_id: str) -> None:
    """See docs/protocols/viewer.md."""
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    service: DesktopService = websocket.app.state.desktops
    try:
        actor = await current_actor(websocket)
        async with (
            websocket.app.state.sign_ins.socket(actor, websocket),
            service.opened(actor, session_id) as opened,
        ):
            await DesktopStream(
                websocket, opened.stream, opened.watcher, opened.viewer_id, opened.steered
            ).serve()
    except DomainError as error:
        await websocket.close(*closing(error))


@router.websocket("/sessions/{session_id}/desktop/vnc")
async def vnc(websocket: WebSocket, session_id: str) -> None:
    """RFB for noVNC. See docs/protocols/rfb.md."""
    service: VncService = websocket.app.state.vnc
    browser = AsgiBrowser(websocket.receive, websocket.send)

    async def serve(actor: Actor) -> Ending:
        async with service.opened(actor, session_id) as opened:
            return await opened.serve(browser)

    async def tell(words: str) -> None:
        await tell_refusal(browser, words)

    await serve_gateway(websocket, rfb.SUBPROTOCOL, browser, serve, tell)
