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
    application: bool
    """Whether the operator's Guacamole web application can show the desktop, too."""


class ApplicationConnection(View):
    """A connection in the operator's Guacamole web application, for one person to open once."""

    url: str
    """To be opened in a browser that is signed in there."""
    name: str
    view_only: bool
    expires_at: datetime
