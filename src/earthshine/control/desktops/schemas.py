"""What the API says about desktops."""

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
