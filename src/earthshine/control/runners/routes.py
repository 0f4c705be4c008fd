"""`/api/v1/runners`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from earthshine.control.credentials import CurrentActor
from earthshine.control.runners.schemas import FolderList, RunnerList, RunnerView
from earthshine.control.runners.service import RunnerService

router = APIRouter(tags=["runners"])


def _runners(request: Request) -> RunnerService:
    service: RunnerService = request.app.state.runners
    return service


@router.get("/runners")
async def list_runners(request: Request, actor: CurrentActor) -> RunnerList:
    """All runners, connected ones first."""
    return await _runners(request).list(actor)


@router.get("/runners/{runner_id}")
async def get_runner(request: Request, actor: CurrentActor, runner_id: str) -> RunnerView:
    """One runner."""
    return await _runners(request).get(actor, runner_id)


@router.get("/runners/{runner_id}/folders")
async def list_folders(
    request: Request,
    actor: CurrentActor,
    runner_id: str,
    path: Annotated[str, Query(max_length=4096)] = "",
) -> FolderList:
    """The folders inside a folder on the runner; its home folder when no path is given."""
    return await _runners(request).folders(actor, runner_id, path)
