"""What a host can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.query import HTTP_PORT
from earthshine.protocols.moonlight.sdp import Encryption

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of one host. Times are in seconds."""

    state_dir: Path
    """Holds the host's key and the paired clients; mode 0700."""
    name: str = "Earthshine"
    """What clients show."""
    bind: str = "127.0.0.1"
    """Address to listen on; ``0.0.0.0`` for the network."""
    base_port: int = HTTP_PORT
    """The HTTP port tried first; all others are offsets from it."""
    max_hosts: int = 10
    """Hosts on this machine: further base ports, `ports.STEP` apart, are tried when one is
    taken."""
    fec_percent: int = 20
    max_sessions: int = 16
    offer_encryption: Encryption = Encryption.ALL
    """What clients may encrypt; they always do encrypt the control stream if they may."""
    require_encryption: bool = False
    """Refuse clients that cannot encrypt, and ask the others to encrypt everything."""
    allow_plain_rtsp: bool = True
    """Serve clients that cannot encrypt RTSP, on ports of their own."""
    handshake_wait: float = 30.0
    """From launch or resume to the control connection."""
    control_timeout: float = 10.0
    """A client that acknowledges nothing for so long has vanished: its session pauses."""
    start_wait: float = 60.0
    """How long starting an application may take."""
