"""A GameStream host, composed."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from earthshine.net.moonlight.connections import Listener
from earthshine.net.moonlight.enet import EnetHost
from earthshine.net.moonlight.http_server import HttpServer
from earthshine.net.moonlight.identities import HOST_NAME, load_identity
from earthshine.net.moonlight.receiving import DatagramReader
from earthshine.net.moonlight.rtsp import RtspServer
from earthshine.net.moonlight.tls import server_context
from earthshine.protocols.moonlight.enet import EnetSettings
from earthshine.protocols.moonlight.ping import PingError, parse_ping
from earthshine.runner.desktops.moonlight_host import events
from earthshine.runner.desktops.moonlight_host.apps import Catalog
from earthshine.runner.desktops.moonlight_host.connection import Media
from earthshine.runner.desktops.moonlight_host.events import Events
from earthshine.runner.desktops.moonlight_host.http_api import HttpApi
from earthshine.runner.desktops.moonlight_host.lobbies import Lobbies
from earthshine.runner.desktops.moonlight_host.pairing_desk import PairingDesk, Waiting
from earthshine.runner.desktops.moonlight_host.pairings import PairedClient, Pairings
from earthshine.runner.desktops.moonlight_host.ports import (
    HostSockets,
    PlainRtspPorts,
    bind_host,
)
from earthshine.runner.desktops.moonlight_host.sessions import Sessions
from earthshine.runner.desktops.moonlight_host.stays import Stays, Wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from earthshine.net.moonlight.datagrams import Address
    from earthshine.protocols.moonlight.certificates import Certificate, Identity
    from earthshine.protocols.moonlight.pairing_host import PairingLimits
    from earthshine.runner.desktops.moonlight_host.apps import HostApp
    from earthshine.runner.desktops.moonlight_host.settings import HostSettings
    from earthshine.runner.desktops.moonlight_host.stage import StageProvider

log = logging.getLogger(__name__)


class MoonlightHost:
    """An async context manager: serves from entering to leaving, and leaves nothing behind.

    Entering raises PortsTakenError, IdentityError or PairingsError.
    """

    def __init__(
        self,
        settings: HostSettings,
        provider: StageProvider,
        apps: Iterable[HostApp] = (),
        *,
        limits: PairingLimits | None = None,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._limits = limits
        self._tasks = asyncio.TaskGroup()
        self._background: list[asyncio.Task[None]] = []
        self._listeners: list[Listener] = []
        self._readers: list[DatagramReader] = []
        self.catalog = Catalog(apps)
        self.events = Events()
        self.identity: Identity
        self.pairings: Pairings
        self.desk: PairingDesk
        self.sessions: Sessions
        self.stays: Stays
        self.lobbies: Lobbies
        self._sockets: HostSockets

    @property
    def base_port(self) -> int:
        """The HTTP port."""
        return self._sockets.base

    @property
    def name(self) -> str:
        """What clients show."""
        return self._settings.name

    async def __aenter__(self) -> Self:
        settings = self._settings
        now = datetime.now(UTC)
        self.identity = await asyncio.to_thread(load_identity, settings.state_dir, HOST_NAME, now)
        self.pairings = await asyncio.to_thread(Pairings, settings.state_dir)
        self._sockets = bind_host(settings.bind, settings.base_port, settings.max_hosts)
        await self._tasks.__aenter__()
        try:
            await self._serve()
        except BaseException:
            self._sockets.close()
            raise
        log.info("GameStream host listens", extra={"port": self.base_port})
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.lobbies.close()
        await self.sessions.close()
        for listener in self._listeners:
            await listener.close()
        for task in self._background:
            task.cancel()
        # What is still being closed goes on until it is done.
        await self._tasks.__aexit__(None, None, None)
        if self.stays.control is not None:
            self.stays.control.close()
        for reader in self._readers:
            reader.close()
        self._sockets.close()

    async def unpair(self, client: PairedClient) -> None:
        """End its session and forget it. Raises PairingsError."""
        await self.sessions.cancel(client)
        await asyncio.to_thread(self.pairings.remove, client)
        self.events.say(events.CLIENT_UNPAIRED, client_id=client.id)

    async def _serve(self) -> None:
        settings, sockets = self._settings, self._sockets
        self.desk = PairingDesk(
            self.identity,
            secrets.token_bytes,
            self._store,
            time.monotonic,
            limits=self._limits,
            on_waiting=self._pin_wanted,
        )
        plain = PlainRtspPorts(settings.bind, sockets.base)
        self.stays = Stays(
            settings, self._provider, Wires(sockets, plain), self._tasks, self.events
        )
        self.sessions = Sessions(settings, self._provider, self.stays, self._tasks, self.events)
        self.lobbies = Lobbies(self._provider, self._tasks, self.stays.show, self.events)
        self.sessions.lobbies = self.lobbies
        unique = self.identity.certificate.fingerprint
        api = HttpApi(
            name=settings.name,
            unique_id=str(uuid.UUID(hex=unique[:32], version=4)),
            base_port=sockets.base,
            codecs=self._provider.codecs,
            desk=self.desk,
            pairings=self.pairings,
            catalog=self.catalog,
            sessions=self.sessions,
            to_thread=asyncio.to_thread,
        )
        http = HttpServer(api.answer)
        https = HttpServer(api.answer, server_context(self.identity))
        rtsp = RtspServer(self.stays.answer_rtsp)
        self._listeners = [
            Listener(sockets.http, http.serve, self._tasks),
            Listener(sockets.https, https.serve, self._tasks),
            Listener(sockets.rtsp, rtsp.serve, self._tasks),
        ]
        timeout = int(settings.control_timeout * 1000)
        control = EnetHost(
            self.stays.control_event, self.stays.admit, EnetSettings(timeout_ms=timeout)
        )
        await control.start(sockets.control)
        self.stays.control = control
        self._readers = [
            DatagramReader(sockets.video, self._pings(Media.VIDEO)),
            DatagramReader(sockets.audio, self._pings(Media.AUDIO)),
        ]
        for listener in self._listeners:
            await listener.start()
        self._background = [self._tasks.create_task(self.desk.run())]

    def _pings(self, media: Media) -> Callable[[bytes, Address], None]:
        def receive(datagram: bytes, address: Address) -> None:
            try:
                ping = parse_ping(datagram)
            except PingError:
                return
            self.stays.ping(ping.payload, media, address)

        return receive

    async def _store(self, certificate: Certificate, name: str) -> None:
        now = datetime.now(UTC)
        client = await asyncio.to_thread(self.pairings.add, certificate, name, now)
        self.events.say(events.CLIENT_PAIRED, client_id=client.id, name=name)

    def _pin_wanted(self, waiting: Waiting) -> None:
        self.events.say(
            events.PAIR_REQUESTED,
            pair_secret=waiting.attempt,
            client_ip=waiting.address,
            device_name=waiting.device_name,
        )
