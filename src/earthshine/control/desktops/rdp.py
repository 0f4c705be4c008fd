"""RDP to runners: a port for native clients, and a login that gateways insert for browsers.

The runner lends a one-time password; here a port of this server leads to it, for one person, until
it was used, has expired, or that person may not see the session any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.keystrokes import TypingSessions
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.authorization import SessionRole
from earthshine.control.desktops.entries import Entry, TcpEntries
from earthshine.control.desktops.rdp_file import rdp_file
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.schemas import RdpConnection
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    RunnerUnavailableError,
    TooManyError,
)
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.watching import Watcher
from earthshine.net.bridge import ByteStream
from earthshine.protocols.envelope import AdjustRdp, LendRdp, RdpLent

NATIVE_SECONDS: Final = 300
"""How long a person has to start their client and type the password."""
BROWSER_SECONDS: Final = 30
CONNECTIONS: Final = 3
"""Some clients leave to ask their user about the certificate, and come again."""
AGAIN_SECONDS: Final = 60.0
"""How long after its first use a port stays open for that."""
MAX_WATCHERS: Final = 100
"""Who sees one desktop, by whatever way."""
Hold = Callable[[Actor, Callable[[], None]], AbstractContextManager[None]]
"""Calls the function when the actor's sign-in ends; see `SignedInSockets.stream`."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lent:
    """An RDP login for one watcher of a session, and what leads there."""

    lent: RdpLent
    watcher: Watcher
    dial: Callable[[], Awaitable[RunnerStream]]
    adjust: Callable[[bool], Awaitable[None]]
    """Tells the runner whether the holder may only watch, from now on."""
    steered: Callable[[int], None]
    """Hears how many bytes of input come, for the audit log. Raises DomainError."""


class RdpService:
    """Lends RDP. `run` must be running."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        dialing: DialService,
        entries: TcpEntries,
        channel: Callable[[str], Awaitable[Channel]],
        role: Callable[[Actor, str], Awaitable[SessionRole]],
        steering: TypingSessions,
        trail: Trail,
    ) -> None:
        """`channel` and `role` of a session, as `SessionService` gives them."""
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._entries = entries
        self._channel = channel
        self._role = role
        self._steering = steering
        self._trail = trail
        self._tasks: asyncio.TaskGroup | None = None
        self._hold: Hold = lambda *_: contextlib.nullcontext()
        self._to_machines: dict[Entry, str] = {}
        """Open ports, and the runner whose own desktop they lead to."""

    async def run(self, hold: Hold) -> None:
        """Until cancelled; ports end with this, and with the sign-in of whom they are for."""
        self._hold = hold
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    @permits(Permission.SESSION_VIEW)
    async def session_connection(self, actor: Actor, session_id: str) -> RdpConnection:
        """A port and a one-time password for the session's desktop."""
        stack = contextlib.AsyncExitStack()
        lent = await stack.enter_async_context(self._lent(actor, session_id, NATIVE_SECONDS))

        async def dial() -> ByteStream:
            return _Heard(await lent.dial(), lent)

        return await self._open(actor, lent.lent, dial, stack, _Following(lent), session_id)

    @permits(Permission.ADMIN)
    async def runner_connection(self, actor: Actor, runner_id: str) -> RdpConnection:
        """A port and a fresh password for the machine's own xrdp."""
        connection = self._runners.connection(runner_id)
        await self._trail.record(
            AuditKind.RDP_OFFERED, actor, runner_id=runner_id, details={"of": "machine"}
        )
        wish = LendRdp(request_id="", by=actor.name, view_only=False, seconds=NATIVE_SECONDS)
        lent = _lent(await connection.request(None, wish))
        stack = contextlib.AsyncExitStack()
        stack.callback(self._withdraw, actor, runner_id, "", lent)

        async def dial() -> ByteStream:
            return await RunnerStream.dial(self._dialing, runner_id, lent.destination)

        return await self._open(actor, lent, dial, stack, _Following(None), runner_id=runner_id)

    def end_runner(self, runner_id: str) -> None:
        """The runner was revoked."""
        for entry, of in list(self._to_machines.items()):
            if of == runner_id:
                entry.close()

    @permits(Permission.SESSION_VIEW)
    async def check(self, actor: Actor, session_id: str) -> None:  # noqa: ARG002
        """Whether the desktop can be seen at all. Raises DomainError."""
        await self._living(session_id)

    @contextlib.asynccontextmanager
    async def for_browser(self, actor: Actor, session_id: str) -> AsyncIterator[Lent]:
        """A login that a gateway inserts, for as long as the context lasts."""
        await self.check(actor, session_id)
        async with self._lent(actor, session_id, BROWSER_SECONDS) as lent:
            yield lent

    @contextlib.asynccontextmanager
    async def _lent(self, actor: Actor, session_id: str, seconds: int) -> AsyncIterator[Lent]:
        channel = await self._living(session_id)
        if len(channel.watchers) >= MAX_WATCHERS:
            raise TooManyError(f"The desktop has {MAX_WATCHERS} viewers already.")
        watcher = Watcher(actor, await self._role(actor, session_id))
        channel.watchers.add(watcher)
        runner_id = channel.record.runner_id
        try:
            view_only = not watcher.may(Permission.SESSION_CONTROL)
            await self._trail.record(
                AuditKind.RDP_OFFERED,
                actor,
                session_id=session_id,
                runner_id=runner_id,
                details={"of": "desktop", "view-only": view_only},
            )
            wish = LendRdp(request_id="", by=actor.name, view_only=view_only, seconds=seconds)
            lent = _lent(await self._runners.request(runner_id, session_id, wish))
            try:
                yield Lent(
                    lent,
                    watcher,
                    lambda: RunnerStream.dial(self._dialing, runner_id, lent.destination),
                    lambda only: self._adjust(actor, runner_id, session_id, lent, view_only=only),
                    lambda size: self._steering.typed(
                        actor, session_id, runner_id, size, AuditKind.DESKTOP_CONTROLLED
                    ),
                )
            finally:
                self._withdraw(actor, runner_id, session_id, lent)
        finally:
            channel.watchers.discard(watcher)
            self._steering.left(actor, session_id, AuditKind.DESKTOP_CONTROLLED)

    async def _adjust(
        self, actor: Actor, runner_id: str, session_id: str, lent: RdpLent, *, view_only: bool
    ) -> None:
        wish = AdjustRdp(request_id="", offer_id=lent.offer_id, by=actor.name, view_only=view_only)
        await self._runners.request(runner_id, session_id, wish)

    @contextlib.contextmanager
    def _known(self, entry: Entry, runner_id: str) -> Iterator[None]:
        self._to_machines[entry] = runner_id
        try:
            yield
        finally:
            del self._to_machines[entry]

    def _withdraw(self, actor: Actor, runner_id: str, session_id: str, lent: RdpLent) -> None:
        """Best effort: a runner that is not there lets nobody in either."""
        wish = AdjustRdp(request_id="", offer_id=lent.offer_id, by=actor.name, withdrawn=True)
        with contextlib.suppress(DomainError, OSError):
            self._runners.connection(runner_id).tell(session_id, wish)

    async def _open(
        self,
        actor: Actor,
        lent: RdpLent,
        dial: Callable[[], Awaitable[ByteStream]],
        stack: contextlib.AsyncExitStack,
        following: _Following,
        session_id: str = "",
        runner_id: str = "",
    ) -> RdpConnection:
        """Serve a port in the background; what is in `stack` is left when it is over."""
        assert self._tasks is not None
        opened: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            try:
                async with (
                    stack,
                    self._entries.open(
                        dial,
                        connections=CONNECTIONS,
                        expires=NATIVE_SECONDS,
                        session_id=session_id,
                    ) as entry,
                ):
                    with self._hold(actor, entry.close), self._known(entry, runner_id):
                        opened.set_result(entry)
                        await following.until_over(entry)
            except DomainError as error:
                if opened.done():
                    log.info("an RDP port ended: %s", error.detail)
                else:
                    opened.set_exception(error)
            except Exception:  # one port's trouble must not end the others
                log.exception("serving an RDP port failed")
            finally:
                opened.cancel()

        self._tasks.create_task(serve(), name="an RDP port")
        entry = await opened
        return RdpConnection(
            address=entry.host,
            port=entry.port,
            user=lent.user,
            password=lent.password,
            file=rdp_file(entry.host, entry.port, lent.user, (lent.width, lent.height)),
            expires_at=datetime.now(UTC) + timedelta(seconds=NATIVE_SECONDS),
            view_only=lent.view_only,
            fingerprint=lent.fingerprint or None,
        )

    async def _living(self, session_id: str) -> Channel:
        channel = await self._channel(session_id)
        if channel.record.is_final:
            raise ConflictError("The session has ended, and its desktop with it.")
        return channel


class _Following:
    """What happens while a port is open: it closes a while after its first use, and what its
    holder may do changes with their role."""

    def __init__(self, lent: Lent | None) -> None:
        self._lent = lent
        self._changed = asyncio.Event() if lent is None else lent.watcher.changed

    async def until_over(self, entry: Entry) -> None:
        """Raises DomainError where its holder may not see the session any more."""
        over = asyncio.ensure_future(entry.over())
        used = asyncio.ensure_future(entry.used())
        closing = [used]
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        try:
            while not over.done():
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait(
                        {over, changed, *closing}, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    changed.cancel()
                if closing and used.done():
                    closing.clear()
                    timer = loop.call_later(AGAIN_SECONDS, entry.release)
                if self._changed.is_set() and self._lent is not None:
                    self._changed.clear()
                    await adjusted(self._lent)
        finally:
            over.cancel()
            used.cancel()
            if timer is not None:
                timer.cancel()


async def adjusted(lent: Lent) -> bool:
    """The holder's role may have changed: the runner is told. Raises DomainError, also for who may
    not even see the session any more."""
    watcher = lent.watcher
    if watcher.put_out.is_set():
        raise ConflictError("The session is not shared with you any more.")
    view_only = not watcher.may(Permission.SESSION_CONTROL)
    await lent.adjust(view_only)
    return view_only


class _Heard:
    """A stream to a desktop; what goes there counts as steering while its sender may steer.

    It is TLS between client and runner: nobody here can tell input from the rest.
    """

    def __init__(self, stream: ByteStream, lent: Lent) -> None:
        self._stream = stream
        self._lent = lent

    async def read(self) -> bytes:
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        if self._lent.watcher.may(Permission.SESSION_CONTROL):
            try:
                self._lent.steered(len(data))
            except DomainError as error:
                raise ConnectionAbortedError(error.detail) from None
        await self._stream.write(data)

    async def write_eof(self) -> None:
        await self._stream.write_eof()

    async def close(self) -> None:
        await self._stream.close()

    def abort(self) -> None:
        self._stream.abort()


def _lent(answer: object) -> RdpLent:
    try:
        return msgspec.convert(answer, RdpLent)
    except msgspec.ValidationError:
        raise RunnerUnavailableError(
            "The runner's answer makes no sense.",
            remedy="Its version may be another than this server's.",
        ) from None
