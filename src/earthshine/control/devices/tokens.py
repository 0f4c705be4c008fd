"""Runners' short-lived tokens: session tokens and access tokens. Only digests are kept.

In memory: after a restart of the control plane a runner uses its refresh token, once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

SESSION_LIFE: Final = 600
"""Seconds. For the control connection's first message, and for dialling back."""
ACCESS_LIFE: Final = 3600
"""Seconds in which a runner gets session tokens without using up its refresh token."""
MAX_PER_RUNNER: Final = 16
"""Tokens of one runner; the oldest go first."""

Kind = Literal["session", "access"]


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that is out."""

    kind: Kind
    runner_id: str
    generation: int
    """Of the refresh token that it came with."""
    expires: float


class TokenBook:
    """Belongs to one event loop. Its size is bounded by that of the runners' directory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issued: dict[bytes, Issued] = {}
        self._of_runner: dict[str, OrderedDict[bytes, None]] = {}

    def issue(self, kind: Kind, runner_id: str, generation: int) -> str:
        """A new token."""
        token = secrets.token_urlsafe(32)
        key = _digest(token)
        life = SESSION_LIFE if kind == "session" else ACCESS_LIFE
        mine = self._of_runner.setdefault(runner_id, OrderedDict())
        now = self._clock()
        for old in [key for key in mine if self._issued[key].expires <= now]:
            del mine[old], self._issued[old]
        while len(mine) >= MAX_PER_RUNNER:
            oldest, _ = mine.popitem(last=False)
            del self._issued[oldest]
        self._issued[key] = Issued(kind, runner_id, generation, now + life)
        mine[key] = None
        return token

    def find(self, kind: Kind, runner_id: str, token: str) -> Issued | None:
        """The token, if it is one of this kind, of this runner, and still good."""
        issued = self._issued.get(_digest(token))
        if issued is None or (issued.kind, issued.runner_id) != (kind, runner_id):
            return None
        return issued if issued.expires > self._clock() else None

    def drop(self, runner_id: str) -> None:
        """End all of a runner's tokens."""
        for key in self._of_runner.pop(runner_id, ()):
            del self._issued[key]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
