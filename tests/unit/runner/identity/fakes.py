"""Fakes for the runner's identity."""

from __future__ import annotations

import time

from keyring.errors import KeyringLocked, PasswordDeleteError

from earthshine.protocols import pairing
from earthshine.runner.identity.record import Identity


class FakeBackend:
    """A keyring backend in memory."""

    def __init__(self, priority: float = 5, *, locked: bool = False) -> None:
        self.priority = priority
        self.locked = locked
        self.entries: dict[tuple[str, str], str] = {}

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("the collection is locked")

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("not there")


def identity(**changed: object) -> Identity:
    fields: dict[str, object] = {
        "url": "https://control.example",
        "runner_id": "runner0001",
        "name": "box",
        "private_key": pairing.to_text(bytes(range(32))),
        "refresh_token": "the-refresh-token",
        "access_token": "the-access-token",
        "access_until": time.time() + 3600,
    }
    return Identity(**(fields | changed))  # type: ignore[arg-type]
