"""News for the list pages: which sessions and runners changed, to whom it concerns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.access import Actor, Role
from earthshine.control.runners.schemas import RunnerList
from earthshine.control.runners.service import RunnerService
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.service import SessionService

SUBPROTOCOL: Final = "earthshine.updates.v1"
GATHER: Final = 0.2
"""Seconds over which changes are gathered: a busy agent changes its session all the time."""
MAX_SUBSCRIBERS: Final = 2000
MAX_PENDING: Final = 5000
"""Changes that may wait for one subscriber; beyond it the subscriber starts over."""
SNAPSHOT: Final = 200
"""Sessions in a snapshot; older ones are paged through the API."""
log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Subscriber:
    actor: Actor
    pending: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    """Sessions that it was told of."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    overrun: bool = False


class Announcer:
    """Gathers changes and hands them to whom they concern. `run` must be running."""

    def __init__(
        self,
        sessions: SessionService,
        runners: RunnerService,
        shared_with: Callable[[str], Awaitable[frozenset[str]]],
    ) -> None:
        """`shared_with` gives the people whom a session is shared with."""
        self._sessions = sessions
        self._shared_with = shared_with
        self._runners = runners
        self._subscribers: set[_Subscriber] = set()
        self._channels: dict[str, Channel] = {}
        self._runner_ids: set[str] = set()
        self._work = asyncio.Event()

    def session_changed(self, channel: Channel) -> None:
        """A session is new or has moved."""
        if self._subscribers:
            self._channels[channel.record.id] = channel
            self._work.set()

    def runner_changed(self, runner_id: str) -> None:
        """A runner came, went, or found other agents."""
        if self._subscribers:
            self._runner_ids.add(runner_id)
            self._work.set()

    def session_removed(self, session_id: str) -> None:
        """A session was deleted."""
        self._channels.pop(session_id, None)
        for subscriber in self._subscribers:
            self._remove(subscriber, session_id)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            await asyncio.sleep(GATHER)
            self._work.clear()
            channels, self._channels = self._channels, {}
            runner_ids, self._runner_ids = self._runner_ids, set()
            for channel in channels.values():
                try:
                    view = await self._sessions.view(channel)
                except SQLAlchemyError as error:  # the next change tells it
                    log.warning("a session could not be announced: %s", error)
                    continue
                message = {
                    "type": "session",
                    "session": view.model_dump(by_alias=True, mode="json"),
                }
                await self._announce(channel, message)
            for runner_id in runner_ids:
                runner = self._runners.view(runner_id).model_dump(by_alias=True, mode="json")
                for subscriber in self._subscribers:
                    if subscriber.actor.role is not Role.GUEST:
                        message = {"type": "runner", "runner": runner}
                        _put(subscriber, ("runner", runner_id), message)

    async def _announce(self, channel: Channel, message: dict[str, Any]) -> None:
        """Tell those who may see the session; from others who knew it, take it away."""
        session_id = channel.record.id
        audience = {channel.record.owner_id, *await self._shared_with(session_id)}
        for subscriber in self._subscribers:
            if subscriber.actor.is_admin or subscriber.actor.person_id in audience:
                subscriber.known.add(session_id)
                _put(subscriber, ("session", session_id), message)
            else:
                self._remove(subscriber, session_id)

    def _remove(self, subscriber: _Subscriber, session_id: str) -> None:
        if session_id in subscriber.known:
            subscriber.known.discard(session_id)
            message = {"type": "session-removed", "id": session_id}
            _put(subscriber, ("session", session_id), message)

    async def serve(self, websocket: WebSocket, actor: Actor) -> None:
        """One subscriber, until it leaves. The socket has been accepted."""
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            await websocket.close(4008, "too many subscribers")
            return
        subscriber = _Subscriber(actor)
        self._subscribers.add(subscriber)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_gone(websocket))
                await self._snapshot(websocket, subscriber)
                while True:
                    await subscriber.changed.wait()
                    subscriber.changed.clear()
                    if subscriber.overrun:
                        subscriber.overrun = False
                        await self._snapshot(websocket, subscriber)
                    pending, subscriber.pending = subscriber.pending, {}
                    for message in pending.values():
                        await _say(websocket, message)
        except* (WebSocketDisconnect, RuntimeError, OSError):
            pass
        finally:
            self._subscribers.discard(subscriber)

    async def _snapshot(self, websocket: WebSocket, subscriber: _Subscriber) -> None:
        actor = subscriber.actor
        sessions = await self._sessions.list(actor, "all", SNAPSHOT, None)
        subscriber.known = {session.id for session in sessions.sessions}
        is_guest = actor.role is Role.GUEST
        runners = RunnerList(runners=[]) if is_guest else await self._runners.list(actor)
        await _say(
            websocket,
            {
                "type": "snapshot",
                **sessions.model_dump(by_alias=True, mode="json", include={"sessions"}),
                **runners.model_dump(by_alias=True, mode="json"),
            },
        )


def _put(subscriber: _Subscriber, key: tuple[str, str], message: dict[str, Any]) -> None:
    if len(subscriber.pending) >= MAX_PENDING:
        subscriber.pending.clear()
        subscriber.overrun = True
    subscriber.pending[key] = message  # only the newest of each counts
    subscriber.changed.set()


async def _say(websocket: WebSocket, message: dict[str, Any]) -> None:
    await websocket.send_text(msgspec.json.encode(message).decode())


async def _until_gone(websocket: WebSocket) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
