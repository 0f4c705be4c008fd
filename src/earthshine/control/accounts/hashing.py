"""Password hashes: argon2id, two at a time."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from earthshine.control.accounts.digests import new_secret
from earthshine.control.errors import TooManyError

P = ParamSpec("P")
R = TypeVar("R")
AT_ONCE: Final = 2
"""Each takes 64 MiB and as many cores as there are, up to four."""
MAX_WAITING: Final = 50
BUSY_SECONDS: Final = 5.0


class Hasher:
    """Hashes and verifies in threads. Parameters: RFC 9106, 4, second recommendation."""

    def __init__(self, argon2: PasswordHasher | None = None) -> None:
        self._argon2 = argon2 or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """A hash to keep. Raises TooManyError."""
        return await self._in_turn(self._argon2.hash, _bytes(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether this is the password; without a hash it takes as long, and is not.

        Raises TooManyError where too many wait already.
        """
        if kept is None:
            await self._in_turn(self._verify_dummy, _bytes(password))
            return False
        return await self._in_turn(self._verify, kept, _bytes(password))

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with other parameters than new ones are."""
        return self._argon2.check_needs_rehash(kept)

    def _verify(self, kept: str, password: bytes) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    def _verify_dummy(self, password: bytes) -> bool:
        if self._dummy is None:
            self._dummy = self._argon2.hash(new_secret())
        return self._verify(self._dummy, password)

    async def _in_turn(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._waiting >= MAX_WAITING:
            raise TooManyError(
                "Too many people are signing in at this moment.",
                remedy="Try again in a few seconds.",
                retry_after=BUSY_SECONDS,
            )
        self._waiting += 1
        try:
            async with self._turn:
                # Not cancelled with the request: the thread would go on, and its memory count.
                return await asyncio.shield(asyncio.to_thread(work, *args, **kwargs))
        finally:
            self._waiting -= 1


def normal(password: str) -> str:
    """The same for all ways to type it (RFC 8265, 4.2: NFC, one kind of space)."""
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    return unicodedata.normalize("NFC", spaced)


def _bytes(password: str) -> bytes:
    return normal(password).encode("utf-8", "surrogatepass")
