"""Settings of the runner's GameStream host: table `[runner.moonlight]`,
`EARTHSHINE_RUNNER_MOONLIGHT__*`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from earthshine.protocols.moonlight.query import HTTP_PORT
from earthshine.runner.desktops.limits import Codec
from earthshine.runner.desktops.moonlight_host.ports import HIGHEST_BASE, LOWEST_BASE

MAX_APPS: Final = 256
WOLF_SOCKET: Final = "wolf.sock"
"""In the host's folder of the runner's state."""


class MoonlightApp(BaseModel):
    """A command with a display of its own."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    command: Annotated[str, StringConstraints(min_length=1, max_length=16384)]
    id: Annotated[str, StringConstraints(max_length=128)] = ""
    """Stable; the title when empty."""
    icon: Path | None = None
    """A PNG, usually 600 by 800 pixels."""


class MoonlightSettings(BaseModel):
    """Whether and how this runner is a GameStream host."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = False
    name: str = ""
    """What clients show; this machine's name when empty."""
    bind: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for the network."""
    base_port: int = Field(default=HTTP_PORT, ge=LOWEST_BASE, le=HIGHEST_BASE)
    """The HTTP port; if it or one that goes with it is taken, the next of `max_hosts` is tried."""
    max_hosts: int = Field(default=10, ge=1, le=100)
    discoverable: bool = False
    """Say in the local network that this host is there (mDNS); needs `earthshine[discovery]`."""
    codecs: Literal["auto"] | list[Codec] = "auto"
    """Beside H.264: with `auto` what a GPU encodes, else what is named here if it can be had."""
    fec_percent: int = Field(default=20, ge=0, le=100)
    max_sessions: int = Field(default=16, ge=1, le=64)
    require_encryption: bool = False
    """Serve only clients that encrypt everything."""
    apps: list[MoonlightApp] = Field(default_factory=list, max_length=MAX_APPS)
    wolf_socket: Path | None = None
    """Wolf's API; `wolf.sock` in the state folder when not set."""
