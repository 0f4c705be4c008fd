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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.desktops.entries import Entry, TcpEntries
from earthshine.control.desktops.rdp_file import rdp_file
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.schemas import RdpConnection
from earthshine.control.desktops.watched import Watched, Watching, run_watched
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError, NotAllowedError, RunnerUnavailableError
from earthshine.control.guacamole.targets import Target
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.channel import Channel
from earthshine.net.bridge import ByteStream
from earthshine.net.desktop_gateways import (
    BinaryBrowser,
    Ending,
    GatewayError,
    Part,
    RdpGateway,
    RdpTarget,
    tls_context,
)
from earthshine.protocols.envelope import AdjustRdp, LendRdp, RdpLent, RdpOffer
from earthshine.protocols.rdp import Login

NATIVE_SECONDS: Final = 300
"""How long a person has to start their client and type the password."""
GATEWAY_SECONDS: Final = 30
CONNECTIONS: Final = 3
"""Some clients leave to ask their user about the certificate, and come again."""
AGAIN_SECONDS: Final = 60.0
"""How long after its first use a port stays open for that."""
ADDRESS: Final = "desktop"
"""What a page is told to be connected to; addresses on runners are none of its business."""
Hold = Callable[[Actor, Callable[[], None]], AbstractContextManager[None]]
"""Calls the function when the actor's sign-in ends; see `SignedInSockets.stream`."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenRdp:
    """An RDP login for somebody who watches a session's desktop."""

    lent: RdpLent
    watched: Watched
    dial: Callable[[], Awaitable[RunnerStream]]
    adjust: Callable[[bool], Awaitable[bool]]
    """Tells the runner whether the holder may only watch, from now on; whether the password has
    been used. Raises DomainError."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A client has come and gone."""

    @property
    def only_watch(self) -> bool:
        """Whether the runner's own policy says so."""
        return self.lent.view_only and self.watched.may_control

    async def serve(self, browser: BinaryBrowser) -> Ending:
        """Show it in a browser until either side ends. Raises GatewayError, PutOutError."""
        gateway = RdpGateway(browser, self._admit, steering=self.watched.may_steer)
        at_door = _AtDoor(gateway, self.adjust, view_only=self.lent.view_only)
        return await run_watched(at_door, self.watched, only_watch=self.only_watch)

    async def _admit(self, *_: str) -> RdpTarget:
        """The browser chooses nothing: its token and destination are not looked at."""
        try:
            server = await self.dial()
        except (DomainError, OSError) as error:
            words = error.detail if isinstance(error, DomainError) else "The connection broke."
            raise GatewayError(Part.RDP_SERVER, words) from None
        return RdpTarget(
            server,
            ADDRESS,
            Login(self.lent.user, self.lent.password),
            tls_context(),
            view_only=self.lent.view_only,
            fingerprint=bytes.fromhex(self.lent.fingerprint),
        )


class _AtDoor:
    """A gateway whose viewer is held back at the runner's door as well."""

    def __init__(
        self, gateway: RdpGateway, adjust: Callable[[bool], Awaitable[bool]], *, view_only: bool
    ) -> None:
        self._gateway = gateway
        self._adjust = adjust
        self._told = view_only

    async def set_view_only(self, view_only: bool) -> None:
        """From now on."""
        await self._gateway.set_view_only(view_only)
        if view_only != self._told:
            self._told = view_only
            with contextlib.suppress(DomainError):  # a runner that is away passes nothing on
                await self._adjust(view_only)

    async def run(self) -> Ending:
        """Until the end. Raises GatewayError."""
        return await self._gateway.run()


class RdpService:
    """Lends RDP. `run` must be running."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        dialing: DialService,
        entries: TcpEntries,
        watching: Watching,
        trail: Trail,
    ) -> None:
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._entries = entries
        self._watching = watching
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

    # --- native clients --------------------------------------------------------------------------

    @permits(Permission.SESSION_VIEW)
    async def session_connection(self, actor: Actor, session_id: str) -> RdpConnection:
        """A port and a one-time password for the session's desktop."""
        stack = contextlib.AsyncExitStack()
        opened = await stack.enter_async_context(self._opened(actor, session_id, NATIVE_SECONDS))

        async def dial() -> ByteStream:
            return _Heard(await opened.dial(), opened)

        return await self._open(
            actor, opened.lent, dial, stack, _Following(opened), session_id=session_id
        )

    @permits(Permission.ADMIN)
    async def runner_connection(self, actor: Actor, runner_id: str) -> RdpConnection:
        """A port and a fresh password for the machine's own xrdp."""
        lent = await self._lend_machine(actor, runner_id)
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

    # --- gateways --------------------------------------------------------------------------------

    @permits(Permission.SESSION_VIEW)
    async def show(self, actor: Actor, session_id: str, browser: BinaryBrowser) -> Ending:
        """Serve IronRDP until either side ends. Raises DomainError, GatewayError, PutOutError."""
        async with self._opened(actor, session_id, GATEWAY_SECONDS) as opened:
            return await opened.serve(browser)

    @permits(Permission.SESSION_VIEW)
    async def lend_to_guacd(self, actor: Actor, session_id: str) -> Target:
        """The session's desktop for guacd, which shows it to one viewer."""
        channel = await self._watching.living(session_id)
        # The tunnel filters, and follows changes of role.
        lent = await self._lend(actor, channel, GATEWAY_SECONDS, view_only=False)
        return self._target(actor, channel.record.runner_id, session_id, lent)

    @permits(Permission.ADMIN)
    async def lend_machine_to_guacd(self, actor: Actor, runner_id: str) -> Target:
        """The same for the machine's own xrdp."""
        lent = await self._lend_machine(actor, runner_id)
        return self._target(actor, runner_id, "", lent)

    def _target(self, actor: Actor, runner_id: str, session_id: str, lent: RdpLent) -> Target:
        async def dial() -> ByteStream:
            return await RunnerStream.dial(self._dialing, runner_id, lent.destination)

        parameters = {
            "username": lent.user,
            "password": lent.password,
            "security": "tls",
            # It signs its certificate itself; the reverse dial vouches for where this leads.
            "ignore-cert": "true",
            # xrdp's VNC module ends the whole connection over a clipboard that is empty.
            "disable-copy": "true",
            "disable-paste": "true",
            "disable-audio": "true",
            "enable-drive": "false",
        }
        return Target(
            dial,
            parameters,
            only_watch=lent.view_only,
            abandon=lambda: self._withdraw(actor, runner_id, session_id, lent),
        )

    # --- lending ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _opened(
        self, actor: Actor, session_id: str, seconds: float
    ) -> AsyncIterator[OpenRdp]:
        async with self._watching.watched(actor, session_id) as watched:
            channel = await self._watching.living(session_id)
            lent = await self._lend(actor, channel, seconds, view_only=not watched.may_control)
            runner_id = watched.runner_id
            try:
                yield OpenRdp(
                    lent,
                    watched,
                    lambda: RunnerStream.dial(self._dialing, runner_id, lent.destination),
                    lambda only: self._adjust(actor, runner_id, session_id, lent, view_only=only),
                )
            finally:
                self._withdraw(actor, runner_id, session_id, lent)

    async def _lend(
        self, actor: Actor, channel: Channel, seconds: float, *, view_only: bool
    ) -> RdpLent:
        record = channel.record
        await self._trail.record(
            AuditKind.RDP_OFFERED,
            actor,
            session_id=record.id,
            runner_id=record.runner_id,
            details={"of": "desktop", "view-only": view_only},
        )
        wish = LendRdp(request_id="", by=actor.name, view_only=view_only, seconds=seconds)
        return _answered(await self._runners.request(record.runner_id, record.id, wish), RdpLent)

    async def _lend_machine(self, actor: Actor, runner_id: str) -> RdpLent:
        connection = self._runners.connection(runner_id)
        await self._trail.record(
            AuditKind.RDP_OFFERED, actor, runner_id=runner_id, details={"of": "machine"}
        )
        wish = LendRdp(request_id="", by=actor.name, view_only=False, seconds=NATIVE_SECONDS)
        return _answered(await connection.request(None, wish), RdpLent)

    async def _adjust(
        self, actor: Actor, runner_id: str, session_id: str, lent: RdpLent, *, view_only: bool
    ) -> bool:
        wish = AdjustRdp(request_id="", offer_id=lent.offer_id, by=actor.name, view_only=view_only)
        answer = await self._runners.request(runner_id, session_id, wish)
        return _answered(answer, RdpOffer).spent

    def _withdraw(self, actor: Actor, runner_id: str, session_id: str, lent: RdpLent) -> None:
        """Best effort: a runner that is not there lets nobody in either."""
        wish = AdjustRdp(request_id="", offer_id=lent.offer_id, by=actor.name, withdrawn=True)
        with contextlib.suppress(DomainError, OSError):
            self._runners.connection(runner_id).tell(session_id, wish)

    # --- ports -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _known(self, entry: Entry, runner_id: str) -> Iterator[None]:
        self._to_machines[entry] = runner_id
        try:
            yield
        finally:
            del self._to_machines[entry]

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


class _Following:
    """What happens while a port is open: it closes when the password has been used, at the latest
    a while after the first client came, and what its holder may do changes with their role."""

    def __init__(self, opened: OpenRdp | None) -> None:
        self._opened = opened
        self._news: tuple[asyncio.Event, ...] = ()
        if opened is not None:
            self._news = (opened.watched.watcher.changed, opened.left)

    async def until_over(self, entry: Entry) -> None:
        """Raises DomainError where its holder may not see the session any more."""
        over, used = asyncio.ensure_future(entry.over()), asyncio.ensure_future(entry.used())
        awaited = {over, used}
        timer: asyncio.TimerHandle | None = None
        try:
            while not over.done():
                news = {asyncio.ensure_future(event.wait()) for event in self._news}
                try:
                    await asyncio.wait(awaited | news, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in news:
                        one.cancel()
                if used.done() and timer is None:
                    awaited.discard(used)
                    loop = asyncio.get_running_loop()
                    timer = loop.call_later(AGAIN_SECONDS, entry.release)
                if self._opened is not None and any(event.is_set() for event in self._news):
                    for event in self._news:
                        event.clear()
                    if await _adjusted(self._opened):
                        entry.release()
        finally:
            over.cancel()
            used.cancel()
            if timer is not None:
                timer.cancel()


async def _adjusted(opened: OpenRdp) -> bool:
    """The holder's role may have changed: the runner is told, and says whether the password has
    been used. Raises DomainError, also for who may not even see the session any more."""
    if opened.watched.watcher.put_out.is_set():
        raise NotAllowedError("The session is not shared with you any more.")
    return await opened.adjust(not opened.watched.may_control)


class _Heard:
    """A stream to a desktop; what goes there counts as steering while its sender may steer.

    It is TLS between client and runner: nobody here can tell input from the rest.
    """

    def __init__(self, stream: ByteStream, opened: OpenRdp) -> None:
        self._stream = stream
        self._watched = opened.watched
        self._left = opened.left

    async def read(self) -> bytes:
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        if self._watched.may_control and not self._watched.may_steer(len(data)):
            raise ConnectionAbortedError("what is typed could not be recorded")
        await self._stream.write(data)

    async def write_eof(self) -> None:
        await self._stream.write_eof()

    async def close(self) -> None:
        await self._stream.close()
        self._left.set()

    def abort(self) -> None:
        self._stream.abort()
        self._left.set()


Answer = TypeVar("Answer", RdpLent, RdpOffer)


def _answered(answer: object, kind: type[Answer]) -> Answer:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise RunnerUnavailableError(
            "The runner's answer makes no sense.",
            remedy="Its version may be another than this server's.",
        ) from None
