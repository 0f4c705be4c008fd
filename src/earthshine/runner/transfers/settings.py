"""Settings of file transfer: table `[runner.files]`, `EARTHSHINE_RUNNER_FILES__*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class FileSettings(BaseModel):
    """Where files that people send to sessions lie, and how many bytes they may have."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True
    """The policy's rule `files` switches it off too, without a restart."""
    folder: Path | None = None
    """In it each session has a folder of its own; `files` in the state folder when not set."""
    in_working_folder: bool = False
    """Instead: in `.earthshine` of the session's working folder, for agents that may read no other.
    Git does not see it."""
    max_file: int = Field(default=4 * 1024**3, ge=1)
    """Bytes of one file."""
    max_total: int = Field(default=16 * 1024**3, ge=1)
    """Bytes of all files of a session."""
