"""How clients come and go: a stay begins with launch or resume and ends when the client leaves.

Everything that arrives on the host's RTSP, control and media ports comes here and is matched to a
stay by session key, connect data or ping payload, never by address. Sessions and their stages are
made and ended by `sessions`.
"""

from __future__ import annotations

import asyncio
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
from earthshine.runner.desktops.moonlight_host.stage import StageError
from earthshine.runner.desktops.moonlight_host.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from earthshine.net.moonlight.datagrams import Address
    from earthshine.net.moonlight.enet import EnetHost
    from earthshine.runner.desktops.moonlight_host.events import Events
    from earthshine.runner.desktops.moonlight_host.ports import HostSockets, PlainRtspPorts
    from earthshine.runner.desktops.moonlight_host.settings import HostSettings
    from earthshine.runner.desktops.moonlight_host.stage import Stage, StageProvider

# Refusals as GameStream clients know them.
RUNNING: Final = 400
FORBIDDEN: Final = 403
UNAVAILABLE: Final = 503

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wires:
    """The host's sockets, as far as sessions need them."""

    sockets: HostSockets
    plain_ports: PlainRtspPorts


class Stays:
    """All stays of one host's clients. Everything here runs on the event loop."""

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
        self._lookup = Lookup()
        self._sessions_of: dict[Connection, Session] = {}
        self._plain: dict[Connection, Listener] = {}
        self._votes = BitrateVotes()
        self.control: EnetHost | None = None
        """Set once the control socket is open."""

    @property
    def idle(self) -> bool:
        """Whether nothing of any stay is left."""
        lookup = self._lookup
        found = (lookup.by_data, lookup.by_payload, lookup.by_peer, self._sessions_of, self._plain)
        return not any(found) and not self._wires.plain_ports.taken

    # -- what sessions ask for --------------------------------------------------------------------

    def arm(self, session: Session, announce: Announce, ping_payload: bytes) -> None:
        """Stream as if the client had announced that itself. Raises SessionRefusedError."""
        connection = session.connection
        if connection is None or session.state is not State.WAITING:
            raise SessionRefusedError(UNAVAILABLE, "The session does not wait for a client")
        if ping_payload in self._lookup.by_payload:
            raise SessionRefusedError(RUNNING, "That ping payload is in use")
        self._lookup.by_payload.pop(connection.ping_payload, None)
        connection.ping_payload = ping_payload
        self._lookup.by_payload[ping_payload] = connection
        self._announced(session, connection, announce)

    def welcome(
        self, session: Session, request: LaunchRequest, address: str, local: str
    ) -> SessionUrl:
        """Make a connection for the client to come and say where. An older one is over."""
        sockets = self._wires.sockets
        port, encrypted, door = self._settle_rtsp(request)
        self.leave(session, goodbye=True)
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
            self.run(session, door.start())
        connection.expiry = asyncio.get_running_loop().call_later(
            self._settings.handshake_wait, self._expire, session, connection
        )
        self._events.say(events.SESSION_RESUMED, session_id=session.id)
        return SessionUrl(local, port, encrypted)

    async def show(self, session: Session) -> None:
        """The session's client sees `Session.shown` from now on."""
        connection = session.connection
        if connection is not None and session.state is State.STREAMING:
            self._show(session, connection)

    def _settle_rtsp(self, request: LaunchRequest) -> tuple[int, bool, Listener | None]:
        """Port, whether encrypted, and the door that has to be opened there."""
        if request.encrypted_rtsp:
            return self._wires.sockets.base + 21, True, None
        if not self._settings.allow_plain_rtsp:
            raise SessionRefusedError(FORBIDDEN, "This host serves only clients that encrypt RTSP")
        sock = self._wires.plain_ports.take()
        if sock is None:
            raise SessionRefusedError(UNAVAILABLE, "Too many clients connect at the moment")
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
        wanted = (announce.width, announce.height, announce.max_fps)
        if session.lobby is None and (*stage.size, session.fps) != wanted:
            try:
                await stage.resize(*wanted)
                session.fps = announce.max_fps
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
                self.leave(session, goodbye=True)

    def _expire(self, session: Session, connection: Connection) -> None:
        if session.connection is connection and session.step(Event.EXPIRE):
            log.info("a client did not come after its launch", extra={"session": session.id})
            self.leave(session)

    def leave(self, session: Session, *, goodbye: bool = False) -> None:
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
        self._tasks.create_task(self.hush(connection))
        if session.state is not State.WAITING:
            self._events.say(events.SESSION_PAUSED, session_id=session.id)

    @staticmethod
    async def hush(connection: Connection) -> None:
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

    # -- RTSP -------------------------------------------------------------------------------------

    def answer_rtsp(self, message: bytes | SealedMessage, address: str) -> bytes | None:
        """On the shared port: only sealed messages, told apart by the key that opens them."""
        if not isinstance(message, SealedMessage):
            log.info("plain RTSP on the port for encrypted RTSP", extra={"address": address})
            return None
        # The last request, PLAY, comes when the client has announced.
        for state in (State.WAITING, State.ANNOUNCED):
            for connection, session in self._sessions_of.items():
                if session.state is not state or session.connection is not connection:
                    continue
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
                self.leave(session)

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
                self.run(session, self._begin(session, connection))
            case Received(_, packet, _):
                self._received(peer, packet)
            case Disconnected():
                connection = self._lookup.by_peer.pop(peer, None)
                session = None if connection is None else self._sessions_of.get(connection)
                if session is not None and session.step(Event.LOSE):
                    self.leave(session)

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
                    self.leave(session, goodbye=True)

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

    def _check_announce(self, announce: Announce) -> None:
        if announce.codec not in self._provider.codecs:
            raise SessionRefusedError(UNAVAILABLE, "this host cannot encode that codec")
        needed = Encryption.ALL if self._settings.require_encryption else Encryption.NONE
        if announce.encryption & needed != needed:
            raise SessionRefusedError(FORBIDDEN, "this host serves only clients that encrypt")

    def _dismiss(self, peer: int) -> None:
        if self.control is not None:
            self.control.disconnect(peer)

    def run(self, session: Session, work: Coroutine[object, object, None]) -> None:
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
                self.leave(session, goodbye=True)
