"""`/api/v1/me`: one's own account."""

from __future__ import annotations

from fastapi import APIRouter, Request

from earthshine.control.accounts.http import me_of, parts
from earthshine.control.accounts.schemas import (
    Account,
    Me,
    NewPasskey,
    NewPassword,
    NewToken,
    Passkey,
    PasskeyChallenge,
    ProfileChange,
    SecondFactor,
    SignInList,
    SocketTicket,
    TokenList,
    TokenMade,
)
from earthshine.control.credentials import CurrentActor

router = APIRouter(tags=["accounts"])


@router.get("/me")
async def me(request: Request, actor: CurrentActor) -> Me:
    """Who is signed in."""
    return await me_of(request, actor)


@router.patch("/me")
async def change_me(request: Request, actor: CurrentActor, body: ProfileChange) -> Me:
    """Change one's name."""
    return await me_of(request, await parts(request).people.rename(actor, body.name))


@router.get("/me/account")
async def account(request: Request, actor: CurrentActor) -> Account:
    """How one can sign in."""
    return await parts(request).people.account(actor)


@router.put("/me/password", status_code=204)
async def set_password(request: Request, actor: CurrentActor, body: NewPassword) -> None:
    """Set or change the password. Other sign-ins stay; DELETE /me/sign-ins ends them."""
    await parts(request).passwords.change(actor, body.current, body.new)


@router.delete("/me/password", status_code=204)
async def remove_password(request: Request, actor: CurrentActor) -> None:
    """Sign in without one from now on."""
    await parts(request).passwords.remove(actor)


@router.put("/me/second-factor", status_code=204)
async def set_second_factor(request: Request, actor: CurrentActor, body: SecondFactor) -> None:
    """Whether a passkey must follow the password."""
    await parts(request).passkeys.require_second_factor(actor, required=body.required)


@router.post("/me/passkeys/options")
async def passkey_challenge(request: Request, actor: CurrentActor) -> PasskeyChallenge:
    """What the browser needs to make a passkey."""
    return await parts(request).passkeys.registration(actor)


@router.post("/me/passkeys", status_code=201)
async def add_passkey(request: Request, actor: CurrentActor, body: NewPasskey) -> Passkey:
    """Keep a passkey that was just made."""
    return await parts(request).passkeys.add(actor, body.id, body.name, body.credential)


@router.delete("/me/passkeys/{passkey_id}", status_code=204)
async def remove_passkey(request: Request, actor: CurrentActor, passkey_id: str) -> None:
    """Forget a passkey."""
    await parts(request).passkeys.remove(actor, passkey_id)


@router.get("/me/sign-ins")
async def list_sign_ins(request: Request, actor: CurrentActor) -> SignInList:
    """Browsers and programs that are signed in as oneself."""
    return await parts(request).service.sign_ins(actor)


@router.delete("/me/sign-ins", status_code=204)
async def end_other_sign_ins(request: Request, actor: CurrentActor) -> None:
    """End all but the one in use, tokens too."""
    await parts(request).service.end_others(actor)


@router.delete("/me/sign-ins/{sign_in_id}", status_code=204)
async def end_sign_in(request: Request, actor: CurrentActor, sign_in_id: str) -> None:
    """End one, and whatever it has open."""
    await parts(request).service.end(actor, sign_in_id)


@router.get("/me/tokens")
async def list_tokens(request: Request, actor: CurrentActor) -> TokenList:
    """One's own API tokens."""
    return await parts(request).tokens.list(actor)


@router.post("/me/tokens", status_code=201)
async def make_token(request: Request, actor: CurrentActor, body: NewToken) -> TokenMade:
    """Make an API token. It is shown once."""
    return await parts(request).tokens.make(actor, body.name, body.scopes, body.expires_in_days)


@router.delete("/me/tokens/{token_id}", status_code=204)
async def end_token(request: Request, actor: CurrentActor, token_id: str) -> None:
    """End an API token."""
    await parts(request).tokens.end(actor, token_id)


@router.post("/socket-tickets", status_code=201)
async def socket_ticket(request: Request, actor: CurrentActor) -> SocketTicket:
    """For a program that cannot set headers on a WebSocket."""
    return await parts(request).tickets.issue(actor)
