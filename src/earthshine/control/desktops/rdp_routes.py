"""RDP: `/api/v1/sessions/{session_id}/rdp-connection`, `.../desktop/rdp`, and for runners."""

from __future__ import annotations

from fastapi import APIRouter, Request, WebSocket

from earthshine.control.access import Actor
from earthshine.control.credentials import CurrentActor
from earthshine.control.desktops.rdp import RdpService
from earthshine.control.desktops.schemas import RdpConnection
from earthshine.control.desktops.sockets import serve_gateway
from earthshine.net.desktop_gateways import AsgiBrowser, Ending

router = APIRouter(tags=["desktops"])


def _rdp(request: Request) -> RdpService:
    service: RdpService = request.app.state.rdp
    return service


@router.get("/sessions/{session_id}/rdp-connection")
async def session_rdp_connection(
    request: Request, actor: CurrentActor, session_id: str
) -> RdpConnection:
    """Address and one-time password for an RDP client, to the session's desktop."""
    return await _rdp(request).session_connection(actor, session_id)


@router.get("/external-agents/runners/{runner_id}/rdp-connection")
async def runner_rdp_connection(
    request: Request, actor: CurrentActor, runner_id: str
) -> RdpConnection:
    """Address and fresh password for an RDP client, to the desktop of the machine itself."""
    return await _rdp(request).runner_connection(actor, runner_id)


@router.websocket("/sessions/{session_id}/desktop/rdp")
async def rdp_in_a_browser(websocket: WebSocket, session_id: str) -> None:
    """RDCleanPath for IronRDP. See docs/protocols/rdcleanpath.md."""
    service: RdpService = websocket.app.state.rdp
    browser = AsgiBrowser(websocket.receive, websocket.send)

    async def serve(actor: Actor) -> Ending:
        return await service.show(actor, session_id, browser)

    await serve_gateway(websocket, "", browser, serve)
