"""From a request to an actor: the sign-in cookie, a bearer token, for sockets a ticket.

Never the URL.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends
from fastapi.requests import HTTPConnection

from earthshine.control.access import Actor
from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.tickets import SUBPROTOCOL_PREFIX
from earthshine.control.errors import SignInRequiredError

COOKIE: Final = "earthshine_sign_in"
MAX_TOKEN: Final = 256


def cookie_name(*, is_secure: bool) -> str:
    """The sign-in cookie's name. Under TLS browsers themselves then hold others from setting it."""
    return f"__Host-{COOKIE}" if is_secure else COOKIE


async def current_actor(connection: HTTPConnection) -> Actor:
    """Who makes this request. Raises SignInRequiredError."""
    people: Accounts = connection.app.state.people
    is_socket = connection.scope["type"] == "websocket"
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if token and scheme.lower() != "bearer":
        raise SignInRequiredError("Only bearer tokens are understood.")
    if not token and is_socket and (ticket := _ticket(connection)):
        return await people.tickets.take(ticket)
    if not token and not (is_socket and "origin" not in connection.headers):
        # A page's socket names the page's origin, and only our own passed (`origins`).
        name = cookie_name(is_secure=connection.app.state.is_secure)
        token = connection.cookies.get(name, "")
    if not token or len(token) > MAX_TOKEN:
        raise SignInRequiredError(
            "You are not signed in.",
            remedy="Open the link that the server printed, or run `earthshine sign-in` there.",
        )
    return await people.service.authenticate(token.strip())


def _ticket(connection: HTTPConnection) -> str:
    for offered in connection.scope.get("subprotocols", ()):
        if offered.startswith(SUBPROTOCOL_PREFIX) and len(offered) <= MAX_TOKEN:
            return str(offered.removeprefix(SUBPROTOCOL_PREFIX))
    return ""


CurrentActor = Annotated[Actor, Depends(current_actor)]
