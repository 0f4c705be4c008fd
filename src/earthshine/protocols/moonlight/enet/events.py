"""What an ENet connection reports, what it can be told, and its settings."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from earthshine.protocols.moonlight.enet.wire import MAX_MTU, MIN_MTU

MAX_CHANNELS = 48
MAX_WINDOW = 65536


class Delivery(enum.Enum):
    """How a message travels."""

    RELIABLE = enum.auto()
    UNRELIABLE = enum.auto()
    UNSEQUENCED = enum.auto()


class Reason(enum.Enum):
    """Why a connection ended."""

    BY_PEER = enum.auto()
    BY_US = enum.auto()
    LOST = enum.auto()
    """Nothing was acknowledged for too long."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is complete. ``data`` is what the client passed in CONNECT."""

    data: int


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message."""

    channel: int
    data: bytes
    reliable: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is over; nothing else follows. ``data`` is the peer's, 0 if it gave none."""

    reason: Reason
    data: int = 0


EnetEvent = Connected | Received | Disconnected


@dataclass(frozen=True, slots=True)
class EnetSettings:
    """Times in ms, sizes in bytes."""

    mtu: int = 900
    channels: int = MAX_CHANNELS
    window: int = MAX_WINDOW
    ping_interval_ms: int | None = 500
    """None: the caller sends pings."""
    first_rtt_ms: int = 500
    min_resend_ms: int = 30
    max_resend_ms: int = 500
    """Doubling ends here, so that bad luck does not look like a lost peer."""
    timeout_ms: int = 10_000
    accept_timeout_ms: int = 3000
    """How long a server waits for a client to finish the handshake: few repeats to a forged
    sender."""
    disconnect_wait_ms: int = 2000
    """How long an own DISCONNECT may stay unacknowledged."""
    linger_ms: int = 3000
    """How long a closed connection still answers a repeated DISCONNECT."""
    held_bytes: int = 1 << 20
    """Received data that may wait for earlier data."""

    def __post_init__(self) -> None:
        if not MIN_MTU <= self.mtu <= MAX_MTU or not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError("mtu or channel count is out of range")
