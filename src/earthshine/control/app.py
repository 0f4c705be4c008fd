"""The control plane, composed. No rule lives here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from earthshine import __version__
from earthshine.control import health, problems
from earthshine.control.accounts.routes import router as accounts_router
from earthshine.control.accounts.service import AccountService
from earthshine.control.audit.kinds import NoTrail, Trail
from earthshine.control.audit.routes import router as audit_router
from earthshine.control.authorization import Authorization, RunnerPossession, SessionRole
from earthshine.control.credentials import current_actor
from earthshine.control.db.engine import Database
from earthshine.control.dialing.registry import ConnectionRegistry
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError
from earthshine.control.origin import KnowsOrigin
from earthshine.control.origins import AllowedOrigins, OriginGuard, SecurityHeaders
from earthshine.control.previews.book import PreviewBook
from earthshine.control.previews.listener import PreviewListener, PreviewSettings
from earthshine.control.previews.routes import router as previews_router
from earthshine.control.previews.service import PreviewService
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.runners.endpoint import RunnerEndpoint
from earthshine.control.runners.routes import router as runners_router
from earthshine.control.runners.service import RunnerService
from earthshine.control.secrets.routes import router as secrets_router
from earthshine.control.sessions.channel import Channel, ChannelBook
from earthshine.control.sessions.intake import SessionIntake
from earthshine.control.sessions.journal import Journal
from earthshine.control.sessions.routes import router as sessions_router
from earthshine.control.sessions.service import SessionService
from earthshine.control.sessions.storage import SessionStorage
from earthshine.control.sharing.membership import MembershipBook
from earthshine.control.sharing.routes import router as sharing_router
from earthshine.control.sharing.service import SharingService
from earthshine.control.sockets import SignedInSockets
from earthshine.control.throttle import Throttle
from earthshine.control.ui import pages
from earthshine.control.updates import SUBPROTOCOL as UPDATES_SUBPROTOCOL
from earthshine.control.updates import Announcer
from earthshine.net.relay import Relay
from earthshine.net.upgrade import FramedDialBack
from earthshine.protocols import revdial


class ControlPlane:
    """The services, and what keeps them going (`running`)."""

    def __init__(self, database: Database, runner_token: str) -> None:
        self._token_hash = hashlib.sha256(runner_token.encode()).digest()
        self.database = database
        storage = SessionStorage(database)
        self.book = ChannelBook(storage.load)
        self.members = MembershipBook(database)
        self.access = Authorization(self._session_role, self._possession)
        self.throttle = Throttle()
        self.trail: Trail = NoTrail()
        self.accounts = AccountService(database, self.access)
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
        )
        self.runners = RunnerService(self.access, self.directory, self._running_sessions)
        self.dialing = DialService(self.registry, self._runner_of)
        self.relay = Relay()
        self.preview_book = PreviewBook()
        self.sharing = SharingService(
            database, self.access, self.members, self.accounts, self.throttle, self.trail
        )
        self._previews: PreviewListener | None = None
        self.announcer = Announcer(self.sessions, self.runners, self.members.people)
        self.members.on_change = self._sharing_changed
        self.tasks: asyncio.TaskGroup | None = None
        self.stopping = False
        """Set when the server has been told to end."""
        self.journal.on_change = self._session_changed
        self.directory.on_change = self._runner_changed
        self.sessions.on_removed = self.announcer.session_removed

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
        known = self.directory.known(runner_id) is not None
        return RunnerPossession(owner_id=None, shared=True) if known else None

    def _running_sessions(self, runner_id: str) -> int:
        return sum(
            channel.record.runner_id == runner_id and not channel.record.is_final
            for channel in self.book
        )

    def verify_runner(self, token: str) -> bool:
        """Whether this is the static runner token."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._token_hash)

    async def _runner_of(self, authorization: str) -> str | None:
        """The runner id of a dial-back: its token is `RUNNER_ID.TOKEN`."""
        scheme, _, credential = authorization.partition(" ")
        runner_id, _, token = credential.strip().partition(".")
        accepted = scheme.lower() == "bearer" and self.verify_runner(token)
        return runner_id if accepted else None

    def _session_changed(self, channel: Channel) -> None:
        self.announcer.session_changed(channel)
        if channel.record.is_final:
            self.preview_book.end_session(channel.record.id)

    def _signed_out(self, sign_in_id: str) -> None:
        self.sockets.close(sign_in_id)
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
        return PreviewService(self.access, self.preview_book, listener, self._runner_id)

    def _runner_changed(self, runner: Runner) -> None:
        self.announcer.runner_changed(runner.id)
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
                    self.verify_runner,
                    self.dialing.dial_failed,
                    tasks,
                )
                self.sockets = SignedInSockets(tasks)
                self.accounts.on_sign_out = self._signed_out
                background = [
                    tasks.create_task(self.endpoint.watch()),
                    tasks.create_task(self.announcer.run()),
                    tasks.create_task(self.dialing.run()),
                    tasks.create_task(self.journal.run()),
                    tasks.create_task(self.members.run()),
                ]
                try:
                    yield
                finally:
                    for task in background:
                        task.cancel()
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
        responses=problems.PROBLEM_RESPONSES,
        generate_unique_id_function=lambda route: route.name,
    )
    versioned = APIRouter(prefix="/api/v1")
    for router in (
        accounts_router,
        runners_router,
        sessions_router,
        previews_router,
        sharing_router,
    ):
        versioned.include_router(router)
    for router in (audit_router, secrets_router):
        versioned.include_router(router)
    versioned.add_api_websocket_route("/updates", _updates)
    app.include_router(versioned)
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
) -> ASGIApp:
    """Everything that is served under the control plane's own origin."""
    app = api()
    state = app.state
    state.accounts = plane.accounts
    state.sessions = plane.sessions
    state.runners = plane.runners
    state.sharing = plane.sharing
    state.announcer = plane.announcer
    state.journal = plane.journal
    state.database = plane.database
    state.sign_ins = plane.sockets
    state.previews = previews
    state.public_url = public_url
    state.is_secure = public_url.startswith("https:")
    state.is_stopping = lambda: plane.stopping
    app.router.routes.append(WebSocketRoute(revdial.PATH, FramedDialBack(plane.dialing)))
    app.router.routes.extend(pages.routes(form_targets))
    return KnowsOrigin(SecurityHeaders(OriginGuard(RunnerDoor(app, plane.endpoint), allowed)))


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
