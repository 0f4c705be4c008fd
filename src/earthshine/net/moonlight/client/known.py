"""Hosts this client is paired with: the certificate each of them showed when it was paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from earthshine.net.moonlight.identities import write_private
from earthshine.protocols.moonlight.certificates import Certificate, CertificateError

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "hosts.json"
MAX_HOSTS: Final = 1024
MAX_FILE_BYTES: Final = 16 << 20


class KnownHostsError(Exception):
    """The file of known hosts cannot be read or written."""


@dataclass(frozen=True, slots=True)
class KnownHost:
    """``address`` and ``port`` as the person gave them."""

    address: str
    port: int
    certificate: Certificate
    name: str = ""


class _Entry(msgspec.Struct):
    address: str
    port: int
    certificate: str
    name: str = ""


class KnownHosts:
    """Kept in one file of ``folder``. Methods block."""

    def __init__(self, folder: Path) -> None:
        """Raises KnownHostsError."""
        self._path = folder / FILE
        self._hosts: dict[tuple[str, int], KnownHost] = {}
        try:
            if self._path.exists():
                data = self._path.read_bytes()
                if len(data) > MAX_FILE_BYTES:
                    raise KnownHostsError(f"{self._path} is too large")
                for entry in msgspec.json.decode(data, type=list[_Entry]):
                    certificate = Certificate.from_pem(entry.certificate.encode())
                    host = KnownHost(entry.address, entry.port, certificate, entry.name)
                    self._hosts[host.address, host.port] = host
        except (OSError, msgspec.DecodeError, CertificateError) as error:
            raise KnownHostsError(f"{self._path} cannot be read: {error}") from None

    def find(self, address: str, port: int) -> KnownHost | None:
        """The host of that address, if it is paired."""
        return self._hosts.get((address, port))

    def add(self, host: KnownHost) -> None:
        """Remember. Raises KnownHostsError."""
        if len(self._hosts) >= MAX_HOSTS and (host.address, host.port) not in self._hosts:
            raise KnownHostsError(f"more than {MAX_HOSTS} hosts are known")
        self._hosts[host.address, host.port] = host
        self._write()

    def remove(self, address: str, port: int) -> None:
        """Forget. Raises KnownHostsError."""
        if self._hosts.pop((address, port), None) is not None:
            self._write()

    def _write(self) -> None:
        entries = [
            _Entry(host.address, host.port, host.certificate.pem.decode("ascii"), host.name)
            for host in self._hosts.values()
        ]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._path, msgspec.json.encode(entries))
        except OSError as error:
            raise KnownHostsError(f"{self._path} cannot be written: {error}") from None
