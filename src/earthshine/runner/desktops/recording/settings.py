"""Settings of recording: table `[runner.recording]`, `EARTHSHINE_RUNNER_RECORDING__*`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RecordingSettings(BaseModel):
    """What recordings may take on this machine until the control plane has fetched them."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = True
    """The policy's rule `recording` switches it off too, without a restart."""
    limit: int = Field(default=2 * 1024**3, ge=16 * 1024**2)
    """Bytes that may wait; then nothing is recorded until there is room, and people see that."""
    days: int = Field(default=7, ge=1)
    """What nobody fetched for so long is deleted."""
    piece_seconds: float = Field(default=8.0, ge=1.0, le=60.0)
    """What a recording is ahead of what can be watched of it, and between two places to jump to."""
    audio: bool = True
    """Record what the desktop plays, where it has sound."""
