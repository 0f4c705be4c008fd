"""The runner's one control connection: dial, greet, serve, and after a break dial again.

This is the only place that reconnects. What the connection carries is resumed by cursors
(`earthshine.protocols.replay`), never by splicing bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import random
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from earthshine import __version__
from earthshine.net.backoff import Backoff
from earthshine.net.pinning import PinMismatchError
from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    CHALLENGE_HEADER,
    CLOSE_REVOKED,
    MAX_MESSAGE,
    VERSION,
    Ack,
    AgentOffer,
    AnyFrame,
    Control,
    ControlHello,
    ControlPayload,
    EncodedEvents,
    EncodedLog,
    EnvelopeError,
    Error,
    Frame,
    Hello,
    Ping,
    Pong,
    RecordingCondition,
    RunnerCondition,
    RunnerHello,
    SessionCondition,
    Status,
)
from earthshine.protocols.link import Link, Role, refusal
from earthshine.runner.identity.record import CredentialsEndedError
from earthshine.runner.identity.session import DeviceSession
from earthshine.runner.sessions.held import HeldSession
from earthshine.runner.sessions.keeper import SessionKeeper

PATH: Final = "/api/clients/stream"
OPEN_TIMEOUT: Final = 15.0
"""Seconds for TCP, TLS and the WebSocket handshake together."""
STEADY_SECONDS: Final = 20.0
"""A connection that lasts so long proves that the next may be tried soon."""
NOT_SENT_LOW_WATER: Final = 128 * 1024
"""Bytes in the kernel's send queue above which we wait: key strokes must not queue behind output
that a slow line has yet to take."""
PIN_REMEDY: Final = (
    "Somebody may be in between, and nothing was sent. Only if whoever runs the server says that "
    "its key is new, set EARTHSHINE_RUNNER_PIN to what they tell you"
)
TRUST_REMEDY: Final = (
    "Set EARTHSHINE_RUNNER_PIN to what `earthshine serve` prints there, or "
    "EARTHSHINE_RUNNER_CA_FILE to the authority that vouches for it"
)
log = logging.getLogger(__name__)


class DialHome:
    """Keeps the control connection. `obey` is called for each control frame and must not block."""

    def __init__(
        self,
        url: str,
        runner_id: str,
        name: str,
        authorization: Callable[[], str],
        keeper: SessionKeeper,
        offers: Callable[[], list[AgentOffer]],
        obey: Callable[[str | None, ControlPayload], None],
        *,
        ssl_context: ssl.SSLContext | None = None,
        device: DeviceSession | None = None,
        capabilities: Callable[[], dict[str, str]] = dict,
    ) -> None:
        """`ssl_context` decides which server is taken, for an https address.

        With `device` a paired runner says who it is in its first message, not in a header.
        """
        self._device = device
        self._url = websocket_url(url)
        self._ssl = (ssl_context or True) if self._url.startswith("wss:") else None
        self._runner_id = runner_id
        self._name = name or socket.gethostname()
        self._authorization = authorization
        self._keeper = keeper
        self._offers = offers
        self._capabilities = capabilities
        self._obey = obey
        self._instance = secrets.token_hex(8)
        self._connection: ClientConnection | None = None
        self._link: Link | None = None
        self._pumps: asyncio.TaskGroup | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._greeted: float | None = None
        """When the control plane answered on this connection."""
        self.on_state: Callable[[str], None] = lambda _: None
        self.on_greeted: Callable[[], None] = lambda: None
        """The control plane has answered: what it should know anew can be said."""
        keeper.on_added = self._added
        keeper.on_condition = self._condition_changed

    async def run(self) -> None:
        """Until cancelled. Raises CredentialsEndedError when coming back is of no use."""
        backoff = Backoff(random.random)
        while True:
            ended: CredentialsEndedError | None = None
            try:
                await self._connect_and_serve(backoff)
            except* (
                OSError,
                TimeoutError,
                ConnectionClosed,
                InvalidHandshake,
                InvalidURI,
            ) as group:
                reason = _words(group.exceptions[0])
                ended = _revocation(group.exceptions[0])
            except* EnvelopeError as group:
                reason = _words(group.exceptions[0])
            except* CredentialsEndedError as group:
                reason = _words(group.exceptions[0])
                ended = CredentialsEndedError(reason, for_good=_is_for_good(group))
            else:
                reason = "the control plane closed the connection"
            if ended is not None:
                raise ended
            self._begin_anew_after_long(backoff)
            wait = backoff.next()
            log.warning(
                "not connected to the control plane: %s; trying again",
                reason,
                extra={"wait": round(wait, 1)},
            )
            self.on_state(f"not connected: {reason}; next attempt in {wait:.0f} s")
            await asyncio.sleep(wait)

    def _begin_anew_after_long(self, backoff: Backoff) -> None:
        """A connection that lasted was a good one, also when there was nothing to deliver."""
        greeted, self._greeted = self._greeted, None
        if greeted is not None and time.monotonic() - greeted >= STEADY_SECONDS:
            backoff.delivered()

    async def send(self, frame: Frame) -> None:
        """Send a frame. Raises OSError when there is no connection."""
        connection, link = self._connection, self._link
        if connection is None or link is None:
            raise ConnectionError("no connection to the control plane")
        try:
            await connection.send(envelope.encode(frame))
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from None
        link.sent(time.monotonic())

    async def send_control(self, payload: ControlPayload, session_id: str | None = None) -> None:
        """Send the answer to a command, or a report. Raises OSError."""
        await self.send(Control(client_id=self._runner_id, session_id=session_id, payload=payload))

    async def _connect_and_serve(self, backoff: Backoff) -> None:
        headers = {"Earthshine-Runner": self._runner_id}
        if self._device is None:
            headers["Authorization"] = self._authorization()
        else:
            await self._device.ready()
        async with connect(
            self._url,
            additional_headers=headers,
            ssl=self._ssl,
            user_agent_header=f"earthshine/{__version__}",
            compression=None,
            max_size=MAX_MESSAGE,
            max_queue=16,
            write_limit=NOT_SENT_LOW_WATER,
            ping_interval=None,  # the envelope has its own heartbeat
            open_timeout=OPEN_TIMEOUT,
            close_timeout=5,
        ) as connection:
            _tune(connection)
            link = Link(Role.RUNNER, time.monotonic())
            self._connection, self._link = connection, link
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    watchdog = tasks.create_task(self._heartbeat(connection, link))
                    if self._device is not None:
                        await self.send(self._device.first_message(_challenge(connection)))
                    await self.send(await asyncio.to_thread(self._hello))
                    await self._receive(connection, link, tasks, backoff)
                    watchdog.cancel()
                    raise ConnectionError("the control plane closed the connection")
            finally:
                self._connection = self._link = self._pumps = self._tasks = None
                if self._device is not None:
                    self._device.discard()  # a control plane that restarted does not know it

    def _hello(self) -> Hello:
        return Hello(
            client_id=self._runner_id,
            ts=time.time_ns() // 1_000_000,
            payload=RunnerHello(
                version=VERSION,
                instance=self._instance,
                name=self._name,
                hostname=socket.gethostname(),
                platform=f"{platform.system()} {platform.release()} {platform.machine()}",
                software=__version__,
                home=str(Path.home()),
                agents=self._offers(),
                sessions=self._keeper.positions(),
                capabilities=self._capabilities(),
            ),
        )

    async def _receive(
        self, connection: ClientConnection, link: Link, tasks: asyncio.TaskGroup, backoff: Backoff
    ) -> None:
        async for message in connection:
            try:
                frame = link.receive(message, time.monotonic())
            except EnvelopeError as error:
                log.warning("bad message from the control plane: %s", error.detail)
                await self.send(refusal(error))
                if error.fatal:
                    raise
                continue
            if frame is not None:
                await self._take(frame, tasks, backoff)

    async def _take(self, frame: AnyFrame, tasks: asyncio.TaskGroup, backoff: Backoff) -> None:
        match frame:
            case Control():
                self._obey(frame.session_id, frame.payload)
            case Ack(session_id=str(session_id), seq=int(seq)):
                backoff.delivered()
                session = self._keeper.get(session_id)
                if session is not None and not session.acked(seq):
                    log.warning("an ack ahead of the log", extra={"session": session_id})
            case Ping():
                await self.send(Pong(seq=frame.seq))
            case Hello(payload=ControlHello() as hello):
                self._greeted = time.monotonic()
                self.on_state("connected")
                self.on_greeted()
                log.info("connected to the control plane")
                self._resume(hello, tasks)
            case Error():
                log.warning("the control plane refused a message: %s", frame.payload.detail)
                self._rewind(frame.session_id)
            case _:
                pass

    def _resume(self, hello: ControlHello, tasks: asyncio.TaskGroup) -> None:
        self._pumps = tasks
        for position in hello.positions:
            session = self._keeper.get(position.session_id)
            if session is not None:
                session.resume(position.seq, position.bytes)
                tasks.create_task(self._pump(session))
                if session.condition.code != "ok":
                    self._condition_changed(session)
        answered = {position.session_id for position in hello.positions} | set(hello.unknown)
        for session in self._keeper:
            if session.session_id not in answered:  # it began while we greeted
                self._added(session)
        for session_id in hello.unknown:
            log.warning(
                "a session that the control plane does not know; it goes on unseen",
                extra={"session": session_id},
            )

    def _rewind(self, session_id: str | None) -> None:
        """The control plane missed entries of a session: greet again to learn its cursors."""
        if session_id is not None and self._connection is not None:
            raise ConnectionError("the control plane lost its place in a session's log")

    def _added(self, session: HeldSession) -> None:
        """A session began while connected: the control plane has nothing of it."""
        if self._pumps is not None:
            session.resume(0, 0)
            self._pumps.create_task(self._pump(session))

    async def _pump(self, session: HeldSession) -> None:
        """Send a session's log as the control plane takes it."""
        while (batch := await session.next_batch()) is not None:
            await self.send(
                EncodedLog(
                    session_id=session.session_id,
                    client_id=self._runner_id,
                    seq=batch.first,
                    payload=EncodedEvents(events=batch.events),
                )
            )
        await self._keeper.delivered(session)

    def _condition_changed(self, session: HeldSession) -> None:
        condition = SessionCondition(
            code=session.condition.code,
            detail=session.condition.detail,
            remedy=session.condition.remedy,
        )
        self.say_condition(session.session_id, condition)

    def say_condition(self, session_id: str, condition: SessionCondition) -> None:
        """Tell the control plane something about a session that is no entry of its log."""
        self._send_soon(Status(session_id=session_id, payload=condition))

    def say_recording(self, session_id: str, condition: RecordingCondition) -> None:
        """Tell the control plane whether a session's desktop is recorded, and what waits."""
        self._send_soon(Status(session_id=session_id, payload=condition))

    def offers_changed(self, agents: list[AgentOffer], capabilities: dict[str, str]) -> None:
        """Tell the control plane what can be started now."""
        payload = RunnerCondition(agents=agents, capabilities=capabilities)
        self._send_soon(Status(payload=payload))

    def _send_soon(self, frame: Frame) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._send_if_possible(frame))

    async def _send_if_possible(self, frame: Frame) -> None:
        with contextlib.suppress(OSError):
            await self.send(frame)

    async def _heartbeat(self, connection: ClientConnection, link: Link) -> None:
        while True:
            now = time.monotonic()
            try:
                frame = link.poll(now)
            except EnvelopeError:
                connection.transport.abort()
                raise
            if frame is not None:
                await self.send(frame)
            await asyncio.sleep(max(0.05, link.deadline() - time.monotonic()))


def websocket_url(url: str) -> str:
    """The control connection's address for a control plane at `url`. Raises ValueError."""
    parts = urlsplit(url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{url} is not an http or https address")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into the address")
    return urlunsplit((schemes[parts.scheme], parts.netloc, parts.path.rstrip("/") + PATH, "", ""))


def _challenge(connection: ClientConnection) -> str:
    answer = connection.response
    challenge = answer.headers.get(CHALLENGE_HEADER) if answer is not None else None
    if not challenge:
        raise ConnectionError("the control plane gave no challenge to sign: is it an older one?")
    return challenge


def _revocation(error: BaseException) -> CredentialsEndedError | None:
    """What a broken connection says about coming back."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    closed = isinstance(error, ConnectionClosed) and error.rcvd is not None
    revoked = closed and error.rcvd.code == CLOSE_REVOKED  # type: ignore[attr-defined]
    if isinstance(error, InvalidStatus):
        body = bytes(error.response.body or b"")
        revoked = error.response.status_code == 403 and b'"device-revoked"' in body
    return CredentialsEndedError("this runner was revoked", for_good=True) if revoked else None


def _is_for_good(group: BaseExceptionGroup[CredentialsEndedError]) -> bool:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, CredentialsEndedError) and error.for_good


def _tune(connection: ClientConnection) -> None:
    sock = connection.transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_LOW_WATER)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return {
            401: "it does not accept this runner's token",
            403: "it does not accept this runner",
            409: "another machine is connected with this runner's id",
            404: "there is no Earthshine at this address",
            421: "it does not answer under this address (its public_url says which it has)",
        }.get(status, f"it answered {status}")
    if isinstance(error, PinMismatchError):
        return f"{error.strerror}. {PIN_REMEDY}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}. {TRUST_REMEDY}"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at its address"
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        return error.rcvd.reason or f"closed with code {error.rcvd.code}"
    return str(error) or type(error).__name__
