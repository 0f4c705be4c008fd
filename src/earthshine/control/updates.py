"""News for the list pages: which sessions and runners changed, to whom it concerns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.access import Actor, Role
from earthshine.control.errors import NotFoundError
from earthshine.control.runners.directory import Runner
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
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    overrun: bool = False


class Announcer:
    """Gathers changes and hands them to whom they concern. `run` must be running."""

    def __init__(self, sessions: SessionService, runners: RunnerService) -> None:
        self._sessions = sessions
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

    def session_removed(self, session_id: str, owner_id: str) -> None:
        """A session was deleted."""
        self._channels.pop(session_id, None)
        message = {"type": "session-removed", "id": session_id}
        self._hand_out(("session", session_id), message, _whose(owner_id))

    def runner_hidden(self, runner: Runner) -> None:
        """A runner left the lists of those who may not see it any more."""
        self._runner_ids.discard(runner.id)
        message = {"type": "runner-removed", "id": runner.id}
        self._hand_out(
            ("runner", runner.id),
            message,
            lambda actor: actor.role is not Role.GUEST and not self._runners.may_see(actor, runner),
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            await asyncio.sleep(GATHER)
            self._work.clear()
            channels, self._channels = self._channels, {}
            runner_ids, self._runner_ids = self._runner_ids, set()
            for session_id, channel in channels.items():
                try:
                    view = await self._sessions.view(channel)
                except SQLAlchemyError as error:  # the next change tells it
                    log.warning("a session could not be announced: %s", error)
                    continue
                message = {
                    "type": "session",
                    "session": view.model_dump(by_alias=True, mode="json"),
                }
                self._hand_out(("session", session_id), message, _whose(channel.record.owner_id))
            for runner_id in runner_ids:
                await self._announce_runner(runner_id)

    async def _announce_runner(self, runner_id: str) -> None:
        try:
            runner = self._runners.known(runner_id)
            view = await self._runners.view(runner_id)
        except NotFoundError:
            return
        except SQLAlchemyError as error:
            log.warning("a runner could not be announced: %s", error)
            return
        message = {"type": "runner", "runner": view.model_dump(by_alias=True, mode="json")}
        self._hand_out(
            ("runner", runner_id), message, lambda actor: self._runners.may_see(actor, runner)
        )

    def _hand_out(
        self, key: tuple[str, str], message: dict[str, Any], concerns: Callable[[Actor], bool]
    ) -> None:
        for subscriber in self._subscribers:
            if not concerns(subscriber.actor):
                continue
            if len(subscriber.pending) >= MAX_PENDING:
                subscriber.pending.clear()
                subscriber.overrun = True
            subscriber.pending[key] = message  # only the newest of each counts
            subscriber.changed.set()

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
                await self._snapshot(websocket, actor)
                while True:
                    await subscriber.changed.wait()
                    subscriber.changed.clear()
                    if subscriber.overrun:
                        subscriber.overrun = False
                        await self._snapshot(websocket, actor)
                    pending, subscriber.pending = subscriber.pending, {}
                    for message in pending.values():
                        await _say(websocket, message)
        except* (WebSocketDisconnect, RuntimeError, OSError):
            pass
        finally:
            self._subscribers.discard(subscriber)

    async def _snapshot(self, websocket: WebSocket, actor: Actor) -> None:
        sessions = await self._sessions.list(actor, "all", SNAPSHOT, None)
        runners = await self._runners.list(actor)
        await _say(
            websocket,
            {
                "type": "snapshot",
                **sessions.model_dump(by_alias=True, mode="json", include={"sessions"}),
                **runners.model_dump(by_alias=True, mode="json"),
            },
        )


def _whose(owner_id: str) -> Callable[[Actor], bool]:
    return lambda actor: actor.is_admin or actor.person_id == owner_id


async def _say(websocket: WebSocket, message: dict[str, Any]) -> None:
    await websocket.send_text(msgspec.json.encode(message).decode())


async def _until_gone(websocket: WebSocket) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
