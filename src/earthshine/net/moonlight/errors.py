"""What the drivers raise when the other side, or the way to it, fails."""

from __future__ import annotations

from earthshine.protocols.moonlight.errors import MoonlightError


class ConnectionFailedError(MoonlightError):
    """The peer cannot be reached, went away, or is not who it should be. The message says which."""
