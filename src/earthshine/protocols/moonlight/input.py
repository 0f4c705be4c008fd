"""Input events: the payload of control messages of type 0x0206.

Layout: u32 BE size of what follows, u32 LE magic, body. Bodies mix byte orders as noted per event;
everything is packed. Coordinates of touch and pen are 0..1 of the picture, floats are IEEE 754 LE.
"""

from __future__ import annotations

import enum
import math
import struct
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from earthshine.protocols.moonlight.errors import MoonlightError

MAX_INPUT_BYTES = 128
MAX_CONTROLLERS = 16
WHEEL_NOTCH = 120
UNKNOWN_ROTATION = 0xFFFF
UNKNOWN_TILT = 0xFF
UNKNOWN_PERCENT = 0xFF

_HEAD = struct.Struct("<I")
_SIZE = struct.Struct(">I")
_HEAD_BYTES = 8
_KEY_FLAG = 0x8000

EnumT = TypeVar("EnumT", bound=enum.IntEnum)


class InputError(MoonlightError):
    """An input packet is malformed or carries an impossible value."""


class Modifier(enum.IntFlag):
    """Held modifier keys; real key events for them arrive as well."""

    SHIFT = 1
    CONTROL = 2
    ALT = 4
    META = 8


class MouseButton(enum.IntEnum):
    """Buttons of a mouse."""

    LEFT = 1
    MIDDLE = 2
    RIGHT = 3
    X1 = 4
    X2 = 5


class Contact(enum.IntEnum):
    """What happened to a finger or pen."""

    HOVER = 0
    DOWN = 1
    UP = 2
    MOVE = 3
    CANCEL = 4
    BUTTON_ONLY = 5
    HOVER_LEAVE = 6
    CANCEL_ALL = 7


class Tool(enum.IntEnum):
    """Which end of a pen."""

    UNKNOWN = 0
    PEN = 1
    ERASER = 2


class ControllerType(enum.IntEnum):
    """What a controller looks like."""

    UNKNOWN = 0
    XBOX = 1
    PLAYSTATION = 2
    NINTENDO = 3
    STEAM = 4


class Capability(enum.IntFlag):
    """What a controller can do. Hosts send feedback only for what is announced here."""

    ANALOG_TRIGGERS = 0x1
    RUMBLE = 0x2
    TRIGGER_RUMBLE = 0x4
    TOUCHPAD = 0x8
    ACCELEROMETER = 0x10
    GYROSCOPE = 0x20
    BATTERY = 0x40
    RGB_LED = 0x80
    TWO_TOUCHPADS = 0x100


class Button(enum.IntFlag):
    """Controller buttons, 32 bits: the low word and the high word of the packet."""

    UP = 0x1
    DOWN = 0x2
    LEFT = 0x4
    RIGHT = 0x8
    START = 0x10
    BACK = 0x20
    LEFT_STICK = 0x40
    RIGHT_STICK = 0x80
    LEFT_SHOULDER = 0x100
    RIGHT_SHOULDER = 0x200
    GUIDE = 0x400
    A = 0x1000
    B = 0x2000
    X = 0x4000
    Y = 0x8000
    PADDLE1 = 0x10000
    PADDLE2 = 0x20000
    PADDLE3 = 0x40000
    PADDLE4 = 0x80000
    TOUCHPAD = 0x100000
    MISC = 0x200000


class MotionType(enum.IntEnum):
    """Motion sensors."""

    ACCELEROMETER = 1
    """m/s2"""
    GYROSCOPE = 2
    """deg/s"""


class BatteryState(enum.IntEnum):
    """Battery states."""

    UNKNOWN = 0
    ABSENT = 1
    DISCHARGING = 2
    CHARGING = 3
    NOT_CHARGING = 4
    FULL = 5


NO_MODIFIERS = Modifier(0)
NO_BUTTONS = Button(0)


@dataclass(frozen=True, slots=True)
class InputEvent:
    """Base of all input events; ``MAGIC`` is the u32 that names the kind."""

    MAGIC: ClassVar[int]
    LAYOUT: ClassVar[struct.Struct]

    def _pack(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> InputEvent:
        return cls(*values)

    @property
    def magic(self) -> int:
        """The magic of this event; keys and buttons have one for down and one for up."""
        return self.MAGIC


@dataclass(frozen=True, slots=True)
class KeyEvent(InputEvent):
    """A key by Windows virtual key code 1-255. ``flags`` 1: the code is not a US-layout one.

    Body: u8 flags, u16 LE code | 0x8000, u8 modifiers, u16 0.
    """

    MAGIC = 0x03
    LAYOUT = struct.Struct("<BHBH")
    code: int
    down: bool
    modifiers: Modifier = NO_MODIFIERS
    flags: int = 0

    @property
    def magic(self) -> int:
        """3 for down, 4 for up."""
        return 0x03 if self.down else 0x04

    def _pack(self) -> tuple[Any, ...]:
        return self.flags, self.code | _KEY_FLAG, self.modifiers, 0


@dataclass(frozen=True, slots=True)
class MouseMoved(InputEvent):
    """Relative motion in pixels. Body: i16 BE dx, i16 BE dy."""

    MAGIC = 0x07
    LAYOUT = struct.Struct(">hh")
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class MousePlaced(InputEvent):
    """Absolute position within an area of ``width`` by ``height``.

    Body: i16 BE x, i16 BE y, u16 0, i16 BE width - 1, i16 BE height - 1.
    """

    MAGIC = 0x05
    LAYOUT = struct.Struct(">hhHhh")
    x: int
    y: int
    width: int
    height: int

    def _pack(self) -> tuple[Any, ...]:
        return self.x, self.y, 0, self.width - 1, self.height - 1

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> MousePlaced:
        x, y, _, width, height = values
        if width < 0 or height < 0:
            raise InputError("absolute mouse position has no area")
        return cls(x, y, width + 1, height + 1)


@dataclass(frozen=True, slots=True)
class MouseButtonEvent(InputEvent):
    """A mouse button. Body: u8 button."""

    MAGIC = 0x08
    LAYOUT = struct.Struct(">B")
    button: MouseButton
    down: bool

    @property
    def magic(self) -> int:
        """8 for down, 9 for up."""
        return 0x08 if self.down else 0x09

    def _pack(self) -> tuple[Any, ...]:
        return (self.button,)


@dataclass(frozen=True, slots=True)
class Scrolled(InputEvent):
    """Vertical wheel, `WHEEL_NOTCH` per notch, up is positive.

    Body: i16 BE amount, the same again, u16 0.
    """

    MAGIC = 0x0A
    LAYOUT = struct.Struct(">hhH")
    amount: int

    def _pack(self) -> tuple[Any, ...]:
        return self.amount, self.amount, 0

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> Scrolled:
        return cls(values[0])


@dataclass(frozen=True, slots=True)
class ScrolledSideways(InputEvent):
    """Horizontal wheel, right is positive. Body: i16 BE amount."""

    MAGIC = 0x55000001
    LAYOUT = struct.Struct(">h")
    amount: int


@dataclass(frozen=True, slots=True)
class TextTyped(InputEvent):
    """Text as UTF-8, 1 to 32 bytes; clients send one code point at a time, see
    `input_queue.split_text`."""

    MAGIC = 0x17
    LAYOUT = struct.Struct("")
    MAX_BYTES: ClassVar[int] = 32
    text: str


@dataclass(frozen=True, slots=True)
class ControllerState(InputEvent):
    """Everything a controller's sticks and buttons say. A bit missing in ``active`` unplugs it.

    Body, all LE: u16 0x1A, u16 number, u16 active mask, u16 0x14, u16 low buttons, u8 and u8
    triggers, 4 x i16 sticks (up and right positive), u16 0x9C, u16 high buttons, u16 0x55.
    """

    MAGIC = 0x0C
    LAYOUT = struct.Struct("<HHHHHBBhhhhHHH")
    number: int
    active: int
    buttons: Button = NO_BUTTONS
    left_trigger: int = 0
    right_trigger: int = 0
    left_x: int = 0
    left_y: int = 0
    right_x: int = 0
    right_y: int = 0

    def _pack(self) -> tuple[Any, ...]:
        return (
            0x1A,
            self.number,
            self.active,
            0x14,
            self.buttons & 0xFFFF,
            self.left_trigger,
            self.right_trigger,
            self.left_x,
            self.left_y,
            self.right_x,
            self.right_y,
            0x9C,
            self.buttons >> 16,
            0x55,
        )

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> ControllerState:
        _, number, active, _, low, *axes, _, high, _ = values
        return cls(_controller(number), active, Button(low | high << 16), *axes)


@dataclass(frozen=True, slots=True)
class HapticsEnabled(InputEvent):
    """The client can show rumble. Body: u16 LE."""

    MAGIC = 0x0D
    LAYOUT = struct.Struct("<H")
    enabled: bool = True

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> HapticsEnabled:
        return cls(bool(values[0]))


@dataclass(frozen=True, slots=True)
class Touched(InputEvent):
    """A finger. ``rotation`` in degrees; axes as parts of the picture.

    Body: u8 event, u8 0, u16 LE rotation, u32 LE id, f32 x, y, pressure, major, minor.
    """

    MAGIC = 0x55000002
    LAYOUT = struct.Struct("<BBHIfffff")
    contact: Contact
    finger: int
    x: float
    y: float
    pressure: float = 0.0
    major_axis: float = 0.0
    minor_axis: float = 0.0
    rotation: int = UNKNOWN_ROTATION

    def _pack(self) -> tuple[Any, ...]:
        shape = (self.x, self.y, self.pressure, self.major_axis, self.minor_axis)
        return self.contact, 0, self.rotation, self.finger, *shape

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> Touched:
        contact, _, rotation, finger, x, y, pressure, major, minor = values
        shape = (pressure, major, minor, rotation)
        return cls(_member(Contact, contact), finger, x, y, *shape)


@dataclass(frozen=True, slots=True)
class PenMoved(InputEvent):
    """A pen. ``buttons`` bits 1, 2, 4; ``tilt`` 0-90 degrees from upright.

    Body: u8 event, tool, buttons, 0; f32 x, y, pressure; u16 LE rotation, u8 tilt, u8 0;
    f32 major, minor.
    """

    MAGIC = 0x55000003
    LAYOUT = struct.Struct("<BBBBfffHBBff")
    contact: Contact
    tool: Tool
    buttons: int
    x: float
    y: float
    pressure: float = 0.0
    rotation: int = UNKNOWN_ROTATION
    tilt: int = UNKNOWN_TILT
    major_axis: float = 0.0
    minor_axis: float = 0.0

    def _pack(self) -> tuple[Any, ...]:
        place = (self.x, self.y, self.pressure)
        shape = (self.rotation, self.tilt, 0, self.major_axis, self.minor_axis)
        return self.contact, self.tool, self.buttons, 0, *place, *shape

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> PenMoved:
        contact, tool, buttons, _, x, y, pressure, rotation, tilt, _, major, minor = values
        place = (x, y, pressure, rotation, tilt, major, minor)
        return cls(_member(Contact, contact), _member(Tool, tool), buttons, *place)


@dataclass(frozen=True, slots=True)
class ControllerArrived(InputEvent):
    """A controller was plugged in. Body: u8 number, u8 type, u16 LE capabilities, u32 LE
    buttons."""

    MAGIC = 0x55000004
    LAYOUT = struct.Struct("<BBHI")
    number: int
    kind: ControllerType
    capabilities: Capability
    buttons: Button

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> ControllerArrived:
        number, kind, capabilities, buttons = values
        known = kind if kind in list(ControllerType) else ControllerType.UNKNOWN
        return cls(
            _controller(number),
            ControllerType(known),
            Capability(capabilities),
            Button(buttons),
        )


@dataclass(frozen=True, slots=True)
class ControllerTouched(InputEvent):
    """A finger on a controller's touchpad.

    Body: u8 number, u8 event, u8 0, u8 pad, u32 LE id, f32 x, y, pressure.
    """

    MAGIC = 0x55000005
    LAYOUT = struct.Struct("<BBBBIfff")
    number: int
    contact: Contact
    pad: int
    finger: int
    x: float
    y: float
    pressure: float = 0.0

    def _pack(self) -> tuple[Any, ...]:
        place = (self.x, self.y, self.pressure)
        return self.number, self.contact, 0, self.pad, self.finger, *place

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> ControllerTouched:
        number, contact, _, pad, finger, *place = values
        return cls(_controller(number), _member(Contact, contact), pad, finger, *place)


@dataclass(frozen=True, slots=True)
class ControllerMoved(InputEvent):
    """A motion sensor, sent unreliably. Body: u8 number, u8 type, u16 0, f32 x, y, z."""

    MAGIC = 0x55000006
    LAYOUT = struct.Struct("<BBHfff")
    number: int
    sensor: MotionType
    x: float
    y: float
    z: float

    def _pack(self) -> tuple[Any, ...]:
        return self.number, self.sensor, 0, self.x, self.y, self.z

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> ControllerMoved:
        number, sensor, _, *axes = values
        return cls(_controller(number), _member(MotionType, sensor), *axes)


@dataclass(frozen=True, slots=True)
class ControllerBattery(InputEvent):
    """Body: u8 number, u8 state, u8 percent (0xFF unknown), u8 0."""

    MAGIC = 0x55000007
    LAYOUT = struct.Struct("<BBBB")
    number: int
    state: BatteryState
    percent: int = UNKNOWN_PERCENT

    def _pack(self) -> tuple[Any, ...]:
        return self.number, self.state, self.percent, 0

    @classmethod
    def _unpack(cls, values: tuple[Any, ...]) -> ControllerBattery:
        number, state, percent, _ = values
        return cls(_controller(number), _member(BatteryState, state), percent)


@dataclass(frozen=True, slots=True)
class UnknownInput(InputEvent):
    """An event of a kind this package does not know; to be ignored."""

    MAGIC = 0
    LAYOUT = struct.Struct("")
    kind: int
    body: bytes

    @property
    def magic(self) -> int:
        """The magic as received."""
        return self.kind


_KINDS: dict[int, type[InputEvent]] = {
    kind.MAGIC: kind
    for kind in (
        MouseMoved,
        MousePlaced,
        Scrolled,
        ScrolledSideways,
        ControllerState,
        HapticsEnabled,
        Touched,
        PenMoved,
        ControllerArrived,
        ControllerTouched,
        ControllerMoved,
        ControllerBattery,
    )
}
_KEYS = {0x03: True, 0x04: False}
_MOUSE_BUTTONS = {0x08: True, 0x09: False}


def encode_input(event: InputEvent) -> bytes:
    """The packet of one event. Raises `InputError` for values the wire cannot carry."""
    if isinstance(event, TextTyped):
        body = event.text.encode("utf-8", "replace")
        if not 1 <= len(body) <= TextTyped.MAX_BYTES:
            raise InputError(f"text has {len(body)} bytes; 1 to {TextTyped.MAX_BYTES} fit")
    elif isinstance(event, UnknownInput):
        body = event.body
    else:
        try:
            body = event.LAYOUT.pack(*event._pack())
        except (struct.error, OverflowError) as error:
            raise InputError(f"{type(event).__name__} is out of range: {error}") from error
    return _SIZE.pack(4 + len(body)) + _HEAD.pack(event.magic) + body


def decode_input(packet: bytes) -> InputEvent:
    """Read one packet of at most `MAX_INPUT_BYTES`. Raises `InputError`."""
    if not _HEAD_BYTES <= len(packet) <= MAX_INPUT_BYTES:
        raise InputError("input packet has an impossible size")
    if _SIZE.unpack_from(packet)[0] != len(packet) - 4:
        raise InputError("input packet does not have the announced size")
    magic = _HEAD.unpack_from(packet, 4)[0]
    body = packet[_HEAD_BYTES:]
    if magic == TextTyped.MAGIC:
        return _text(body)
    if magic in _KEYS:
        flags, code, modifiers, _ = _unpacked(KeyEvent, body)
        known = Modifier(modifiers & 0xF)
        return KeyEvent(code & ~_KEY_FLAG & 0xFF, _KEYS[magic], known, flags)
    if magic in _MOUSE_BUTTONS:
        button = _member(MouseButton, _unpacked(MouseButtonEvent, body)[0])
        return MouseButtonEvent(button, _MOUSE_BUTTONS[magic])
    kind = _KINDS.get(magic)
    if kind is None:
        return UnknownInput(magic, body)
    return kind._unpack(_unpacked(kind, body))


def _unpacked(kind: type[InputEvent], body: bytes) -> tuple[Any, ...]:
    if len(body) != kind.LAYOUT.size:
        raise InputError(f"{kind.__name__} has {len(body)} bytes instead of {kind.LAYOUT.size}")
    values = kind.LAYOUT.unpack(body)
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise InputError(f"{kind.__name__} carries a number that is not finite")
    return values


def _text(body: bytes) -> TextTyped:
    if not 1 <= len(body) <= TextTyped.MAX_BYTES:
        raise InputError("text has an impossible length")
    try:
        return TextTyped(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError("text is not UTF-8") from error


def _controller(number: int) -> int:
    if number >= MAX_CONTROLLERS:
        raise InputError(f"controller {number} is out of range")
    return number


def _member(kind: type[EnumT], value: int) -> EnumT:
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(f"{value} is no {kind.__name__}") from error
