"""What the API says about secrets: names, never values."""

from datetime import datetime

from pydantic import Field, SecretStr

from earthshine.control.schema import Request, View


class SecretValue(Request):
    """A value to keep: one line of 1 to 8192 bytes."""

    value: SecretStr = Field(min_length=1, max_length=8192)


class SecretView(View):
    """A secret that is stored."""

    name: str
    """The environment variable that agents get it in."""
    created_at: datetime
    """When its value was stored."""
    last_used_at: datetime | None
    runner_id: str | None
    """The runner it belongs to; null for a person's own."""


class SecretList(View):
    """All secrets of a person or runner."""

    secrets: list[SecretView]
    available: bool
    """Whether secrets can be stored and used."""
    detail: str | None = None
    """Where they cannot: why, and what to do."""
