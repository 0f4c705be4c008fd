"""ENet datagrams: a header and one or more commands back to back. All integers are big-endian.

Header: u16 = peer id (bits 0-11) | session (12-13) | 0x4000 compressed | 0x8000 time follows;
then, if 0x8000, u16 of the sender's clock in ms. The peer id is the receiver's; 0xFFF in CONNECT.

Command: u8 type (low 4 bits) | 0x80 acknowledge | 0x40 unsequenced; u8 channel, 0xFF for the
connection itself; u16 reliable sequence number; then the fields of the type.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from earthshine.protocols.moonlight.errors import MoonlightError

MIN_MTU = 576
MAX_MTU = 4096
MAX_COMMANDS = 256
MAX_PEER_ID = 0xFFF
NO_PEER = 0xFFF
CONNECTION_CHANNEL = 0xFF
NO_SESSION = 0xFF

HEADER_BYTES = 4
COMMAND_BYTES = 4

_COMPRESSED = 0x4000
_HAS_TIME = 0x8000
_ACKNOWLEDGE = 0x80
_UNSEQUENCED = 0x40
_TYPE_MASK = 0x3F  # four bits of type and two that nobody sets

_HEAD = struct.Struct(">BBH")
_U16 = struct.Struct(">H")


class EnetError(MoonlightError):
    """A datagram is malformed, or a call does not fit the state or a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What all commands share. ``sequence`` counts per channel."""

    TYPE: ClassVar[int]
    LAYOUT: ClassVar[struct.Struct]
    FIELDS: ClassVar[tuple[str, ...]]
    HAS_DATA: ClassVar[bool] = False

    channel: int = CONNECTION_CHANNEL
    sequence: int = 0
    acknowledge: bool = False
    unsequenced: bool = False

    def encode(self) -> bytes:
        """The command's bytes."""
        flags = _ACKNOWLEDGE * self.acknowledge | _UNSEQUENCED * self.unsequenced
        head = _HEAD.pack(self.TYPE | flags, self.channel, self.sequence)
        return head + self.LAYOUT.pack(*(getattr(self, name) for name in self.FIELDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge(Command):
    """``channel`` and ``sequence`` repeat those of the acknowledged command."""

    TYPE = 1
    LAYOUT = struct.Struct(">HH")
    FIELDS = ("received_sequence", "received_time")
    received_sequence: int
    received_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect(Command):
    """A client asks for a connection. Bandwidths in bytes/s (0: unlimited), throttle values
    opaque."""

    TYPE = 2
    LAYOUT = struct.Struct(">HBBIIIIIIIIII")
    FIELDS = (
        "outgoing_peer",
        "incoming_session",
        "outgoing_session",
        "mtu",
        "window",
        "channels",
        "in_bandwidth",
        "out_bandwidth",
        "throttle_interval",
        "throttle_acceleration",
        "throttle_deceleration",
        "connect_id",
        "data",
    )
    outgoing_peer: int
    incoming_session: int
    outgoing_session: int
    mtu: int
    window: int
    channels: int
    in_bandwidth: int
    out_bandwidth: int
    throttle_interval: int
    throttle_acceleration: int
    throttle_deceleration: int
    connect_id: int
    data: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConnect(Command):
    """A server agrees. Throttle values and connect id repeat the request's."""

    TYPE = 3
    LAYOUT = struct.Struct(">HBBIIIIIIIII")
    FIELDS = Connect.FIELDS[:-1]
    outgoing_peer: int
    incoming_session: int
    outgoing_session: int
    mtu: int
    window: int
    channels: int
    in_bandwidth: int
    out_bandwidth: int
    throttle_interval: int
    throttle_acceleration: int
    throttle_deceleration: int
    connect_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect(Command):
    """End of the connection; ``data`` is the application's."""

    TYPE = 4
    LAYOUT = struct.Struct(">I")
    FIELDS = ("data",)
    data: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Command):
    """Only there to be acknowledged."""

    TYPE = 5
    LAYOUT = struct.Struct("")
    FIELDS = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthLimit(Command):
    """The sender's limits in bytes/s; read and ignored."""

    TYPE = 10
    LAYOUT = struct.Struct(">II")
    FIELDS = ("in_bandwidth", "out_bandwidth")
    in_bandwidth: int = 0
    out_bandwidth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleConfigure(Command):
    """Read and ignored."""

    TYPE = 11
    LAYOUT = struct.Struct(">III")
    FIELDS = ("interval", "acceleration", "deceleration")
    interval: int
    acceleration: int
    deceleration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCommand(Command):
    """A command that ends in ``data``; its u16 length is written between the fields."""

    HAS_DATA = True
    data: bytes

    def encode(self) -> bytes:
        """The command's bytes, data included."""
        flags = _ACKNOWLEDGE * self.acknowledge | _UNSEQUENCED * self.unsequenced
        head = _HEAD.pack(self.TYPE | flags, self.channel, self.sequence)
        values = [
            len(self.data) if name == "length" else getattr(self, name) for name in self.FIELDS
        ]
        return head + self.LAYOUT.pack(*values) + self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReliable(DataCommand):
    """A whole message, delivered in order."""

    TYPE = 6
    LAYOUT = struct.Struct(">H")
    FIELDS = ("length",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUnreliable(DataCommand):
    """A whole message, dropped when late; ``sequence`` is the channel's last reliable one."""

    TYPE = 7
    LAYOUT = struct.Struct(">HH")
    FIELDS = ("unreliable_sequence", "length")
    unreliable_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFragment(DataCommand):
    """Part of a reliable message; part n has sequence ``start_sequence + n``."""

    TYPE = 8
    LAYOUT = struct.Struct(">HHIIII")
    FIELDS = ("start_sequence", "length", "count", "number", "total", "offset")
    start_sequence: int
    count: int
    number: int
    total: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUnsequenced(DataCommand):
    """A whole message delivered as it comes, at most once; ``group`` tells doubles apart."""

    TYPE = 9
    LAYOUT = struct.Struct(">HH")
    FIELDS = ("group", "length")
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUnreliableFragment(DataCommand):
    """Part of an unreliable message; ``start_sequence`` is its unreliable sequence number."""

    TYPE = 12
    LAYOUT = struct.Struct(">HHIIII")
    FIELDS = SendFragment.FIELDS
    start_sequence: int
    count: int
    number: int
    total: int
    offset: int


_TYPES: dict[int, type[Command]] = {
    kind.TYPE: kind
    for kind in (
        Acknowledge,
        Connect,
        VerifyConnect,
        Disconnect,
        Ping,
        SendReliable,
        SendUnreliable,
        SendFragment,
        SendUnsequenced,
        BandwidthLimit,
        ThrottleConfigure,
        SendUnreliableFragment,
    )
}


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP payload. ``sent_time`` is u16 ms or None when absent."""

    peer: int
    session: int
    sent_time: int | None
    commands: tuple[Command, ...]


def decode_datagram(data: bytes) -> Datagram:
    """Read one datagram completely, or raise `EnetError`."""
    if not 2 <= len(data) <= MAX_MTU:
        raise EnetError("ENet datagram has an impossible size")
    head = _U16.unpack_from(data)[0]
    if head & _COMPRESSED:
        raise EnetError("compressed ENet datagrams are not supported")
    offset, sent_time = 2, None
    if head & _HAS_TIME:
        if len(data) < HEADER_BYTES:
            raise EnetError("ENet header is cut off")
        offset, sent_time = HEADER_BYTES, _U16.unpack_from(data, 2)[0]
    commands: list[Command] = []
    while offset < len(data):
        if len(commands) == MAX_COMMANDS:
            raise EnetError(f"more than {MAX_COMMANDS} commands in one datagram")
        command, offset = _decode_command(data, offset)
        if command.acknowledge and sent_time is None:
            raise EnetError("command wants an acknowledgement but carries no time")
        commands.append(command)
    return Datagram(head & MAX_PEER_ID, head >> 12 & 3, sent_time, tuple(commands))


def encode_header(peer: int, session: int, sent_time: int | None) -> bytes:
    """The 2 or 4 bytes before the commands."""
    head = peer | session << 12
    if sent_time is None:
        return _U16.pack(head)
    return _U16.pack(head | _HAS_TIME) + _U16.pack(sent_time & 0xFFFF)


def _decode_command(data: bytes, offset: int) -> tuple[Command, int]:
    if offset + COMMAND_BYTES > len(data):
        raise EnetError("ENet command is cut off")
    kind_and_flags, channel, sequence = _HEAD.unpack_from(data, offset)
    kind = _TYPES.get(kind_and_flags & _TYPE_MASK)
    offset += COMMAND_BYTES
    if kind is None or offset + kind.LAYOUT.size > len(data):
        raise EnetError("ENet command is unknown or cut off")
    values = dict(zip(kind.FIELDS, kind.LAYOUT.unpack_from(data, offset), strict=True))
    offset += kind.LAYOUT.size
    if kind.HAS_DATA:
        end = offset + values.pop("length")
        if end > len(data):
            raise EnetError("ENet data is cut off")
        values["data"] = data[offset:end]
        offset = end
    command = kind(
        channel=channel,
        sequence=sequence,
        acknowledge=bool(kind_and_flags & _ACKNOWLEDGE),
        unsequenced=bool(kind_and_flags & _UNSEQUENCED),
        **values,
    )
    return command, offset
