"""Whether a session's desktop is recorded, as everybody in the session sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.schemas import RecordedView
from earthshine.protocols.envelope import RecordingCondition

MAX_WORDS: Final = 300
_MAX_TIME: Final = 253402300799000


def shown(condition: RecordingCondition) -> tuple[bool, str, int, str]:
    """What of it people see: they are told when this changes."""
    return condition.on, condition.by, condition.since, condition.problem


def view(channel: Channel | None) -> RecordedView | None:
    """None where it is not recorded."""
    if channel is None or not channel.recording.on or channel.record.is_final:
        return None
    recording = channel.recording
    since = datetime.fromtimestamp(min(max(0, recording.since), _MAX_TIME) / 1000, UTC)
    return RecordedView(by=recording.by, since=since, problem=recording.problem[:MAX_WORDS])
