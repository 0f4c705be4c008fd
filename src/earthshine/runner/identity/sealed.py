"""The identity in an encrypted file, for machines without a keychain.

    identity.sealed = "ESID1\\n" | salt (16) | nonce (12) | AES-256-GCM(identity, ad = all before)
    key = HKDF-SHA256(device secret | machine id, salt, "earthshine runner identity v1")

The device secret is 32 random bytes in the *data* folder; the machine id is /etc/machine-id. So
neither a copy of the state folder (a backup, a support bundle, a synchronised folder) nor one of
the whole home folder opens the file. Whoever is root here, or this user here, can read it as the
runner does. See docs/protocols/pairing.md.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from earthshine.runner.identity.record import BadRecordError

MAGIC: Final = b"ESID1\n"
SALT: Final = 16
NONCE: Final = 12
SECRET: Final = 32
MAX_FILE: Final = 64 * 1024
INFO: Final = b"earthshine runner identity v1"
MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class SealedFile:
    """Reads and writes it; all methods block."""

    name = "file"

    def __init__(
        self, path: Path, secret: Path, machine_ids: tuple[Path, ...] = MACHINE_IDS
    ) -> None:
        self._path = path
        self._secret = secret
        self._machine_ids = machine_ids

    @property
    def is_bound_to_machine(self) -> bool:
        """False where the machine has no id: then only the device secret protects."""
        return bool(self._machine_id())

    def load(self) -> bytes | None:
        """What was saved; None if nothing was. Raises BadRecordError."""
        try:
            data = self._path.read_bytes()[: MAX_FILE + 1]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadRecordError(f"{self._path} cannot be read: {error.strerror}") from None
        head = len(MAGIC) + SALT + NONCE
        if len(data) <= head or len(data) > MAX_FILE or not data.startswith(MAGIC):
            raise BadRecordError(f"{self._path} is not a sealed identity")
        secret = self._read_secret()
        if secret is None:
            raise self._other_machine()
        key = self._key(secret, data[len(MAGIC) : len(MAGIC) + SALT])
        nonce = data[head - NONCE : head]
        try:
            return AESGCM(key).decrypt(nonce, data[head:], data[:head])
        except InvalidTag:
            raise self._other_machine() from None

    def save(self, data: bytes) -> None:
        """Raises OSError, BadRecordError."""
        secret = self._read_secret()
        if secret is None:
            secret = os.urandom(SECRET)
            write_durably(self._secret, base64.b64encode(secret) + b"\n")
        head = MAGIC + os.urandom(SALT) + os.urandom(NONCE)
        key = self._key(secret, head[len(MAGIC) : len(MAGIC) + SALT])
        sealed = AESGCM(key).encrypt(head[-NONCE:], data, head)
        write_durably(self._path, head + sealed)

    def delete(self) -> None:
        """Forget it. The device secret stays: it opens nothing any more."""
        self._path.unlink(missing_ok=True)

    def _key(self, secret: bytes, salt: bytes) -> bytes:
        material = secret + self._machine_id()
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=INFO).derive(material)

    def _read_secret(self) -> bytes | None:
        try:
            mode = self._secret.stat().st_mode
            secret = base64.b64decode(self._secret.read_bytes().strip(), validate=True)
        except FileNotFoundError:
            return None
        except (OSError, binascii.Error) as error:
            raise BadRecordError(f"{self._secret} cannot be read: {error}") from None
        if mode & 0o077:
            raise BadRecordError(
                f"others can read {self._secret}: run `chmod 600 {self._secret}`, and if others "
                "use this machine pair it again"
            )
        if len(secret) != SECRET:
            raise BadRecordError(f"{self._secret} does not hold a device secret")
        return secret

    def _machine_id(self) -> bytes:
        for path in self._machine_ids:
            try:
                known = path.read_bytes().strip()
            except OSError:
                continue
            if known:
                return known
        return b""

    def _other_machine(self) -> BadRecordError:
        return BadRecordError(
            f"{self._path} was sealed on another machine, or {self._secret} is not the one that "
            "belongs to it: pair this machine again"
        )


def write_durably(path: Path, data: bytes) -> None:
    """A file only its owner can read. After a power failure the old or the new one is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
