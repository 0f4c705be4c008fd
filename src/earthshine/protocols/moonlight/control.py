"""Control messages: what client and host tell each other beside pictures and sound.

A plain packet is u16 LE type, u16 LE payload length, payload; payloads are little-endian unless a
message says otherwise. The same type can mean different things per direction, so there is one
decoder for each end. Unknown types decode to `UnknownMessage` and are to be ignored.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from earthshine.protocols.moonlight.enet.events import Delivery
from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.input import (
    Contact,
    ControllerArrived,
    ControllerBattery,
    ControllerMoved,
    ControllerState,
    ControllerTouched,
    InputEvent,
    KeyEvent,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    PenMoved,
    Scrolled,
    ScrolledSideways,
    TextTyped,
    Touched,
    decode_input,
    encode_input,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAYLOAD_BYTES = 1024

GRACEFUL = 0x80030023
PROTECTED_CONTENT = 0x800E9302
FRAME_CONVERSION = 0x800E9403

PING_INTERVAL_MS = 100
MAX_FRAME = (1 << 63) - 1

_HEAD = struct.Struct("<HH")


class ControlError(MoonlightError):
    """A control packet is malformed."""


class Channel(enum.IntEnum):
    """ENet channels of the client's messages. Controller n adds n to the last two."""

    GENERIC = 0x00
    URGENT = 0x01
    KEYBOARD = 0x02
    MOUSE = 0x03
    PEN = 0x04
    TOUCH = 0x05
    TEXT = 0x06
    GAMEPAD = 0x10
    SENSOR = 0x20


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all control messages."""

    TYPE: ClassVar[int]

    def payload(self) -> bytes:
        """The bytes after the four of type and length."""
        raise NotImplementedError

    @property
    def type(self) -> int:
        """The u16 that names the message."""
        return self.TYPE


@dataclass(frozen=True, slots=True)
class UnknownMessage(Message):
    """A message this package does not know."""

    TYPE = 0
    kind: int
    data: bytes

    def payload(self) -> bytes:
        """As received."""
        return self.data

    @property
    def type(self) -> int:
        """As received."""
        return self.kind


# -- client to host -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestIdr(Message):
    """The next frame must be an IDR. Also the first message of a session ("start A")."""

    TYPE = 0x0302

    def payload(self) -> bytes:
        """Two zero bytes."""
        return bytes(2)


@dataclass(frozen=True, slots=True)
class StartB(Message):
    """The second message of a session."""

    TYPE = 0x0307

    def payload(self) -> bytes:
        """One zero byte."""
        return bytes(1)


@dataclass(frozen=True, slots=True)
class InvalidateReferenceFrames(Message):
    """Frames ``first`` to ``last`` were lost: do not refer to them. Payload: 3 x i64, the last
    0."""

    TYPE = 0x0301
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqq")
    first: int
    last: int

    def payload(self) -> bytes:
        """24 bytes."""
        return self.LAYOUT.pack(self.first, self.last, 0)


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Sent every `PING_INTERVAL_MS`; a host ends the session when nothing comes for 10 s."""

    TYPE = 0x0200

    def payload(self) -> bytes:
        """u16 4, u32 0, two zero bytes."""
        return b"\x04" + bytes(7)


@dataclass(frozen=True, slots=True)
class LossStatistics(Message):
    """What clients send to older hosts every 50 ms instead of FEC status."""

    TYPE = 0x0201
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IIIQIII")
    losses: int
    last_good_frame: int

    def payload(self) -> bytes:
        """32 bytes."""
        return self.LAYOUT.pack(self.losses, 50, 1000, self.last_good_frame, 0, 0, 0x14)


@dataclass(frozen=True, slots=True)
class InputMessage(Message):
    """An input event, see `earthshine.protocols.moonlight.input`."""

    TYPE = 0x0206
    event: InputEvent

    def payload(self) -> bytes:
        """The input packet."""
        return encode_input(self.event)


@dataclass(frozen=True, slots=True)
class LongTermReferenceAcknowledged(Message):
    """The long-term reference ``frame`` arrived. Payload: u32 frame, u32."""

    TYPE = 0x0350
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<II")
    frame: int
    value: int = 0

    def payload(self) -> bytes:
        """8 bytes."""
        return self.LAYOUT.pack(self.frame, self.value)


@dataclass(frozen=True, slots=True)
class FecStatus(Message):
    """How one damaged FEC block fared. All fields big-endian; sequence numbers are RTP's."""

    TYPE = 0x5502
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">IHHHHHHHBBB")
    frame: int
    highest_sequence: int
    next_contiguous_sequence: int
    missing: int
    data: int
    parity: int
    received_data: int
    received_parity: int
    fec_percent: int
    block: int
    blocks: int

    def payload(self) -> bytes:
        """21 bytes."""
        return self.LAYOUT.pack(
            self.frame,
            self.highest_sequence,
            self.next_contiguous_sequence,
            self.missing,
            self.data,
            self.parity,
            self.received_data,
            self.received_parity,
            self.fec_percent,
            self.block,
            self.blocks,
        )


# -- host to client -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Termination(Message):
    """The session ends. `GRACEFUL` is no error. Payload: u32 big-endian."""

    TYPE = 0x0109
    reason: int = GRACEFUL

    def payload(self) -> bytes:
        """4 bytes."""
        return self.reason.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class OldTermination(Message):
    """The session ends, as older hosts say it. Payload: u16."""

    TYPE = 0x0100
    reason: int

    def payload(self) -> bytes:
        """2 bytes."""
        return self.reason.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Rumble(Message):
    """Motor strengths 0-65535. Payload: 4 ignored bytes, u16 controller, u16 low, u16 high.

    Only for controllers that announced the capability; some clients crash otherwise.
    """

    TYPE = 0x010B
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4sHHH")
    FILLER: ClassVar[bytes] = bytes.fromhex("eeffc000")
    controller: int
    low: int
    high: int

    def payload(self) -> bytes:
        """10 bytes."""
        return self.LAYOUT.pack(self.FILLER, self.controller, self.low, self.high)


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """Chromaticities x 50000 as (x, y); luminances in cd/m2, the minimum in 1/10000 cd/m2."""

    red: tuple[int, int]
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    max_luminance: int
    min_luminance: int
    max_content_light: int
    max_frame_average_light: int
    max_full_frame_luminance: int


@dataclass(frozen=True, slots=True)
class HdrMode(Message):
    """HDR went on or off. Payload: u8 on, 13 x u16 metadata."""

    TYPE = 0x010E
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<B13H")
    enabled: bool
    metadata: HdrMetadata | None = None

    def payload(self) -> bytes:
        """27 bytes."""
        data = self.metadata
        if data is None:
            return bytes([self.enabled]) + bytes(26)
        return self.LAYOUT.pack(
            self.enabled,
            *data.red,
            *data.green,
            *data.blue,
            *data.white,
            data.max_luminance,
            data.min_luminance,
            data.max_content_light,
            data.max_frame_average_light,
            data.max_full_frame_luminance,
        )


@dataclass(frozen=True, slots=True)
class TriggerRumble(Message):
    """Trigger motor strengths 0-65535. Payload: u16 controller, u16 left, u16 right."""

    TYPE = 0x5500
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HHH")
    controller: int
    left: int
    right: int

    def payload(self) -> bytes:
        """6 bytes."""
        return self.LAYOUT.pack(self.controller, self.left, self.right)


@dataclass(frozen=True, slots=True)
class MotionRequest(Message):
    """Report a motion sensor ``rate`` times a second, 0 stops. Payload: u16, u16 rate, u8
    sensor."""

    TYPE = 0x5501
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HHB")
    controller: int
    rate: int
    sensor: int

    def payload(self) -> bytes:
        """5 bytes."""
        return self.LAYOUT.pack(self.controller, self.rate, self.sensor)


@dataclass(frozen=True, slots=True)
class SetLed(Message):
    """Colour of a controller's light. Payload: u16 controller, u8 red, green, blue."""

    TYPE = 0x5502
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HBBB")
    controller: int
    red: int
    green: int
    blue: int

    def payload(self) -> bytes:
        """5 bytes."""
        return self.LAYOUT.pack(self.controller, self.red, self.green, self.blue)


@dataclass(frozen=True, slots=True)
class AdaptiveTriggers(Message):
    """Trigger effects, 10 bytes each. Payload: u16, u8 flags (4 right, 8 left), u8, u8 types."""

    TYPE = 0x5503
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HBBB10s10s")
    controller: int
    flags: int
    left_type: int
    right_type: int
    left: bytes
    right: bytes

    def payload(self) -> bytes:
        """25 bytes."""
        types = (self.left_type, self.right_type)
        return self.LAYOUT.pack(self.controller, self.flags, *types, self.left, self.right)


# -- reading and writing
# ------------------------------------------------------------------------------


def encode_message(message: Message) -> bytes:
    """The plain packet. Raises `ControlError` when a value does not fit."""
    try:
        payload = message.payload()
    except (struct.error, OverflowError) as error:
        raise ControlError(f"{type(message).__name__} is out of range: {error}") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ControlError(f"control payload is larger than {MAX_PAYLOAD_BYTES} bytes")
    return _HEAD.pack(message.type, len(payload)) + payload


def decode_client_message(packet: bytes) -> Message:
    """Read what a client sent. Raises `ControlError` or `InputError`."""
    return _decode(packet, _FROM_CLIENT)


def decode_host_message(packet: bytes) -> Message:
    """Read what a host sent. Raises `ControlError`."""
    return _decode(packet, _FROM_HOST)


def route(message: Message, *, starting: bool = False) -> tuple[int, Delivery]:
    """The ENet channel and delivery for a message to a host. Hosts use channel 0, reliable.

    ``starting``: the message is one of the first two of a session. Hosts accept every message on
    every channel.
    """
    if isinstance(message, InputMessage):
        return _route_input(message.event)
    if isinstance(message, FecStatus):
        return Channel.GENERIC, Delivery.UNSEQUENCED
    urgent = isinstance(message, _URGENT) and not starting
    return Channel.URGENT if urgent else Channel.GENERIC, Delivery.RELIABLE


_URGENT = (RequestIdr, InvalidateReferenceFrames, LongTermReferenceAcknowledged)
# Positions that the next report corrects anyway need not arrive.
_PASSING = (Contact.HOVER, Contact.MOVE)
_INPUT_CHANNELS: tuple[tuple[type[InputEvent] | tuple[type[InputEvent], ...], Channel], ...] = (
    (KeyEvent, Channel.KEYBOARD),
    ((MouseMoved, MousePlaced, MouseButtonEvent, Scrolled, ScrolledSideways), Channel.MOUSE),
    (PenMoved, Channel.PEN),
    (Touched, Channel.TOUCH),
    (TextTyped, Channel.TEXT),
)


def _route_input(event: InputEvent) -> tuple[int, Delivery]:
    delivery = Delivery.RELIABLE
    if isinstance(event, Touched | PenMoved | ControllerTouched) and event.contact in _PASSING:
        delivery = Delivery.UNRELIABLE
    if isinstance(event, ControllerMoved):
        return Channel.SENSOR + event.number, Delivery.UNRELIABLE
    if isinstance(event, _GAMEPAD):
        return Channel.GAMEPAD + event.number, delivery
    matching = (channel for kinds, channel in _INPUT_CHANNELS if isinstance(event, kinds))
    return next(matching, Channel.GENERIC), delivery


_GAMEPAD = (ControllerState, ControllerArrived, ControllerTouched, ControllerBattery)


def _decode(packet: bytes, kinds: dict[int, Callable[[bytes], Message]]) -> Message:
    if not _HEAD.size <= len(packet) <= _HEAD.size + MAX_PAYLOAD_BYTES:
        raise ControlError("control packet has an impossible size")
    kind, length = _HEAD.unpack_from(packet)
    payload = packet[_HEAD.size :]
    if length != len(payload):
        raise ControlError("control packet does not have the announced length")
    read = kinds.get(kind)
    if read is None:
        return UnknownMessage(kind, payload)
    try:
        return read(payload)
    except struct.error as error:
        raise ControlError(f"control message {kind:#06x} is malformed") from error


def _invalidate(payload: bytes) -> Message:
    first, last, _ = InvalidateReferenceFrames.LAYOUT.unpack(payload)
    if not 0 <= first <= last:
        raise ControlError("reference invalidation names no range")
    return InvalidateReferenceFrames(first, last)


def _loss_statistics(payload: bytes) -> Message:
    losses, _, _, frame, _, _, _ = LossStatistics.LAYOUT.unpack(payload)
    return LossStatistics(losses, frame)


def _number(payload: bytes, size: int, order: str) -> int:
    if len(payload) < size:
        raise ControlError("termination message is cut off")
    return int.from_bytes(payload[:size], "big" if order == "big" else "little")


def _rumble(payload: bytes) -> Message:
    _, controller, low, high = Rumble.LAYOUT.unpack(payload)
    return Rumble(controller, low, high)


def _hdr_mode(payload: bytes) -> Message:
    if not payload:
        raise ControlError("HDR message is empty")
    enabled = payload[0] != 0
    if not enabled or len(payload) < HdrMode.LAYOUT.size:
        return HdrMode(enabled)
    _, *numbers = HdrMode.LAYOUT.unpack(payload[: HdrMode.LAYOUT.size])
    if not any(numbers):
        return HdrMode(enabled)  # nothing is known of the display
    red, green, blue, white = ((numbers[at], numbers[at + 1]) for at in range(0, 8, 2))
    return HdrMode(enabled, HdrMetadata(red, green, blue, white, *numbers[8:]))


_FROM_CLIENT: dict[int, Callable[[bytes], Message]] = {
    RequestIdr.TYPE: lambda _: RequestIdr(),
    StartB.TYPE: lambda _: StartB(),
    InvalidateReferenceFrames.TYPE: _invalidate,
    Ping.TYPE: lambda _: Ping(),
    LossStatistics.TYPE: _loss_statistics,
    InputMessage.TYPE: lambda payload: InputMessage(decode_input(payload)),
    LongTermReferenceAcknowledged.TYPE: lambda payload: LongTermReferenceAcknowledged(
        *LongTermReferenceAcknowledged.LAYOUT.unpack(payload)
    ),
    FecStatus.TYPE: lambda payload: FecStatus(*FecStatus.LAYOUT.unpack(payload)),
    Termination.TYPE: lambda payload: Termination(_number(payload, 4, "big")),
}

_FROM_HOST: dict[int, Callable[[bytes], Message]] = {
    Termination.TYPE: lambda payload: Termination(_number(payload, 4, "big")),
    OldTermination.TYPE: lambda payload: OldTermination(_number(payload, 2, "little")),
    Rumble.TYPE: _rumble,
    HdrMode.TYPE: _hdr_mode,
    TriggerRumble.TYPE: lambda payload: TriggerRumble(*TriggerRumble.LAYOUT.unpack(payload)),
    MotionRequest.TYPE: lambda payload: MotionRequest(*MotionRequest.LAYOUT.unpack(payload)),
    SetLed.TYPE: lambda payload: SetLed(*SetLed.LAYOUT.unpack(payload)),
    AdaptiveTriggers.TYPE: lambda payload: AdaptiveTriggers(
        *AdaptiveTriggers.LAYOUT.unpack(payload)
    ),
}
