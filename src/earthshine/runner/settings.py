"""The runner's settings: table `[runner]` of the configuration file, `EARTHSHINE_RUNNER_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_config_path, user_data_path, user_state_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from earthshine.runner.desktops.moonlight_host.configuration import MoonlightSettings
from earthshine.runner.desktops.rdp.settings import RdpSettings
from earthshine.runner.desktops.recording.settings import RecordingSettings
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.spool.writer import DEFAULT_LIMIT, MIN_LIMIT
from earthshine.runner.transfers.settings import FileSettings


class RunnerSettings(BaseSettings):
    """What a runner needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="EARTHSHINE_RUNNER_", env_nested_delimiter="__", extra="forbid"
    )

    @property
    def policy(self) -> Path:
        """Where the policy is; it need not exist unless `policy_file` names it."""
        return self.policy_file or user_config_path("earthshine") / "runner-policy.toml"

    mode: Literal["development", "production"] = "development"
    """In production nothing has a default that somebody else may know."""
    url: str = "http://127.0.0.1:7180"
    """The control plane."""
    pin: str = ""
    """The key of the control plane (`earthshine.net.pinning`): it is known by this alone."""
    ca_file: Path | None = None
    """Authorities in PEM that vouch for the control plane, instead of the system's."""
    allow_plain_http: bool = False
    """Reach it over a network without TLS. The token and all key strokes can then be read there."""
    policy_file: Path | None = None
    """What this machine lets the control plane do; runner-policy.toml in the configuration folder,
    if there is one, when not set."""
    name: str = ""
    """What people call this machine; the host name when empty."""
    token: SecretStr | None = None
    token_file: Path | None = None
    """The static runner token, from the environment or from a file that only its owner can read."""
    identity_store: Literal["auto", "keyring", "file"] = "auto"
    """Where pairing keeps key and tokens: the keychain if there is one that works, else a file."""
    state_dir: Path = Field(default_factory=lambda: user_state_path("earthshine") / "runner")
    data_dir: Path = Field(default_factory=lambda: user_data_path("earthshine"))
    programs: dict[str, str] = Field(default_factory=dict)
    """Where an agent's program is, when not on PATH: name -> path."""
    spool_limit: int = Field(default=DEFAULT_LIMIT, ge=MIN_LIMIT)
    """Bytes that a session's log may take on this machine while the control plane is away."""
    overflow: Literal["gap", "pause"] = "gap"
    """At the limit: give up the oldest output (one `gap` stands for it), or pause the agent."""
    redact_secrets: bool = True
    """Take the values of secrets out of what agents print, before it is stored anywhere."""
    desktop: DesktopSettings = Field(default_factory=DesktopSettings)
    """The desktops of sessions that have one."""
    rdp: RdpSettings = Field(default_factory=RdpSettings)
    """The machine's own desktop, for admins."""
    recording: RecordingSettings = Field(default_factory=RecordingSettings)
    """Recordings of desktops, until the control plane has fetched them."""
    files: FileSettings = Field(default_factory=FileSettings)
    """Files that people send to sessions."""
    moonlight: MoonlightSettings = Field(default_factory=MoonlightSettings)
    """Whether this runner is a GameStream host."""
