"""`/api/v1/sign-in`, `/me` and the like."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from earthshine import __version__
from earthshine.control.access import Actor
from earthshine.control.accounts.schemas import Me, NewSignInCode, SignIn, SignInCode
from earthshine.control.accounts.service import AccountService
from earthshine.control.credentials import COOKIE, CurrentActor

router = APIRouter(tags=["accounts"])


def _accounts(request: Request) -> AccountService:
    service: AccountService = request.app.state.accounts
    return service


def _me(request: Request, actor: Actor) -> Me:
    return Me(
        person_id=actor.person_id,
        name=actor.name,
        is_admin=actor.is_admin,
        version=__version__,
        preview_enabled=request.app.state.previews is not None,
    )


@router.post("/sign-in")
async def sign_in(request: Request, response: Response, body: SignIn) -> Me:
    """Trade a one-time code for a sign-in cookie. The only route that needs no sign-in."""
    signed_in = await _accounts(request).redeem(body.code)
    response.set_cookie(
        COOKIE,
        signed_in.token,
        max_age=int(signed_in.life.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.app.state.is_secure,
        path="/",
    )
    return _me(request, signed_in.actor)


@router.post("/sign-out", status_code=204)
async def sign_out(request: Request, response: Response, actor: CurrentActor) -> None:
    """End this sign-in."""
    await _accounts(request).sign_out(actor)
    response.delete_cookie(COOKIE, path="/")


@router.get("/me")
async def me(request: Request, actor: CurrentActor) -> Me:
    """Who is signed in."""
    return _me(request, actor)


@router.post("/sign-in-codes", status_code=201)
async def new_sign_in_code(
    request: Request, actor: CurrentActor, body: NewSignInCode
) -> SignInCode:
    """A one-time link: for another device of one's own, or, by an admin, for somebody else."""
    url: str = request.app.state.public_url
    return await _accounts(request).sign_in_code(actor, body.person, url)
