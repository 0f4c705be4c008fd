"""A runner's refresh tokens: a family in which each one replaces the one before.

A token is `FAMILY.GENERATION.SECRET`. Presenting one uses it up and brings the next. One that comes
a second time means that two hold it, and the whole family ends.

Unless it may only be that an answer was lost on its way: the generation before is taken again while
nothing that came with the newest one was ever used. Whoever copied both token and key gains nothing
by that: once the copy has been put to use the runner's own token is a used one, and all ends.

A token older than that is not on record any more; that it belonged to the family is believed to
whoever signs with the device's key, which every caller of `judge` has checked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

REFRESH_LIFE: Final = timedelta(days=90)
"""Since its last use a runner may stay away for so long."""
RETRY_LIFE: Final = timedelta(hours=24)
"""How long the generation before may be used after all: a laptop may have been closed meanwhile."""
MAX_RETRIES: Final = 3
SECRET_BYTES: Final = 32


class Verdict(Enum):
    """What a presented refresh token is."""

    CURRENT = "current"
    LOST_ANSWER = "lost-answer"
    """The one before; the newest never reached the runner."""
    REUSED = "reused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Family:
    """As its row has it."""

    id: str
    generation: int
    token_hash: str
    previous_hash: str | None
    taken: bool
    retries: int
    rotated_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, row: Any) -> Family:
        """From a row."""
        return cls(**{name: getattr(row, name) for name in cls.__slots__})


def new_family_id() -> str:
    """Random; it is no secret."""
    return secrets.token_hex(8)


def new_token(family_id: str, generation: int) -> str:
    """The token of a generation."""
    return f"{family_id}.{generation}.{secrets.token_urlsafe(SECRET_BYTES)}"


def token_hash(token: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def judge(family: Family | None, token: str, now: datetime) -> Verdict:
    """What a token is that somebody with the device's key presents."""
    if family is None:
        return Verdict.UNKNOWN
    shown = token_hash(token)
    if hmac.compare_digest(shown, family.token_hash):
        return Verdict.CURRENT if now < family.expires_at else Verdict.EXPIRED
    if family.previous_hash and hmac.compare_digest(shown, family.previous_hash):
        lost = not family.taken and family.retries < MAX_RETRIES
        in_time = now < family.rotated_at + RETRY_LIFE
        return Verdict.LOST_ANSWER if lost and in_time else Verdict.REUSED
    return Verdict.REUSED if _is_older(family, token) else Verdict.UNKNOWN


def _is_older(family: Family, token: str) -> bool:
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != family.id:
        return False
    number = parts[1]
    return (
        number.isascii()
        and number.isdigit()
        and len(number) < 10
        and (int(number) < family.generation)
    )


def rotated(family: Family, verdict: Verdict, token: str, now: datetime) -> dict[str, Any]:
    """The row's new values once `token` has been given out, after CURRENT or LOST_ANSWER."""
    again = verdict is Verdict.LOST_ANSWER
    return {
        "generation": family.generation + 1,
        "token_hash": token_hash(token),
        "previous_hash": family.previous_hash if again else family.token_hash,
        "taken": False,
        "retries": family.retries + 1 if again else 0,
        "rotated_at": family.rotated_at if again else now,
        "expires_at": now + REFRESH_LIFE,
    }
