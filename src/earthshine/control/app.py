"""The control plane, composed. No rule lives here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from earthshine import __version__
from earthshine.control import health, problems
from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.routes import router as accounts_router
from earthshine.control.audit.keystrokes import TypingSessions
from earthshine.control.audit.routes import router as audit_router
from earthshine.control.audit.rows import AuditReader
from earthshine.control.audit.service import AuditService
from earthshine.control.audit.trail import DatabaseTrail
from earthshine.control.authorization import Authorization, RunnerPossession, SessionRole
from earthshine.control.credentials import current_actor
from earthshine.control.db.engine import Database
from earthshine.control.desktops.entries import TcpEntries
from earthshine.control.desktops.rdp import RdpService
from earthshine.control.desktops.rdp_routes import router as rdp_router
from earthshine.control.desktops.routes import router as desktops_router
from earthshine.control.desktops.service import DesktopService
from earthshine.control.desktops.vnc import VncService
from earthshine.control.desktops.watched import Watching
from earthshine.control.devices.authentication import RunnerAuthentication
from earthshine.control.devices.challenges import Challenges
from earthshine.control.devices.pairing import PairingService
from earthshine.control.devices.proofs import Proofs
from earthshine.control.devices.routes import clients_router
from earthshine.control.devices.routes import router as devices_router
from earthshine.control.devices.service import DeviceService
from earthshine.control.devices.signing_on import SigningOn
from earthshine.control.devices.tokens import TokenBook
from earthshine.control.dialing.registry import ConnectionRegistry
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError
from earthshine.control.guacamole.application import GuacamoleApplication, guacamole_client
from earthshine.control.guacamole.guacd import Guacd
from earthshine.control.guacamole.routes import router as guacamole_router
from earthshine.control.guacamole.service import GuacamoleService
from earthshine.control.guacamole.targets import Targets
from earthshine.control.origin import KnowsOrigin
from earthshine.control.origins import AllowedOrigins, OriginGuard, SecurityHeaders
from earthshine.control.previews.book import PreviewBook
from earthshine.control.previews.listener import PreviewListener, PreviewSettings
from earthshine.control.previews.routes import router as previews_router
from earthshine.control.previews.service import PreviewService
from earthshine.control.recordings.collector import Collector
from earthshine.control.recordings.routes import router as recordings_router
from earthshine.control.recordings.service import RecordingService
from earthshine.control.recordings.storage import Keeping, RecordingStorage
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.runners.endpoint import RunnerEndpoint
from earthshine.control.runners.routes import router as runners_router
from earthshine.control.runners.service import RunnerService
from earthshine.control.secrets.cipher import Cipher
from earthshine.control.secrets.routes import router as secrets_router
from earthshine.control.secrets.service import PERSON, RUNNER, SecretService
from earthshine.control.sessions.channel import Channel, ChannelBook
from earthshine.control.sessions.intake import SessionIntake
from earthshine.control.sessions.journal import Journal
from earthshine.control.sessions.routes import router as sessions_router
from earthshine.control.sessions.service import SessionService
from earthshine.control.sessions.storage import SessionStorage
from earthshine.control.settings import (
    DesktopSettings,
    GuacamoleSettings,
    GuacdSettings,
    OidcSettings,
)
from earthshine.control.sharing.membership import MembershipBook
from earthshine.control.sharing.routes import router as sharing_router
from earthshine.control.sharing.service import SharingService
from earthshine.control.sockets import CLOSE_AGAIN, SignedInSockets
from earthshine.control.throttle import Throttle
from earthshine.control.tls import ServerTls
from earthshine.control.transfers.links import TransferLinks
from earthshine.control.transfers.routes import router as files_router
from earthshine.control.transfers.service import FileService
from earthshine.control.ui import pages
from earthshine.control.updates import SUBPROTOCOL as UPDATES_SUBPROTOCOL
from earthshine.control.updates import Announcer
from earthshine.net.relay import Relay
from earthshine.net.upgrade import FramedDialBack
from earthshine.protocols import revdial

RUNNER_REVOKED: Final = (
    "runner-revoked",
    "the session's runner was revoked",
    "its agent may go on unseen on that machine: end it there; start a new session elsewhere",
)


class ControlPlane:
    """The services, and what keeps them going (`running`)."""

    def __init__(
        self,
        database: Database,
        runner_token: str | None,
        *,
        secrets_key: bytes | None = None,
        oidc: OidcSettings | None = None,
        desktop: DesktopSettings | None = None,
        guacd: GuacdSettings | None = None,
        guacamole: GuacamoleSettings | None = None,
        recordings: Keeping | None = None,
    ) -> None:
        """`runner_token` None: only paired runners are let in. `recordings` None: none are kept."""
        self.database = database
        storage = SessionStorage(database)
        self.book = ChannelBook(storage.load)
        self.members = MembershipBook(database)
        self.access = Authorization(self._session_role, self._possession)
        self.throttle = Throttle()
        self.trail = DatabaseTrail(database)
        self.typing = TypingSessions(self.trail)
        self.audit = AuditService(self.access, self.trail, AuditReader(database))
        cipher = None if secrets_key is None else Cipher(secrets_key)
        self.secrets = SecretService(database, self.access, self.trail, cipher)
        self.people = Accounts(database, self.access, self.throttle, self.trail, oidc=oidc)
        self.accounts = self.people.service
        self.tls: ServerTls | None = None
        """The TLS of the server itself, if it speaks it."""
        self.needs_pin = False
        """Whether runners must pin `tls_fingerprint` to know this server."""
        self.registry = ConnectionRegistry()
        self.directory = RunnerDirectory(database, self.registry)
        self.journal = Journal(database)
        self.intake = SessionIntake(storage, self.book, self.journal)
        self.sessions = SessionService(
            storage,
            self.access,
            self.directory,
            self.book,
            self.journal,
            self.intake,
            self.accounts,
            self.trail,
            self.typing,
            self.secrets,
        )
        self.runners = RunnerService(
            self.access, self.directory, self._running_sessions, self.accounts.name
        )
        self.storage = storage
        self.proofs = Proofs()
        tokens, challenges = TokenBook(), Challenges()
        signing_on = SigningOn(self.directory, tokens)
        self.pairings = PairingService(
            database,
            self.access,
            signing_on,
            self.proofs,
            challenges,
            self.throttle,
            self.trail,
            server_pin=lambda: self.tls_fingerprint if self.needs_pin else None,
        )
        self.devices = DeviceService(
            database,
            self.access,
            self.directory,
            signing_on,
            self.proofs,
            challenges,
            tokens,
            self.throttle,
            self.trail,
            self.runners.view,
        )
        self.authentication = RunnerAuthentication(
            runner_token, self.directory, self.devices, tokens, self.throttle
        )
        self.dialing = DialService(
            self.registry, self.authentication.by_dial_back, throttle=self.throttle
        )
        self.relay = Relay()
        self.preview_book = PreviewBook()
        ports = desktop or DesktopSettings()
        self.entries = TcpEntries(ports.entry_host, ports.entry_ports, address=ports.entry_address)
        self.watching = Watching(self.sessions.channel, self.sessions.role, self.typing)
        self.guacd = Guacd(guacd)
        self.desktops = DesktopService(
            self.access, self.directory, self.dialing, self.watching, self.guacd
        )
        self.vnc = VncService(self.access, self.directory, self.dialing, self.watching)
        self.rdp = RdpService(
            self.access,
            self.directory,
            self.dialing,
            self.entries,
            self.watching,
            self.trail,
        )
        ssh_port = (guacd or GuacdSettings()).ssh_port
        targets = Targets(self.access, self.watching, self.vnc, self.dialing, ssh_port)
        targets.in_session["rdp"] = self.rdp.lend_to_guacd
        targets.on_runner["rdp"] = self.rdp.lend_machine_to_guacd
        self.guacamole = GuacamoleService(
            self.access,
            self.guacd,
            self.entries,
            self.watching,
            self.vnc,
            self.directory,
            targets,
            has_application=guacamole is not None,
        )
        self.guacamole_application = GuacamoleApplication(
            self.access,
            "" if guacamole is None else guacamole.url,
            None if guacamole is None else guacamole_client(guacamole),
            self.entries,
            self.watching,
            self.vnc,
            self.trail,
        )
        links = TransferLinks(self.directory, self.dialing)
        self.files = FileService(self.access, links, self.sessions.channel, self.trail)
        kept = None if recordings is None else RecordingStorage(recordings)
        self.collector = (
            None
            if kept is None
            else Collector(links, kept, self._runner_of, self._is_runner_connected)
        )
        self.recordings = RecordingService(
            self.access,
            self.directory,
            self.sessions.channel,
            self.sessions.recording_changed,
            self.trail,
            kept,
            self.collector,
        )
        self.sharing = SharingService(
            database, self.access, self.members, self.people.people, self.throttle, self.trail
        )
        self.people.people.shared_session = self.sharing.session_of_guest
        self.people.people.on_shut_out.append(self.revoke_runners_of)
        self.people.people.on_removed += [
            self.sharing.forget,
            lambda person_id: self.secrets.remove_all_of(PERSON, person_id),
        ]
        self._previews: PreviewListener | None = None
        self.announcer = Announcer(self.sessions, self.runners, self.members.people)
        self.members.on_change = self._sharing_changed
        self.tasks: asyncio.TaskGroup | None = None
        self.stopping = False
        """Set when the server has been told to end."""
        self.journal.on_change = self._session_changed
        self.directory.on_change = self._runner_changed
        self.sessions.on_removed = self._session_removed
        self.devices.on_revoked = self._runner_revoked
        self.devices.on_removed = lambda runner_id: self.secrets.remove_all_of(RUNNER, runner_id)
        self.devices.on_hidden = self.announcer.runner_hidden

    @property
    def tls_fingerprint(self) -> str | None:
        """The pin of the key that this server shows (`earthshine.net.pinning`)."""
        return None if self.tls is None else self.tls.fingerprint

    async def _session_role(self, session_id: str, person_id: str) -> SessionRole | None:
        channel = await self.book.open(session_id)
        if channel is None:
            return None
        if channel.record.owner_id == person_id:
            return SessionRole.OWNER
        return await self.members.role(session_id, person_id)

    async def _sharing_changed(self, session_id: str) -> None:
        await self.sessions.review(session_id)
        if self._previews is not None:
            await self._previews.doubt(session_id)
        channel = await self.book.open(session_id)
        if channel is not None:
            self.announcer.session_changed(channel)

    def _possession(self, runner_id: str) -> RunnerPossession | None:
        runner = self.directory.known(runner_id)
        return None if runner is None or runner.is_removed else runner.possession

    async def _runner_revoked(self, runner: Runner) -> None:
        """What is open ends now: the control connection, dials and streams, previews, sessions."""
        self.preview_book.end_runner(runner.id)
        self.rdp.end_runner(runner.id)
        await self.endpoint.revoke(runner.id)
        await self.dialing.revoke(runner.id)
        for session_id in await self.storage.unfinished(runner.id):
            channel = await self.book.open(session_id)
            if channel is not None and not channel.record.is_final:
                await self.intake.fail(channel, *RUNNER_REVOKED)

    async def revoke_runners_of(self, person_id: str) -> None:
        """For when somebody is removed or disabled."""
        await self.pairings.drop_of(person_id)
        await self.devices.revoke_of(person_id)

    def _running_sessions(self, runner_id: str) -> int:
        return sum(
            channel.record.runner_id == runner_id and not channel.record.is_final
            for channel in self.book
        )

    def _session_changed(self, channel: Channel) -> None:
        self.announcer.session_changed(channel)
        if channel.record.is_final:
            self.preview_book.end_session(channel.record.id)
            self.entries.end_session(channel.record.id)

    def _session_removed(self, session_id: str) -> None:
        self.announcer.session_removed(session_id)
        if self.tasks is not None:  # what it leaves behind at a sudden end is swept later
            self.tasks.create_task(self.recordings.forget(session_id))

    async def _runner_of(self, session_id: str) -> str | None:
        channel = await self.book.open(session_id)
        return None if channel is None else channel.record.runner_id

    def _is_runner_connected(self, runner_id: str) -> bool:
        runner = self.directory.known(runner_id)
        return runner is not None and runner.is_connected

    def _signed_out(self, sign_in_id: str) -> None:
        self.sockets.close(sign_in_id)
        self.preview_book.end_sign_in(sign_in_id)

    def _role_changed(self, sign_in_id: str) -> None:
        self.sockets.close(sign_in_id, CLOSE_AGAIN, "what you may do has changed")
        self.preview_book.end_sign_in(sign_in_id)

    async def _runner_id(self, session_id: str) -> str:
        return (await self.sessions.channel(session_id)).record.runner_id

    def preview_listener(
        self, settings: PreviewSettings, allowed: AllowedOrigins
    ) -> PreviewListener:
        """Where previews are served, apart from our own origin."""
        self._previews = PreviewListener(
            settings, self.preview_book, self.access, self.dialing, self.relay, allowed.origins
        )
        return self._previews

    def preview_service(self, listener: PreviewListener) -> PreviewService:
        """What people may do with previews."""
        return PreviewService(self.access, self.preview_book, listener, self._runner_id, self.trail)

    def _runner_changed(self, runner: Runner) -> None:
        self.announcer.runner_changed(runner.id)
        if self.collector is not None:
            self.collector.connected(runner.id)
        for channel in self.book:
            if channel.record.runner_id == runner.id and not channel.record.is_final:
                channel.wake(session=True)
                self.sessions.attend_again(channel)
                self.announcer.session_changed(channel)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Background work, for as long as the context lasts; what came is stored at the end."""
        await self.directory.load()
        self.relay.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                self.tasks = tasks
                self.endpoint = RunnerEndpoint(
                    self.directory,
                    self.intake,
                    self.authentication,
                    self.dialing.dial_failed,
                    tasks,
                )
                self.endpoint.on_recording = self.recordings.heard
                self.sockets = SignedInSockets(tasks)
                self.people.sign_ins.on_end = self._signed_out
                self.people.sign_ins.on_change = self._role_changed
                recording = tasks.create_task(self.trail.run())
                typing = tasks.create_task(self.typing.run())
                background = [
                    tasks.create_task(self.endpoint.watch()),
                    tasks.create_task(self.announcer.run()),
                    tasks.create_task(self.dialing.run()),
                    tasks.create_task(self.journal.run()),
                    tasks.create_task(self.members.run()),
                    tasks.create_task(self.people.run()),
                    tasks.create_task(self.rdp.run(self.sockets.stream)),
                ]
                if self.collector is not None:
                    background.append(tasks.create_task(self.collector.run()))
                try:
                    async with self.guacamole_application.running():
                        yield
                finally:
                    for task in background:
                        task.cancel()
                    self.typing.stop()
                    await asyncio.wait([typing])
                    self.trail.stop()
                    await asyncio.wait([recording])
        finally:
            self.relay.close()
            await self.database.close()


def api() -> FastAPI:
    """The JSON API and its sockets, without services: enough for the OpenAPI document."""
    app = FastAPI(
        title="Earthshine",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    versioned = APIRouter(prefix="/api/v1")
    for router in (
        accounts_router,
        runners_router,
        sessions_router,
        previews_router,
        sharing_router,
        desktops_router,
        rdp_router,
        devices_router,
    ):
        versioned.include_router(router)
    for router in (
        audit_router,
        secrets_router,
        guacamole_router,
        files_router,
        recordings_router,
    ):
        versioned.include_router(router)
    versioned.add_api_websocket_route("/updates", _updates)
    app.include_router(versioned)
    app.include_router(clients_router)
    app.include_router(health.router)
    problems.install(app)
    return app


def application(
    plane: ControlPlane,
    allowed: AllowedOrigins,
    public_url: str,
    previews: PreviewService | None = None,
    *,
    form_targets: str = "",
    strict_transport: bool = False,
) -> ASGIApp:
    """Everything that is served under the control plane's own origin."""
    app = api()
    state = app.state
    plane.people.serve_at(public_url)
    state.people = plane.people
    state.sessions = plane.sessions
    state.runners = plane.runners
    state.sharing = plane.sharing
    state.desktops = plane.desktops
    state.vnc = plane.vnc
    state.guacamole = plane.guacamole
    state.guacamole_application = plane.guacamole_application
    state.rdp = plane.rdp
    state.files = plane.files
    state.recordings = plane.recordings
    state.pairings = plane.pairings
    state.devices = plane.devices
    plane.proofs.origins = allowed.origins
    state.announcer = plane.announcer
    state.journal = plane.journal
    state.trail = plane.trail
    state.audit = plane.audit
    state.secrets = plane.secrets
    state.database = plane.database
    state.sign_ins = plane.sockets
    state.previews = previews
    state.public_url = public_url
    state.is_secure = public_url.startswith("https:")
    state.is_stopping = lambda: plane.stopping
    app.router.routes.append(WebSocketRoute(revdial.PATH, FramedDialBack(plane.dialing)))
    app.router.routes.extend(pages.routes(form_targets))
    guarded = OriginGuard(RunnerDoor(app, plane.endpoint), allowed)
    return KnowsOrigin(SecurityHeaders(guarded, strict_transport=strict_transport))


class RunnerDoor:
    """Takes runners' control connections past the framework.

    There may be thousands, all idle; each layer that waits with them costs a kilobyte or two.
    """

    PATH = "/api/clients/stream"

    def __init__(self, app: ASGIApp, endpoint: RunnerEndpoint) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a runner, or pass on."""
        if scope["type"] == "websocket" and scope["path"] == self.PATH:
            await self._endpoint.serve(WebSocket(scope, receive, send))
        else:
            await self._app(scope, receive, send)


async def _updates(websocket: WebSocket) -> None:
    """See docs/protocols/feed.md."""
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(
        subprotocol=UPDATES_SUBPROTOCOL if UPDATES_SUBPROTOCOL in offered else None
    )
    try:
        actor = await current_actor(websocket)
    except DomainError as error:
        await websocket.close(problems.close_code(error), error.detail[:100])
        return
    async with websocket.app.state.sign_ins.socket(actor, websocket):
        await websocket.app.state.announcer.serve(websocket, actor)
