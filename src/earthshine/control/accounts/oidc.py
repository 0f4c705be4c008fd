"""Signing in with an OpenID Connect provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

FLOW_COOKIE: Final = "earthshine_oidc"
FLOW_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Callback:
    """What the browser brought back from the provider."""

    browser: str
    state: str
    code: str
    issuer: str
    error: str
