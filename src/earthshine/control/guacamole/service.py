"""Desktops through guacd, in our own tunnel: new connections, and joining those that run.

guacd connects to a TCP entry of this server, opened for that one connection, and is given a
password that is good once. Neither reaches the page.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.desktops.entries import Entry, TcpEntries
from earthshine.control.desktops.vnc import VncService
from earthshine.control.desktops.watched import Watched, Watching, run_watched
from earthshine.control.errors import PartMissingError
from earthshine.control.guacamole.guacd import Guacd
from earthshine.control.guacamole.running import Running, RunningConnections
from earthshine.control.guacamole.schemas import GuacamoleConnection, GuacamoleConnections
from earthshine.control.guacamole.targets import Lend, Target, Targets
from earthshine.control.guacamole.wishes import Protocol, Wish
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.net.bridge import ByteStream
from earthshine.net.desktop_gateways import Ending, GatewayError, GuacamoleGateway, TextBrowser
from earthshine.protocols.guacamole import NewConnection, RunningConnection, Viewer


class GuacamoleService:
    """Tunnels to guacd."""

    def __init__(
        self,
        access: Access,
        guacd: Guacd,
        entries: TcpEntries,
        watching: Watching,
        vnc: VncService,
        runners: RunnerDirectory,
        targets: Targets,
        *,
        has_application: bool = False,
    ) -> None:
        """`has_application`: there is a Guacamole web application, which people may open too."""
        self.access = access
        self.guacd = guacd
        self._entries = entries
        self._watching = watching
        self._vnc = vnc
        self._runners = runners
        self._targets = targets
        self._has_application = has_application
        self._running = RunningConnections()

    @permits(Permission.SESSION_VIEW)
    async def connections(self, actor: Actor, session_id: str) -> GuacamoleConnections:
        """What runs in a session and can be joined."""
        return GuacamoleConnections(
            connections=[
                GuacamoleConnection(
                    id=one.id, protocol=one.protocol, name=one.actor.name, since=one.since
                )
                for one in self._running.of(session_id)
            ],
            application=self._has_application,
        )

    @permits(Permission.SESSION_VIEW)
    async def show(self, actor: Actor, session_id: str, wish: Wish, browser: TextBrowser) -> Ending:
        """Serve one viewer of a session until either side ends.

        Raises DomainError, GatewayError, PutOutError.
        """
        await self._watching.living(session_id)
        if wish.join:
            return await self._join(actor, session_id, wish, browser)
        lend = self._targets.in_session.get(wish.protocol)
        if lend is None:
            raise _not_by(wish.protocol)
        async with (
            self._guacd_and(lend, actor, session_id) as (guacd, target),
            self._watching.watched(actor, session_id) as watched,
        ):
            return await self._open(session_id, wish, browser, guacd, target, watched)

    @permits(Permission.ADMIN)
    async def show_runner(
        self, actor: Actor, runner_id: str, wish: Wish, browser: TextBrowser
    ) -> Ending:
        """Serve one viewer of a runner's machine itself. Raises DomainError, GatewayError."""
        self._runners.get(runner_id)
        place = f"runner {runner_id}"
        viewer = _viewer(actor, wish)
        if wish.join:
            joined = RunningConnection(self._running.find(place, wish.join).id)
            stream = await self.guacd.connect()
            return await GuacamoleGateway(
                stream, browser, joined, viewer, tunnel_id=_tunnel_id()
            ).run()
        lend = self._targets.on_runner.get(wish.protocol)
        if lend is None:
            raise _not_by(wish.protocol)
        async with self._guacd_and(lend, actor, runner_id) as (guacd, target):
            with self._running.entered(place, wish.protocol, actor) as running:
                async with self._entry(target, "") as entry:
                    connection = _connection(wish, target, entry)
                    gateway = GuacamoleGateway(
                        guacd, browser, connection, viewer, tunnel_id=_tunnel_id()
                    )
                    _note(gateway, running)
                    return await _explained(gateway.run(), entry)

    @contextlib.asynccontextmanager
    async def _guacd_and(
        self, lend: Lend, actor: Actor, place_id: str
    ) -> AsyncIterator[tuple[ByteStream, Target]]:
        """guacd and what it shall show. Whatever is left of both is ended."""
        guacd = await self.guacd.connect()
        try:
            target = await lend(actor, place_id)
            try:
                yield guacd, target
            finally:
                target.abandon()
        finally:
            guacd.abort()

    # --- sessions --------------------------------------------------------------------------------

    async def _open(
        self,
        session_id: str,
        wish: Wish,
        browser: TextBrowser,
        guacd: ByteStream,
        target: Target,
        watched: Watched,
    ) -> Ending:
        with self._running.entered(session_id, wish.protocol, watched.actor) as running:
            async with self._entry(target, session_id) as entry:
                gateway = GuacamoleGateway(
                    guacd,
                    browser,
                    _connection(wish, target, entry),
                    _viewer(watched.actor, wish),
                    tunnel_id=_tunnel_id(),
                    steering=watched.may_steer,
                )
                _note(gateway, running)
                only_watch = target.only_watch or wish.read_only
                return await _explained(run_watched(gateway, watched, only_watch=only_watch), entry)

    async def _join(
        self, actor: Actor, session_id: str, wish: Wish, browser: TextBrowser
    ) -> Ending:
        running = self._running.find(session_id, wish.join)
        guacd = await self.guacd.connect()
        try:
            only_watch = wish.read_only or await self._only_watches(actor, session_id, running)
            async with self._watching.watched(actor, session_id) as watched:
                gateway = GuacamoleGateway(
                    guacd,
                    browser,
                    RunningConnection(running.id),
                    _viewer(actor, wish),
                    tunnel_id=_tunnel_id(),
                    steering=watched.may_steer,
                )
                return await run_watched(gateway, watched, only_watch=only_watch)
        finally:
            guacd.abort()

    async def _only_watches(self, actor: Actor, session_id: str, running: Running) -> bool:
        """Whether who joins must not steer, whatever their role.

        The runner's own policy decides about people, and is asked only for those whom it serves
        itself: for a desktop by VNC it can be asked, in anything else others only watch.
        """
        if actor.person_id == running.actor.person_id:
            return False
        if running.protocol != "vnc":
            return True
        return bool((await self._vnc.lend(actor, session_id, seconds=1.0)).refused)

    def _entry(
        self, target: Target, session_id: str
    ) -> contextlib.AbstractAsyncContextManager[Entry]:
        return self._entries.open(target.dial, expires=target.seconds, session_id=session_id)


async def _explained(running: Awaitable[Ending], entry: Entry) -> Ending:
    """guacd cannot know why nothing was behind its port; the entry does."""
    try:
        return await running
    except GatewayError:
        if entry.failure is not None:
            raise entry.failure from None
        raise


def _note(gateway: GuacamoleGateway, running: Running) -> None:
    """Once guacd has given the connection its id, others can join it."""
    gateway.connected.add_done_callback(
        lambda done: None if done.cancelled() else setattr(running, "id", done.result())
    )


def _connection(wish: Wish, target: Target, entry: Entry) -> NewConnection:
    address = {"hostname": entry.host, "port": str(entry.port)}
    return NewConnection(wish.protocol, {**target.parameters, **address})


def _viewer(actor: Actor, wish: Wish) -> Viewer:
    return Viewer(
        wish.screen,
        audio=wish.audio,
        image=wish.image,
        timezone=wish.timezone,
        name=actor.name,
        read_only=wish.read_only,
    )


def _tunnel_id() -> str:
    return str(uuid.uuid4())


def _not_by(protocol: Protocol) -> PartMissingError:
    return PartMissingError(
        f"Guacamole does not show this by {protocol.upper()}.", remedy="Choose another protocol."
    )
