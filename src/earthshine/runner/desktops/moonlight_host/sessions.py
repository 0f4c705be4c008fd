"""The rules of launch, resume, cancel and disconnect.

A session belongs to one client certificate. Its stage lives from launch to cancel (or until the
application ends by itself); how its client comes and goes meanwhile is in `stays`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.launch import LaunchRequest, SessionUrl
from earthshine.runner.desktops.moonlight_host import events
from earthshine.runner.desktops.moonlight_host.session import Session, SessionRefusedError
from earthshine.runner.desktops.moonlight_host.shared import SharedStage
from earthshine.runner.desktops.moonlight_host.stage import StageError, StageRequest
from earthshine.runner.desktops.moonlight_host.states import Event
from earthshine.runner.desktops.moonlight_host.stays import FORBIDDEN, RUNNING, UNAVAILABLE, Stays

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from earthshine.protocols.moonlight.input import InputEvent
    from earthshine.runner.desktops.moonlight_host.apps import HostApp
    from earthshine.runner.desktops.moonlight_host.events import Events
    from earthshine.runner.desktops.moonlight_host.lobbies import Lobbies
    from earthshine.runner.desktops.moonlight_host.pairings import PairedClient
    from earthshine.runner.desktops.moonlight_host.settings import HostSettings
    from earthshine.runner.desktops.moonlight_host.stage import Stage, StageProvider

DEFAULT_SIZE: Final = (1280, 720)
DEFAULT_FPS: Final = 60

log = logging.getLogger(__name__)


class Sessions:
    """All sessions of one host. Everything here runs on the event loop."""

    def __init__(
        self,
        settings: HostSettings,
        provider: StageProvider,
        stays: Stays,
        tasks: asyncio.TaskGroup,
        happened: Events,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._stays = stays
        self._tasks = tasks
        self._events = happened
        self._by_client: dict[str, Session] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._starting = 0
        self.lobbies: Lobbies | None = None
        """Set once there are any."""

    # -- what is there ----------------------------------------------------------------------------

    @property
    def all(self) -> list[Session]:
        """In the order in which they were started."""
        return list(self._by_client.values())

    def of(self, client: PairedClient) -> Session | None:
        """The client's session."""
        return self._by_client.get(client.fingerprint)

    def find(self, identifier: str) -> Session:
        """Raises SessionRefusedError."""
        for session in self._by_client.values():
            if session.id == identifier:
                return session
        raise SessionRefusedError(404, "there is no such session")

    # -- what clients ask for over HTTPS ----------------------------------------------------------

    async def launch(
        self, client: PairedClient, app: HostApp, request: LaunchRequest, address: str, local: str
    ) -> SessionUrl:
        """Start the app and wait for the client. Raises SessionRefusedError.

        Launching what already runs for this client is a resume: there are clients that forget.
        """
        self._check_encryption(request)
        async with self._lock(client):
            session = self.of(client)
            if session is None or session.app.id != app.id:
                session = await self._start(client, app, request, address)
            return self._stays.welcome(session, request, address, local)

    async def kick_off(
        self,
        client: PairedClient,
        app: HostApp,
        request: LaunchRequest,
        address: str,
        *,
        expected: bool = False,
    ) -> Session:
        """Start the app for a client that comes later: to it this is a session to resume.

        ``expected``: the client has the request's keys already and comes without resuming. Raises
        SessionRefusedError.
        """
        async with self._lock(client):
            session = await self._start(client, app, request, address)
            if expected:
                self._stays.welcome(session, request, address, "")
            return session

    async def resume(
        self, client: PairedClient, request: LaunchRequest, address: str, local: str
    ) -> SessionUrl:
        """Let the client back in, with new keys. Raises SessionRefusedError."""
        self._check_encryption(request)
        async with self._lock(client):
            session = self.of(client)
            if session is None:
                raise SessionRefusedError(UNAVAILABLE, "There is no session to resume")
            return self._stays.welcome(session, request, address, local)

    async def cancel(self, client: PairedClient) -> bool:
        """End the client's session; false if it had none."""
        async with self._lock(client):
            session = self.of(client)
            if session is None:
                return False
            await self._shielded(self._end(session))
            return True

    # -- what others ask for ----------------------------------------------------------------------

    async def stop(self, session: Session) -> None:
        """Like `cancel`."""
        await self.cancel(session.client)

    def pause(self, session: Session) -> None:
        """Send the client away; its application goes on."""
        if session.step(Event.PAUSE):
            self._stays.leave(session, goodbye=True)

    def put_input(self, session: Session, event: InputEvent) -> None:
        """Input on behalf of the session's client."""
        session.shown.input.handle(event)

    async def close(self) -> None:
        """End all sessions."""
        for session in self.all:
            await self._end(session)

    # -- how a session begins and ends ------------------------------------------------------------

    async def _start(
        self, client: PairedClient, app: HostApp, request: LaunchRequest, address: str
    ) -> Session:
        if self.of(client) is not None:
            raise SessionRefusedError(RUNNING, "Another app is already running for this client")
        if len(self._by_client) + self._starting >= self._settings.max_sessions:
            raise SessionRefusedError(UNAVAILABLE, "This host has no room for another session")
        width, height = request.width or DEFAULT_SIZE[0], request.height or DEFAULT_SIZE[1]
        wanted = StageRequest(
            name=app.title,
            command=app.command,
            width=width,
            height=height,
            fps=request.fps or DEFAULT_FPS,
            environment=app.environment,
            folder=client.folder or None,
            desktop=app.desktop,
        )
        self._starting += 1
        try:
            async with asyncio.timeout(self._settings.start_wait):
                stage = await self._stage(app, wanted)
        except StageError as error:
            raise SessionRefusedError(UNAVAILABLE, f"The app did not start: {error}") from None
        except TimeoutError:
            raise SessionRefusedError(UNAVAILABLE, "The app did not start in time") from None
        finally:
            self._starting -= 1
        identifier = str(secrets.randbits(63) + 1)
        session = Session(identifier, client, app, stage, request, address, wanted.fps)
        self._by_client[client.fingerprint] = session
        self._stays.run(session, self._watch(session))
        self._events.say(
            events.SESSION_STARTED, session_id=session.id, client_id=client.id, app_id=app.id
        )
        return session

    async def _stage(self, app: HostApp, wanted: StageRequest) -> Stage:
        if app.parent_session is None:
            return await self._provider.start(wanted)
        return SharedStage(self.find(app.parent_session).stage)

    async def _end(self, session: Session) -> None:
        """End the session with everything that belongs to it."""
        if not session.step(Event.END):
            return
        self._by_client.pop(session.client.fingerprint, None)
        connection = session.connection
        self._stays.leave(session, goodbye=True)
        lobby = None
        if self.lobbies is not None:
            lobby = self.lobbies.part(session)
        current = asyncio.current_task()
        for task in session.tasks:
            if task is not current:
                task.cancel()
        if connection is not None:
            await self._stays.hush(connection)
        await session.stage.close()
        if lobby is not None and self.lobbies is not None:
            await self.lobbies.stop_if_deserted(lobby)
        self._events.say(events.SESSION_ENDED, session_id=session.id)

    async def _watch(self, session: Session) -> None:
        await session.stage.ended()
        async with self._lock(session.client):
            await self._end(session)

    # -- small things -----------------------------------------------------------------------------

    def _check_encryption(self, request: LaunchRequest) -> None:
        if self._settings.require_encryption and not request.encrypted_rtsp:
            raise SessionRefusedError(FORBIDDEN, "This host serves only clients that encrypt")

    def _lock(self, client: PairedClient) -> asyncio.Lock:
        return self._locks.setdefault(client.fingerprint, asyncio.Lock())

    async def _shielded(self, work: Coroutine[object, object, None]) -> None:
        """Finish ``work`` even if whoever asked for it goes away."""
        task = self._tasks.create_task(work)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
            return
        await asyncio.shield(task)
        raise asyncio.CancelledError
