"""What the API says about Guacamole."""

from datetime import datetime

from earthshine.control.guacamole.wishes import Protocol
from earthshine.control.schema import View


class GuacamoleConnection(View):
    """A connection of a session that runs and can be joined."""

    id: str
    protocol: Protocol
    name: str
    """Who opened it; when they leave it ends for all."""
    since: datetime


class GuacamoleConnections(View):
    """All of a session, oldest first."""

    connections: list[GuacamoleConnection]
