"""`/api/v1/sessions/{session_id}/guac` and the same for runners' machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Request, WebSocket

from earthshine.control.access import Actor
from earthshine.control.credentials import CurrentActor
from earthshine.control.desktops.closing import (
    CLOSE_NOT_ALLOWED,
    CLOSE_NOT_FOUND,
    CLOSE_PART_MISSING,
    CLOSE_PROTOCOL,
)
from earthshine.control.desktops.sockets import serve_gateway
from earthshine.control.errors import DomainError
from earthshine.control.guacamole.schemas import GuacamoleConnections
from earthshine.control.guacamole.service import GuacamoleService
from earthshine.control.guacamole.wishes import Wish
from earthshine.net.desktop_gateways import AsgiBrowser, Ending, GatewayError, Part
from earthshine.protocols.guacamole import SUBPROTOCOL, Status

router = APIRouter(tags=["guacamole"])
_STATUS: Final[dict[int, Status]] = {
    4001: Status.CLIENT_UNAUTHORIZED,
    CLOSE_NOT_ALLOWED: Status.CLIENT_FORBIDDEN,
    CLOSE_NOT_FOUND: Status.RESOURCE_NOT_FOUND,
    4008: Status.CLIENT_TOO_MANY,
    CLOSE_PROTOCOL: Status.CLIENT_BAD_REQUEST,
    CLOSE_PART_MISSING: Status.UPSTREAM_UNAVAILABLE,
}


@router.get("/sessions/{session_id}/guac/connections")
async def list_guacamole_connections(
    request: Request, actor: CurrentActor, session_id: str
) -> GuacamoleConnections:
    """The session's running Guacamole connections, which one may join."""
    service: GuacamoleService = request.app.state.guacamole
    return await service.connections(actor, session_id)


@router.websocket("/sessions/{session_id}/guac/proxy")
async def session_guacamole(websocket: WebSocket, session_id: str) -> None:
    """A tunnel for guacamole-common-js. See docs/protocols/guacamole.md."""
    service: GuacamoleService = websocket.app.state.guacamole

    async def show(actor: Actor, wish: Wish, browser: AsgiBrowser) -> Ending:
        return await service.show(actor, session_id, wish, browser)

    await _serve(websocket, show)


@router.websocket("/external-agents/runners/{runner_id}/guac/proxy")
async def runner_guacamole(websocket: WebSocket, runner_id: str) -> None:
    """The same for a runner's machine, for admins."""
    service: GuacamoleService = websocket.app.state.guacamole

    async def show(actor: Actor, wish: Wish, browser: AsgiBrowser) -> Ending:
        return await service.show_runner(actor, runner_id, wish, browser)

    await _serve(websocket, show)


async def _serve(
    websocket: WebSocket, show: Callable[[Actor, Wish, AsgiBrowser], Awaitable[Ending]]
) -> None:
    browser = AsgiBrowser(websocket.receive, websocket.send)

    async def serve(actor: Actor) -> Ending:
        return await show(actor, Wish.of(websocket.query_params), browser)

    await serve_gateway(websocket, SUBPROTOCOL, browser, serve, prefix=_status)


def _status(code: int, error: DomainError | GatewayError | None) -> str:
    """A Guacamole status, which guacamole-common-js reads from the beginning of the reason."""
    if isinstance(error, GatewayError) and error.part is not Part.VNC_SERVER:
        return f"{error.close[1]} "
    default = Status.SESSION_CLOSED if error is None else Status.UPSTREAM_NOT_FOUND
    return f"{int(_STATUS.get(code, default))} "
