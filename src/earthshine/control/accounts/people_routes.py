"""`/api/v1/people`: who may sign in at all."""

from __future__ import annotations

from fastapi import APIRouter, Request

from earthshine.control.accounts.http import parts
from earthshine.control.accounts.schemas import (
    NameList,
    NewPerson,
    NewSignInCode,
    PersonAdded,
    PersonChange,
    PersonList,
    PersonView,
    SignInCode,
)
from earthshine.control.credentials import CurrentActor

router = APIRouter(tags=["people"])


@router.get("/people")
async def list_people(request: Request, actor: CurrentActor) -> PersonList:
    """Everybody. For admins."""
    return await parts(request).people.list(actor)


@router.get("/people/names")
async def list_names(request: Request, actor: CurrentActor) -> NameList:
    """Everybody with whom one can share a session. For members."""
    return await parts(request).people.names(actor)


@router.post("/people", status_code=201)
async def add_person(request: Request, actor: CurrentActor, body: NewPerson) -> PersonAdded:
    """Add somebody, with a link that lets them in once. For admins."""
    url: str = request.app.state.public_url
    return await parts(request).people.add(actor, body.name, body.role, url)


@router.patch("/people/{person_id}")
async def change_person(
    request: Request, actor: CurrentActor, person_id: str, body: PersonChange
) -> PersonView:
    """Change somebody's role, or shut them out for a while. For admins."""
    return await parts(request).people.change(actor, person_id, body.role, body.disabled)


@router.delete("/people/{person_id}", status_code=204)
async def remove_person(request: Request, actor: CurrentActor, person_id: str) -> None:
    """Shut somebody out for good. Their sessions stay, for admins. For admins."""
    await parts(request).people.remove(actor, person_id)


@router.post("/people/{person_id}/sign-in-code", status_code=201)
async def person_sign_in_code(request: Request, actor: CurrentActor, person_id: str) -> SignInCode:
    """A link that signs somebody in once. For admins."""
    url: str = request.app.state.public_url
    return await parts(request).people.sign_in_code(actor, person_id, url)


@router.delete("/people/{person_id}/sign-ins", status_code=204)
async def end_persons_sign_ins(request: Request, actor: CurrentActor, person_id: str) -> None:
    """End everything that is signed in as somebody. For admins."""
    await parts(request).people.end_all(actor, person_id)


@router.post("/sign-in-codes", status_code=201)
async def new_sign_in_code(
    request: Request, actor: CurrentActor, body: NewSignInCode
) -> SignInCode:
    """A one-time link: for another device of one's own, or, by an admin, for somebody else."""
    url: str = request.app.state.public_url
    return await parts(request).people.link(actor, body.person, url)
