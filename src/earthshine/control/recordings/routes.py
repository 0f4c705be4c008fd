"""`/api/v1/sessions/{session_id}/desktop/recording` and `.../recordings`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from earthshine.control.credentials import CurrentActor
from earthshine.control.problems import plain_problem
from earthshine.control.recordings.playback import UnsatisfiableRangeError, byte_range
from earthshine.control.recordings.schemas import RecordingList, RecordingState, SetRecording
from earthshine.control.recordings.service import RecordingService
from earthshine.control.transfers.streaming import Streamed

router = APIRouter(tags=["recordings"])


def _recordings(request: Request) -> RecordingService:
    service: RecordingService = request.app.state.recordings
    return service


@router.post("/sessions/{session_id}/desktop/recording")
async def set_recording(
    request: Request, actor: CurrentActor, session_id: str, body: SetRecording
) -> RecordingState:
    """Begin or end recording the desktop. Everybody in the session sees that it is recorded."""
    return await _recordings(request).set(actor, session_id, on=body.on)


@router.get("/sessions/{session_id}/desktop/recordings")
async def list_recordings(request: Request, actor: CurrentActor, session_id: str) -> RecordingList:
    """What was recorded of the desktop, with the log's place at points in time."""
    return await _recordings(request).list(actor, session_id)


@router.get(
    "/sessions/{session_id}/desktop/recordings/{recording_id}",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}}}, 206: {"content": {"video/mp4": {}}}},
)
async def get_recording(
    request: Request,
    actor: CurrentActor,
    session_id: str,
    recording_id: str,
    pieces: Annotated[int | None, Query(ge=1, le=10**8)] = None,
) -> Response:
    """A recording as fragmented MP4, or a range of its bytes."""
    playback = await _recordings(request).playback(actor, session_id, recording_id, pieces)
    headers = {"Accept-Ranges": "bytes", "ETag": playback.tag}
    wanted = request.headers.get("range")
    if request.headers.get("if-range", playback.tag) != playback.tag:
        wanted = None
    try:
        part = byte_range(wanted, playback.total)
    except UnsatisfiableRangeError:
        answer = plain_problem(416, "The recording has no such bytes.", "no-such-range")
        answer.headers["Content-Range"] = f"bytes */{playback.total}"
        return answer
    first, end = part or (0, playback.total)
    headers["Content-Length"] = str(end - first)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{playback.total}"
    return Streamed(
        playback.read(first, end),
        status_code=200 if part is None else 206,
        media_type="video/mp4",
        headers=headers,
    )


@router.delete("/sessions/{session_id}/desktop/recordings/{recording_id}", status_code=204)
async def delete_recording(
    request: Request, actor: CurrentActor, session_id: str, recording_id: str
) -> None:
    """Delete a recording."""
    await _recordings(request).delete(actor, session_id, recording_id)
