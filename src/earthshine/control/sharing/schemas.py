"""What the API says about sharing."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from earthshine.control.schema import Request, View

SharedRole = Literal["controller", "approver", "viewer"]
MAX_SHARE_SECONDS = 365 * 86400
MAX_LINK_SECONDS = 30 * 86400


class SharedPerson(View):
    """Somebody whom a session is shared with."""

    person_id: str
    name: str
    role: SharedRole
    expires_at: datetime | None
    guest: bool
    """Came by a link and has no account."""


class ShareLink(View):
    """A link that shares a session with whoever has it. Its code is shown once, when it is made."""

    id: str
    role: SharedRole
    expires_at: datetime
    uses: int
    created_at: datetime
    created_by: str
    """Name."""


class Shares(View):
    """Who can use a session, beside admins."""

    owner_name: str
    people: list[SharedPerson]
    links: list[ShareLink]


class Share(Request):
    """Share with a person, or change how."""

    role: SharedRole
    expires_in: int | None = Field(default=None, ge=60, le=MAX_SHARE_SECONDS)
    """Seconds; until it is taken back when left out."""


class NewLink(Request):
    """Make a link."""

    role: SharedRole
    expires_in: int = Field(ge=60, le=MAX_LINK_SECONDS)
    """Seconds, for the link and for what it gives."""


class LinkMade(View):
    """A new link; the only answer that has its address."""

    id: str
    url: str


class FollowLink(Request):
    """Use a link."""

    code: str = Field(min_length=1, max_length=128)
    name: str | None = Field(default=None, min_length=1, max_length=64)
    """As whom the others see a guest. Not used by somebody who is signed in."""


class Followed(View):
    """The session that the link leads to."""

    session_id: str
