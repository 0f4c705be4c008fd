"""The identity in the operating system's keychain, by way of `keyring`."""

from __future__ import annotations

import contextlib
import logging
import secrets
from typing import Any, Final, Protocol

import keyring
from keyring.errors import KeyringError, PasswordDeleteError

from earthshine.runner.identity.record import BadRecordError

SERVICE: Final = "earthshine runner"
GOOD: Final = 1.0
"""Priority below which a backend is no keychain: one that fails, or keeps plain text."""
log = logging.getLogger(__name__)


class Backend(Protocol):
    """The part of a keyring backend that is used here."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


class Keychain:
    """One entry. All methods block, perhaps until a person has unlocked the keychain."""

    name = "keyring"

    def __init__(self, account: str, backend: Backend | None = None) -> None:
        """`account` tells several runners of one user apart: the path of their state folder."""
        self._account = account
        self._backend: Backend = backend or keyring.get_keyring()

    def works(self) -> bool:
        """Whether something kept there can be read again."""
        if float(getattr(self._backend, "priority", 0)) < GOOD:
            return False
        probe, value = f"{self._account} (probe)", secrets.token_hex(8)
        try:
            self._backend.set_password(SERVICE, probe, value)
            return self._backend.get_password(SERVICE, probe) == value
        except Exception as error:  # noqa: BLE001  backends raise what their libraries raise
            log.info("the keychain cannot be used: %s", error)
            return False
        finally:
            with contextlib.suppress(Exception):
                self._backend.delete_password(SERVICE, probe)

    def load(self) -> bytes | None:
        """What was saved; None if nothing was. Raises BadRecordError."""
        try:
            value = self._backend.get_password(SERVICE, self._account)
        except (KeyringError, OSError, RuntimeError) as error:
            raise _broken(error) from None
        return None if value is None else value.encode()

    def save(self, data: bytes) -> None:
        """Raises BadRecordError."""
        try:
            self._backend.set_password(SERVICE, self._account, data.decode())
        except (KeyringError, OSError, RuntimeError) as error:
            raise _broken(error) from None

    def delete(self) -> None:
        """Forget it."""
        with contextlib.suppress(PasswordDeleteError):
            self._backend.delete_password(SERVICE, self._account)


def _broken(error: Any) -> BadRecordError:
    return BadRecordError(f"the keychain does not answer: {error}; unlock it and try again")
