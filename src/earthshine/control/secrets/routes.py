"""`/api/v1/me/secrets` and `/api/v1/runners/{runner_id}/secrets`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from earthshine.control.credentials import CurrentActor
from earthshine.control.secrets.schemas import SecretList, SecretValue, SecretView
from earthshine.control.secrets.service import SecretService

router = APIRouter(tags=["secrets"])

Name = Annotated[str, Path(max_length=128)]


def _secrets(request: Request) -> SecretService:
    service: SecretService = request.app.state.secrets
    return service


@router.get("/me/secrets")
async def list_own_secrets(request: Request, actor: CurrentActor) -> SecretList:
    """The names of your secrets; agents that you start get them."""
    return await _secrets(request).list_own(actor)


@router.put("/me/secrets/{name}")
async def store_own_secret(
    request: Request, actor: CurrentActor, name: Name, body: SecretValue
) -> SecretView:
    """Store a secret, or give it another value."""
    return await _secrets(request).store_own(actor, name, body.value)


@router.delete("/me/secrets/{name}", status_code=204)
async def remove_own_secret(request: Request, actor: CurrentActor, name: Name) -> None:
    """Remove a secret. Agents that have it keep it until they end."""
    await _secrets(request).remove_own(actor, name)


@router.get("/runners/{runner_id}/secrets")
async def list_runner_secrets(request: Request, actor: CurrentActor, runner_id: str) -> SecretList:
    """The names of a runner's secrets; every agent on it gets them."""
    return await _secrets(request).list_of_runner(actor, runner_id)


@router.put("/runners/{runner_id}/secrets/{name}")
async def store_runner_secret(
    request: Request, actor: CurrentActor, runner_id: str, name: Name, body: SecretValue
) -> SecretView:
    """Store a secret for a runner, or give it another value."""
    return await _secrets(request).store_for_runner(actor, runner_id, name, body.value)


@router.delete("/runners/{runner_id}/secrets/{name}", status_code=204)
async def remove_runner_secret(
    request: Request, actor: CurrentActor, runner_id: str, name: Name
) -> None:
    """Remove a runner's secret."""
    await _secrets(request).remove_of_runner(actor, runner_id, name)
