"""RDP: `/api/v1/sessions/{session_id}/rdp-connection`, `.../desktop/rdp`, and for runners."""

from __future__ import annotations

from fastapi import APIRouter, Request, WebSocket

from earthshine.control.credentials import CurrentActor, current_actor
from earthshine.control.desktops import rdp_browser
from earthshine.control.desktops.rdp import RdpService
from earthshine.control.desktops.schemas import RdpConnection
from earthshine.control.errors import DomainError

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
    """See docs/protocols/rdcleanpath.md."""
    await websocket.accept()
    service: RdpService = websocket.app.state.rdp
    try:
        actor = await current_actor(websocket)
        async with (
            websocket.app.state.sign_ins.socket(actor, websocket),
            service.for_browser(actor, session_id) as lent,
        ):
            await rdp_browser.serve(websocket, lent)
    except DomainError as error:
        await websocket.close(*rdp_browser.refusal(error))
