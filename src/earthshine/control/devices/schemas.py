"""What the API says about pairing, and what runners say to pair and to stay signed in.

Keys, signatures and challenges are base64url without padding (RFC 4648 section 5).
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from earthshine.control.schema import Request, View
from earthshine.protocols.pairing import MAX_NAME

PairingState = Literal["waiting", "presented", "confirmed", "paired", "refused", "expired"]

Code = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, Field(min_length=43, max_length=43)]
Signature = Annotated[str, Field(min_length=86, max_length=86)]
Challenge = Annotated[str, Field(min_length=1, max_length=128)]
DeviceToken = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(max_length=1000)]
"""Cut to MAX_NAME after signs that do not print have been taken out."""
RunnerId = Annotated[str, Field(min_length=8, max_length=64, pattern="^[a-zA-Z0-9]+$")]


# --- people --------------------------------------------------------------------------------------


class NewPairing(Request):
    """Ask for a code. `shared`: the runner will be there for all members, not only its owner."""

    shared: bool = False


class Machine(View):
    """Whoever presented a code. Names are its own words; only the fingerprint is proof."""

    name: str
    hostname: str
    platform: str
    address: str
    fingerprint: str


class Pairing(View):
    """A pairing under way."""

    id: str
    state: PairingState
    shared: bool
    code: str | None = None
    """Only in the answer to the request that made it."""
    command: str | None = None
    """What to run on the other machine; as `code`."""
    uri: str | None = None
    """What the QR code says; as `code`."""
    qr: str | None = None
    """SVG; as `code`."""
    expires_at: datetime
    server_fingerprint: str | None = None
    """The pin of this server's key, where it has a certificate of its own."""
    machine: Machine | None = None
    runner_id: str | None = None
    detail: str | None = None
    """For a pairing that was refused: why."""


class PairingList(View):
    """One's own pairings that are not over."""

    pairings: list[Pairing]


class ConfirmPairing(Request):
    """The fingerprint that the person saw, in any grouping."""

    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]


class ChangeRunner(Request):
    """What is given is changed."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    shared: bool | None = None


# --- runners -------------------------------------------------------------------------------------


class ChallengeView(View):
    """A fresh challenge to sign."""

    challenge: str
    expires_in: int


class PresentCode(Request):
    """A machine presents a code, its public key, and a signature over both and more."""

    code: Code
    key: Key
    name: Name = ""
    hostname: Name = ""
    platform: Name = ""
    signature: Signature


class Presented(View):
    """The code was good. Nothing is given out before a person has compared fingerprints."""

    pairing_id: str
    fingerprint: str
    expires_in: int
    challenge: str


class CollectTokens(Request):
    """The machine asks whether it was confirmed; signed with the key that it presented."""

    pairing_id: Annotated[str, Field(min_length=1, max_length=64)]
    challenge: Challenge
    signature: Signature


class DeviceTokens(View):
    """What a runner keeps. The access token saves using up the refresh token."""

    access_token: str
    access_expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Collected(View):
    """How far the pairing is; with `paired` come the runner's id and tokens."""

    state: PairingState
    detail: str | None = None
    challenge: str
    runner_id: str | None = None
    name: str | None = None
    tokens: DeviceTokens | None = None


class OpenSession(Request):
    """A runner asks for a session token. `token`: its access token, or its refresh token."""

    runner_id: RunnerId
    token: DeviceToken
    challenge: Challenge
    signature: Signature


class SessionOpened(View):
    """The session token, and new tokens where the refresh token was used up."""

    session_token: str
    expires_in: int
    challenge: str
    tokens: DeviceTokens | None = None


class LeavePairing(Request):
    """A runner gives its credentials up."""

    runner_id: RunnerId
    challenge: Challenge
    signature: Signature
