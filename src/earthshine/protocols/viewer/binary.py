"""The viewer protocol's binary messages: pictures, sound, input.

The first byte is the kind; `form` is the layout of all fixed fields with it. All numbers are
big-endian; places and sizes are pixels of the desktop; times are microseconds, of the clock of
whoever sends them.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import ClassVar

import msgspec


class Binary(msgspec.Struct, frozen=True, gc=False):
    """Base: `code` is the first byte, `form` the layout of all fixed fields with it."""

    code: ClassVar[int]
    form: ClassVar[struct.Struct]


class Carrying(Binary, frozen=True, gc=False):
    """Base of those that end in bytes of any number: their last field, `data`."""


# --- from the desktop ----------------------------------------------------------------------------


class FrameFlag(IntFlag):
    """Of a video frame."""

    KEY = 1
    """Needs no frame before it."""
    DAMAGE = 2
    """`data` begins with what has changed since the viewer's frame before: see `damage`."""


class Video(Carrying, frozen=True, gc=False):
    """An access unit (H.264 Annex B) that shows the desktop as it was at `captured`."""

    code: ClassVar[int] = 0x01
    form: ClassVar[struct.Struct] = struct.Struct(">BBIQI")
    flags: int
    frame: int
    """Number, modulo 2^32. One that is missing was skipped for this viewer; a key frame follows."""
    captured: int
    spent: int
    """Microseconds from capture until it left the desktop's process."""
    data: bytes


class PixelFormat(IntEnum):
    """How exact pixels are packed."""

    PNG = 0
    JPEG = 1
    """Not exact: only in `Still`."""


class Exact(Carrying, frozen=True, gc=False):
    """Exact pixels of a rectangle that has not changed since `frame`: drawn over that frame.

    The next video frame draws over it again: where its damage says so, everywhere if it has none.
    """

    code: ClassVar[int] = 0x02
    form: ClassVar[struct.Struct] = struct.Struct(">BIHHHHB")
    frame: int
    x: int
    y: int
    width: int
    height: int
    format: int
    data: bytes


class Still(Carrying, frozen=True, gc=False):
    """A picture of the whole desktop, for viewers without video, or too slow for it."""

    code: ClassVar[int] = 0x03
    form: ClassVar[struct.Struct] = struct.Struct(">BIQIHHB")
    frame: int
    captured: int
    spent: int
    width: int
    height: int
    format: int
    data: bytes


class Audio(Carrying, frozen=True, gc=False):
    """An Opus packet, 48 kHz stereo."""

    code: ClassVar[int] = 0x04
    form: ClassVar[struct.Struct] = struct.Struct(">BIQ")
    number: int
    captured: int
    data: bytes


class CursorShape(Carrying, frozen=True, gc=False):
    """What the pointer looks like: a PNG, drawn by the viewer itself. Empty: hidden."""

    code: ClassVar[int] = 0x05
    form: ClassVar[struct.Struct] = struct.Struct(">BHH")
    hot_x: int
    hot_y: int
    data: bytes


class PointerAt(Binary, frozen=True, gc=False):
    """Where the pointer is now, and who moved it: a viewer's number, or 0 for a program."""

    code: ClassVar[int] = 0x06
    form: ClassVar[struct.Struct] = struct.Struct(">BIHH")
    viewer: int
    x: int
    y: int


class Pong(Binary, frozen=True, gc=False):
    """Answers a `Ping`."""

    code: ClassVar[int] = 0x09
    form: ClassVar[struct.Struct] = struct.Struct(">BQQ")
    sent: int
    """As in the ping."""
    now: int
    """The desktop's clock."""


# --- both ways -----------------------------------------------------------------------------------


class ClipboardKind(IntEnum):
    """What is on the clipboard."""

    TEXT = 0
    """UTF-8."""
    PNG = 1


class Clipboard(Carrying, frozen=True, gc=False):
    """The clipboard has this now."""

    code: ClassVar[int] = 0x08
    form: ClassVar[struct.Struct] = struct.Struct(">BB")
    kind: int
    data: bytes


# --- from a viewer -------------------------------------------------------------------------------


class Key(Binary, frozen=True, gc=False):
    """A key went down or up: the symbol that the viewer's layout gives, and which key it was."""

    code: ClassVar[int] = 0x41
    form: ClassVar[struct.Struct] = struct.Struct(">BBIH")
    down: int
    keysym: int
    """X11 keysym; 0 where only the key is known."""
    key: int
    """Linux input event code (KEY_A is 30); 0 where unknown."""


class Text(Carrying, frozen=True, gc=False):
    """Characters without keys: from an input method or an on-screen keyboard. UTF-8."""

    code: ClassVar[int] = 0x42
    form: ClassVar[struct.Struct] = struct.Struct(">B")
    data: bytes


class Button(IntFlag):
    """Of a mouse."""

    LEFT = 1
    MIDDLE = 2
    RIGHT = 4
    BACK = 8
    FORWARD = 16


class Pointer(Binary, frozen=True, gc=False):
    """The pointer is here, and these buttons are down."""

    code: ClassVar[int] = 0x43
    form: ClassVar[struct.Struct] = struct.Struct(">BHHH")
    x: int
    y: int
    buttons: int


class PointerBy(Binary, frozen=True, gc=False):
    """The pointer moved by so much (a locked pointer, a trackpad), and these buttons are down."""

    code: ClassVar[int] = 0x44
    form: ClassVar[struct.Struct] = struct.Struct(">BhhH")
    dx: int
    dy: int
    buttons: int


class Wheel(Binary, frozen=True, gc=False):
    """The wheel turned, in 120ths of a notch; positive: right, down."""

    code: ClassVar[int] = 0x45
    form: ClassVar[struct.Struct] = struct.Struct(">Bhh")
    dx: int
    dy: int


class TouchPhase(IntEnum):
    """What a finger did."""

    DOWN = 0
    MOVED = 1
    UP = 2
    CANCELLED = 3


class Touch(Binary, frozen=True, gc=False):
    """A finger."""

    code: ClassVar[int] = 0x46
    form: ClassVar[struct.Struct] = struct.Struct(">BBBHH")
    finger: int
    phase: int
    x: int
    y: int


class ReleaseAll(Binary, frozen=True, gc=False):
    """No key and no button is down: the window lost the focus."""

    code: ClassVar[int] = 0x47
    form: ClassVar[struct.Struct] = struct.Struct(">B")


class Seen(Binary, frozen=True, gc=False):
    """A frame is on the viewer's screen; `took` microseconds after it arrived there."""

    code: ClassVar[int] = 0x48
    form: ClassVar[struct.Struct] = struct.Struct(">BII")
    frame: int
    took: int


class KeyFrameWanted(Binary, frozen=True, gc=False):
    """The viewer cannot go on without one: its decoder failed, or it slept."""

    code: ClassVar[int] = 0x49
    form: ClassVar[struct.Struct] = struct.Struct(">B")


class Ping(Binary, frozen=True, gc=False):
    """Measures the line."""

    code: ClassVar[int] = 0x4A
    form: ClassVar[struct.Struct] = struct.Struct(">BQ")
    sent: int
