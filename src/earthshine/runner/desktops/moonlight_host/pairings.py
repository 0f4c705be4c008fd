"""Who is paired: certificates, and what each of them may do, kept in one file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from earthshine.net.moonlight.identities import write_private
from earthshine.protocols.moonlight.certificates import (
    Certificate,
    CertificateError,
    PairedCertificates,
)

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

FILE: Final = "paired.json"
MAX_FILE_BYTES: Final = 64 << 20
MAX_SETTINGS_BYTES: Final = 16384


class PairingsError(Exception):
    """The file of paired clients cannot be read or written."""


@dataclass(frozen=True, slots=True)
class PairedClient:
    """One paired client. ``id``: 64 bits as decimal text, derived from the certificate."""

    certificate: Certificate
    name: str
    paired_at: str
    view_only: bool = False
    """It may look but not type."""
    folder: str = ""
    """Where applications keep this client's files; empty: its id."""
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return self.certificate.fingerprint

    @property
    def id(self) -> str:
        """See the class."""
        return client_id(self.certificate)


def client_id(certificate: Certificate) -> str:
    """The 64-bit id of a certificate as decimal text."""
    return str(int.from_bytes(hashlib.sha256(certificate.der).digest()[:8], "big"))


class _Entry(msgspec.Struct):
    certificate: str
    name: str
    paired_at: str
    view_only: bool = False
    folder: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)


class Pairings:
    """The paired clients of one host. Changes are on disk when a method returns; methods block."""

    def __init__(self, folder: Path) -> None:
        """Reads the file. Raises PairingsError."""
        self._path = folder / FILE
        self._clients: dict[str, PairedClient] = {}
        self._certificates = PairedCertificates()
        try:
            if self._path.exists():
                self._read(self._path.read_bytes())
        except (OSError, msgspec.DecodeError, CertificateError) as error:
            raise PairingsError(f"{self._path} cannot be read: {error}") from None

    def _read(self, data: bytes) -> None:
        if len(data) > MAX_FILE_BYTES:
            raise PairingsError(f"{self._path} is too large")
        for entry in msgspec.json.decode(data, type=list[_Entry]):
            certificate = Certificate.from_pem(entry.certificate.encode())
            self._certificates.add(certificate)
            self._clients[certificate.fingerprint] = PairedClient(
                certificate,
                entry.name,
                entry.paired_at,
                entry.view_only,
                entry.folder,
                tuple(entry.settings.items()),
            )

    @property
    def all(self) -> list[PairedClient]:
        """In the order in which they were paired."""
        return list(self._clients.values())

    def find(self, der: bytes | None) -> PairedClient | None:
        """The client that presented this certificate; None for any other, byte for byte."""
        certificate = self._certificates.find(der)
        return None if certificate is None else self._clients.get(certificate.fingerprint)

    def by_id(self, identifier: str) -> PairedClient | None:
        """The client of that id."""
        return next((c for c in self._clients.values() if c.id == identifier), None)

    def add(self, certificate: Certificate, name: str, now: datetime) -> PairedClient:
        """Pair. Raises PairingsError; then nothing changed."""
        client = PairedClient(certificate, name, now.isoformat(timespec="seconds"))
        known = dict(self._clients)
        try:
            self._certificates.add(certificate)
            self._clients[certificate.fingerprint] = client
            self._write()
        except (CertificateError, OSError) as error:
            self._clients = known
            if certificate.fingerprint not in known:
                self._certificates.remove(certificate.fingerprint)
            raise PairingsError(f"the client cannot be stored: {error}") from None
        return client

    def remove(self, client: PairedClient) -> None:
        """Unpair. Raises PairingsError when the file cannot be written; it is unpaired all the
        same until the next start."""
        self._certificates.remove(client.fingerprint)
        self._clients.pop(client.fingerprint, None)
        self._written()

    def change(
        self,
        client: PairedClient,
        *,
        folder: str | None = None,
        settings: dict[str, Any] | None = None,
        view_only: bool | None = None,
    ) -> PairedClient:
        """Change what is given, key by key in ``settings``. Raises PairingsError."""
        merged = dict(client.settings) | (settings or {})
        if len(msgspec.json.encode(merged)) > MAX_SETTINGS_BYTES:
            raise PairingsError(f"settings are larger than {MAX_SETTINGS_BYTES} bytes")
        changed = replace(
            client,
            folder=client.folder if folder is None else folder,
            view_only=client.view_only if view_only is None else view_only,
            settings=tuple(merged.items()),
        )
        self._clients[client.fingerprint] = changed
        self._written()
        return changed

    def _written(self) -> None:
        try:
            self._write()
        except OSError as error:
            raise PairingsError(f"{self._path} cannot be written: {error}") from None

    def _write(self) -> None:
        entries = [
            _Entry(
                client.certificate.pem.decode("ascii"),
                client.name,
                client.paired_at,
                client.view_only,
                client.folder,
                dict(client.settings),
            )
            for client in self._clients.values()
        ]
        write_private(self._path, msgspec.json.encode(entries))
