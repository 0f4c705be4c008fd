"""Wolf's routes: a table of the methods of `WolfService`, events, and how errors are said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthshine import __version__
from earthshine.runner.desktops.moonlight_host import events
from earthshine.runner.desktops.moonlight_host.events import (
    EventListener,
    Events,
    TooManyListenersError,
)
from earthshine.runner.desktops.wolf import schemas
from earthshine.runner.desktops.wolf.service import WolfApiError, WolfService

PREFIX: Final = "/api/v1"
SPARSE: Final = ("/apps", "/profiles")
"""Answers in which what is not set is left out."""
MAX_BODY_BYTES: Final = 1 << 20
REFUSALS: Final = (400, 403, 404, 409, 413, 429, 500, 501, 503)
"""Statuses of `Failure`. Wolf says 500 for most of what it refuses."""
KEEP_ALIVE_SECONDS: Final = 15.0

# Our events by Wolf's names.
EVENT_NAMES: Final = {
    events.PAIR_REQUESTED: "PairSignal",
    events.CLIENT_PAIRED: "ClientPaired",
    events.CLIENT_UNPAIRED: "ClientUnpaired",
    events.SESSION_STARTED: "StreamSession",
    events.SESSION_STREAMING: "ResumeStream",
    events.SESSION_PAUSED: "PauseStream",
    events.SESSION_ENDED: "StopStream",
    events.KEY_FRAME_REQUESTED: "IDRRequest",
    events.LOBBY_CREATED: "CreateLobby",
    events.LOBBY_JOINED: "JoinLobby",
    events.LOBBY_LEFT: "LeaveLobby",
    events.LOBBY_STOPPED: "StopLobby",
}


Answer = Callable[..., Awaitable[schemas.Success]]


def routes(service: WolfService) -> tuple[tuple[str, str, Answer], ...]:
    """Method, path below `PREFIX`, and what answers: its annotations are the document."""
    return (
        ("GET", "/pair/pending", service.pending),
        ("POST", "/pair/client", service.pair),
        ("POST", "/unpair/client", service.unpair),
        ("GET", "/clients", service.clients),
        ("POST", "/clients/settings", service.change_client),
        ("GET", "/apps", service.apps),
        ("POST", "/apps/add", service.add_app),
        ("POST", "/apps/delete", service.delete_app),
        ("GET", "/profiles", service.profiles),
        ("POST", "/profiles/add", service.add_profile),
        ("POST", "/profiles/remove", service.remove_profile),
        ("GET", "/sessions", service.sessions),
        ("POST", "/sessions/add", service.add_session),
        ("POST", "/sessions/start", service.start_session),
        ("POST", "/sessions/pause", service.pause_session),
        ("POST", "/sessions/stop", service.stop_session),
        ("POST", "/sessions/input", service.session_input),
        ("POST", "/runners/start", service.start_runner),
        ("GET", "/lobbies", service.lobbies),
        ("POST", "/lobbies/create", service.create_lobby),
        ("POST", "/lobbies/join", service.join_lobby),
        ("POST", "/lobbies/leave", service.leave_lobby),
        ("POST", "/lobbies/stop", service.stop_lobby),
        ("GET", "/utils/get-icon", service.icon),
        ("GET", "/docker/images/inspect", service.docker),
        ("POST", "/docker/images/pull", service.docker),
    )


def build(service: WolfService, happened: Events) -> ASGIApp:
    """The application. Errors are ``{"success": false, "error": words}``."""
    app = FastAPI(
        title="Wolf API of Earthshine",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi-schema",
        docs_url=None,
        redoc_url=None,
        responses={status: {"model": schemas.Failure} for status in REFUSALS},
    )
    _errors(app)
    for method, path, answer in routes(service):
        app.add_api_route(
            PREFIX + path,
            answer,
            methods=[method],
            response_model_exclude_none=path in SPARSE,
            operation_id=path.strip("/").replace("/", "-"),
        )
    _listening(app, happened)
    return LimitedBody(app)


def _failure(status: int, words: str) -> JSONResponse:
    return JSONResponse({"success": False, "error": words}, status)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(WolfApiError)
    async def refused(_: Request, error: WolfApiError) -> JSONResponse:
        return _failure(error.status, str(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _failure(400, f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return _failure(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return _failure(500, "the host failed; its log says why")


def _listening(app: FastAPI, happened: Events) -> None:
    @app.get(f"{PREFIX}/events", response_class=StreamingResponse)
    async def listen() -> StreamingResponse:
        changed = asyncio.Event()
        try:
            listener = happened.listen(changed.set)
        except TooManyListenersError as error:
            raise WolfApiError(503, str(error)) from None
        feed = _server_sent(happened, listener, changed)
        return StreamingResponse(feed, media_type="text/event-stream")


async def _server_sent(
    happened: Events, listener: EventListener, changed: asyncio.Event
) -> AsyncIterator[bytes]:
    try:
        yield b":keepalive\n\n"
        while True:
            changed.clear()
            for event in listener.take():
                name = EVENT_NAMES.get(event.kind)
                if name is not None:
                    yield f"event: {name}\ndata: {json.dumps(event.details)}\n\n".encode()
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield b":keepalive\n\n"
    finally:
        happened.leave(listener)


class LimitedBody:
    """Answers 413 to a body that is larger than `MAX_BODY_BYTES`, however it is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                await _failure(413, "the request is too large")(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        given = False

        async def whole() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, whole, send)
