"""`/api/v1/sessions/{session_id}/previews`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from earthshine.control.credentials import CurrentActor
from earthshine.control.errors import NotFoundError

from .schemas import OpenPreview, PreviewList, PreviewTicket
from .service import PreviewService

router = APIRouter(tags=["previews"])


def _previews(request: Request) -> PreviewService:
    service: PreviewService | None = request.app.state.previews
    if service is None:
        raise NotFoundError("Previews are turned off on this server.")
    return service


@router.post("/sessions/{session_id}/previews", status_code=201)
async def open_preview(
    request: Request, actor: CurrentActor, session_id: str, body: OpenPreview
) -> PreviewTicket:
    """Open a port of the session's runner, and get a ticket to enter with."""
    return await _previews(request).open(actor, session_id, body.port)


@router.get("/sessions/{session_id}/previews")
async def list_previews(request: Request, actor: CurrentActor, session_id: str) -> PreviewList:
    """The session's open previews."""
    return await _previews(request).list(actor, session_id)


@router.delete("/sessions/{session_id}/previews/{preview_id}", status_code=204)
async def close_preview(
    request: Request, actor: CurrentActor, session_id: str, preview_id: str
) -> None:
    """Close a preview, for everybody in it."""
    await _previews(request).close(actor, session_id, preview_id)
