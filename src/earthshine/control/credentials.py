"""From a request to an actor: the sign-in cookie, or a bearer token. Never the URL."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends
from fastapi.requests import HTTPConnection

from earthshine.control.access import Actor
from earthshine.control.accounts.service import AccountService
from earthshine.control.errors import SignInRequiredError

COOKIE: Final = "earthshine_sign_in"


def cookie_name(*, is_secure: bool) -> str:
    """The sign-in cookie's name. Under TLS browsers themselves then hold others from setting it."""
    return f"__Host-{COOKIE}" if is_secure else COOKIE


async def current_actor(connection: HTTPConnection) -> Actor:
    """Who makes this request. Raises SignInRequiredError."""
    accounts: AccountService = connection.app.state.accounts
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if not token:
        token = connection.cookies.get(COOKIE, "")
    elif scheme.lower() != "bearer":
        raise SignInRequiredError("Only bearer tokens are understood.")
    if not token or len(token) > 256:
        raise SignInRequiredError(
            "You are not signed in.",
            remedy="Open the link that the server printed, or run `earthshine sign-in` there.",
        )
    return await accounts.authenticate(token.strip())


CurrentActor = Annotated[Actor, Depends(current_actor)]
