"""The ASGI application of the preview listener: HTTP of browsers to development servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import h11
from starlette.types import Message, Receive, Scope, Send

from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError

from . import pages
from .book import Preview, Visit
from .guard import REQUESTS, Arrival, Guard, PageError
from .headers import to_browser, to_server
from .upstream import Answer, Outgoing, Upstream, UpstreamError

ENTRANCE: Final = "/.earthshine/enter"
MAX_FORM_BYTES: Final = 1024
_FORM: Final = b"application/x-www-form-urlencoded"
_NO_BODY: Final = frozenset({204, 304})


class PreviewProxy:
    """Serves the previews in a guard's book."""

    def __init__(self, guard: Guard, dials: DialService) -> None:
        self._guard = guard
        self._dials = dials
        self._upstreams: dict[str, Upstream] = {}
        guard.book.on_removed.append(self._removed)

    def upstream(self, preview: Preview) -> Upstream:
        """The connections to a preview's server."""
        upstream = self._upstreams.get(preview.id)
        if upstream is None:
            upstream = self._upstreams[preview.id] = Upstream(preview, self._dials)
        return upstream

    def _removed(self, preview: Preview) -> None:
        upstream = self._upstreams.pop(preview.id, None)
        if upstream is not None:
            upstream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        server = scope.get("server") or ("", 0)
        arrival = Arrival(scope["method"], scope["headers"], server[1] or 0)
        try:
            preview = self._guard.locate(arrival)
            if scope["path"] == ENTRANCE:
                await self._enter(preview, arrival, receive, send)
                return
            visit = await self._guard.check(preview, arrival)
        except PageError as error:
            await _show(error.page, arrival, send)
            return
        await self._while_welcome(preview, visit, arrival, scope, receive, send)

    async def _enter(
        self, preview: Preview, arrival: Arrival, receive: Receive, send: Send
    ) -> None:
        """Trade the ticket in a form for this preview's cookie."""
        self._guard.check_entrance(arrival)
        kinds = [
            value.partition(b";")[0].strip().lower() for value in arrival.values(b"content-type")
        ]
        if arrival.method != "POST" or kinds != [_FORM]:
            raise PageError(pages.BAD_TICKET, "bad-ticket")
        form = b""
        more = True
        while more:
            message = await receive()
            form += message.get("body", b"")
            more = message.get("more_body", False)
            if len(form) > MAX_FORM_BYTES:
                raise PageError(pages.BAD_TICKET, "bad-ticket")
        tickets = parse_qs(form.decode("latin-1")).get("ticket", [])
        value = self._guard.book.enter(preview, tickets[0]) if len(tickets) == 1 else None
        if value is None:
            raise PageError(pages.BAD_TICKET, "bad-ticket")
        REQUESTS.labels("entered").inc()
        cookie = f"{preview.cookie}={value}{preview.set_cookie}"
        headers = [
            (b"location", b"/"),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
            # The page to come must not hold on to the window that opened it.
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _while_welcome(
        self,
        preview: Preview,
        visit: Visit,
        arrival: Arrival,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve until the answer is complete, the browser leaves, or the visit is ended."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not over.done():
                over.set_result(None)

        browser = _Browser(receive, end)
        exchange = asyncio.ensure_future(self._exchange(preview, arrival, scope, browser, send))
        visit.enders.add(end)
        try:
            await asyncio.wait({exchange, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            visit.enders.discard(end)
            over.cancel()
            if not exchange.done():
                exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)
        if not exchange.cancelled():
            exchange.result()

    async def _exchange(
        self, preview: Preview, arrival: Arrival, scope: Scope, browser: _Browser, send: Send
    ) -> None:
        request = _outgoing(preview, arrival, scope)
        if not request.has_body:
            browser.complete.set()
        watching = asyncio.ensure_future(browser.watch())
        started = False
        try:
            async with self.upstream(preview).exchange(request, browser.body) as answer:
                started = True
                await _pass_on(preview, arrival.method, answer, send)
        except (UpstreamError, DomainError, h11.LocalProtocolError) as error:
            REQUESTS.labels("failed").inc()
            # With part of an answer sent, the only honest thing left is to break the connection,
            # which the server does when the application leaves its response incomplete.
            if not started:
                await _show(_page(error), arrival, send)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


class _Browser:
    """The request's body, and whether the browser is still there."""

    def __init__(self, receive: Receive, left: Callable[[], None]) -> None:
        self._receive = receive
        self._left = left
        self.complete = asyncio.Event()

    async def body(self) -> bytes | None:
        """The next piece; None at the end."""
        if self.complete.is_set():
            return None
        message: Message = await self._receive()
        if message["type"] == "http.disconnect":
            self._left()
            await asyncio.get_running_loop().create_future()  # until cancelled
        if not message.get("more_body", False):
            self.complete.set()
        body: bytes = message.get("body", b"")
        return body

    async def watch(self) -> None:
        """Once the body is complete, notice when the browser leaves."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self._left()


def _outgoing(preview: Preview, arrival: Arrival, scope: Scope) -> Outgoing:
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    chunked = bool(arrival.values(b"transfer-encoding"))
    headers = to_server(arrival.headers, preview.names)
    if chunked:
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        headers.append((b"transfer-encoding", b"chunked"))
    lengths = arrival.values(b"content-length")
    return Outgoing(arrival.method, target, headers, chunked or lengths not in ([], [b"0"]))


async def _pass_on(preview: Preview, method: str, answer: Answer, send: Send) -> None:
    headers = to_browser(answer.headers, preview.names)
    if answer.status in _NO_BODY:
        headers = [(name, value) for name, value in headers if name != b"content-length"]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for piece in answer.body():
        if method != "HEAD":
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _show(page: pages.Page, arrival: Arrival, send: Send) -> None:
    headers, body = pages.render(page, as_html=arrival.wants_html)
    await send({"type": "http.response.start", "status": page.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if arrival.method == "HEAD" else body})


def _page(error: Exception) -> pages.Page:
    if isinstance(error, DomainError):
        return pages.for_error(error)
    if isinstance(error, h11.LocalProtocolError):
        return pages.Page(HTTPStatus.BAD_REQUEST, "This request cannot be passed on", str(error))
    return pages.broken(str(error))
