"""What the API says about people and sign-ins."""

from pydantic import Field

from earthshine.control.schema import Request, View


class SignIn(Request):
    """Trade a one-time code for a sign-in."""

    code: str = Field(min_length=1, max_length=128)


class Me(View):
    """Who is signed in, and what the page needs to know about this server."""

    person_id: str
    name: str
    is_admin: bool
    version: str
    preview_enabled: bool


class SignInCode(View):
    """A one-time sign-in link for a person."""

    url: str
    expires_in: int
    """Seconds."""


class NewSignInCode(Request):
    """Ask for a sign-in link for a person, making the person where new."""

    person: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9._@-]*$")
    """Name; oneself when empty."""
