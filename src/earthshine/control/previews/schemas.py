"""What the API says about previews."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from earthshine.control.schema import Request, View


class OpenPreview(Request):
    """Show a port of the session's runner."""

    port: Annotated[int, Field(ge=1, le=65535)]


class PreviewView(View):
    """An open preview."""

    id: str
    port: int
    url: str
    expires_at: datetime


class PreviewList(View):
    """A session's previews."""

    previews: list[PreviewView]


class PreviewTicket(View):
    """How a browser enters: POST `ticket` as a form field to `url` + `.earthshine/enter`."""

    id: str
    port: int
    url: str
    ticket: str
    expires_at: datetime
    """Of the ticket, which also works only once."""
