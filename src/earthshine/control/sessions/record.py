"""A session in memory, as its row says, moved on by the entries of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from earthshine.control.sessions.schemas import SessionState
from earthshine.protocols import events
from earthshine.protocols.events import Event, EventError, Kind

MAX_LOG_BYTES: Final = 2**62
"""What a column can hold: a runner may claim any gap."""
FINAL: Final = frozenset({SessionState.EXITED, SessionState.FAILED})


@dataclass(slots=True)
class SessionRecord:
    """All columns of a session's row."""

    id: str
    owner_id: str
    runner_id: str
    command_id: str | None
    title: str
    agent: str
    command: list[str]
    prompt: str
    folder: str
    worktree: dict[str, Any] | None
    desktop: dict[str, Any] | None
    """Width and height of the desktop that was asked for."""
    state: SessionState
    reason: dict[str, Any] | None
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

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> SessionRecord:
        """From a row."""
        values = {field.name: row[field.name] for field in fields(cls)}
        values["state"] = SessionState(values["state"])
        return cls(**values)

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen."""
        return self.state in FINAL

    def moving(self) -> dict[str, Any]:
        """The columns that entries change."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "cols": self.cols,
            "rows": self.rows,
            "folder": self.folder,
            "last_seq": self.last_seq,
            "log_bytes": self.log_bytes,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "last_output_at": self.last_output_at,
        }

    def apply(self, event: Event) -> bool:
        """Move on by one new entry; whether people should hear of it at once."""
        self.last_seq = event.seq
        at = datetime.fromtimestamp(min(event.ts, 253402300799000) / 1000, UTC)
        if event.kind == Kind.OUTPUT:
            self.log_bytes += len(event.data)
            self.last_output_at = at
            return False
        try:
            return self._apply(event, at)
        except EventError:
            return False  # readable by newer software perhaps; it stays in the log as it is

    def _apply(self, event: Event, at: datetime) -> bool:
        match event.kind:
            case Kind.STARTED:
                started = events.detail(event, events.Started)
                self.state = SessionState.RUNNING
                self.started_at = at
                self.folder = started.folder
                self.cols, self.rows = started.cols, started.rows
            case Kind.RESIZED:
                resized = events.detail(event, events.Resized)
                self.cols, self.rows = resized.cols, resized.rows
            case Kind.STOPPING:
                self.state = SessionState.STOPPING
            case Kind.EXITED:
                exited = events.detail(event, events.Exited)
                self.state = SessionState.EXITED
                self.exit_code, self.signal = exited.exit_code, exited.signal
                self.ended_at = at
                self.reason = None
            case Kind.FAILED:
                failed = events.detail(event, events.Failed)
                self.state = SessionState.FAILED
                self.ended_at = at
                self.reason = {
                    "code": failed.code,
                    "detail": failed.detail,
                    "remedy": failed.remedy,
                }
            case Kind.GAP:
                self.log_bytes = min(self.log_bytes + events.output_bytes(event), MAX_LOG_BYTES)
            case _:
                return False
        return True
