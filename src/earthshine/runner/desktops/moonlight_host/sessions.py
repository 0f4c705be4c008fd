"""The rules of launch, resume, cancel and disconnect.

A session belongs to one client certificate. Its stage lives from launch to cancel (or until the
application ends by itself); what comes and goes is the client's `Connection`. Clients are told
apart by certificate, session key, connect data and ping payload, never by address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.connections import Listener
from earthshine.net.moonlight.rtsp import RtspServer
from earthshine.protocols.moonlight.control import (
    InvalidateReferenceFrames,
    RequestIdr,
    Termination,
)
from earthshine.protocols.moonlight.enet import Connected, Disconnected, EnetEvent, Received
from earthshine.protocols.moonlight.handshake import HostOffer
from earthshine.protocols.moonlight.launch import LaunchRequest, SessionUrl
from earthshine.protocols.moonlight.ping import PAYLOAD_BYTES
from earthshine.protocols.moonlight.rtsp import RtspError, SealedMessage
from earthshine.protocols.moonlight.sdp import (
    STEREO_LAYOUT,
    Announce,
    Codec,
    Describe,
    Encryption,
    HostFeature,
)
from earthshine.protocols.moonlight.video import VideoError
from earthshine.runner.desktops.moonlight_host import events
from earthshine.runner.desktops.moonlight_host.connection import Connection, Lookup, Media
from earthshine.runner.desktops.moonlight_host.consumers import BitrateVotes
from earthshine.runner.desktops.moonlight_host.session import Session, SessionRefusedError
from earthshine.runner.desktops.moonlight_host.shared import SharedStage
from earthshine.runner.desktops.moonlight_host.stage import StageError, StageRequest
from earthshine.runner.desktops.moonlight_host.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from earthshine.net.moonlight.datagrams import Address
    from earthshine.net.moonlight.enet import EnetHost
    from earthshine.protocols.moonlight.input import InputEvent
    from earthshine.runner.desktops.moonlight_host.apps import HostApp
    from earthshine.runner.desktops.moonlight_host.events import Events
    from earthshine.runner.desktops.moonlight_host.lobbies import Lobbies
    from earthshine.runner.desktops.moonlight_host.pairings import PairedClient
    from earthshine.runner.desktops.moonlight_host.ports import HostSockets, PlainRtspPorts
    from earthshine.runner.desktops.moonlight_host.settings import HostSettings
    from earthshine.runner.desktops.moonlight_host.stage import Stage, StageProvider

DEFAULT_SIZE: Final = (1280, 720)
DEFAULT_FPS: Final = 60

# Refusals as GameStream clients know them.
_RUNNING: Final = 400
_FORBIDDEN: Final = 403
_UNAVAILABLE: Final = 503

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wires:
    """The host's sockets, as far as sessions need them."""

    sockets: HostSockets
    plain_ports: PlainRtspPorts


class Sessions:
    """All sessions of one host. Everything here runs on the event loop."""

    def __init__(
        self,
        settings: HostSettings,
        provider: StageProvider,
        wires: Wires,
        tasks: asyncio.TaskGroup,
        happened: Events,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._wires = wires
        self._tasks = tasks
        self._events = happened
        self._by_client: dict[str, Session] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._starting = 0
        self._lookup = Lookup()
        self._sessions_of: dict[Connection, Session] = {}
        self._plain: dict[Connection, Listener] = {}
        self._votes = BitrateVotes()
        self.control: EnetHost | None = None
        """Set once the control socket is open."""
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
            return self._welcome(session, request, address, local)

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
                self._welcome(session, request, address, "")
            return session

    def arm(self, session: Session, announce: Announce, ping_payload: bytes) -> None:
        """Stream as if the client had announced that itself. Raises SessionRefusedError."""
        connection = session.connection
        if connection is None or session.state is not State.WAITING:
            raise SessionRefusedError(_UNAVAILABLE, "The session does not wait for a client")
        if ping_payload in self._lookup.by_payload:
            raise SessionRefusedError(_RUNNING, "That ping payload is in use")
        self._lookup.by_payload.pop(connection.ping_payload, None)
        connection.ping_payload = ping_payload
        self._lookup.by_payload[ping_payload] = connection
        self._announced(session, connection, announce)

    async def resume(
        self, client: PairedClient, request: LaunchRequest, address: str, local: str
    ) -> SessionUrl:
        """Let the client back in, with new keys. Raises SessionRefusedError."""
        self._check_encryption(request)
        async with self._lock(client):
            session = self.of(client)
            if session is None:
                raise SessionRefusedError(_UNAVAILABLE, "There is no session to resume")
            return self._welcome(session, request, address, local)

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
            self._leave(session, goodbye=True)

    def put_input(self, session: Session, event: InputEvent) -> None:
        """Input on behalf of the session's client."""
        session.shown.input.handle(event)

    async def show(self, session: Session) -> None:
        """The session's client sees `Session.shown` from now on."""
        connection = session.connection
        if connection is not None and session.state is State.STREAMING:
            self._show(session, connection)

    async def close(self) -> None:
        """End all sessions."""
        for session in self.all:
            await self._end(session)

    # -- RTSP -------------------------------------------------------------------------------------

    def answer_rtsp(self, message: bytes | SealedMessage, address: str) -> bytes | None:
        """On the shared port: only sealed messages, told apart by the key that opens them."""
        if not isinstance(message, SealedMessage):
            log.info("plain RTSP on the port for encrypted RTSP", extra={"address": address})
            return None
        for session in self.all:
            connection = session.connection
            if connection is None or session.state is not State.WAITING:
                continue
            plain = connection.open_rtsp(message)
            if plain is not None:
                return self._answer(session, connection, plain)
        # The last request, PLAY, comes when the client has announced.
        for session in self.all:
            connection = session.connection
            if connection is not None and session.state is State.ANNOUNCED:
                plain = connection.open_rtsp(message)
                if plain is not None:
                    return self._answer(session, connection, plain)
        return None

    def _answer(self, session: Session, connection: Connection, plain: bytes) -> bytes | None:
        try:
            answer, announce = connection.answer_rtsp(plain)
        except RtspError as error:
            log.info("an RTSP request was dropped: %s", error)
            return None
        if announce is not None:
            self._announced(session, connection, announce)
        return answer

    def _announced(self, session: Session, connection: Connection, announce: Announce) -> None:
        try:
            self._check_announce(announce)
            if not session.step(Event.ANNOUNCE):
                return
            sockets = self._wires.sockets
            connection.arm(announce, sockets.video, sockets.audio, self._settings.fec_percent)
        except (VideoError, SessionRefusedError) as error:
            log.warning("a client announced what cannot be: %s", error)
            if session.step(Event.PAUSE):
                self._leave(session)

    # -- control and media ------------------------------------------------------------------------

    def admit(self, _: Address, data: int) -> bool:
        """Whether that connect data was given out and its control connection is due."""
        connection = self._lookup.by_data.get(data)
        session = None if connection is None else self._sessions_of.get(connection)
        return session is not None and session.state is State.ANNOUNCED

    def control_event(self, peer: int, event: EnetEvent) -> None:
        """From the control socket."""
        match event:
            case Connected(data):
                connection = self._lookup.by_data.get(data)
                session = None if connection is None else self._sessions_of.get(connection)
                if connection is None or session is None or not session.step(Event.CONNECT):
                    self._dismiss(peer)
                    return
                connection.peer = peer
                self._lookup.by_peer[peer] = connection
                if connection.expiry is not None:
                    connection.expiry.cancel()
                self._run(session, self._begin(session, connection))
            case Received(_, packet, _):
                self._received(peer, packet)
            case Disconnected():
                connection = self._lookup.by_peer.pop(peer, None)
                session = None if connection is None else self._sessions_of.get(connection)
                if session is not None and session.step(Event.LOSE):
                    self._leave(session)

    def ping(self, payload: bytes | None, media: Media, address: Address) -> None:
        """A ping on a media port: whoever knows the payload says where its stream goes."""
        connection = None if payload is None else self._lookup.by_payload.get(payload)
        if connection is not None:
            connection.aim(media, address)

    def _received(self, peer: int, packet: bytes) -> None:
        connection = self._lookup.by_peer.get(peer)
        session = None if connection is None else self._sessions_of.get(connection)
        if connection is None or session is None:
            return
        message = connection.receive(packet)
        match message:
            case RequestIdr() | InvalidateReferenceFrames():
                if connection.video is not None:
                    connection.video.receive(message)
                self._events.say(events.KEY_FRAME_REQUESTED, session_id=session.id)
            case Termination():
                if session.step(Event.LOSE):
                    self._leave(session, goodbye=True)

    # -- how a stay begins and ends ---------------------------------------------------------------

    async def _start(
        self, client: PairedClient, app: HostApp, request: LaunchRequest, address: str
    ) -> Session:
        if self.of(client) is not None:
            raise SessionRefusedError(_RUNNING, "Another app is already running for this client")
        if len(self._by_client) + self._starting >= self._settings.max_sessions:
            raise SessionRefusedError(_UNAVAILABLE, "This host has no room for another session")
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
            raise SessionRefusedError(_UNAVAILABLE, f"The app did not start: {error}") from None
        except TimeoutError:
            raise SessionRefusedError(_UNAVAILABLE, "The app did not start in time") from None
        finally:
            self._starting -= 1
        identifier = str(secrets.randbits(63) + 1)
        session = Session(identifier, client, app, stage, request, address)
        self._by_client[client.fingerprint] = session
        self._run(session, self._watch(session))
        self._events.say(
            events.SESSION_STARTED, session_id=session.id, client_id=client.id, app_id=app.id
        )
        return session

    async def _stage(self, app: HostApp, wanted: StageRequest) -> Stage:
        if app.parent_session is None:
            return await self._provider.start(wanted)
        return SharedStage(self.find(app.parent_session).stage)

    def _welcome(
        self, session: Session, request: LaunchRequest, address: str, local: str
    ) -> SessionUrl:
        """Make a connection for the client to come and say where. An older one is over."""
        sockets = self._wires.sockets
        port, encrypted, door = self._settle_rtsp(request)
        self._leave(session, goodbye=True)
        offer = HostOffer(
            describe=self._describe(session.shown),
            session=secrets.token_hex(8),
            ping_payload=secrets.token_hex(PAYLOAD_BYTES // 2),
            connect_data=secrets.randbits(32),
            video_port=sockets.base + 9,
            control_port=sockets.base + 10,
            audio_port=sockets.base + 11,
        )
        connection = Connection(
            request.keys,
            offer,
            address,
            encrypted=encrypted,
            may_input=not session.client.view_only,
        )
        session.request, session.address = request, address
        session.connection = connection
        session.step(Event.RESUME)
        self._lookup.add(connection)
        self._sessions_of[connection] = session
        if door is not None:
            connection.plain_port = port
            self._plain[connection] = door
            self._run(session, door.start())
        connection.expiry = asyncio.get_running_loop().call_later(
            self._settings.handshake_wait, self._expire, session, connection
        )
        self._events.say(events.SESSION_RESUMED, session_id=session.id)
        return SessionUrl(local, port, encrypted)

    def _settle_rtsp(self, request: LaunchRequest) -> tuple[int, bool, Listener | None]:
        """Port, whether encrypted, and the door that has to be opened there."""
        if request.encrypted_rtsp:
            return self._wires.sockets.base + 21, True, None
        if not self._settings.allow_plain_rtsp:
            raise SessionRefusedError(_FORBIDDEN, "This host serves only clients that encrypt RTSP")
        sock = self._wires.plain_ports.take()
        if sock is None:
            raise SessionRefusedError(_UNAVAILABLE, "Too many clients connect at the moment")
        port = sock.getsockname()[1]
        key = request.keys

        def answer(message: bytes | SealedMessage, _: str) -> bytes | None:
            for connection, session in self._sessions_of.items():
                if connection.keys is key and not isinstance(message, SealedMessage):
                    return self._answer(session, connection, message)
            return None

        return port, False, Listener(sock, RtspServer(answer).serve, self._tasks)

    async def _begin(self, session: Session, connection: Connection) -> None:
        """The control connection stands: fit the stage and show it."""
        announce = connection.announce
        if announce is None:
            return
        self._close_door(connection)
        stage = session.stage
        if session.lobby is None and stage.size != (announce.width, announce.height):
            try:
                await stage.resize(announce.width, announce.height, announce.max_fps)
            except StageError as error:
                log.warning("the display keeps its size: %s", error)
        if session.connection is not connection or session.state is not State.STREAMING:
            return
        self._show(session, connection)
        self._events.say(events.SESSION_STREAMING, session_id=session.id)

    def _show(self, session: Session, connection: Connection) -> None:
        announce = connection.announce
        if announce is None:
            return
        stage = session.shown
        try:
            connection.show(stage)
            wanted = announce.encoder_bitrate_kbps(self._settings.fec_percent)
            self._votes.vote(connection, stage.producer(announce.codec), wanted)
        except StageError as error:
            log.warning("a session cannot be shown: %s", error)
            if session.step(Event.PAUSE):
                self._leave(session, goodbye=True)

    def _expire(self, session: Session, connection: Connection) -> None:
        if session.connection is connection and session.step(Event.EXPIRE):
            log.info("a client did not come after its launch", extra={"session": session.id})
            self._leave(session)

    def _leave(self, session: Session, *, goodbye: bool = False) -> None:
        """End the session's stay, if there is one. The stage goes on."""
        connection, session.connection = session.connection, None
        if connection is None:
            return
        if goodbye and connection.peer is not None and self.control is not None:
            farewell = connection.sealed(Termination())
            if farewell is not None:
                self.control.send(connection.peer, 0, farewell)
            self.control.disconnect(connection.peer, later=True)
        connection.release()
        self._votes.withdraw(connection)
        self._lookup.remove(connection)
        self._sessions_of.pop(connection, None)
        self._close_door(connection)
        self._tasks.create_task(self._hush(connection))
        if session.state is not State.WAITING:
            self._events.say(events.SESSION_PAUSED, session_id=session.id)

    @staticmethod
    async def _hush(connection: Connection) -> None:
        try:
            await asyncio.to_thread(connection.close)
        except Exception:
            log.exception("a stream did not end well")

    def _close_door(self, connection: Connection) -> None:
        door = self._plain.pop(connection, None)
        if door is not None and connection.plain_port is not None:
            self._tasks.create_task(self._closed(door, connection.plain_port))

    async def _closed(self, door: Listener, port: int) -> None:
        await door.close()
        self._wires.plain_ports.give_back(port)

    async def _end(self, session: Session) -> None:
        """End the session with everything that belongs to it."""
        if not session.step(Event.END):
            return
        self._by_client.pop(session.client.fingerprint, None)
        connection = session.connection
        self._leave(session, goodbye=True)
        lobby = None
        if self.lobbies is not None:
            lobby = self.lobbies.part(session)
        current = asyncio.current_task()
        for task in session.tasks:
            if task is not current:
                task.cancel()
        if connection is not None:
            await self._hush(connection)
        await session.stage.close()
        if lobby is not None and self.lobbies is not None:
            await self.lobbies.stop_if_deserted(lobby)
        self._events.say(events.SESSION_ENDED, session_id=session.id)

    async def _watch(self, session: Session) -> None:
        await session.stage.ended()
        async with self._lock(session.client):
            await self._end(session)

    # -- small things -----------------------------------------------------------------------------

    def _describe(self, stage: Stage) -> Describe:
        codecs = self._provider.codecs
        audio = stage.audio
        features = HostFeature.NONE
        if stage.input.touch:
            features = HostFeature.PEN_TOUCH | HostFeature.CONTROLLER_TOUCH
        offered = self._settings.offer_encryption
        wished = Encryption.ALL if self._settings.require_encryption else Encryption.CONTROL_V2
        return Describe(
            features=features,
            encryption_supported=offered,
            encryption_requested=offered & wished,
            reference_invalidation=stage.producer(Codec.H264).invalidates,
            hevc=Codec.HEVC in codecs,
            av1=Codec.AV1 in codecs,
            layouts=((STEREO_LAYOUT, False),) if audio is None else audio.layouts,
        )

    def _check_encryption(self, request: LaunchRequest) -> None:
        if self._settings.require_encryption and not request.encrypted_rtsp:
            raise SessionRefusedError(_FORBIDDEN, "This host serves only clients that encrypt")

    def _check_announce(self, announce: Announce) -> None:
        if announce.codec not in self._provider.codecs:
            raise SessionRefusedError(_UNAVAILABLE, "this host cannot encode that codec")
        needed = Encryption.ALL if self._settings.require_encryption else Encryption.NONE
        if announce.encryption & needed != needed:
            raise SessionRefusedError(_FORBIDDEN, "this host serves only clients that encrypt")

    def _dismiss(self, peer: int) -> None:
        if self.control is not None:
            self.control.disconnect(peer)

    def _lock(self, client: PairedClient) -> asyncio.Lock:
        return self._locks.setdefault(client.fingerprint, asyncio.Lock())

    def _run(self, session: Session, work: Coroutine[object, object, None]) -> None:
        task = self._tasks.create_task(self._guarded(session, work))
        session.tasks.add(task)
        task.add_done_callback(session.tasks.discard)

    async def _guarded(self, session: Session, work: Coroutine[object, object, None]) -> None:
        """One session's fault must not end the others."""
        try:
            await work
        except Exception:
            log.exception("a session failed", extra={"session": session.id})
            if session.step(Event.PAUSE):
                self._leave(session, goodbye=True)

    async def _shielded(self, work: Coroutine[object, object, None]) -> None:
        """Finish ``work`` even if whoever asked for it goes away."""
        task = self._tasks.create_task(work)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
            return
        await asyncio.shield(task)
        raise asyncio.CancelledError
