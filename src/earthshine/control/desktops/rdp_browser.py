"""A session's desktop by RDP in a browser: one viewer's WebSocket, and what ends it, in words."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.websockets import WebSocket

from earthshine.control.desktops.rdp import Lent, RdpService, adjusted
from earthshine.control.desktops.stream import CLOSE_BROKEN, CLOSE_NOT_ALLOWED, CLOSE_PROTOCOL
from earthshine.control.errors import DomainError
from earthshine.control.problems import close_code
from earthshine.control.runners.connection import CommandRefusedError
from earthshine.net.desktop_gateways import (
    AsgiBrowser,
    GatewayError,
    Part,
    RdpGateway,
    RdpTarget,
    tls_context,
)
from earthshine.protocols.rdp import Login

CLOSE_MISSING: Final = 4013
"""A part is not installed; the reason names it."""
CLOSE_ENDED: Final = 1000
MAX_REASON: Final = 120
ADDRESS: Final = "desktop"
"""What the page is told to be connected to; addresses of runners are none of its business."""
_MISSING: Final = frozenset({"rdp-missing", "rdp-not-possible"})
"""Why a runner cannot lend RDP at all."""


class _EndedError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def serve(websocket: WebSocket, lent: Lent) -> None:
    """Until either side ends. The WebSocket has been accepted; it is closed with words."""
    browser = AsgiBrowser(websocket.receive, websocket.send)
    code, reason = CLOSE_ENDED, ""
    try:
        async with asyncio.TaskGroup() as tasks:
            gateway = RdpGateway(browser, lambda *_: _target(lent), steered=lent.steered)
            tasks.create_task(_run(gateway))
            tasks.create_task(_roles(gateway, lent))
    except* _EndedError as group:
        first = group.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, _EndedError)
        code, reason = first.code, first.reason
    await browser.close(code, shortened(reason))


def refusal(error: DomainError) -> tuple[int, str]:
    """Code and reason for a WebSocket that gets no desktop."""
    code = close_code(error)
    if isinstance(error, CommandRefusedError):
        code = CLOSE_MISSING if error.reason in _MISSING else CLOSE_BROKEN
    elif code == 1011:
        code = CLOSE_BROKEN
    words = error.detail if error.remedy is None else f"{error.detail}: {error.remedy}"
    return code, shortened(words)


def shortened(text: str) -> str:
    """As much as fits into a close reason."""
    return text.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


async def _target(lent: Lent) -> RdpTarget:
    """The browser chooses nothing: its token and destination are not looked at."""
    try:
        server = await lent.dial()
    except (DomainError, OSError) as error:
        detail = error.detail if isinstance(error, DomainError) else str(error)
        raise GatewayError(Part.RDP_SERVER, detail) from None
    return RdpTarget(
        server,
        ADDRESS,
        Login(lent.lent.user, lent.lent.password),
        tls_context(),
        view_only=lent.lent.view_only,
        fingerprint=bytes.fromhex(lent.lent.fingerprint),
    )


async def _run(gateway: RdpGateway) -> None:
    try:
        await gateway.run()
    except GatewayError as error:
        code = CLOSE_PROTOCOL if error.part is Part.BROWSER else CLOSE_BROKEN
        words = error.detail if error.remedy is None else f"{error.detail} {error.remedy}"
        raise _EndedError(code, words) from None
    except DomainError as error:  # input that could not be recorded
        raise _EndedError(*refusal(error)) from None
    raise _EndedError(CLOSE_ENDED, "")


async def _roles(gateway: RdpGateway, lent: Lent) -> None:
    watcher = lent.watcher
    while True:
        await watcher.changed.wait()
        watcher.changed.clear()
        if watcher.put_out.is_set():
            raise _EndedError(CLOSE_NOT_ALLOWED, "the session is not shared with you any more")
        with contextlib.suppress(DomainError):  # the gateway holds input back as well
            await gateway.set_view_only(await adjusted(lent))


__all__ = ["RdpService", "refusal", "serve"]
