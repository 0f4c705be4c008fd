"""`/api/v1/sessions/{session_id}/shares`, `/links`, and `/api/v1/follow-link`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.requests import HTTPConnection

from earthshine.control.access import Actor
from earthshine.control.credentials import COOKIE, CurrentActor, current_actor
from earthshine.control.errors import SignInRequiredError
from earthshine.control.sharing.schemas import (
    Followed,
    FollowLink,
    LinkMade,
    NewLink,
    Share,
    Shares,
)
from earthshine.control.sharing.service import SharingService

router = APIRouter(tags=["sharing"])


def _sharing(request: Request) -> SharingService:
    service: SharingService = request.app.state.sharing
    return service


async def _whoever(connection: HTTPConnection) -> Actor | None:
    try:
        return await current_actor(connection)
    except SignInRequiredError:
        return None


@router.get("/sessions/{session_id}/shares")
async def list_shares(request: Request, actor: CurrentActor, session_id: str) -> Shares:
    """Whom a session is shared with, and its links."""
    return await _sharing(request).list(actor, session_id)


@router.put("/sessions/{session_id}/shares/{person_id}", status_code=204)
async def share(
    request: Request, actor: CurrentActor, session_id: str, person_id: str, body: Share
) -> None:
    """Share with a person, or change their role."""
    await _sharing(request).share(actor, session_id, person_id, body.role, body.expires_in)


@router.delete("/sessions/{session_id}/shares/{person_id}", status_code=204)
async def unshare(request: Request, actor: CurrentActor, session_id: str, person_id: str) -> None:
    """Take it back; whoever watches is put out at once."""
    await _sharing(request).unshare(actor, session_id, person_id)


@router.post("/sessions/{session_id}/links", status_code=201)
async def make_link(
    request: Request, actor: CurrentActor, session_id: str, body: NewLink
) -> LinkMade:
    """A link that shares the session with whoever has it."""
    url: str = request.app.state.public_url
    return await _sharing(request).make_link(actor, session_id, body.role, body.expires_in, url)


@router.delete("/sessions/{session_id}/links/{link_id}", status_code=204)
async def end_link(request: Request, actor: CurrentActor, session_id: str, link_id: str) -> None:
    """End a link, and what it gave."""
    await _sharing(request).end_link(actor, session_id, link_id)


@router.post("/follow-link")
async def follow_link(
    request: Request,
    response: Response,
    actor: Annotated[Actor | None, Depends(_whoever)],
    body: FollowLink,
) -> Followed:
    """Use a link: adds the session to who is signed in, or lets a guest in."""
    followed = await _sharing(request).follow(actor, body.code, body.name)
    if followed.signed_in is not None:
        response.set_cookie(
            COOKIE,
            followed.signed_in.token,
            max_age=int(followed.signed_in.life.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=request.app.state.is_secure,
            path="/",
        )
    return Followed(session_id=followed.session_id)
