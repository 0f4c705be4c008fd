"""`/healthz`, `/readyz`, `/metrics`: for supervisors, not for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from earthshine.control import metrics
from earthshine.control.problems import plain_problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
async def readiness(request: Request) -> dict[str, str] | Response:
    """The process can do its work: the database answers and can be written."""
    state = request.app.state
    if state.is_stopping():
        return plain_problem(503, "The server is shutting down.", "stopping")
    failure = state.journal.failure or state.trail.failure
    if failure is not None:
        return plain_problem(503, failure, "store")
    try:
        async with state.database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return plain_problem(503, "The database does not answer.", "database")
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
async def prometheus() -> Response:
    """Counters, for Prometheus. No ids, no text of people."""
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
