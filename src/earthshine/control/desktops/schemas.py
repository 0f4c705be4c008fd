"""What the API says about desktops."""

from datetime import datetime
from typing import Literal

from earthshine.control.schema import View

Method = Literal["native", "vnc", "rdp", "guacamole", "moonlight", "webrtc"]


class ConnectionMethod(View):
    """One way to see a session's desktop."""

    name: Method
    label: str
    available: bool
    detail: str | None = None
    """Where not available: why, and what to do."""


class ConnectionMethods(View):
    """All ways, best first. A viewer tries the available ones in order."""

    methods: list[ConnectionMethod]


class RdpConnection(View):
    """What an RDP client needs, for one connection."""

    address: str
    port: int
    user: str
    password: str
    """Good once, until `expires_at`."""
    file: str
    """An .rdp file, without the password."""
    expires_at: datetime
    view_only: bool
    fingerprint: str | None = None
    """SHA-256 of the certificate that the client will be shown, in hex."""
