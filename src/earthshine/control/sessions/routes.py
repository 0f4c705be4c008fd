"""`/api/v1/sessions`, its event log as JSON and as server-sent events, and its feed."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request, WebSocket
from starlette.responses import StreamingResponse

from earthshine.control.credentials import CurrentActor, current_actor
from earthshine.control.errors import DomainError
from earthshine.control.problems import close_code
from earthshine.control.sessions.channel import Viewer
from earthshine.control.sessions.feed import open_feed
from earthshine.control.sessions.schemas import (
    Accepted,
    EventPage,
    EventView,
    Prompt,
    Rename,
    Resize,
    SessionList,
    SessionView,
    StartSession,
    Steer,
    Typed,
)
from earthshine.control.sessions.service import SessionService, decode_input
from earthshine.control.sessions.storage import Filter
from earthshine.control.sessions.stream import server_sent_events
from earthshine.protocols.events import Event, Kind
from earthshine.protocols.feed import SUBPROTOCOL

router = APIRouter(tags=["sessions"])
MAX_PAGE_BYTES = 4 * 1024 * 1024
STORED_SECONDS = 2.0
"""How long a reader of the log waits for what has just come to be stored."""


def _sessions(request: Request) -> SessionService:
    service: SessionService = request.app.state.sessions
    return service


@router.post("/sessions", status_code=201)
async def start_session(request: Request, actor: CurrentActor, body: StartSession) -> SessionView:
    """Start an agent. A session that could not be started answers with state `failed`."""
    return await _sessions(request).start(actor, body)


@router.get("/sessions")
async def list_sessions(
    request: Request,
    actor: CurrentActor,
    state: Filter = "all",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> SessionList:
    """Your sessions, newest first; everybody's for an admin."""
    return await _sessions(request).list(actor, state, limit, cursor)


@router.get("/sessions/{session_id}")
async def get_session(request: Request, actor: CurrentActor, session_id: str) -> SessionView:
    """One session."""
    return await _sessions(request).get(actor, session_id)


@router.patch("/sessions/{session_id}")
async def rename_session(
    request: Request, actor: CurrentActor, session_id: str, body: Rename
) -> SessionView:
    """Change the title."""
    return await _sessions(request).rename(actor, session_id, body.title)


@router.delete("/sessions/{session_id}", status_code=204)
async def delete_session(request: Request, actor: CurrentActor, session_id: str) -> None:
    """Remove an ended session and its log."""
    await _sessions(request).delete(actor, session_id)


@router.post("/sessions/{session_id}/prompt", status_code=202)
async def send_prompt(
    request: Request, actor: CurrentActor, session_id: str, body: Prompt
) -> Accepted:
    """Give the agent a prompt."""
    done = await _sessions(request).prompt(actor, session_id, body.text, body.command_id)
    return Accepted(command_id=done)


@router.post("/sessions/{session_id}/input", status_code=202)
async def send_input(
    request: Request, actor: CurrentActor, session_id: str, body: Typed
) -> Accepted:
    """Type into the terminal."""
    await _sessions(request).type(actor, session_id, decode_input(body.data))
    return Accepted(command_id="")


@router.post("/sessions/{session_id}/interrupt", status_code=202)
async def interrupt_session(
    request: Request, actor: CurrentActor, session_id: str, body: Steer
) -> Accepted:
    """What Ctrl-C, or Escape for agents that want that, would do."""
    done = await _sessions(request).interrupt(actor, session_id, body.command_id)
    return Accepted(command_id=done)


@router.post("/sessions/{session_id}/stop", status_code=202)
async def stop_session(
    request: Request, actor: CurrentActor, session_id: str, body: Steer
) -> Accepted:
    """Ask the agent to end; after five seconds it is killed."""
    done = await _sessions(request).stop(actor, session_id, "stop", body.command_id)
    return Accepted(command_id=done)


@router.post("/sessions/{session_id}/kill", status_code=202)
async def kill_session(
    request: Request, actor: CurrentActor, session_id: str, body: Steer
) -> Accepted:
    """Kill the agent and everything it started in its terminal."""
    done = await _sessions(request).stop(actor, session_id, "kill", body.command_id)
    return Accepted(command_id=done)


@router.post("/sessions/{session_id}/resize", status_code=202)
async def resize_session(
    request: Request, actor: CurrentActor, session_id: str, body: Resize
) -> Accepted:
    """Give the terminal another size."""
    await _sessions(request).resize(actor, session_id, body.cols, body.rows)
    return Accepted(command_id="")


@router.get("/sessions/{session_id}/events")
async def list_events(
    request: Request,
    actor: CurrentActor,
    session_id: str,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> EventPage:
    """Entries of the log behind a cursor: at most `limit`, and at most about 4 MiB of data.

    What came before the request is among them, also when it was not stored yet.
    """
    service = _sessions(request)
    channel = await service.watch(actor, session_id)
    await channel.settled(STORED_SECONDS)
    events = await service.log.page(session_id, after, MAX_PAGE_BYTES)
    return EventPage(events=[_view(event) for event in events[:limit]], last_seq=channel.last_seq)


def _view(event: Event) -> EventView:
    known = event.kind in Kind.__members__.values()
    name = Kind(event.kind).name.lower() if known else f"kind-{event.kind}"
    data: str | dict[str, Any] = base64.b64encode(event.data).decode()
    if event.kind != Kind.OUTPUT:
        # What a runner wrote that is no JSON object stays bytes.
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
            data = msgspec.json.decode(event.data, type=dict[str, Any])
    return EventView(seq=event.seq, ts=event.ts, kind=name, data=data)


@router.get("/sessions/{session_id}/events/stream", response_class=StreamingResponse)
async def stream_events(
    request: Request,
    actor: CurrentActor,
    session_id: str,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    last_event_id: Annotated[str | None, Header(max_length=20, pattern="^[0-9]*$")] = None,
) -> StreamingResponse:
    """The log as server-sent events; `Last-Event-ID` resumes. Ends when the session has ended."""
    service = _sessions(request)
    channel = await service.watch(actor, session_id)
    role = await service.role(actor, session_id)
    cursor = int(last_event_id) if last_event_id else after

    viewer = Viewer(actor, role)

    def end() -> None:
        viewer.put_out.set()
        viewer.changed.set()

    async def body() -> AsyncIterator[bytes]:
        with contextlib.suppress(DomainError), request.app.state.sign_ins.stream(actor, end):
            await current_actor(request)  # may have signed out since, while nothing would tell
            async for part in server_sent_events(service, channel, viewer, cursor, _view):
                yield part

    return StreamingResponse(
        body(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.websocket("/sessions/{session_id}/feed")
async def session_feed(websocket: WebSocket, session_id: str) -> None:
    """See docs/protocols/feed.md."""
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        actor = await current_actor(websocket)
    except DomainError as error:
        await websocket.close(close_code(error), error.detail[:100])
        return
    async with websocket.app.state.sign_ins.socket(actor, websocket):
        await open_feed(websocket, websocket.app.state.sessions, actor, session_id)
