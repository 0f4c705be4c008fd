"""What Wolf's API asks, in terms of our host."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from earthshine.protocols.moonlight.input import InputError, decode_input
from earthshine.protocols.moonlight.launch import LaunchRequest, StreamKeys
from earthshine.protocols.moonlight.pairing import PairingError
from earthshine.protocols.moonlight.sdp import Announce, ColourSpace
from earthshine.runner.desktops.moonlight_host.apps import AppError, HostApp
from earthshine.runner.desktops.moonlight_host.http_api import read_art
from earthshine.runner.desktops.moonlight_host.lobbies import LobbyRequest
from earthshine.runner.desktops.moonlight_host.pairings import PairingsError
from earthshine.runner.desktops.moonlight_host.session import SessionRefusedError
from earthshine.runner.desktops.moonlight_host.stage import StageError, StageRequest
from earthshine.runner.desktops.wolf import schemas

if TYPE_CHECKING:
    from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
    from earthshine.runner.desktops.moonlight_host.pairings import PairedClient
    from earthshine.runner.desktops.moonlight_host.session import Session

HIDDEN_PROFILE: Final = "moonlight-profile-id"
MAX_PROFILES: Final = 64
MAX_PROGRAMS: Final = 16
"""Programs started by ``/runners/start`` that run at the same time."""
_COLOURS: Final = {
    "BT601": ColourSpace.REC601,
    "BT709": ColourSpace.REC709,
    "BT2020": ColourSpace.REC2020,
}

log = logging.getLogger(__name__)


class WolfApiError(Exception):
    """A wish that cannot be met: HTTP status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class WolfService:
    """One host behind Wolf's API: a method for each route. All raise WolfApiError."""

    def __init__(self, host: MoonlightHost, tasks: asyncio.TaskGroup) -> None:
        self._host = host
        self._tasks = tasks
        self._apps: dict[str, schemas.App] = {}
        self._profiles: dict[str, schemas.Profile] = {}
        self._programs: set[asyncio.Task[None]] = set()

    # -- pairing and clients ----------------------------------------------------------------------

    async def pending(self) -> schemas.Pending:
        """Who waits for a PIN."""
        return schemas.Pending(
            requests=[
                schemas.PendingPair(pair_secret=one.attempt, client_ip=one.address)
                for one in self._host.desk.waiting
            ]
        )

    async def pair(self, wanted: schemas.PairRequest) -> schemas.Success:
        """Somebody typed the PIN."""
        try:
            await self._host.desk.enter_pin(wanted.pair_secret, wanted.pin)
        except PairingError as error:
            raise WolfApiError(404, str(error)) from None
        return schemas.Success()

    async def unpair(self, wanted: schemas.ClientRequest) -> schemas.Success:
        """Forget a client; its session ends."""
        try:
            await self._host.unpair(self._client(wanted.client_id))
        except PairingsError as error:
            raise WolfApiError(500, str(error)) from None
        return schemas.Success()

    async def clients(self) -> schemas.Clients:
        """Who is paired."""
        return schemas.Clients(
            clients=[
                schemas.PairedClientView(
                    client_id=client.id,
                    app_state_folder=client.folder or client.id,
                    settings=dict(client.settings),
                )
                for client in self._host.pairings.all
            ]
        )

    async def change_client(self, wanted: schemas.ClientSettingsRequest) -> schemas.Success:
        """Change folder or settings of a client."""
        client = self._client(wanted.client_id)
        folder = wanted.app_state_folder
        if folder is not None and (folder.startswith("/") or ".." in Path(folder).parts):
            raise WolfApiError(400, "app_state_folder is a name, not a path that leads elsewhere")
        settings = {} if wanted.settings is None else wanted.settings.model_dump(exclude_none=True)
        try:
            await asyncio.to_thread(
                self._host.pairings.change, client, folder=folder, settings=settings
            )
        except PairingsError as error:
            raise WolfApiError(500, str(error)) from None
        return schemas.Success()

    # -- apps and profiles ------------------------------------------------------------------------

    async def apps(self) -> schemas.Apps:
        """What can be started."""
        return schemas.Apps(apps=[self._app_view(app) for app in self._host.catalog.all])

    async def add_app(self, app: schemas.App) -> schemas.Success:
        """Add or replace."""
        self._add_app(app)
        return schemas.Success()

    def _add_app(self, app: schemas.App) -> None:
        command, parent = _runnable(app.runner)
        try:
            self._host.catalog.add(
                HostApp(
                    app.id,
                    app.title,
                    command,
                    app.icon_png_path,
                    parent_session=parent,
                )
            )
        except AppError as error:
            raise WolfApiError(400, str(error)) from None
        self._apps[app.id] = app

    async def delete_app(self, wanted: schemas.IdRequest) -> schemas.Success:
        """What was started from it goes on."""
        try:
            self._host.catalog.remove(wanted.id)
        except AppError as error:
            raise WolfApiError(404, str(error)) from None
        self._apps.pop(wanted.id, None)
        return schemas.Success()

    async def profiles(self) -> schemas.Profiles:
        """All but the one whose apps Moonlight clients see."""
        shown = [one for one in self._profiles.values() if one.id != HIDDEN_PROFILE]
        return schemas.Profiles(profiles=shown)

    async def add_profile(self, profile: schemas.Profile) -> schemas.Success:
        """Add or replace. The apps of the hidden one become the host's."""
        if len(self._profiles) >= MAX_PROFILES and profile.id not in self._profiles:
            raise WolfApiError(400, f"there are {MAX_PROFILES} profiles already")
        for app in profile.apps:
            _runnable(app.runner)
        if profile.id == HIDDEN_PROFILE:
            for app in profile.apps:
                self._add_app(app)
        self._profiles[profile.id] = profile
        return schemas.Success()

    async def remove_profile(self, wanted: schemas.IdRequest) -> schemas.Success:
        """Its apps stay in the host's list if they were there."""
        if self._profiles.pop(wanted.id, None) is None:
            raise WolfApiError(404, f"there is no profile {wanted.id}")
        return schemas.Success()

    async def icon(self, icon_path: schemas.Text) -> schemas.Icon:
        """Base64 of an icon that something known here has; other files are not read."""
        known = {app.icon_path for app in self._host.catalog.all}
        known |= {profile.icon_png_path for profile in self._profiles.values()}
        known |= {app.icon_png_path for one in self._profiles.values() for app in one.apps}
        known |= {lobby.icon_path for lobby in self._host.lobbies.all}
        if icon_path not in known:
            raise WolfApiError(404, "nothing here has that icon")
        try:
            data = await asyncio.to_thread(read_art, Path(icon_path))
        except OSError as error:
            raise WolfApiError(404, f"the icon cannot be read: {error}") from None
        return schemas.Icon(icon_base64=base64.b64encode(data).decode("ascii"))

    # -- sessions ---------------------------------------------------------------------------------

    async def sessions(self) -> schemas.Sessions:
        """All of them, without keys."""
        return schemas.Sessions(sessions=[_session_view(one) for one in self._host.sessions.all])

    async def add_session(self, wanted: schemas.StreamSession) -> schemas.SessionAdded:
        """Start an app for a client before it comes; with a key, wait for its RTSP as well."""
        if wanted.client_id is None or wanted.app_id is None:
            raise WolfApiError(400, "client_id and app_id are needed")
        client = self._client(wanted.client_id)
        app = self._host.catalog.by_id(wanted.app_id)
        if app is None:
            raise WolfApiError(404, f"there is no app {wanted.app_id}")
        keys = StreamKeys(bytes(16), 0)
        if wanted.aes_key:
            keys = StreamKeys(bytes.fromhex(wanted.aes_key), _key_id(wanted.aes_iv))
        request = LaunchRequest(
            keys,
            app_id=app.number,
            width=wanted.video_width,
            height=wanted.video_height,
            fps=wanted.video_refresh_rate,
            core_version=1,
        )
        try:
            session = await self._host.sessions.kick_off(
                client, app, request, wanted.client_ip, expected=bool(wanted.aes_key)
            )
        except SessionRefusedError as refused:
            raise WolfApiError(500, refused.message) from None
        return schemas.SessionAdded(session_id=session.id)

    async def start_session(self, wanted: schemas.SessionStartRequest) -> schemas.Success:
        """Stream to a client without RTSP: it pings with the payload and connects ENet."""
        session = self._session(wanted.session_id)
        video, audio = wanted.video_session, wanted.audio_session
        announce = Announce(
            width=video.display_mode.width,
            height=video.display_mode.height,
            max_fps=video.display_mode.refreshRate,
            packet_size=video.packet_size,
            bitrate_kbps=video.bitrate_kbps,
            colour_space=_COLOURS[video.color_space],
            full_range=video.color_range == "JPEG",
            min_fec_packets=video.min_required_fec_packets,
            slices=video.slices_per_frame,
            channels=audio.audio_mode.channels,
            audio_packet_ms=audio.packet_duration,
            nv_features=135 | (0x20 if audio.encrypt_audio else 0),
        )
        try:
            self._host.stays.arm(session, announce, bytes(video.rtp_secret_payload))
        except SessionRefusedError as refused:
            raise WolfApiError(500, refused.message) from None
        return schemas.Success()

    async def pause_session(self, wanted: schemas.SessionRequest) -> schemas.Success:
        """Send the client away; the app goes on."""
        self._host.sessions.pause(self._session(wanted.session_id))
        return schemas.Success()

    async def stop_session(self, wanted: schemas.SessionRequest) -> schemas.Success:
        """End it."""
        await self._host.sessions.stop(self._session(wanted.session_id))
        return schemas.Success()

    async def session_input(self, wanted: schemas.SessionInputRequest) -> schemas.Success:
        """One input packet."""
        session = self._session(wanted.session_id)
        try:
            event = decode_input(bytes.fromhex(wanted.input_packet_hex))
        except InputError as error:
            raise WolfApiError(400, str(error)) from None
        self._host.sessions.put_input(session, event)
        return schemas.Success()

    async def start_runner(self, wanted: schemas.RunnerStartRequest) -> schemas.Success:
        """One more program on a session's display."""
        session = self._session(wanted.session_id)
        command, _ = _runnable(wanted.runner)
        if command is None:
            raise WolfApiError(400, "only process runners can be started in a session")
        if len(self._programs) >= MAX_PROGRAMS:
            raise WolfApiError(500, f"{MAX_PROGRAMS} programs run already")
        work = self._program(session, command, stop=wanted.stop_stream_when_over)
        task = self._tasks.create_task(work)
        self._programs.add(task)
        session.tasks.add(task)
        task.add_done_callback(self._programs.discard)
        task.add_done_callback(session.tasks.discard)
        return schemas.Success()

    async def _program(self, session: Session, command: str, *, stop: bool) -> None:
        try:
            code = await session.stage.run(command)
            log.info("a program of a session ended", extra={"code": code, "session": session.id})
        except StageError as error:
            log.warning("a program of a session did not start: %s", error)
        except Exception:
            log.exception("a program of a session failed")
        if stop:
            # Ending the session ends its tasks; this one has to finish that.
            current = asyncio.current_task()
            if current is not None:
                session.tasks.discard(current)
            await self._host.sessions.stop(session)

    # -- lobbies ----------------------------------------------------------------------------------

    async def lobbies(self) -> schemas.Lobbies:
        """All of them."""
        views = [
            schemas.LobbyView(
                id=lobby.id,
                name=lobby.name,
                icon_png_path=lobby.icon_path,
                multi_user=lobby.multi_user,
                started_by_profile_id=lobby.profile,
                pin_required=lobby.pin is not None,
                stop_when_everyone_leaves=lobby.stop_when_empty,
                runner=_runner_view(lobby.command, None),
                connected_sessions=[session.id for session in lobby.members],
            )
            for lobby in self._host.lobbies.all
        ]
        return schemas.Lobbies(lobbies=views)

    async def create_lobby(self, wanted: schemas.LobbyCreateRequest) -> schemas.LobbyCreated:
        """Start its display; its id."""
        command, parent = _runnable(wanted.runner)
        if parent is not None:
            raise WolfApiError(400, "a lobby has a display of its own: use a process runner")
        video = wanted.video_settings
        stage = StageRequest(
            wanted.name,
            command,
            video.width,
            video.height,
            video.refresh_rate,
            folder=wanted.runner_state_folder or None,
        )
        try:
            lobby = await self._host.lobbies.create(
                LobbyRequest(
                    stage,
                    profile=wanted.profile_id,
                    icon_path=wanted.icon_png_path,
                    multi_user=wanted.multi_user,
                    pin=None if wanted.pin is None else tuple(wanted.pin),
                    stop_when_empty=wanted.stop_when_everyone_leaves,
                )
            )
        except SessionRefusedError as refused:
            raise WolfApiError(refused.status, refused.message) from None
        except StageError as error:
            raise WolfApiError(500, f"the lobby did not start: {error}") from None
        return schemas.LobbyCreated(lobby_id=lobby.id)

    async def join_lobby(self, wanted: schemas.LobbyJoinRequest) -> schemas.Success:
        """A session sees the lobby from now on."""
        try:
            lobby = self._host.lobbies.find(wanted.lobby_id)
            session = self._host.sessions.find(wanted.moonlight_session_id)
            pin = None if wanted.pin is None else tuple(wanted.pin)
            await self._host.lobbies.join(lobby, session, pin)
        except SessionRefusedError as refused:
            raise WolfApiError(refused.status, refused.message) from None
        return schemas.Success()

    async def leave_lobby(self, wanted: schemas.LobbyLeaveRequest) -> schemas.Success:
        """A session sees its own display again."""
        session = self._session(wanted.moonlight_session_id)
        if session.lobby is None or session.lobby.id != wanted.lobby_id:
            raise WolfApiError(404, "the session is not in that lobby")
        await self._host.lobbies.leave(session)
        return schemas.Success()

    async def stop_lobby(self, wanted: schemas.LobbyStopRequest) -> schemas.Success:
        """End it."""
        try:
            lobby = self._host.lobbies.find(wanted.lobby_id)
            self._host.lobbies.check(lobby, None if wanted.pin is None else tuple(wanted.pin))
        except SessionRefusedError as refused:
            raise WolfApiError(refused.status, refused.message) from None
        await self._host.lobbies.stop(lobby)
        return schemas.Success()

    async def docker(self) -> schemas.Success:
        """Always refused."""
        raise WolfApiError(501, "this host runs no containers")

    # -- small things -----------------------------------------------------------------------------

    def _client(self, identifier: str) -> PairedClient:
        client = self._host.pairings.by_id(identifier)
        if client is None:
            raise WolfApiError(404, f"there is no client {identifier}")
        return client

    def _session(self, identifier: str) -> Session:
        try:
            return self._host.sessions.find(identifier)
        except SessionRefusedError as refused:
            raise WolfApiError(refused.status, refused.message) from None

    def _app_view(self, app: HostApp) -> schemas.App:
        known = self._apps.get(app.id)
        if known is not None:
            return known
        return schemas.App.model_validate(
            {
                "id": app.id,
                "title": app.title,
                "icon_png_path": app.icon_path,
                "runner": _runner_view(app.command, app.parent_session),
            }
        )


def _runner_view(command: str | None, parent: str | None) -> dict[str, Any]:
    if parent is not None:
        return {"type": "child_session", "parent_session_id": parent}
    return {"type": "process", "run_cmd": command or "true"}


def _runnable(runner: schemas.Runner) -> tuple[str | None, str | None]:
    """Command and parent session of a runner; containers are refused."""
    match runner:
        case schemas.ProcessRunner():
            return runner.run_cmd, None
        case schemas.ChildRunner():
            return None, runner.parent_session_id
        case _:
            raise WolfApiError(
                400, "this host runs no containers: use a runner of type process instead of docker"
            )


def _key_id(text: str) -> int:
    """``rikeyid``: decimal, or the hex of at least four bytes."""
    try:
        value = int(text)
    except ValueError:
        try:
            value = int.from_bytes(bytes.fromhex(text)[:4], "big", signed=True)
        except ValueError:
            raise WolfApiError(400, "aes_iv is neither a number nor hex") from None
    if not -(1 << 31) <= value < 1 << 31:
        raise WolfApiError(400, "aes_iv is out of range")
    return value


def _session_view(session: Session) -> schemas.StreamSession:
    width, height = session.shown.size
    return schemas.StreamSession(
        session_id=session.id,
        client_ip=session.address,
        video_width=width,
        video_height=height,
        video_refresh_rate=session.request.fps or 60,
        audio_channel_count=session.request.surround.channels,
        app_id=session.app.id,
        client_id=session.client.id,
        client_settings=schemas.ClientSettings.model_validate(dict(session.client.settings)),
    )
