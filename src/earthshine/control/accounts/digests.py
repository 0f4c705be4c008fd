"""Random secrets, and the hashes that are kept of them.

At least 128 random bits cannot be guessed, so one round of SHA-256 is enough, and finding a row by
the hash tells nothing by its timing.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

TOKEN_PREFIX: Final = "earthshine_"  # noqa: S105 - how secrets begin
"""Lets scanners for leaked secrets know a token when they see one."""


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """Names a row; no secret."""
    return secrets.token_hex(8)
