"""WebSockets of preview pages: the handshake is checked and rewritten, the rest relayed as bytes.

Frames are neither parsed nor re-framed, so extensions, subprotocols, pings and close codes are
those of the two ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import h11

from earthshine.control.errors import DomainError
from earthshine.net.bridge import HandoverStream, TransportStream, bridge
from earthshine.net.handover import ConnectionEndedError, Detached, Handover, adopt_socket
from earthshine.net.relay import Relay, RelayError
from earthshine.net.takeover import TakeoverProtocol, UpgradeRequest, refuse

from . import pages
from .book import Preview, Visit
from .guard import REQUESTS, Arrival, Guard, PageError
from .headers import Header, to_browser, to_server
from .proxy import PreviewProxy

HANDSHAKE_SECONDS: Final = 30.0
MAX_HEAD_BYTES: Final = 32 << 10


@dataclass(frozen=True, slots=True)
class Sockets:
    """Serves the WebSockets of the previews in a guard's book."""

    guard: Guard
    proxy: PreviewProxy
    relay: Relay

    async def serve(self, request: UpgradeRequest, browser: Handover, listening_port: int) -> None:
        """From the browser's handshake to the joined stream, or a refusal."""
        arrival = Arrival(request.method.decode("latin-1"), request.headers, listening_port)
        try:
            preview = self.guard.locate(arrival)
            visit = await self.guard.check(preview, arrival, websocket=True)
            dialed = await self.proxy.upstream(preview).dial()
        except PageError as error:
            _refuse(browser, error.page)
            return
        except DomainError as error:
            REQUESTS.labels("failed").inc()
            _refuse(browser, pages.for_error(error))
            return
        detached = dialed.take()
        server = await adopt_socket(detached.sock, detached.early)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                status, headers = await _handshake(server, request, preview)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            server.abort()
            _refuse(browser, pages.broken(f"It did not complete the handshake ({error})."))
            return
        except BaseException:
            server.abort()
            raise
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            server.abort()
            detail = f"It answered the handshake with status {status}."
            _refuse(browser, pages.broken(detail))
            return
        head = _head(to_browser(headers, preview.names))
        if browser.is_tls:
            await self._bridge(visit, browser, server, head)
        else:
            self._join(visit, browser, server, head)

    def _join(self, visit: Visit, browser: Handover, server: Handover, head: bytes) -> None:
        try:
            near = browser.detach()
        except ConnectionEndedError:
            server.abort()
            raise
        try:
            far: Detached = server.detach()
        except ConnectionEndedError:
            near.sock.close()
            raise
        try:
            stream = self.relay.join(near.sock, far.sock, to_a=head + far.early, to_b=near.early)
        except RelayError as error:
            raise ConnectionEndedError(str(error)) from error
        ender = stream.abort
        visit.enders.add(ender)
        forget: Callable[[object], object] = partial(_forget, visit, ender)
        loop = asyncio.get_running_loop()
        stream.done.add_done_callback(lambda done: _call(loop, partial(forget, done)))

    async def _bridge(self, visit: Visit, browser: Handover, server: Handover, head: bytes) -> None:
        browser.write(head)
        far = server.detach()
        there = await TransportStream.on_socket(far.sock, far.early)
        visit.enders.add(browser.abort)
        try:
            await bridge(HandoverStream(browser), there)
        finally:
            visit.enders.discard(browser.abort)


def _forget(visit: Visit, ender: Callable[[], None], _: object) -> None:
    visit.enders.discard(ender)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """From the relay's thread, which may outlive the loop."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


async def _handshake(
    server: Handover, request: UpgradeRequest, preview: Preview
) -> tuple[int, list[Header]]:
    headers = to_server(request.headers, preview.names)
    headers += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    exchange = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    data = exchange.send(h11.Request(method="GET", target=request.target, headers=headers))
    server.write(data or b"")
    exchange.receive_data(await server.read_head(MAX_HEAD_BYTES))
    answer = exchange.next_event()
    if not isinstance(answer, h11.Response | h11.InformationalResponse):
        raise ConnectionEndedError("no answer")
    return answer.status_code, [(bytes(name), bytes(value)) for name, value in answer.headers]


def _head(headers: list[Header]) -> bytes:
    """The 101 for the browser."""
    lines = [b"HTTP/1.1 101 Switching Protocols", b"connection: Upgrade", b"upgrade: websocket"]
    lines += [name + b": " + value for name, value in headers if name != b"content-length"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _refuse(browser: Handover, page: pages.Page) -> None:
    headers, body = pages.render(page, as_html=False)
    kind = dict(headers)[b"content-type"].decode()
    refuse(browser, page.status, page.title, body=body, kind=kind)


def preview_protocol(sockets: Sockets) -> type[TakeoverProtocol]:
    """A uvicorn HTTP protocol class whose WebSockets go to `sockets`."""

    class PreviewProtocol(TakeoverProtocol):
        def claims(self, request: UpgradeRequest) -> bool:
            tokens = [value.strip().lower() for value in request.values(b"upgrade")]
            return tokens == [b"websocket"] and request.method == b"GET"

        async def take_over(self, request: UpgradeRequest, connection: Handover) -> None:
            port = self.server[1] if self.server is not None else None
            await sockets.serve(request, connection, port or 0)

    return PreviewProtocol
