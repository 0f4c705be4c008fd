"""What people can do with recordings of a desktop: begin, end, watch, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.errors import ConflictError, NotFoundError, RunnerUnavailableError
from earthshine.control.recordings.collector import Collector
from earthshine.control.recordings.playback import Playback
from earthshine.control.recordings.schemas import (
    LogPlace,
    RecordingList,
    RecordingState,
    RecordingView,
)
from earthshine.control.recordings.storage import Recording, RecordingStorage
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.channel import Channel
from earthshine.protocols import envelope, fmp4
from earthshine.protocols.envelope import RecordingCondition

NONE: Final = RecordingCondition(on=False)
_MAX_TIME: Final = 253402300799000


class RecordingService:
    """Recordings of all sessions."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        channel: Callable[[str], Awaitable[Channel]],
        changed: Callable[[Channel, RecordingCondition], None],
        trail: Trail,
        storage: RecordingStorage | None,
        collector: Collector | None,
    ) -> None:
        """`changed` tells everybody in the session. Without `storage` nothing is kept here."""
        self.access = access
        self._runners = runners
        self._channel = channel
        self._changed = changed
        self._trail = trail
        self._storage = storage
        self._collector = collector

    @permits(Permission.SESSION_CONTROL)
    async def set(self, actor: Actor, session_id: str, *, on: bool) -> RecordingState:
        """Begin or end recording; harmless where it is so already."""
        channel = await self._channel(session_id)
        record = channel.record
        if on and record.is_final:
            raise ConflictError("The session has ended, and its desktop with it.")
        if on and record.desktop is None:
            raise ConflictError(
                "The session has no desktop.", remedy="Start a new one with a desktop."
            )
        if on and self._storage is None:
            raise ConflictError("This server keeps no recordings.")
        kind = AuditKind.RECORDING_STARTED if on else AuditKind.RECORDING_ENDED
        await self._trail.record(
            kind, actor, subject=record.title, session_id=session_id, runner_id=record.runner_id
        )
        command = envelope.SetRecording(request_id="", on=on, by=actor.name)
        answer = await self._runners.request(record.runner_id, session_id, command)
        try:
            condition = msgspec.convert(answer, RecordingCondition)
        except msgspec.ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None
        self._changed(channel, condition)
        return _state(condition)

    @permits(Permission.SESSION_VIEW)
    async def list(self, actor: Actor, session_id: str) -> RecordingList:
        """What was recorded, as far as it has come here, and whether it goes on."""
        channel = await self._channel(session_id)
        found: list[Recording] = []
        if self._storage is not None:
            found = await asyncio.to_thread(self._storage.of_session, session_id)
        return RecordingList(
            recordings=[_view(recording) for recording in found],
            state=_state(NONE if channel.record.is_final else channel.recording),
        )

    @permits(Permission.SESSION_VIEW)
    async def playback(
        self,
        actor: Actor,
        session_id: str,
        recording_id: str,
        pieces: int | None,
    ) -> Playback:
        """A recording as a file: its first so many pieces, or all that have come."""
        recording = await self._recording(session_id, recording_id)
        storage = self._storage
        assert storage is not None
        if pieces is not None:
            recording = Recording(recording.id, recording.pieces[:pieces])
        recording = Recording(recording.id, recording.pieces[: fmp4.MAX_INDEX])
        return Playback(storage, session_id, recording)

    @permits(Permission.SESSION_OWN)
    async def delete(self, actor: Actor, session_id: str, recording_id: str) -> None:
        """Delete a recording that has ended."""
        recording = await self._recording(session_id, recording_id)
        channel = await self._channel(session_id)
        assert self._storage is not None
        if channel.recording.on:
            newest = (await asyncio.to_thread(self._storage.of_session, session_id))[-1]
            if newest.id == recording_id:
                raise ConflictError("It is still being recorded.", remedy="End that first.")
        await self._trail.record(
            AuditKind.RECORDING_DELETED,
            actor,
            subject=channel.record.title,
            session_id=session_id,
            details={"recording": recording_id, "from": recording.began},
        )
        await asyncio.to_thread(self._storage.delete, session_id, recording_id)

    async def _recording(self, session_id: str, recording_id: str) -> Recording:
        found = None
        if self._storage is not None:
            found = await asyncio.to_thread(self._storage.get, session_id, recording_id)
        if found is None:
            raise NotFoundError("There is no such recording.")
        return found

    async def forget(self, session_id: str) -> None:
        """The session was deleted. Not for people: see `SessionService.delete`."""
        if self._storage is not None:
            await asyncio.to_thread(self._storage.forget, session_id)

    async def heard(self, runner_id: str, session_id: str, condition: RecordingCondition) -> None:
        """What a runner says about a session. Not for people."""
        try:
            channel = await self._channel(session_id)
        except NotFoundError:
            channel = None
        if channel is not None and channel.record.runner_id == runner_id:
            self._changed(channel, condition)
        if condition.waiting and self._collector is not None:
            self._collector.wake(runner_id)


def _state(condition: RecordingCondition) -> RecordingState:
    return RecordingState(
        on=condition.on,
        by=condition.by,
        since=_time(condition.since) if condition.on else None,
        problem=condition.problem[:300],
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(min(max(0, milliseconds), _MAX_TIME) / 1000, UTC)


def _view(recording: Recording) -> RecordingView:
    first = recording.pieces[0]
    offset = first.start * 1000 // fmp4.TICKS
    return RecordingView(
        id=recording.id,
        started_at=_time(recording.began),
        duration=recording.duration * 1000 // fmp4.TICKS,
        size=sum(piece.size for piece in recording.pieces),
        pieces=len(recording.pieces),
        width=first.width,
        height=first.height,
        audio=first.audio,
        codecs=fmp4.codec(first.sps) + (",opus" if first.audio else ""),
        index=[
            LogPlace(at=max(0, at - offset), seq=seq)
            for piece in recording.pieces
            for at, seq in piece.events
        ],
    )
