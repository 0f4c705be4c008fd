"""What the runner, a desktop's holder and its worker say to each other.

Each message is a u32 big-endian length, then MessagePack with an `action` that names its struct;
`holder.messages` frames it. Two sockets lie in a desktop's folder. On `holder.sock` the runner (and
the worker) speak `ToHolder`, and hear `Status` at once and after each change. On `stream.sock`
whoever shows the desktop speaks `ToWorker`, beginning with `Watch`, and hears `FromWorker`.

Sans-IO: only the format, its limits and its errors.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE, Codec, Preset
from earthshine.runner.holder.messages import MessageError, Unpacker, pack

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of one message from a worker: the exact picture of a large screen."""
MAX_COMMAND: Final = 2 * 1024 * 1024
"""Bytes of one message to a worker or a holder."""
MAX_CLIPBOARD: Final = 1024 * 1024
"""Bytes of a clipboard's content in either direction."""
MAX_TEXT: Final = 4096
"""Characters that one `Type` types."""
MAX_DIRTY: Final = 32
"""Rectangles that one `Video` tells apart."""

Coordinate = Annotated[int, msgspec.Meta(ge=-32768, le=32767)]
Extent = Annotated[int, msgspec.Meta(ge=MIN_SIZE, le=MAX_SIZE)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Box = tuple[Coordinate, Coordinate, Count, Count]
"""x, y, width, height."""


class Message(msgspec.Struct, kw_only=True, tag_field="action", tag=str.lower):
    """Base of all messages; the tag is the struct's name in small letters."""


# --- a desktop's specification, on its holder's standard input -----------------------------------


class DesktopSpec(msgspec.Struct, kw_only=True):
    """What a holder is to make. `environment` and the passwords are why it comes on a pipe."""

    desktop_id: str
    environment: dict[str, str]
    folder: str
    backend: str
    width: int
    height: int
    attach_to: str = ""
    authority: str | None = None
    window_manager: str = "auto"
    programs: list[str] = []
    programs_path: dict[str, str] = {}
    encoder: str = "auto"
    preset: Preset = "text"
    frames_per_second: int = 60
    audio: bool = True
    rfb_port: bool = False
    idle_seconds: float = 0.0


# --- holder.sock ---------------------------------------------------------------------------------


class Wake(Message):
    """Start the display if it was stopped or has failed."""


class Halt(Message):
    """Stop the display and its programs; the holder stays, ready for `Wake`."""


class End(Message):
    """Stop everything and leave."""


class Watching(Message):
    """How many people this line's end shows the display to by other ways than `stream.sock`."""

    viewers: Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class Pulse(Message):
    """The worker's: its viewers, guests (programs in the display that it did not start), and the
    seconds since anything moved, as of `at` (CLOCK_MONOTONIC). Also what it lacks, in words."""

    viewers: int
    guests: int
    quiet: float
    at: float = 0.0
    pids: list[int] = []
    notes: list[str] = []


Phase = Literal["starting", "running", "stopped", "failed", "ended"]


class Status(Message):
    """How the desktop is. `notes`: what is missing in it, in words."""

    phase: Phase
    pid: int
    """The holder's process."""
    environment: dict[str, str] = {}
    """Variables that make a program appear in the display; valid while `phase` is running."""
    display: str = ""
    rfb_path: str | None = None
    rfb_port: int | None = None
    restarts: int = 0
    """Times the display was started again after a crash."""
    streaming: bool = False
    """Whether the worker is there."""
    detail: str = ""
    remedy: str | None = None
    notes: list[str] = []


ToHolder = Wake | Halt | End | Watching | Pulse
FromHolder = Status

# --- stream.sock: to the worker ------------------------------------------------------------------


class Watch(Message):
    """First message: what this consumer wants. `control` lets it type and change things.

    Said again it changes what is wanted; `video`, `control` and `codec` stay as they were (see
    `Pause`).
    """

    control: bool = False
    video: bool = True
    repaint: bool = True
    """Exact pixels of what has settled."""
    cursor: bool = True
    """Shapes of the pointer. A consumer that does not want them gets it drawn into the picture."""
    clipboard: bool = False
    audio: bool = False
    codec: Codec = "h264"


class Pause(Message):
    """No more video to this consumer until `Continue`; everything else goes on."""


class Continue(Message):
    """Video again, beginning with a key frame."""


class KeyFrame(Message):
    """A key frame, please: the decoder was lost, so nothing before it is of use; or it was not."""

    lost: bool = True


class Invalidate(Message):
    """The frame with this id, and what builds on it, was lost: predict from an older one."""

    frame_id: Count


class Tune(Message):
    """Change what is encoded in this consumer's codec; None leaves as it is.

    The preset is the last one that somebody asked for. Of the rest each consumer has a wish of its
    own while it is there: the highest rate of frames and the lowest bit rate count.
    """

    preset: Preset | None = None
    frames_per_second: Annotated[int, msgspec.Meta(ge=1, le=120)] | None = None
    bitrate_kbps: Annotated[int, msgspec.Meta(ge=0, le=500_000)] | None = None
    """0: as much as the quality needs."""


class Key(Message):
    """A key by what it means: an X keysym."""

    keysym: Annotated[int, msgspec.Meta(ge=0, le=0x1FFFFFFF)]
    down: bool


class ScanCode(Message):
    """A key by where it is: an evdev code (linux/input-event-codes.h)."""

    code: Annotated[int, msgspec.Meta(ge=0, le=247)]
    down: bool


class Type(Message):
    """Type this text."""

    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Pointer(Message):
    """Move the pointer to a place."""

    x: Coordinate
    y: Coordinate


class PointerBy(Message):
    """Move the pointer by a distance."""

    dx: Coordinate
    dy: Coordinate


class Button(Message):
    """A pointer button: 1 left, 2 middle, 3 right, 8 back, 9 forward."""

    button: Annotated[int, msgspec.Meta(ge=1, le=15)]
    down: bool


class Wheel(Message):
    """Turn the wheel, in 1/120 of a step: positive is away from the person, and to the right."""

    vertical: Coordinate = 0
    horizontal: Coordinate = 0


class Touch(Message):
    """A finger; the first one on the screen moves and presses the pointer."""

    finger: Annotated[int, msgspec.Meta(ge=0, le=31)]
    phase: Literal["down", "move", "up", "cancel"]
    x: Coordinate
    y: Coordinate


class ReleaseAll(Message):
    """All keys and buttons up: the viewer's window has lost the focus."""


class Layout(Message):
    """The keyboard's layout and variant, such as `de` and `nodeadkeys` (XKB names)."""

    layout: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_,()+-]+$")]
    variant: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_,()+-]*$")] = ""


class Resize(Message):
    """Give the display another size."""

    width: Extent
    height: Extent


class PutClipboard(Message):
    """The viewer's clipboard, for programs in the display."""

    mime: Literal["text/plain", "image/png"]
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_CLIPBOARD)]


class TakeStill(Message):
    """A picture of the display or of a part of it, exact as PNG. Answered by `Still`."""

    request_id: Name
    box: Box | None = None
    format: Literal["png", "jpeg"] = "png"


ToWorker = (
    Watch | Pause | Continue | KeyFrame | Invalidate | Tune | Key | ScanCode | Type | Pointer
    | PointerBy | Button | Wheel | Touch | ReleaseAll | Layout | Resize | PutClipboard | TakeStill
)  # fmt: skip
VIEWING: Final = (Watch, Pause, Continue, KeyFrame, Invalidate, TakeStill)
"""What a consumer without `control` may say."""

# --- stream.sock: from the worker ----------------------------------------------------------------


class Screen(Message):
    """The display's size; before the first frame, and whenever it changes."""

    width: int
    height: int
    pointer_drawn: bool = False
    """Whether the pointer is part of the picture, because some consumer asked for that."""
    encoder: str = ""
    """What encodes, by name."""
    layout: str = ""
    """The keyboard's, such as `de` or `us,de`; empty where that is not known."""
    invalidates: bool = False
    """Whether `Invalidate` is answered by something better than a key frame."""


class Video(Message):
    """One access unit of the codec asked for: Annex B, or a temporal unit of AV1. Times are
    CLOCK_MONOTONIC in microseconds (see `AccessUnit`). `reference` is the frame it is predicted
    from, if known.

    `dirty` lists what was drawn on since the frame before: exact pixels there are void. A consumer
    that was behind hears of what it missed in the next frame it gets.
    """

    frame_id: int
    key: bool
    data: bytes
    width: int
    height: int
    captured: int
    encoded: int
    grabbed: int = 0
    """0: not told apart."""
    dirty: list[Box] = []
    reference: int | None = None


class Repaint(Message):
    """Exact pixels (PNG) for a place that has settled; they stand until a `Video` soils them."""

    box: Box
    data: bytes


class PointerIs(Message):
    """Where the pointer came to lie after `PointerBy`; to who said that."""

    x: int
    y: int


class Cursor(Message):
    """The pointer's shape: PNG with alpha, and its hot spot. `serial` names it for caching."""

    serial: int
    x: int
    y: int
    data: bytes


class Clipboard(Message):
    """What a program in the display has copied."""

    mime: Literal["text/plain", "image/png"]
    data: bytes


class Audio(Message):
    """One Opus packet, 48 kHz stereo; `pts` counts samples."""

    pts: int
    data: bytes


class Still(Message):
    """The answer to `TakeStill`."""

    request_id: str
    box: Box
    format: str
    data: bytes


class Trouble(Message):
    """Something could not be done: what, and what to do."""

    code: str
    detail: str
    remedy: str | None = None
    request_id: str | None = None


FromWorker = Screen | Video | Repaint | PointerIs | Cursor | Clipboard | Audio | Still | Trouble

spec: msgspec.msgpack.Decoder[DesktopSpec] = msgspec.msgpack.Decoder(DesktopSpec)
to_holder: msgspec.msgpack.Decoder[ToHolder] = msgspec.msgpack.Decoder(ToHolder)
from_holder: msgspec.msgpack.Decoder[FromHolder] = msgspec.msgpack.Decoder(FromHolder)
to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)

__all__ = ["MAX_MESSAGE", "MessageError", "Unpacker", "msgspec", "pack"]
