"""`/api/v1/audit`, and the part of it that is about one session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from earthshine.control.audit.kinds import AuditKind
from earthshine.control.audit.schemas import AuditPage, AuditVerification
from earthshine.control.audit.service import AuditService
from earthshine.control.credentials import CurrentActor

router = APIRouter(tags=["audit"])
MEDIA_TYPE = "application/x-ndjson"

Before = Annotated[int | None, Query(ge=1, le=2**62)]
Limit = Annotated[int, Query(ge=1, le=500)]
Id = Annotated[str | None, Query(max_length=64)]


def _audit(request: Request) -> AuditService:
    service: AuditService = request.app.state.audit
    return service


@router.get("/audit")
async def list_audit(
    request: Request,
    actor: CurrentActor,
    kind: AuditKind | None = None,
    person: Id = None,
    session: Id = None,
    before: Before = None,
    limit: Limit = 100,
) -> AuditPage:
    """The audit log, newest first; for admins. `person` and `session` are ids."""
    return await _audit(request).page(
        actor, kind=kind, person_id=person, session_id=session, before=before, limit=limit
    )


@router.get("/audit/verification")
async def verify_audit(request: Request, actor: CurrentActor) -> AuditVerification:
    """Read the whole chain and say what is wrong with it; for admins.

    This asks the server about itself: `earthshine audit verify` checks an export elsewhere.
    """
    return await _audit(request).verify(actor)


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {MEDIA_TYPE: {}}, "description": "One record a line, then the head"}
    },
)
async def export_audit(request: Request, actor: CurrentActor) -> StreamingResponse:
    """The whole log as JSON lines; for admins. See docs/protocols/audit-log.md."""
    return StreamingResponse(
        await _audit(request).export(actor),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": 'attachment; filename="earthshine-audit.jsonl"'},
    )


@router.get("/sessions/{session_id}/audit")
async def list_session_audit(
    request: Request,
    actor: CurrentActor,
    session_id: str,
    before: Before = None,
    limit: Limit = 100,
) -> AuditPage:
    """What was done to one session, newest first; for its owner."""
    return await _audit(request).session_page(actor, session_id, before=before, limit=limit)
