"""What the API says about runners."""

from datetime import datetime
from typing import Literal

from earthshine.control.schema import View


class AgentView(View):
    """An agent a runner knows how to start."""

    name: str
    label: str
    available: bool
    path: str | None = None
    detail: str | None = None
    """Where not available: why, and what to do."""


class RunnerView(View):
    """A machine where agents can work."""

    id: str
    name: str
    state: Literal["connected", "away"]
    since: datetime
    """When it connected, or when it was last seen."""
    hostname: str
    platform: str
    version: str
    home: str
    capabilities: dict[str, str]
    """What it can do beyond terminals, such as `desktop`: empty text where it can, else why not."""
    agents: list[AgentView]
    running_sessions: int
    owner_id: str | None
    """Whoever paired it; None for one that came by the static token."""
    owner_name: str | None
    shared: bool
    """Whether all members may use it."""
    credential: Literal["device", "static-token"]
    fingerprint: str | None
    """Of its device key."""
    paired_at: datetime | None
    address: str | None
    """From where it connected last."""
    revoked: bool
    revoked_reason: str | None
    """What its owner should know about why."""


class RunnerList(View):
    """All runners."""

    runners: list[RunnerView]


class FolderEntry(View):
    """A folder on a runner."""

    name: str
    path: str
    is_repository: bool


class FolderList(View):
    """The folders inside a folder on a runner."""

    path: str
    parent: str | None
    folders: list[FolderEntry]
    truncated: bool
