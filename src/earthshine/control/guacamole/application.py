"""Sessions' desktops in a Guacamole web application that an operator runs beside this server.

On demand a connection is made there that leads to a port of this server, with a password that is
good once, and the Guacamole user of the same name may open it. Asked for again it is updated: the
old password and port are of no use any more. It is removed when it has been used, after
`LEASE_SECONDS` when it has not, when its person's role changes, and with the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.desktops.entries import Entry, TcpEntries
from earthshine.control.desktops.vnc import VncService
from earthshine.control.desktops.watched import Watched, Watching
from earthshine.control.errors import (
    DomainError,
    GuacamoleUnavailableError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    PartMissingError,
    TooManyError,
)
from earthshine.control.guacamole.client import Account, ConnectionSpec, GuacamoleClient
from earthshine.control.guacamole.schemas import ApplicationConnection
from earthshine.control.guacamole.targets import VNC
from earthshine.control.settings import GuacamoleSettings
from earthshine.net.bridge import ByteStream

LEASE_SECONDS: Final = 300.0
"""How long a person has to open their connection."""
MAX_LEASES: Final = 200
REMOVE_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 60.0
"""Between attempts to remove what could not be removed."""
MAX_LEFT: Final = 1000
_NAME: Final = re.compile(r"Earthshine ([0-9a-z]+) for (.+)")
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Lease:
    """One person's connection to one session."""

    entry: Entry | None = None
    keeping: asyncio.Task[None] | None = None
    identifier: str | None = None
    """In the web application, once it is there."""
    replaced: bool = False
    """A newer one has taken over its place in the web application."""

    def replace(self) -> str | None:
        """End it, but for its place there."""
        self.replaced = True
        if self.entry is not None:
            self.entry.close()
        return self.identifier


class GuacamoleApplication:
    """Keeps them. `run` must be running."""

    def __init__(
        self,
        access: Access,
        url: str,
        client: GuacamoleClient | None,
        entries: TcpEntries,
        watching: Watching,
        vnc: VncService,
        trail: Trail,
    ) -> None:
        """`client` None: there is no web application."""
        self.access = access
        self._url = url.rstrip("/")
        self._client = client
        self._entries = entries
        self._watching = watching
        self._vnc = vnc
        self._trail = trail
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._making: dict[tuple[str, str], asyncio.Lock] = {}
        self._left: set[str] = set()
        """Connections that still have to be removed there."""
        self._tasks: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until left; then nothing of ours is in the web application."""
        if self._client is None:
            yield
            return
        async with self._client, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tidying = tasks.create_task(self._tidy())
            try:
                yield
            finally:
                self._tasks = None
                tidying.cancel()
                for lease in list(self._leases.values()):
                    if lease.keeping is not None:
                        lease.keeping.cancel()

    @permits(Permission.SESSION_VIEW)
    async def connect(self, actor: Actor, session_id: str) -> ApplicationConnection:
        """A connection there to the session's desktop. Raises DomainError."""
        if self._client is None or self._tasks is None:
            raise PartMissingError(
                "No Guacamole web application is set up for this server.",
                remedy="Set control.guacamole.",
            )
        if actor.role is Role.GUEST:
            raise NotAllowedError("Guests have no account in Guacamole.")
        await self._watching.living(session_id)
        key = (session_id, actor.person_id)
        lock = self._making.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                before = self._leases.pop(key, None)
                if before is None and len(self._leases) >= MAX_LEASES:
                    raise TooManyError(f"{MAX_LEASES} Guacamole connections are open already.")
                lease = self._leases[key] = _Lease()
                lease.identifier = before.replace() if before is not None else None
                opened: asyncio.Future[ApplicationConnection]
                opened = asyncio.get_running_loop().create_future()
                lease.keeping = self._tasks.create_task(
                    self._keep(self._client, key, lease, actor, opened)
                )
                return await opened
        finally:
            if not lock.locked():
                self._making.pop(key, None)

    async def _keep(
        self,
        client: GuacamoleClient,
        key: tuple[str, str],
        lease: _Lease,
        actor: Actor,
        opened: asyncio.Future[ApplicationConnection],
    ) -> None:
        """Make it, and remove it when it is over."""
        session_id = key[0]
        try:
            async with (
                self._watching.watched(actor, session_id) as watched,
                self._led(watched, actor, session_id) as (entry, spec),
            ):
                lease.entry = entry
                lease.identifier = await self._put(client, lease.identifier, spec)
                await self._admit(client, actor, lease.identifier)
                view = ApplicationConnection(
                    url=self._address(lease.identifier, await client.data_source()),
                    name=spec.name,
                    view_only=not watched.may_control,
                    expires_at=datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS),
                )
                if not opened.done():
                    opened.set_result(view)
                await _until_over(entry, watched)
        except (DomainError, OSError) as error:
            if not opened.done():
                opened.set_exception(_known(error))
            else:
                log.warning("a Guacamole connection ended: %s", error)
        except Exception:  # one connection's trouble must not end the others
            log.exception("keeping a Guacamole connection failed")
            if not opened.done():
                opened.set_exception(
                    GuacamoleUnavailableError("The server made a mistake; its log says which.")
                )
        finally:
            opened.cancel()
            if self._leases.get(key) is lease:
                del self._leases[key]
            if lease.identifier is not None and not lease.replaced:
                await self._remove(client, lease.identifier)

    @contextlib.asynccontextmanager
    async def _led(
        self, watched: Watched, actor: Actor, session_id: str
    ) -> AsyncIterator[tuple[Entry, ConnectionSpec]]:
        """A port that leads to the display once, and the connection that uses it."""
        view_only = not watched.may_control
        await self._trail.record(
            AuditKind.GUACAMOLE_OFFERED,
            actor,
            session_id=session_id,
            runner_id=watched.runner_id,
            details={"view-only": view_only},
        )
        # The server itself drops what a viewer types: nothing here sees these messages.
        lent = await self._vnc.lend(actor, session_id, view_only=view_only, seconds=LEASE_SECONDS)

        async def dial() -> ByteStream:
            return await self._vnc.dial(watched.runner_id, lent)

        async with self._entries.open(dial, expires=LEASE_SECONDS, session_id=session_id) as entry:
            parameters = {
                **VNC,
                "hostname": entry.host,
                "port": str(entry.port),
                "password": lent.password,
            }
            if view_only or lent.refused:
                parameters["read-only"] = "true"
            name = f"Earthshine {session_id} for {actor.name}"
            yield entry, ConnectionSpec(name, "vnc", parameters, {"max-connections": "1"})

    async def _put(
        self, client: GuacamoleClient, identifier: str | None, spec: ConnectionSpec
    ) -> str:
        if identifier is not None:
            with contextlib.suppress(NotFoundError):  # somebody removed it there
                await client.update(identifier, spec)
                return identifier
        try:
            return await client.create(spec)
        except InvalidRequestError:
            # One of this name is there, of a time before this server was started again.
            names = await client.names()
            known = next((one for one, name in names.items() if name == spec.name), None)
            if known is None:
                raise
            self._left.discard(known)
            await client.update(known, spec)
            return known

    async def _admit(self, client: GuacamoleClient, actor: Actor, identifier: str) -> None:
        try:
            await client.admit(actor.name, identifier)
        except NotFoundError:
            raise GuacamoleUnavailableError(
                f"Guacamole has no user with the name {actor.name}.",
                remedy="Its admin adds one, or you change your name here.",
            ) from None

    def _address(self, identifier: str, source: str) -> str:
        """Where a browser opens it: Guacamole's own way to name a connection."""
        name = b64encode("\0".join((identifier, "c", source)).encode()).decode()
        return f"{self._url}/#/client/{name}"

    # --- removing --------------------------------------------------------------------------------

    async def _remove(self, client: GuacamoleClient, identifier: str) -> None:
        """Or remember that it is to be done."""
        self._left.add(identifier)
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await client.delete(identifier)
        except NotFoundError:
            pass
        except (DomainError, TimeoutError) as error:
            log.warning("a Guacamole connection could not be removed yet: %s", error)
            while len(self._left) > MAX_LEFT:
                self._left.pop()
            return
        self._left.discard(identifier)

    async def _tidy(self) -> None:
        """Remove what an earlier run left, and what could not be removed when it was time."""
        assert self._client is not None
        found = False
        while True:
            if not found:
                with contextlib.suppress(DomainError):
                    for identifier, name in (await self._client.names()).items():
                        if await self._is_ours(name) and not self._uses(identifier):
                            self._left.add(identifier)
                    found = True
            for identifier in list(self._left):
                await self._remove(self._client, identifier)
            await asyncio.sleep(RETRY_SECONDS)

    async def _is_ours(self, name: str) -> bool:
        """Whether it is of a session of this server: others may keep theirs there as well."""
        match = _NAME.fullmatch(name)
        if match is None:
            return False
        try:
            await self._watching.channel(match[1])
        except NotFoundError:
            return False
        return True

    def _uses(self, identifier: str) -> bool:
        return any(lease.identifier == identifier for lease in self._leases.values())


def guacamole_client(settings: GuacamoleSettings) -> GuacamoleClient:
    """With the account that is set."""
    return GuacamoleClient(
        settings.url, Account(settings.username, settings.password.get_secret_value())
    )


async def _until_over(entry: Entry, watched: Watched) -> None:
    """Until it has been used, has expired, or its person may not do what they could."""
    may_control = watched.may_control

    async def changed() -> None:
        while not watched.watcher.put_out.is_set() and watched.may_control == may_control:
            await watched.watcher.changed.wait()
            watched.watcher.changed.clear()

    await _first(entry.over, changed)


async def _first(*ways: Callable[[], Awaitable[None]]) -> None:
    """Until one of them has returned."""
    ended = asyncio.Event()

    async def run(way: Callable[[], Awaitable[None]]) -> None:
        await way()
        ended.set()

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(way)) for way in ways]
        await ended.wait()
        for task in running:
            task.cancel()


def _known(error: DomainError | OSError) -> DomainError:
    if isinstance(error, DomainError):
        return error
    return GuacamoleUnavailableError("The connection to the runner broke.", remedy="Try again.")
