"""One runner's control connection, as the control plane sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from earthshine.control.errors import ConflictError, RunnerUnavailableError, TooManyError
from earthshine.net.abortable import ABORT
from earthshine.protocols import envelope
from earthshine.protocols.envelope import Ack, Control, ControlPayload, Done, Frame, Refused, Start
from earthshine.protocols.link import Link, Role

REQUEST_TIMEOUT: Final = 30.0
"""Seconds a runner has to answer a command."""
START_TIMEOUT: Final = 150.0
"""Seconds it has to start a session: the worktree of a large repository takes a while."""
MAX_REQUESTS: Final = 256
"""Commands that may wait for one runner's answer."""
FLUSH: Final = 1.0
"""Seconds that last words have to leave before a connection is closed."""
LAST_WORDS: Final = 0.3
"""Seconds to say why a connection is cut off, and for the peer to close its end."""
MAX_OUTBOX: Final = 4096
"""Frames that may wait to be sent to one runner."""
log = logging.getLogger(__name__)


class CommandRefusedError(ConflictError):
    """The runner did not carry a command out; its words."""

    def __init__(self, code: str, detail: str, remedy: str | None) -> None:
        super().__init__(detail, remedy=remedy)
        self.reason = code


class RunnerConnection:
    """Sends frames and commands; the endpoint reads and hands answers back (`answered`)."""

    __slots__ = (
        "_acks",
        "_broken",
        "_ids",
        "_outbox",
        "_requests",
        "_sending",
        "_serving",
        "_tasks",
        "_websocket",
        "instance",
        "link",
        "reading",
        "runner_id",
    )

    def __init__(self, websocket: WebSocket, runner_id: str, tasks: asyncio.TaskGroup) -> None:
        self._websocket = websocket
        self._tasks = tasks
        self._requests: dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._outbox: list[Frame] = []
        self._acks: dict[str, int] = {}
        self._sending: asyncio.Task[None] | None = None
        self._broken = False
        self._serving = asyncio.current_task()
        self.runner_id = runner_id
        self.instance = ""
        self.link = Link(Role.CONTROL, time.monotonic())
        self.reading = True
        """False while we, not the runner, hold the connection up: no reason to call it dead."""

    # --- sending ---------------------------------------------------------------------------------

    def post(self, frame: Frame) -> None:
        """Send soon, in order. Raises RunnerUnavailableError for a runner that does not read."""
        if self._broken:
            raise _unavailable()
        if len(self._outbox) >= MAX_OUTBOX:
            raise RunnerUnavailableError("The runner does not take any more commands.")
        self._outbox.append(frame)
        self._start_sending()

    def acknowledge(self, session_id: str, seq: int) -> None:
        """Tell the runner what is stored; only the newest of each session is sent."""
        if not self._broken:
            self._acks[session_id] = seq
            self._start_sending()

    def _start_sending(self) -> None:
        if self._sending is None:
            self._sending = self._tasks.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._outbox or self._acks:
                frames, self._outbox = self._outbox, []
                acks, self._acks = self._acks, {}
                frames += [Ack(session_id=key, seq=seq) for key, seq in acks.items()]
                for frame in frames:
                    await self._websocket.send_bytes(envelope.encode(frame))
                self.link.sent(time.monotonic())
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._broken = True  # the endpoint's read ends as well and cleans up
            self._outbox.clear()
            self._acks.clear()
        finally:
            self._sending = None

    async def send_control(self, payload: msgspec.Struct) -> None:
        """Send a control payload. Raises OSError when the connection is gone."""
        try:
            self.post(Control(payload=payload))  # type: ignore[arg-type]
        except RunnerUnavailableError as error:
            raise ConnectionError(error.detail) from None

    async def flush(self) -> None:
        """Wait a moment for what was posted to go out."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=FLUSH)

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket."""
        self._broken = True
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._websocket.close(code, reason)

    @property
    def is_closed(self) -> bool:
        """Whether we have closed it, or could not send."""
        return self._broken

    async def cut_off(self, code: int, reason: str) -> None:
        """Close, without waiting for a peer that takes nothing or does not close its own end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.close(code, reason)
        if self._serving is not None and not self._serving.done():
            self._serving.cancel()
        abort = self._websocket.scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            asyncio.get_running_loop().call_later(LAST_WORDS, abort)

    # --- commands --------------------------------------------------------------------------------

    def next_request_id(self) -> str:
        """A fresh id for a command."""
        return str(next(self._ids))

    async def request(self, session_id: str | None, command: ControlPayload) -> Any:
        """Send a command and wait for its answer.

        Raises CommandRefusedError, or RunnerUnavailableError when the connection ends before.
        """
        if len(self._requests) >= MAX_REQUESTS:
            raise TooManyError("The runner has too many commands to answer.")
        request_id = self.next_request_id()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._requests[request_id] = answer
        named = msgspec.structs.replace(command, request_id=request_id)
        try:
            self.post(Control(session_id=session_id, payload=named))
            limit = START_TIMEOUT if isinstance(command, Start) else REQUEST_TIMEOUT
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise RunnerUnavailableError(
                "The runner did not answer in time.", remedy="See its log."
            ) from None
        finally:
            self._requests.pop(request_id, None)

    def tell(self, session_id: str, payload: ControlPayload) -> None:
        """Send something that is not answered."""
        self.post(Control(session_id=session_id, payload=payload))

    def answered(self, payload: Done | Refused) -> None:
        """The runner answered a command."""
        waiting = self._requests.get(payload.request_id)
        if waiting is None or waiting.done():
            return  # its caller gave up
        if isinstance(payload, Done):
            waiting.set_result(payload.value)
        else:
            waiting.set_exception(CommandRefusedError(payload.code, payload.detail, payload.remedy))

    def ended(self) -> None:
        """The connection is gone: nobody will answer."""
        self._broken = True
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_exception(_unavailable())


def _unavailable() -> RunnerUnavailableError:
    return RunnerUnavailableError(
        "The runner is not connected.",
        remedy="Its agents go on working; try again when it is back.",
    )
