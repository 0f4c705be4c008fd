"""What the API says about sessions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from earthshine.control.schema import Request, View

MAX_PROMPT = 256 * 1024
"""Characters of a prompt."""
MAX_ARGUMENTS = 256
"""Elements of a command."""

CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Columns = Annotated[int, Field(ge=2, le=1000)]
Rows = Annotated[int, Field(ge=1, le=1000)]
Folder = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]


class SessionState(StrEnum):
    """Where a session is in its life. `exited` and `failed` are final."""

    QUEUED = "queued"
    """Asked for; the runner has not answered yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"


class Worktree(Request):
    """Work in a fresh git worktree of a repository instead of in a folder itself."""

    repository: Folder
    branch: Annotated[
        str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x20~^:?*\[\\]*$")
    ] = ""
    """Name of the new branch; made up from the session's id when empty."""
    base: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x20~^:?*\[\\]*$")] = (
        ""
    )
    """Where the branch starts; the repository's HEAD when empty."""

    @field_validator("branch", "base")
    @classmethod
    def not_an_option(cls, value: str) -> str:
        """Git would read a leading dash as an option."""
        if value.startswith("-"):
            raise ValueError("must not start with a dash")
        return value


class Desktop(Request):
    """A desktop for a session, in pixels."""

    width: int = Field(default=1280, ge=64, le=16_384)
    height: int = Field(default=800, ge=64, le=16_384)
    record: bool = False
    """Record it from the beginning."""


class StartSession(Request):
    """Start an agent on a runner."""

    agent: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")] = "shell"
    """A name from the runner's list of agents; `command` runs `command`."""
    runner_id: str | None = Field(default=None, max_length=64)
    """Any connected runner that has the agent, when left out."""
    command: list[Annotated[str, StringConstraints(max_length=32768, pattern=r"^[^\x00]*$")]] = (
        Field(default_factory=list, max_length=MAX_ARGUMENTS)
    )
    """Program and arguments for the agent `command`; extra arguments for the others."""
    folder: Folder | None = None
    """Working folder on the runner; the runner's home folder when left out."""
    worktree: Worktree | None = None
    prompt: str = Field(default="", max_length=MAX_PROMPT)
    title: str = Field(default="", max_length=200)
    desktop: Desktop | None = None
    """Give the session a desktop, started with it."""
    cols: Columns = 100
    rows: Rows = 30
    command_id: CommandId | None = None
    """Makes a repeated request harmless: the same id answers with the session it made."""


class Prompt(Request):
    """Give the agent something to do."""

    text: str = Field(min_length=1, max_length=MAX_PROMPT)
    command_id: CommandId | None = None


class Typed(Request):
    """Key strokes, as the terminal would send them."""

    data: str = Field(min_length=1, max_length=88 * 1024)
    """Base64 of at most 64 KiB."""


class Steer(Request):
    """An interrupt, stop or kill."""

    command_id: CommandId | None = None


class Resize(Request):
    """The terminal's size in cells."""

    cols: Columns
    rows: Rows


class Rename(Request):
    """A new title."""

    title: str = Field(min_length=1, max_length=200)


class Reason(View):
    """Why a session failed, in words."""

    code: str
    detail: str
    remedy: str | None = None


class WorktreeView(View):
    """The git worktree a session works in."""

    repository: str
    branch: str


class RecordedView(View):
    """The session's desktop is being recorded."""

    by: str
    since: datetime
    problem: str
    """Why nothing is recorded at the moment; empty: it is."""


class SessionView(View):
    """A session as people see it."""

    id: str
    title: str
    agent: str
    command: list[str]
    prompt: str
    runner_id: str
    runner_name: str
    runner_connected: bool
    owner_id: str
    owner_name: str
    folder: str
    worktree: WorktreeView | None
    has_desktop: bool
    recorded: RecordedView | None
    state: SessionState
    reason: Reason | None
    exit_code: int | None
    signal: int | None
    cols: int
    rows: int
    last_seq: int
    log_bytes: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_output_at: datetime | None


class SessionList(View):
    """A page of sessions, newest first."""

    sessions: list[SessionView]
    next_cursor: str | None = None


class EventView(View):
    """One entry of the event log. `data` is base64 for output, an object for the other kinds.

    Where an entry of another kind is no JSON object, it is base64 too.
    """

    seq: int
    ts: int
    kind: str
    data: str | dict[str, Any]


class EventPage(View):
    """Entries behind a cursor."""

    events: list[EventView]
    last_seq: int


class Accepted(View):
    """A command was taken; its effect shows in the event log."""

    status: Literal["accepted"] = "accepted"
    command_id: str
