"""Settings of the machine's own xrdp: table `[runner.rdp]`, `EARTHSHINE_RUNNER_RDP__*`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class RdpSettings(BaseModel):
    """Whose desktop on this machine admins reach by RDP."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(default="", max_length=32, pattern=r"^([a-z_][a-z0-9_-]*)?$")
    """A user of this system, whose password the runner then changes; empty: none."""
    port: int = Field(default=3389, ge=1, le=65535)
    """Where the machine's xrdp listens on loopback."""
    password: SecretStr | None = None
    """The first password, until somebody gets another; `RDP_PASSWORD` does the same."""

    @field_validator("password")
    @classmethod
    def one_line(cls, password: SecretStr | None) -> SecretStr | None:
        """chpasswd reads lines."""
        if password is not None and not password.get_secret_value().isprintable():
            raise ValueError("must be printable characters")
        return password
