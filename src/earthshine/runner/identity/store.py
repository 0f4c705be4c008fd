"""Where the identity is: the keychain if there is one, else an encrypted file.

Beside the runner's state lies a note, `identity.json`, that says which of the two, and what is no
secret: `earthshine runner status` needs no keychain, and a runner knows that it was revoked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from earthshine.runner.identity.keychain import Keychain
from earthshine.runner.identity.record import BadRecordError, Identity, decode, encode
from earthshine.runner.identity.sealed import SealedFile, write_durably

NOTE: Final = "identity.json"
SEALED: Final = "identity.sealed"
SECRET: Final = "device-secret"  # noqa: S105  a file's name
Choice = Literal["auto", "keyring", "file"]


class Vault(Protocol):
    """Keeps some bytes. Blocks."""

    @property
    def name(self) -> str: ...

    def load(self) -> bytes | None: ...

    def save(self, data: bytes) -> None: ...

    def delete(self) -> None: ...


class Note(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is no secret about an identity."""

    store: Literal["keyring", "file"]
    url: str
    runner_id: str
    name: str
    fingerprint: str
    paired_at: str
    ended: str | None = None
    """Why the control plane does not take it any more."""


class IdentityStore:
    """All methods block. `load` and `save` raise BadRecordError, `save` OSError too."""

    def __init__(self, state: Path, data: Path, *, keychain: Keychain | None = None) -> None:
        self._state = state
        self._keychain = keychain
        secret = data / SECRET
        if secret.resolve().parent == state.resolve():
            # A key beside what it opens would go wherever that goes.
            secret = data.resolve().parent / f"{data.resolve().name}-{SECRET}"
        self._file = SealedFile(state / SEALED, secret)

    def note(self) -> Note | None:
        """What is known without a secret; None when this machine is not paired."""
        try:
            return msgspec.json.decode((self._state / NOTE).read_bytes(), type=Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise BadRecordError(f"{self._state / NOTE} cannot be read: {error}") from None

    def load(self) -> Identity | None:
        """The identity; None when this machine is not paired."""
        note = self.note()
        if note is None:
            return None
        vault = self._vault(note.store)
        data = vault.load()
        if data is None:
            where = "keychain" if note.store == "keyring" else "state folder"
            raise BadRecordError(
                f"the runner's identity is not in the {where} any more: pair this machine again"
            )
        return decode(data)

    def found(self, identity: Identity, paired_at: str, choice: Choice) -> Note:
        """Keep a new identity."""
        note = Note(
            store=self._choose(choice),
            url=identity.url,
            runner_id=identity.runner_id,
            name=identity.name,
            fingerprint=identity.fingerprint,
            paired_at=paired_at,
        )
        self._vault(note.store).save(encode(identity))
        self._write(note)
        return note

    def save(self, identity: Identity) -> None:
        """Keep new tokens."""
        note = self.note()
        if note is None:
            raise BadRecordError("this machine is not paired any more")
        self._vault(note.store).save(encode(identity))

    def end(self, reason: str) -> None:
        """The control plane does not take this identity any more."""
        note = self.note()
        if note is not None:
            self._write(msgspec.structs.replace(note, ended=reason))

    def delete(self) -> None:
        """Forget it all."""
        note = self.note()
        if note is not None:
            self._vault(note.store).delete()
        (self._state / NOTE).unlink(missing_ok=True)

    @property
    def is_bound_to_machine(self) -> bool:
        """Of the file: whether this machine has an id that takes part in its key."""
        return self._file.is_bound_to_machine

    def _write(self, note: Note) -> None:
        write_durably(self._state / NOTE, msgspec.json.format(msgspec.json.encode(note)) + b"\n")

    def _choose(self, choice: Choice) -> Literal["keyring", "file"]:
        if choice == "file":
            return "file"
        if self._keys().works():
            return "keyring"
        if choice == "keyring":
            raise BadRecordError("this machine has no keychain that works: choose `file`")
        return "file"

    def _vault(self, name: str) -> Vault:
        vault: Any = self._keys() if name == "keyring" else self._file
        return vault  # type: ignore[no-any-return]

    def _keys(self) -> Keychain:
        if self._keychain is None:
            self._keychain = Keychain(str(self._state.resolve()))
        return self._keychain
