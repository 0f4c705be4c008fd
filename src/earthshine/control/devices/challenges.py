"""Challenges that make a signature fresh, good once.

A challenge carries its own expiry and our MAC, so giving them out costs no memory and strangers
cannot crowd out anybody's. Only one that came back under a good signature is remembered, until it
expires. The MAC's key lives as long as the process: after a restart runners fetch a new challenge.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from earthshine.control.devices.errors import StaleChallengeError
from earthshine.control.errors import TooManyError

LIFE: Final = 60
"""Seconds."""
MAX_USED: Final = 100_000
"""Challenges that are remembered as used."""
_NONCE: Final = 16
_MAC: Final = 16


class Challenges:
    """Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[str, int] = OrderedDict()

    def issue(self) -> str:
        """A fresh one."""
        expires = int(self._clock()) + LIFE
        body = expires.to_bytes(8, "big") + secrets.token_bytes(_NONCE)
        return urlsafe_b64encode(body + self._mac(body)).decode("ascii")

    def check(self, text: str) -> None:
        """Raises StaleChallengeError."""
        try:
            data = urlsafe_b64decode(text.encode("ascii"))
        except ValueError:
            data = b""
        body, mac = data[: 8 + _NONCE], data[8 + _NONCE :]
        genuine = len(mac) == _MAC and hmac.compare_digest(mac, self._mac(body))
        fresh = int.from_bytes(body[:8], "big") > self._clock()
        # Only the exact text that we gave out: base64 has several for the same bytes.
        exact = urlsafe_b64encode(data).decode("ascii") == text
        if not (genuine and fresh and exact) or text in self._used:
            raise StaleChallengeError("The challenge is not fresh.", remedy="Fetch another one.")

    def use(self, text: str) -> None:
        """Spend a challenge under a good signature. Raises StaleChallengeError, TooManyError."""
        self.check(text)
        now = self._clock()
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)
        if len(self._used) >= MAX_USED:
            raise TooManyError("Too many runners sign in at once.", retry_after=1.0)
        self._used[text] = int(now) + LIFE

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC]
