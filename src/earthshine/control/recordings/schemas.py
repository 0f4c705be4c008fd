"""What the API says about recordings."""

from datetime import datetime

from earthshine.control.schema import Request, View


class SetRecording(Request):
    """Begin or end recording."""

    on: bool


class RecordingState(View):
    """Whether a session's desktop is recorded now."""

    on: bool
    by: str = ""
    """By whose wish."""
    since: datetime | None = None
    problem: str = ""
    """Why nothing is recorded although it should be."""


class LogPlace(View):
    """At so many milliseconds of a recording the session's log had come to `seq`."""

    at: int
    seq: int


class RecordingView(View):
    """A recording, as far as it has come. A session may have several, one after the other."""

    id: str
    started_at: datetime
    duration: int
    """Milliseconds."""
    size: int
    """Bytes."""
    pieces: int
    """`?pieces=` of its address: the file stays the same while more is recorded."""
    width: int
    height: int
    audio: bool
    codecs: str
    """As browsers name them."""
    index: list[LogPlace]


class RecordingList(View):
    """A session's recordings, oldest first."""

    recordings: list[RecordingView]
    state: RecordingState
