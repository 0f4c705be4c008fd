"""The objects of Wolf's API. 64-bit ids are strings; PINs of lobbies are arrays of digits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(max_length=1024)]
Command = Annotated[str, StringConstraints(min_length=1, max_length=16384)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Digits = Annotated[list[Annotated[int, Field(ge=0, le=9)]], Field(min_length=1, max_length=16)]
Pixels = Annotated[int, Field(ge=16, le=16384)]
Rate = Annotated[int, Field(ge=1, le=1000)]
Octets16 = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=16, max_length=16)]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")]


class Model(BaseModel):
    """Unknown fields are ignored: versions of Wolf differ."""

    model_config = ConfigDict(extra="ignore")


class ProcessRunner(Model):
    """A program on the session's display."""

    type: Literal["process"]
    run_cmd: Command


class DockerRunner(Model):
    """A container: understood, and refused."""

    model_config = ConfigDict(extra="allow")
    type: Literal["docker"]
    name: Text = ""
    image: Text = ""


class ChildRunner(Model):
    """Another session's display, seen by one more client."""

    type: Literal["child_session"]
    parent_session_id: Id


Runner = Annotated[ProcessRunner | DockerRunner | ChildRunner, Field(discriminator="type")]


class App(Model):
    """Something to start. Pipelines are kept as given and not used: encoding is the host's own."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    id: Id
    support_hdr: bool = False
    icon_png_path: Text | None = None
    h264_gst_pipeline: Command | Literal[""] = ""
    hevc_gst_pipeline: Command | Literal[""] = ""
    av1_gst_pipeline: Command | Literal[""] = ""
    render_node: Text = ""
    opus_gst_pipeline: Command | Literal[""] = ""
    start_virtual_compositor: bool = True
    start_audio_server: bool = True
    runner: Runner


class Profile(Model):
    """A set of apps."""

    name: Text
    id: Id
    icon_png_path: Text | None = None
    pin: Digits | None = None
    apps: Annotated[list[App], Field(max_length=256)] = []


class ClientSettings(Model):
    """Per client; all optional, so that any subset can be changed."""

    run_uid: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] | None = None
    run_gid: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] | None = None
    controllers_override: (
        Annotated[list[Literal["XBOX", "PS", "NINTENDO", "AUTO"]], Field(max_length=16)] | None
    ) = None
    mouse_acceleration: Annotated[float, Field(ge=0, le=100)] | None = None
    v_scroll_acceleration: Annotated[float, Field(ge=-100, le=100)] | None = None
    h_scroll_acceleration: Annotated[float, Field(ge=-100, le=100)] | None = None


class StreamSession(Model):
    """A client's session, as added or listed."""

    session_id: str | None = None
    client_ip: Text = ""
    aes_key: Key | Literal[""] = ""
    aes_iv: Text = ""
    rtsp_fake_ip: Text = ""
    video_width: Pixels = 1280
    video_height: Pixels = 720
    video_refresh_rate: Rate = 60
    audio_channel_count: Annotated[int, Field(ge=1, le=8)] = 2
    app_id: Id | None = None
    client_id: Id | None = None
    client_settings: ClientSettings | None = None


class DisplayMode(Model):
    """Pixels and hertz."""

    width: Pixels
    height: Pixels
    refreshRate: Rate  # noqa: N815  Wolf's spelling


class VideoSession(Model):
    """How to send pictures to a client that announced nothing by itself."""

    display_mode: DisplayMode
    session_id: Id | None = None
    packet_size: Annotated[int, Field(ge=128, le=4096, multiple_of=16)] = 1024
    min_required_fec_packets: Annotated[int, Field(ge=0, le=255)] = 2
    bitrate_kbps: Annotated[int, Field(ge=100, le=300_000)] = 10_000
    slices_per_frame: Annotated[int, Field(ge=1, le=64)] = 1
    color_range: Literal["JPEG", "MPEG"] = "MPEG"
    color_space: Literal["BT601", "BT709", "BT2020"] = "BT709"
    client_ip: Text = ""
    rtp_secret_payload: Octets16


class AudioMode(Model):
    """Channels of the sound."""

    channels: Annotated[int, Field(ge=1, le=8)] = 2


class AudioSession(Model):
    """How to send sound to a client that announced nothing by itself."""

    session_id: Id | None = None
    encrypt_audio: bool = False
    packet_duration: Literal[5, 10] = 5
    audio_mode: AudioMode = AudioMode()


class LobbyVideo(Model):
    """The lobby's display."""

    width: Pixels
    height: Pixels
    refresh_rate: Rate


class LobbyAudio(Model):
    """The lobby's sound."""

    channel_count: Annotated[int, Field(ge=1, le=8)] = 2


# -- requests -------------------------------------------------------------------------------------


class PairRequest(Model):
    """Somebody typed a PIN."""

    pair_secret: Id
    pin: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")]


class ClientRequest(Model):
    """About one client."""

    client_id: Id


class ClientSettingsRequest(ClientRequest):
    """What to change; what is left out stays."""

    app_state_folder: Text | None = None
    settings: ClientSettings | None = None


class IdRequest(Model):
    """About one app or profile."""

    id: Id


class SessionRequest(Model):
    """About one session."""

    session_id: Id


class SessionStartRequest(SessionRequest):
    """Start to stream without RTSP."""

    video_session: VideoSession
    audio_session: AudioSession


class SessionInputRequest(SessionRequest):
    """One input packet in hex."""

    input_packet_hex: Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}){1,128}$")]


class RunnerStartRequest(SessionRequest):
    """One more program in a session."""

    stop_stream_when_over: bool = False
    runner: Runner


class LobbyCreateRequest(Model):
    """A display that lives by itself."""

    profile_id: Text = ""
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    icon_png_path: Text | None = None
    multi_user: bool = True
    pin: Digits | None = None
    stop_when_everyone_leaves: bool = False
    video_settings: LobbyVideo
    audio_settings: LobbyAudio = LobbyAudio()
    client_settings: ClientSettings | None = None
    runner_state_folder: Text = ""
    runner: Runner


class LobbyJoinRequest(Model):
    """A session joins."""

    lobby_id: Id
    moonlight_session_id: Id
    pin: Digits | None = None


class LobbyLeaveRequest(Model):
    """A session leaves."""

    lobby_id: Id
    moonlight_session_id: Id


class LobbyStopRequest(Model):
    """The lobby ends."""

    lobby_id: Id
    pin: Digits | None = None


# -- answers --------------------------------------------------------------------------------------


class Success(Model):
    """It was done."""

    success: Literal[True] = True


class Failure(Model):
    """It was not."""

    success: Literal[False] = False
    error: str


class PendingPair(Model):
    """A client that waits for its PIN."""

    pair_secret: str
    client_ip: str


class Pending(Success):
    """All of them."""

    requests: list[PendingPair]


class PairedClientView(Model):
    """A paired client."""

    client_id: str
    app_state_folder: str
    settings: dict[str, Any]


class Clients(Success):
    """All of them."""

    clients: list[PairedClientView]


class Apps(Success):
    """All of them."""

    apps: list[App]


class Profiles(Success):
    """All but the hidden one."""

    profiles: list[Profile]


class Sessions(Success):
    """All of them."""

    sessions: list[StreamSession]


class SessionAdded(Success):
    """Its id."""

    session_id: str


class LobbyView(Model):
    """A lobby."""

    id: str
    name: str
    icon_png_path: str | None
    multi_user: bool
    started_by_profile_id: str
    pin_required: bool
    stop_when_everyone_leaves: bool
    runner: dict[str, Any]
    connected_sessions: list[str]


class Lobbies(Success):
    """All of them."""

    lobbies: list[LobbyView]


class LobbyCreated(Success):
    """Its id."""

    lobby_id: str


class Icon(Success):
    """A PNG."""

    icon_base64: str
