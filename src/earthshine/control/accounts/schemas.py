"""What the API says about people, how they sign in, and what is signed in as them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from earthshine.control.access import Role, Scope
from earthshine.control.schema import Request, View

MAX_SECRET: Final = 256
"""Characters of a code or token that a client presents."""
MAX_CREDENTIAL: Final = 64 * 1024
"""Bytes of a passkey's answer, as JSON. Attestations with certificates take a few thousand."""

Name = Annotated[str, Field(min_length=1, max_length=64)]
Label = Annotated[str, Field(min_length=1, max_length=64)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
Kind = Literal["browser", "token", "device"]
MemberRole = Literal[Role.ADMIN, Role.MEMBER]
"""What an admin can make of somebody; guests come by share links alone."""


# --- signing in ----------------------------------------------------------------------------------


class OidcOption(View):
    """A provider that people can sign in with."""

    name: str


class SignInOptions(View):
    """The ways in that this server offers."""

    password: bool
    passkeys: bool
    """False where browsers have none: they want a host name, and TLS unless it is localhost."""
    oidc: OidcOption | None


class SignIn(Request):
    """Trade a one-time code for a sign-in."""

    code: str = Field(min_length=1, max_length=128)


class PasswordSignIn(Request):
    """Sign in by name and password."""

    name: str = Field(max_length=200)
    password: str = Field(max_length=4096)


class PasskeyAnswer(Request):
    """What an authenticator answered to a challenge, as `PublicKeyCredential.toJSON()` gives it."""

    id: str = Field(min_length=1, max_length=128)
    """Of the challenge."""
    credential: dict[str, Any]


class Me(View):
    """Who is signed in, and what the page needs to know about this server."""

    person_id: str
    name: str
    role: Role
    is_admin: bool
    version: str
    preview_enabled: bool
    has_credentials: bool
    """A password, passkey or provider account: can come back without a link."""
    shared_session_id: str | None
    """For a guest, the session that was shared."""


class PasskeyChallenge(View):
    """What a browser hands to `navigator.credentials`, once."""

    id: str
    options: dict[str, Any]
    """`PublicKeyCredentialCreationOptionsJSON` or `...RequestOptionsJSON` (WebAuthn Level 3)."""


class SignInProgress(View):
    """Signed in (`me`), or a passkey is wanted as second factor (`passkey`)."""

    me: Me | None
    passkey: PasskeyChallenge | None


# --- one's own account ---------------------------------------------------------------------------


class ProfileChange(Request):
    """What people can change about themselves. Roles are no part of it."""

    name: Name


class Passkey(View):
    """A passkey of one's own."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


class Account(View):
    """How somebody can sign in."""

    name: str
    role: Role
    has_password: bool
    second_factor: bool
    """A password alone is not enough: a passkey must follow."""
    passkeys: list[Passkey]
    oidc: str | None
    """The provider whose account is linked."""


class NewPassword(Request):
    """Set or change the password."""

    current: str | None = Field(default=None, max_length=4096)
    """Needed where there is one."""
    new: str = Field(max_length=4096)


class SecondFactor(Request):
    """Whether a passkey must follow the password."""

    required: bool


class NewPasskey(PasskeyAnswer):
    """Keep a passkey that was just made."""

    name: Label


class SignInView(View):
    """A browser or program that is signed in."""

    id: str
    kind: Kind
    name: str
    """Of a token or device; empty for a browser."""
    address: str
    """Where it was last used from."""
    user_agent: str
    created_at: datetime
    last_seen_at: datetime
    """To the minute."""
    expires_at: datetime
    current: bool


class SignInList(View):
    """What is signed in as oneself, last used first."""

    sign_ins: list[SignInView]


class Token(View):
    """An API token, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class TokenList(View):
    """One's own API tokens."""

    tokens: list[Token]


class NewToken(Request):
    """Make an API token."""

    name: Label
    scopes: Scopes
    expires_in_days: int = Field(ge=1, le=365)


class TokenMade(View):
    """The only time that the token is seen."""

    token: str
    info: Token


class SocketTicket(View):
    """Opens one WebSocket, offered as the subprotocol `earthshine.ticket.TICKET`."""

    ticket: str
    expires_in: int
    """Seconds."""


# --- the device flow (RFC 8628) ------------------------------------------------------------------


class NewDeviceFlow(Request):
    """A program without a browser asks to be let in."""

    client_name: Label
    scopes: Scopes


class DeviceFlow(View):
    """What the program shows, and what it asks again with."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    """Seconds."""
    interval: int
    """Seconds to wait between questions."""


class DeviceCode(Request):
    """Whether somebody has decided."""

    device_code: str = Field(min_length=1, max_length=MAX_SECRET)


class DeviceToken(View):
    """Let in. The token is given out once."""

    token: str
    expires_at: datetime
    person: str
    """Name of whoever let it in."""


class DeviceRequest(View):
    """What somebody is asked to let in."""

    user_code: str
    client_name: str
    scopes: list[Scope]
    address: str
    """Where the program asked from."""
    expires_at: datetime


class DeviceDecision(Request):
    """Let the program in, or not."""

    approve: bool


# --- people --------------------------------------------------------------------------------------


class PersonView(View):
    """Somebody, as admins see them."""

    id: str
    name: str
    role: Role
    disabled: bool
    created_at: datetime
    last_seen_at: datetime | None
    has_password: bool
    passkeys: int
    oidc: bool


class PersonList(View):
    """Everybody, by name."""

    people: list[PersonView]


class PersonName(View):
    """Somebody, as members see each other."""

    id: str
    name: str


class NameList(View):
    """Everybody with whom one can share, by name."""

    people: list[PersonName]


class NewPerson(Request):
    """Add somebody."""

    name: Name
    role: MemberRole = Role.MEMBER


class PersonChange(Request):
    """What an admin can change about somebody."""

    role: MemberRole | None = None
    disabled: bool | None = None


class SignInCode(View):
    """A one-time sign-in link for a person."""

    url: str
    expires_in: int
    """Seconds."""


class PersonAdded(View):
    """Somebody new, and the link that lets them in."""

    person: PersonView
    link: SignInCode


class NewSignInCode(Request):
    """Ask for a sign-in link for a person, making the person where new."""

    person: str = Field(default="", max_length=64)
    """Name; oneself when empty."""
