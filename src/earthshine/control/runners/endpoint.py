"""The WebSocket that runners dial: greets, reads, hands on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine import __version__
from earthshine.control import metrics
from earthshine.control.devices.errors import DeviceRevokedError
from earthshine.control.errors import DomainError
from earthshine.control.origin import current_origin
from earthshine.control.problems import answer, of, plain_problem
from earthshine.control.runners.connection import RunnerConnection
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    CHALLENGE_HEADER,
    CLOSE_REVOKED,
    VERSION,
    Auth,
    Control,
    ControlHello,
    Done,
    EnvelopeError,
    Error,
    Hello,
    Log,
    Ping,
    Pong,
    Problem,
    RecordingCondition,
    Refused,
    RunnerCondition,
    RunnerHello,
    SessionCondition,
    SpoolPosition,
    Status,
)
from earthshine.protocols.events import Event, EventError
from earthshine.protocols.link import refusal
from earthshine.protocols.replay import HoleError
from earthshine.protocols.revdial import DialFailed

MAX_ID: Final = 64
MAX_ADDRESS: Final = 64
CHALLENGE_BYTES: Final = 24
CLOSE_PROTOCOL: Final = 4009
CLOSE_CONFLICT: Final = 4012
TICK: Final = 1.0
"""Seconds between looks at the heartbeats of all runners."""
log = logging.getLogger(__name__)


class Intake(Protocol):
    """What sessions do with what runners say."""

    async def greet(self, runner_id: str, positions: list[SpoolPosition]) -> ControlHello:
        """Where to resume each session that the runner holds."""
        ...

    async def take(
        self,
        runner_id: str,
        session_id: str,
        events: list[Event],
        stored: Callable[[str, int], None],
    ) -> None:
        """Entries of a log. Raises HoleError, EventError, and NotFoundError for a foreign one."""
        ...

    def condition(self, runner_id: str, session_id: str, condition: SessionCondition) -> None:
        """Something holds a session up, or does not any more."""
        ...


class Authentication(Protocol):
    """Who a runner is. Both raise DomainError for somebody else."""

    async def by_header(self, runner_id: str, authorization: str) -> None:
        """The Authorization header."""
        ...

    async def by_frame(self, runner_id: str, token: str, proof: str | None, challenge: str) -> None:
        """The first message, after the handshake gave `challenge`."""
        ...


class RunnerEndpoint:
    """Serves `/api/clients/stream`."""

    def __init__(
        self,
        directory: RunnerDirectory,
        intake: Intake,
        authentication: Authentication,
        dial_failed: Callable[[str, DialFailed], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._directory = directory
        self._intake = intake
        self._authentication = authentication
        self._dial_failed = dial_failed
        self._tasks = tasks
        self._connections: set[RunnerConnection] = set()
        self.on_recording: Callable[[str, str, RecordingCondition], Awaitable[None]] = _ignored
        """Hears whether a desktop is recorded: the runner, the session, and how it is."""

    async def serve(self, websocket: WebSocket) -> None:
        """One runner's connection, until it ends."""
        runner_id = websocket.headers.get("earthshine-runner", "")
        authorization = websocket.headers.get("authorization")
        try:
            if authorization is not None:
                await self._authentication.by_header(runner_id[:MAX_ID], authorization)
        except DomainError as error:
            metrics.REFUSED_FRAMES.labels("unauthenticated").inc()
            await websocket.send_denial_response(answer(of(error)))
            return
        if not _is_id(runner_id):
            await deny(websocket, 400, "The header Earthshine-Runner is missing or malformed.")
            return
        challenge = "" if authorization is not None else secrets.token_urlsafe(CHALLENGE_BYTES)
        named = (CHALLENGE_HEADER.encode(), challenge.encode())
        await websocket.accept(headers=[named] if challenge else None)
        connection = RunnerConnection(websocket, runner_id, self._tasks)
        self._connections.add(connection)
        try:
            await self._converse(websocket, connection, challenge)
        except (WebSocketDisconnect, OSError):
            pass
        except asyncio.CancelledError:
            if not connection.is_closed:
                raise
            _take_back_cancellation()  # it was cut off
        except EnvelopeError as error:
            await self._refuse(connection, error)
            await connection.flush()
            await connection.close(CLOSE_PROTOCOL, error.detail[:100])
        except DomainError as error:
            with contextlib.suppress(DomainError):
                connection.post(Error(payload=Problem(code=error.code, detail=error.detail)))
            await connection.flush()
            await connection.close(CLOSE_CONFLICT, error.detail[:100])
        finally:
            self._connections.discard(connection)
            connection.ended()
            await self._directory.left(connection)
            metrics.RUNNERS.set(sum(1 for runner in self._directory if runner.is_connected))

    async def _converse(
        self, websocket: WebSocket, connection: RunnerConnection, challenge: str
    ) -> None:
        """`challenge`: for a runner that has yet to say who it is; empty for one that has."""
        while True:
            message = await _receive(websocket)
            if connection.is_closed:
                return  # what came in with our last words is not taken
            try:
                frame = connection.link.receive(message, time.monotonic())
                if frame is None:
                    continue
                if challenge and not isinstance(frame, (Auth, Ping, Pong, Error)):
                    raise EnvelopeError("unauthenticated", "say who you are first", fatal=True)
                if isinstance(frame, Auth):
                    await self._authenticate(connection, frame, challenge)
                    challenge = ""
                else:
                    connection.reading = False
                    await self._take(connection, frame)
            except EnvelopeError as error:
                if error.fatal:
                    raise
                await self._refuse(connection, error)
            finally:
                connection.reading = True

    async def _authenticate(
        self, connection: RunnerConnection, frame: Auth, challenge: str
    ) -> None:
        """One attempt: the challenge is good once, and the static token needs no second."""
        if not challenge:
            raise EnvelopeError("unauthenticated", "you have said who you are", fatal=True)
        token = frame.payload
        try:
            await self._authentication.by_frame(
                connection.runner_id, token.token, token.proof, challenge
            )
        except DeviceRevokedError as error:
            metrics.REFUSED_FRAMES.labels("unauthenticated").inc()
            connection.post(Error(payload=Problem(code=error.code, detail=error.detail)))
            await connection.flush()
            await connection.close(CLOSE_REVOKED, error.detail[:100])
            raise WebSocketDisconnect(CLOSE_REVOKED) from None
        except DomainError as error:
            raise EnvelopeError("unauthenticated", error.detail, fatal=True) from None

    async def revoke(self, runner_id: str) -> None:
        """Close every connection of a runner, also one that has not been greeted yet."""
        closing = [
            self._tasks.create_task(connection.cut_off(CLOSE_REVOKED, "revoked"))
            for connection in list(self._connections)
            if connection.runner_id == runner_id
        ]
        if closing:
            await asyncio.wait(closing)

    async def _refuse(self, connection: RunnerConnection, error: EnvelopeError) -> None:
        metrics.REFUSED_FRAMES.labels(error.code).inc()
        log.warning(
            "a message from runner %s was refused: %s", connection.runner_id, error.detail[:200]
        )
        with contextlib.suppress(DomainError):
            connection.post(refusal(error))

    async def _take(self, connection: RunnerConnection, frame: envelope.AnyFrame) -> None:
        match frame:
            case Log(session_id=str(session_id)):
                await self._log(connection, session_id, frame.payload.events)
            case Control(payload=Done() | Refused() as payload):
                connection.answered(payload)
            case Control(payload=DialFailed() as failure):
                self._dial_failed(connection.runner_id, failure)
            case Status(payload=SessionCondition() as condition, session_id=str(session_id)):
                self._intake.condition(connection.runner_id, session_id, condition)
            case Status(payload=RecordingCondition() as condition, session_id=str(session_id)):
                await self.on_recording(connection.runner_id, session_id, condition)
            case Status(payload=RunnerCondition() as condition):
                await self._directory.condition_changed(connection.runner_id, condition)
            case Ping():
                connection.post(Pong(seq=frame.seq))
            case Hello(payload=RunnerHello() as hello):
                await self._greet(connection, hello)
            case Error():
                log.warning(
                    "runner %s refused a message: %s",
                    connection.runner_id,
                    frame.payload.detail[:200],
                )
            case _:
                raise EnvelopeError("invalid", "not for the control plane")

    async def _log(
        self, connection: RunnerConnection, session_id: str, events: list[Event]
    ) -> None:
        try:
            await self._intake.take(
                connection.runner_id, session_id, events, connection.acknowledge
            )
        except HoleError as error:
            metrics.REFUSED_FRAMES.labels("hole").inc()
            connection.post(
                Error(session_id=session_id, payload=Problem(code="hole", detail=str(error)))
            )
        except EventError as error:
            raise EnvelopeError("invalid", str(error)) from None
        except DomainError as error:
            raise EnvelopeError(error.code, error.detail) from None

    async def _greet(self, connection: RunnerConnection, hello: RunnerHello) -> None:
        await self._directory.admit(connection.runner_id, hello.instance)
        connection.instance = hello.instance
        greeting = await self._intake.greet(connection.runner_id, hello.sessions)
        # Before `arrived`: no command may overtake the greeting.
        connection.post(Hello(payload=greeting))
        await self._directory.arrived(connection, hello, current_origin().address[:MAX_ADDRESS])
        metrics.RUNNERS.set(sum(1 for runner in self._directory if runner.is_connected))
        log.info("runner %s connected", connection.runner_id)

    async def watch(self) -> None:
        """Heartbeats and watchdogs of all connections; one task for all, they are many."""
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for connection in list(self._connections):
                try:
                    frame = connection.link.poll(now, reading=connection.reading)
                    if frame is not None:
                        connection.post(frame)
                except EnvelopeError as error:
                    metrics.REFUSED_FRAMES.labels(error.code).inc()
                    self._tasks.create_task(connection.close(CLOSE_PROTOCOL, error.detail))
                except DomainError:
                    self._tasks.create_task(connection.close(CLOSE_PROTOCOL, "not reading"))


def hello_of(positions: list[Any], unknown: list[str]) -> ControlHello:
    """The greeting with where to resume."""
    return ControlHello(version=VERSION, software=__version__, positions=positions, unknown=unknown)


async def _ignored(_runner: str, _session: str, _condition: RecordingCondition) -> None: ...


async def deny(websocket: WebSocket, status: int, words: str) -> None:
    """Refuse the handshake with an HTTP status."""
    await websocket.send_denial_response(plain_problem(status, words))


async def _receive(websocket: WebSocket) -> str | bytes:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    data = message.get("bytes")
    text: str | bytes | None = data if data is not None else message.get("text")
    return text if text is not None else b""


def _take_back_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _is_id(runner_id: str) -> bool:
    return 8 <= len(runner_id) <= 64 and runner_id.isascii() and runner_id.isalnum()
