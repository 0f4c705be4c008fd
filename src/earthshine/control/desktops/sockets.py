"""WebSockets of gateways, from accepting them to closing them with words."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.access import Actor
from earthshine.control.credentials import current_actor
from earthshine.control.desktops.closing import (
    CLOSE_BROKEN,
    CLOSE_PART_MISSING,
    ENDED,
    NOT_SHARED,
    closing,
    cut,
)
from earthshine.control.desktops.watched import PutOutError
from earthshine.control.errors import DialFailedError, DomainError
from earthshine.net.desktop_gateways import AsgiBrowser, Ending, GatewayError

log = logging.getLogger(__name__)


async def serve_gateway(
    websocket: WebSocket,
    subprotocol: str,
    browser: AsgiBrowser,
    serve: Callable[[Actor], Awaitable[Ending]],
    tell: Callable[[str], Awaitable[None]] | None = None,
    *,
    prefix: Callable[[int, DomainError | GatewayError | None], str] = lambda *_: "",
) -> None:
    """Accept, find out who it is, `serve` them, close.

    `tell` says in the gateway's own protocol why there is no desktop, to whoever may see it.
    `prefix` begins the close reason.
    """
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=subprotocol if subprotocol in offered else None)
    failure: DomainError | GatewayError | None = None
    code, reason = ENDED
    try:
        actor = await current_actor(websocket)
        async with websocket.app.state.sign_ins.socket(actor, websocket):
            try:
                if await serve(actor) is Ending.BROWSER:
                    code, reason = 1000, ""
            except OSError:  # a dialled connection broke before anything came of it
                failure = _broken()
            except DomainError as error:
                failure = error
                if tell is not None and closing(error)[0] in (CLOSE_BROKEN, CLOSE_PART_MISSING):
                    await tell(f"{error.detail} {error.remedy or ''}".strip())
    except (DomainError, GatewayError) as error:
        failure = error
    except PutOutError:
        code, reason = NOT_SHARED
    except WebSocketDisconnect:
        return
    if failure is not None:
        code, reason = closing(failure)
        log.info("a desktop's socket ends: %d %s", code, failure.detail)
    with contextlib.suppress(WebSocketDisconnect):
        await browser.close(code, cut(prefix(code, failure) + reason) if reason else "")


def _broken() -> DomainError:
    return DialFailedError(
        "The connection to the runner broke.", stage="destination", remedy="Come again."
    )
