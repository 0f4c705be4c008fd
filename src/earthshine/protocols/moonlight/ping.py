"""UDP pings: how a host learns where to send pictures and sound.

A client sends one every 500 ms to the video and the audio port, from the socket it listens on:
the 16 bytes it got as X-SS-Ping-Payload and a u32 BE counter from 1; or the four bytes ``PING``
when the host gave none. The payload, not the address, says whose it is: two clients can share an
address, and an address may change, so a host follows the latest ping.
"""

from __future__ import annotations

from dataclasses import dataclass

from earthshine.protocols.moonlight.errors import MoonlightError

INTERVAL_MS = 500
PAYLOAD_BYTES = 16
PING_BYTES = 20
OLD_PING = b"PING"


class PingError(MoonlightError):
    """The datagram is no ping."""


@dataclass(frozen=True, slots=True)
class MediaPing:
    """One ping. ``payload`` is None in the old form; the counter is then 0."""

    payload: bytes | None
    counter: int = 0

    def encode(self) -> bytes:
        """4 or 20 bytes."""
        if self.payload is None:
            return OLD_PING
        return self.payload + (self.counter & 0xFFFFFFFF).to_bytes(4, "big")


def parse_ping(datagram: bytes) -> MediaPing:
    """Read one ping. Raises `PingError`."""
    if datagram == OLD_PING:
        return MediaPing(None)
    if len(datagram) != PING_BYTES:
        raise PingError(f"a datagram of {len(datagram)} bytes is no ping")
    counter = int.from_bytes(datagram[PAYLOAD_BYTES:], "big")
    return MediaPing(datagram[:PAYLOAD_BYTES], counter)
