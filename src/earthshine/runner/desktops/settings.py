"""Settings of the runner's desktops: table `[runner.desktop]`, `EARTHSHINE_RUNNER_DESKTOP__*`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE, Preset

MAX_PROGRAMS: Final = 16


class DesktopSettings(BaseModel):
    """What the desktops of this runner are made of."""

    model_config = ConfigDict(extra="forbid")

    backend: Literal["auto", "tigervnc", "xvfb", "wayland", "attach", "off"] = "auto"
    """The display server; `auto` takes TigerVNC where it is installed, else Xvfb. `wayland` is
    pixelflux's own compositor, without X and without RFB."""
    display: str = ""
    """With `attach`: the existing display, such as `:0`."""
    authority: Path | None = None
    """With `attach`: its authority file, where it needs one."""
    width: int = Field(default=1920, ge=MIN_SIZE, le=MAX_SIZE)
    height: int = Field(default=1080, ge=MIN_SIZE, le=MAX_SIZE)
    window_manager: str = "auto"
    """A program, `auto` for the first one found, or `off`."""
    programs: list[str] = Field(default=["terminal"], max_length=MAX_PROGRAMS)
    """Started in this order: `terminal`, `browser`, or a command line."""
    encoder: Literal["auto", "pixelflux", "pyav"] = "auto"
    preset: Preset = "text"
    frames_per_second: int = Field(default=60, ge=1, le=120)
    audio: Literal["auto", "off"] = "auto"
    rfb_port: bool = False
    """Serve RFB on a loopback port as well as on a UNIX socket, for peers that know only ports."""
    idle_seconds: float = Field(default=0.0, ge=0.0)
    """Stop a display that nobody watches and in which nothing moves for so long; 0: never."""
    programs_path: dict[str, str] = Field(default_factory=dict)
    """Where a program is, when not on PATH: name -> path."""
