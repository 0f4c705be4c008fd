"""Wolf's routes. Each parses, calls one method of `WolfService`, and answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
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

MAX_BODY_BYTES: Final = 1 << 20
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


def build(service: WolfService, happened: Events) -> ASGIApp:
    """The application. Errors are ``{"success": false, "error": words}``."""
    app = FastAPI(
        title="Wolf API of Earthshine",
        version=__version__,
        openapi_url="/api/v1/openapi-schema",
        docs_url=None,
        redoc_url=None,
        responses={
            400: {"model": schemas.Failure},
            404: {"model": schemas.Failure},
            500: {"model": schemas.Failure},
        },
    )
    _errors(app)
    _pairing(app, service)
    _apps(app, service)
    _sessions(app, service)
    _lobbies(app, service)
    _others(app, happened)
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


def _pairing(app: FastAPI, service: WolfService) -> None:
    @app.get("/api/v1/pair/pending")
    async def pending() -> schemas.Pending:
        return schemas.Pending(requests=service.pending())

    @app.post("/api/v1/pair/client")
    async def pair(wanted: schemas.PairRequest) -> schemas.Success:
        await service.pair(wanted.pair_secret, wanted.pin)
        return schemas.Success()

    @app.post("/api/v1/unpair/client")
    async def unpair(wanted: schemas.ClientRequest) -> schemas.Success:
        await service.unpair(wanted.client_id)
        return schemas.Success()

    @app.get("/api/v1/clients")
    async def clients() -> schemas.Clients:
        return schemas.Clients(clients=service.clients())

    @app.post("/api/v1/clients/settings")
    async def change(wanted: schemas.ClientSettingsRequest) -> schemas.Success:
        await service.change_client(wanted)
        return schemas.Success()


def _apps(app: FastAPI, service: WolfService) -> None:
    @app.get("/api/v1/apps", response_model_exclude_none=True)
    async def apps() -> schemas.Apps:
        return schemas.Apps(apps=service.apps())

    @app.post("/api/v1/apps/add")
    async def add(wanted: schemas.App) -> schemas.Success:
        service.add_app(wanted)
        return schemas.Success()

    @app.post("/api/v1/apps/delete")
    async def delete(wanted: schemas.IdRequest) -> schemas.Success:
        service.delete_app(wanted.id)
        return schemas.Success()

    @app.get("/api/v1/profiles", response_model_exclude_none=True)
    async def profiles() -> schemas.Profiles:
        return schemas.Profiles(profiles=service.profiles())

    @app.post("/api/v1/profiles/add")
    async def add_profile(wanted: schemas.Profile) -> schemas.Success:
        service.add_profile(wanted)
        return schemas.Success()

    @app.post("/api/v1/profiles/remove")
    async def remove_profile(wanted: schemas.IdRequest) -> schemas.Success:
        service.remove_profile(wanted.id)
        return schemas.Success()

    @app.get("/api/v1/utils/get-icon")
    async def icon(icon_path: schemas.Text) -> schemas.Icon:
        return schemas.Icon(icon_base64=await service.icon(icon_path))


def _sessions(app: FastAPI, service: WolfService) -> None:
    @app.get("/api/v1/sessions")
    async def sessions() -> schemas.Sessions:
        return schemas.Sessions(sessions=service.sessions())

    @app.post("/api/v1/sessions/add")
    async def add(wanted: schemas.StreamSession) -> schemas.SessionAdded:
        return schemas.SessionAdded(session_id=await service.add_session(wanted))

    @app.post("/api/v1/sessions/start")
    async def start(wanted: schemas.SessionStartRequest) -> schemas.Success:
        service.start_session(wanted)
        return schemas.Success()

    @app.post("/api/v1/sessions/pause")
    async def pause(wanted: schemas.SessionRequest) -> schemas.Success:
        service.pause_session(wanted.session_id)
        return schemas.Success()

    @app.post("/api/v1/sessions/stop")
    async def stop(wanted: schemas.SessionRequest) -> schemas.Success:
        await service.stop_session(wanted.session_id)
        return schemas.Success()

    @app.post("/api/v1/sessions/input")
    async def put_input(wanted: schemas.SessionInputRequest) -> schemas.Success:
        service.session_input(wanted.session_id, wanted.input_packet_hex)
        return schemas.Success()

    @app.post("/api/v1/runners/start")
    async def run(wanted: schemas.RunnerStartRequest) -> schemas.Success:
        service.start_runner(wanted)
        return schemas.Success()


def _lobbies(app: FastAPI, service: WolfService) -> None:
    @app.get("/api/v1/lobbies")
    async def lobbies() -> schemas.Lobbies:
        return schemas.Lobbies(lobbies=service.lobbies())

    @app.post("/api/v1/lobbies/create")
    async def create(wanted: schemas.LobbyCreateRequest) -> schemas.LobbyCreated:
        return schemas.LobbyCreated(lobby_id=await service.create_lobby(wanted))

    @app.post("/api/v1/lobbies/join")
    async def join(wanted: schemas.LobbyJoinRequest) -> schemas.Success:
        await service.join_lobby(wanted)
        return schemas.Success()

    @app.post("/api/v1/lobbies/leave")
    async def leave(wanted: schemas.LobbyLeaveRequest) -> schemas.Success:
        await service.leave_lobby(wanted)
        return schemas.Success()

    @app.post("/api/v1/lobbies/stop")
    async def stop(wanted: schemas.LobbyStopRequest) -> schemas.Success:
        await service.stop_lobby(wanted)
        return schemas.Success()


def _others(app: FastAPI, happened: Events) -> None:
    @app.get("/api/v1/docker/images/inspect")
    @app.post("/api/v1/docker/images/pull")
    async def docker() -> schemas.Success:
        raise WolfApiError(501, "this host runs no containers")

    @app.get("/api/v1/events", response_class=StreamingResponse)
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
