"""Checking what devices sign: under any of the origins by which this server goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from earthshine.control.devices.errors import ProofRefusedError
from earthshine.protocols import pairing

NOBODY: Final = pairing.public_key(bytes(32))
"""A key to check against where there is no device, so that both take as long. Its private half is
known to all: what it signs is refused all the same."""


class Proofs:
    """Verifies signatures. `origins` is set once the server knows how it is addressed."""

    def __init__(self) -> None:
        self.origins: frozenset[str] = frozenset()

    def verify(self, key: bytes | None, signature: str, transcript: Callable[[str], bytes]) -> None:
        """Raises ProofRefusedError; so does a `key` of None."""
        # All of them, whichever fits: how long it takes tells nothing.
        checks = [_is_good(key or NOBODY, signature, transcript(o)) for o in sorted(self.origins)]
        good = any(checks)
        if not good or key is None:
            raise ProofRefusedError(
                "This is not signed by the device's key, for this server's address.",
                remedy="Use the address that the server goes by, or pair again.",
            )


def _is_good(key: bytes, signature: str, message: bytes) -> bool:
    try:
        pairing.verify(key, signature, message)
    except pairing.PairingError:
        return False
    return True
