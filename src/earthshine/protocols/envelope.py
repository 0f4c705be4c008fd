"""The control connection between a runner and the control plane.

One WebSocket, one envelope: `type`, `sessionId`, `clientId`, `seq`, `ts`, `payload`. A text message
is the envelope as JSON, a binary message the same as MessagePack (which carries bytes without
base64); either end may use either at any time. `clientId` is the runner's id; `ts` milliseconds
since 1970. Types and payloads are the structs below; the conversation's rules are in `link`.

Reading raises EnvelopeError and nothing else. See docs/protocols/control-connection.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from earthshine.protocols.events import Cells, Event, EventError, Seq, validate
from earthshine.protocols.revdial import Dial, DialFailed, DialSpares

VERSION: Final = 1
Pixels = Annotated[int, msgspec.Meta(ge=64, le=16_384)]
"""A side of a desktop."""
OfferSeconds = Annotated[float, msgspec.Meta(gt=0, le=900)]
"""How long a one-time password may wait to be used."""
CHALLENGE_HEADER: Final = "Earthshine-Challenge"
"""In the answer to a runner's handshake: what to sign (`Token`)."""
CLOSE_REVOKED: Final = 4003
"""The runner was revoked: it must not come back."""
MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Bytes of one WebSocket message in either direction."""
MAX_LOG: Final = 128 * 1024
"""Bytes of entries that a sender packs into one `log`, unless a single entry is larger."""
MAX_SESSIONS: Final = 10_000
"""Sessions that a `hello` may list."""
MAX_EVENTS: Final = 16_384
"""Entries of one `log`."""


class EnvelopeError(ValueError):
    """A message that cannot be taken. `code` is sent back in a typed `error` frame and counted."""

    def __init__(self, code: str, detail: str, *, fatal: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fatal = fatal
        """The connection is of no use any more: close it."""


class Payload(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of what a frame carries."""


# --- hello ---------------------------------------------------------------------------------------


class AgentOffer(Payload):
    """An agent the runner knows; `path` is None where it was not found, and `detail` says why."""

    name: str
    label: str
    path: str | None = None
    detail: str | None = None


class SpoolPosition(Payload):
    """A session the runner holds: what its spool contains, and whether its agent still works."""

    session_id: str
    first_seq: int
    last_seq: int
    ended: bool


class RunnerHello(Payload, tag_field="role", tag="runner"):
    """The runner introduces itself. `instance` is random for each start of its process."""

    version: int
    instance: str
    name: str
    hostname: str
    platform: str
    software: str
    home: str
    agents: list[AgentOffer]
    sessions: list[SpoolPosition]
    capabilities: dict[str, str] = {}
    """What the machine can do beyond terminals, `desktop`, `vnc`, `rdp`, `moonlight`: empty where
    it can, else why not and what to do."""


class Position(Payload):
    """What the control plane has of a session: entries up to `seq`, `bytes` of output in them."""

    session_id: str
    seq: int
    bytes: int


class ControlHello(Payload, tag_field="role", tag="control"):
    """The control plane's answer: where to resume each session; `unknown` it has never heard of."""

    version: int
    software: str
    positions: list[Position]
    unknown: list[str] = []


# --- control: commands downwards -----------------------------------------------------------------


class Worktree(Payload):
    """A fresh git worktree to work in. Empty `base`: the repository's HEAD."""

    repository: str
    branch: str
    base: str = ""


class DesktopWish(Payload):
    """A desktop for the session, in pixels; it starts with the session."""

    width: Pixels = 1280
    height: Pixels = 800
    record: bool = False
    """Record it from the beginning."""


class Command(Payload, tag_field="action"):
    """Base of the commands. `request_id` comes back in `Done` or `Refused`."""

    request_id: str


class Start(Command, tag="start"):
    """Start a session. Harmless when it exists already."""

    agent: str
    argv: list[str]
    folder: str | None
    worktree: Worktree | None
    prompt: str
    by: str
    cols: Cells
    rows: Cells
    desktop: DesktopWish | None = None
    environment: dict[str, str] = {}
    """Secrets, for the agent's environment and nowhere else."""

    def __repr__(self) -> str:
        return f"Start(agent={self.agent!r}, environment of {len(self.environment)})"


class OpenDesktop(Command, tag="open-desktop"):
    """Somebody wants to see the session's desktop: started again where it was stopped.

    Done's value is a `DesktopPlaces`.
    """


class CloseDesktop(Command, tag="close-desktop"):
    """Stop the session's desktop and all that runs in it. The agent goes on."""


class LendRdp(Command, tag="lend-rdp"):
    """Somebody wants to connect by RDP. Done's value is an `RdpLent`.

    To the session's own display; without a session to the machine's own xrdp.
    """

    by: str
    view_only: bool = True
    seconds: OfferSeconds = 60.0
    """How long the password is good, once."""


class AdjustRdp(Command, tag="adjust-rdp"):
    """What an offer's holder may do has changed, or they may not connect any more.

    Done's value is an `RdpOffer`.
    """

    offer_id: str
    by: str
    view_only: bool = True
    withdrawn: bool = False


class LendRfb(Command, tag="lend-rfb"):
    """Let one RFB client of `by` see the session's desktop; started again where it was stopped.

    `view_only`: the VNC server itself drops what that client types. Done's value is an `RfbLent`.
    """

    by: str
    view_only: bool = False
    seconds: OfferSeconds = 30.0
    """How long the client has to come."""


class OpenTransfers(Command, tag="open-transfers"):
    """Files, or pieces of recordings, are to be sent. Done's value is a `TransferPlace`."""


class SetRecording(Command, tag="set-recording"):
    """Begin or end recording the session's desktop. Done's value is a `RecordingCondition`."""

    on: bool
    by: str


class Prompt(Command, tag="prompt"):
    """Type a prompt. `command_id` makes a repetition harmless; likewise below."""

    text: str
    by: str
    command_id: str


class Interrupt(Command, tag="interrupt"):
    """What Ctrl-C does."""

    by: str
    command_id: str


class Stop(Command, tag="stop"):
    """End the agent: `how` is `stop` (ask, then insist) or `kill`."""

    by: str
    how: str
    command_id: str


class Forget(Command, tag="forget"):
    """The session was deleted: drop its spool and folder of state."""


class ListFolders(Command, tag="list-folders"):
    """The folders inside `path`; the home folder when empty."""

    path: str


class Input(Payload, tag_field="action", tag="input"):
    """Key strokes. Not answered; lost when the runner is away, like those of a dead line."""

    data: bytes
    by: str = ""


class Resize(Payload, tag_field="action", tag="resize"):
    """The terminal's size in cells. Not answered."""

    cols: Cells
    rows: Cells


class Attend(Payload, tag_field="action", tag="attend"):
    """Whether a live viewer answers the terminal's cursor-position queries."""

    attended: bool


class DesktopPlaces(Payload):
    """Where a session's desktop can be reached on the runner, as destinations of a dial."""

    viewer: str
    """Speaks the viewer protocol."""
    rfb: str | None = None
    """Speaks RFB 3.8 with VNC authentication."""


class RdpLent(Payload):
    """Where an RDP client is let in, once, and as whom."""

    destination: str
    """Of a dial."""
    user: str
    password: str
    offer_id: str
    view_only: bool
    """As asked for, or because the runner's policy says so."""
    fingerprint: str = ""
    """SHA-256 of the certificate that the server shows, in hex."""
    width: int = 0
    height: int = 0

    def __repr__(self) -> str:
        return f"RdpLent({self.destination!r}, {self.offer_id!r})"


class RdpOffer(Payload):
    """How an offer stands."""

    spent: bool
    """Nobody can come in by it any more; who did may still be there."""


class RfbLent(Payload):
    """RFB for one client, who must come in time: the password is good once."""

    destination: str
    """For a dial. VNC authentication."""
    password: str
    refused: str = ""
    """Why this machine lets the person only watch, whatever the control plane says."""

    def __repr__(self) -> str:
        """Without the password."""
        return f"RfbLent(destination={self.destination!r})"


class TransferPlace(Payload):
    """Where `protocols.transfer` is spoken on the runner, as the destination of a dial."""

    destination: str


# --- control: answers upwards --------------------------------------------------------------------


class Done(Payload, tag_field="action", tag="done"):
    """A command was carried out."""

    request_id: str
    value: Any = None


class Refused(Payload, tag_field="action", tag="refused"):
    """A command was not carried out: what failed and what to do."""

    request_id: str
    code: str
    detail: str
    remedy: str | None = None


# --- status --------------------------------------------------------------------------------------


class SessionCondition(Payload, tag_field="about", tag="session"):
    """Something about a session that is no entry of its log: `ok`, or what holds it up."""

    code: str
    detail: str = ""
    remedy: str | None = None


class RunnerCondition(Payload, tag_field="about", tag="runner"):
    """The agents found on the runner, or what else it can do, have changed."""

    agents: list[AgentOffer]
    capabilities: dict[str, str] = {}


class RecordingCondition(Payload, tag_field="about", tag="recording"):
    """Whether the session's desktop is recorded: by whose wish, since when (ms since 1970).

    `problem`: why nothing is recorded although it should be; `waiting` pieces can be fetched.
    """

    on: bool
    by: Annotated[str, msgspec.Meta(max_length=200)] = ""
    since: int = 0
    problem: str = ""
    waiting: int = 0


# --- frames --------------------------------------------------------------------------------------


class Token(Payload):
    """A credential: a paired runner's session token, or the static token.

    `proof`, with a session token: `pairing.stream_transcript` signed with the device's key, over
    the challenge that came with the handshake in the header `Earthshine-Challenge`.
    """

    token: str
    proof: str | None = None


class Events(Payload):
    """Entries in order of `seq`."""

    events: list[Event]


class EncodedEvents(Payload):
    """The same, already encoded: what a spool holds goes out as it is."""

    events: list[msgspec.Raw]


class Problem(Payload):
    """What was wrong with a message, or with the connection."""

    code: str
    detail: str


ControlPayload = (
    Start
    | Prompt
    | Interrupt
    | Stop
    | Forget
    | ListFolders
    | OpenDesktop
    | CloseDesktop
    | LendRdp
    | AdjustRdp
    | LendRfb
    | OpenTransfers
    | SetRecording
    | Input
    | Resize
    | Attend
    | Dial
    | DialSpares
    | DialFailed
    | Done
    | Refused
)


class Frame(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True, tag_field="type"):
    """The envelope."""

    session_id: str | None = None
    client_id: str | None = None
    seq: Seq | None = None
    ts: Seq = 0


class Hello(Frame, tag="hello"):
    """First frame of each end."""

    payload: RunnerHello | ControlHello


class Auth(Frame, tag="auth"):
    """Before `hello`, where the Authorization header was not set."""

    payload: Token


class Log(Frame, tag="log"):
    """Entries of session `session_id`; `seq` is the first one's."""

    payload: Events


class EncodedLog(Frame, tag="log"):
    """A `Log` for sending."""

    payload: EncodedEvents


class Status(Frame, tag="status"):
    """A condition that is no entry of a log."""

    payload: SessionCondition | RunnerCondition | RecordingCondition


class Ack(Frame, tag="ack"):
    """The control plane has stored the session's entries up to `seq`."""


class Control(Frame, tag="control"):
    """A command, or the answer to one."""

    payload: ControlPayload


class Error(Frame, tag="error"):
    """A message of yours could not be taken."""

    payload: Problem


class Ping(Frame, tag="ping"):
    """Answered by `pong` with the same `seq`."""


class Pong(Frame, tag="pong"):
    """The answer to `ping`."""


AnyFrame = Hello | Auth | Log | Status | Ack | Control | Error | Ping | Pong
_json_decoder: msgspec.json.Decoder[AnyFrame] = msgspec.json.Decoder(AnyFrame)
_msgpack_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_json_encoder = msgspec.json.Encoder()
_msgpack_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """The frame for a binary message."""
    return _msgpack_encoder.encode(frame)


def encode_text(frame: Frame) -> str:
    """The frame for a text message."""
    return _json_encoder.encode(frame).decode()


def decode(message: str | bytes) -> AnyFrame:
    """Read one message. Raises EnvelopeError."""
    if len(message) > MAX_MESSAGE:
        raise EnvelopeError("too-large", f"a message of {len(message)}; at most {MAX_MESSAGE}")
    try:
        if isinstance(message, str):
            frame = _json_decoder.decode(message)
        else:
            frame = _msgpack_decoder.decode(message)
    except msgspec.ValidationError as error:
        raise EnvelopeError("invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise EnvelopeError("malformed", str(error)) from None
    _check(frame)
    return frame


def _check(frame: AnyFrame) -> None:
    if isinstance(frame, (Log, Ack)) and (not frame.session_id or frame.seq is None):
        raise EnvelopeError("invalid", "log and ack need sessionId and seq")
    if isinstance(frame, Log):
        events = frame.payload.events
        if not 1 <= len(events) <= MAX_EVENTS:
            raise EnvelopeError("invalid", f"{len(events)} entries; 1 to {MAX_EVENTS}")
        try:
            for event in events:
                validate(event)
        except EventError as error:
            raise EnvelopeError("invalid", str(error)) from None
    if (
        isinstance(frame, Hello)
        and isinstance(frame.payload, RunnerHello)
        and len(frame.payload.sessions) > MAX_SESSIONS
    ):
        raise EnvelopeError("invalid", f"more than {MAX_SESSIONS} sessions", fatal=True)
