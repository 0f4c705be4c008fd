"""`/api/v1/sign-in`: the ways in. Nobody is signed in yet."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from earthshine.control import problems
from earthshine.control.accounts.http import (
    me_of,
    parts,
    set_flow_cookie,
    set_sign_in_cookie,
)
from earthshine.control.accounts.oidc import CALLBACK_PATH, FLOW_COOKIE, Callback
from earthshine.control.accounts.oidc_pages import refusal
from earthshine.control.accounts.schemas import (
    Me,
    OidcOption,
    PasskeyAnswer,
    PasskeyChallenge,
    PasswordSignIn,
    SignIn,
    SignInOptions,
    SignInProgress,
)
from earthshine.control.accounts.sign_ins import SignedIn
from earthshine.control.credentials import CurrentActor, cookie_name
from earthshine.control.errors import DomainError

router = APIRouter(tags=["accounts"])
CALLBACK: Final = CALLBACK_PATH.removeprefix("/api/v1")


@router.get("/sign-in")
async def sign_in_options(request: Request) -> SignInOptions:
    """The ways in that this server offers."""
    accounts = parts(request)
    name = accounts.oidc.name
    return SignInOptions(
        password=True,
        passkeys=accounts.passkeys.available,
        oidc=None if name is None else OidcOption(name=name),
    )


async def _welcome(request: Request, response: Response, signed_in: SignedIn) -> Me:
    set_sign_in_cookie(request, response, signed_in)
    return await me_of(request, signed_in.actor)


@router.post("/sign-in")
async def sign_in(request: Request, response: Response, body: SignIn) -> Me:
    """Trade a one-time code for a sign-in cookie."""
    return await _welcome(request, response, await parts(request).service.redeem(body.code))


@router.post("/sign-in/password")
async def sign_in_with_password(
    request: Request, response: Response, body: PasswordSignIn
) -> SignInProgress:
    """By name and password. Who wants a second factor gets a challenge for `/sign-in/passkey`."""
    progress = await parts(request).passwords.sign_in(body.name, body.password)
    if isinstance(progress, PasskeyChallenge):
        return SignInProgress(me=None, passkey=progress)
    return SignInProgress(me=await _welcome(request, response, progress), passkey=None)


@router.post("/sign-in/passkey/options")
async def sign_in_challenge(request: Request) -> PasskeyChallenge:
    """A challenge for a passkey alone: the authenticator knows whose it is."""
    return await parts(request).passkeys.challenge()


@router.post("/sign-in/passkey")
async def sign_in_with_passkey(request: Request, response: Response, body: PasskeyAnswer) -> Me:
    """By passkey, alone or as second factor."""
    signed_in = await parts(request).passkeys.sign_in(body.id, body.credential)
    return await _welcome(request, response, signed_in)


@router.get(
    "/sign-in/oidc", response_class=RedirectResponse, status_code=303, include_in_schema=False
)
async def sign_in_with_oidc(request: Request) -> Response:
    """On to the provider's page."""
    public_url: str = request.app.state.public_url
    here = request.headers.get("host", "").lower()
    if here != public_url.partition("://")[2].lower():
        # The answer comes to the public address; a cookie set under another would not be there.
        return RedirectResponse(f"{public_url}/api/v1/sign-in/oidc", 303)
    try:
        start = await parts(request).oidc.start(public_url)
    except DomainError as error:
        return _refusal(error)
    response = RedirectResponse(start.url, 303)
    set_flow_cookie(request, response, start)
    return response


def _refusal(error: DomainError) -> Response:
    headers = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return HTMLResponse(refusal(error), problems.of(error).status, headers)


Parameter = Annotated[str, Query(max_length=4096)]


@router.get(CALLBACK, response_class=RedirectResponse, status_code=303, include_in_schema=False)
async def oidc_callback(
    request: Request,
    code: Parameter = "",
    state: Parameter = "",
    iss: Parameter = "",
    error: Parameter = "",
) -> Response:
    """Where the provider sends the browser back to."""
    callback = Callback(
        browser=request.cookies.get(FLOW_COOKIE, ""),
        state=state,
        code=code,
        issuer=iss,
        error=error,
    )
    response: Response
    try:
        signed_in = await parts(request).oidc.finish(callback)
    except DomainError as problem:
        response = _refusal(problem)
    else:
        response = RedirectResponse("/settings" if signed_in is None else "/", 303)
        if signed_in is not None:
            set_sign_in_cookie(request, response, signed_in)
    response.delete_cookie(FLOW_COOKIE, path=CALLBACK_PATH)
    return response


@router.post("/sign-out", status_code=204)
async def sign_out(request: Request, response: Response, actor: CurrentActor) -> None:
    """End this sign-in."""
    await parts(request).service.sign_out(actor)
    secure = request.app.state.is_secure
    response.delete_cookie(
        cookie_name(is_secure=secure), path="/", secure=secure, httponly=True, samesite="strict"
    )
