"""What the routes of this domain share: the services, the cookie, and `Me`."""

from __future__ import annotations

from fastapi import Request, Response

from earthshine import __version__
from earthshine.control.access import Actor
from earthshine.control.accounts.domain import Accounts
from earthshine.control.accounts.schemas import Me
from earthshine.control.accounts.sign_ins import SignedIn
from earthshine.control.credentials import cookie_name


def parts(request: Request) -> Accounts:
    """The services."""
    accounts: Accounts = request.app.state.people
    return accounts


async def me_of(request: Request, actor: Actor) -> Me:
    """Who the actor is."""
    standing = await parts(request).people.standing(actor)
    return Me(
        person_id=actor.person_id,
        name=actor.name,
        role=actor.role,
        is_admin=actor.is_admin,
        version=__version__,
        preview_enabled=request.app.state.previews is not None,
        has_credentials=standing.has_credentials,
        shared_session_id=standing.shared_session_id,
    )


def set_sign_in_cookie(request: Request, response: Response, signed_in: SignedIn) -> None:
    """Hand the browser its sign-in. Scripts cannot read it, other sites cannot send it."""
    response.set_cookie(
        cookie_name(is_secure=request.app.state.is_secure),
        signed_in.token,
        max_age=int(signed_in.life.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.app.state.is_secure,
        path="/",
    )
