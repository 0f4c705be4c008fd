"""`/api/v1/sessions/{session_id}/files`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from earthshine.control.credentials import CurrentActor
from earthshine.control.errors import InvalidRequestError
from earthshine.control.transfers.schemas import FileList, FileStored
from earthshine.control.transfers.service import FileService
from earthshine.control.transfers.streaming import Streamed

router = APIRouter(tags=["files"])


def _files(request: Request) -> FileService:
    service: FileService = request.app.state.files
    return service


@router.get("/sessions/{session_id}/files")
async def list_files(request: Request, actor: CurrentActor, session_id: str) -> FileList:
    """Files in the session's folder, which the agent finds in EARTHSHINE_FILES."""
    return await _files(request).list(actor, session_id)


@router.put(
    "/sessions/{session_id}/files/{name}",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def put_file(
    request: Request,
    actor: CurrentActor,
    session_id: str,
    name: str,
    replace: Annotated[bool, Query()] = False,
) -> FileStored:
    """Send a file: the body, as it is. One of that name stays unless `replace` is set (409)."""
    length = request.headers.get("content-length")
    if length is None:
        raise InvalidRequestError(
            "The length of the file has to be known before it comes (Content-Length)."
        )
    body = _body(request)
    return await _files(request).put(actor, session_id, name, int(length), body, replace=replace)


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        raise InvalidRequestError("The sender went away.", remedy="Send the file again.") from None


@router.get(
    "/sessions/{session_id}/files/{name}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def get_file(request: Request, actor: CurrentActor, session_id: str, name: str) -> Response:
    """Fetch a file."""
    async with contextlib.AsyncExitStack() as stack:
        fetching = _files(request).fetching(actor, session_id, name)
        fetched = await stack.enter_async_context(fetching)
        kept = stack.pop_all()
    return Streamed(
        fetched.pieces,
        kept,
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(fetched.size),
            # Always a download, never a page under our origin (RFC 6266).
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(fetched.name, safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )
