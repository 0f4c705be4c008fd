"""The TLS that this server speaks: one context for all its listeners, renewed while it serves.

New connections get the newest certificate; those that are open keep the one they began with.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from earthshine.net.pinning import fingerprint_of

LOOK_SECONDS: Final = 5.0
"""Between looks at the files; renewal tools write them in several steps, the last look counts."""
MAX_FILE: Final = 1 << 20
"""Bytes of a certificate or key file."""
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption; TLS 1.3 has nothing else."""
_ENDS_SOON: Final = dt.timedelta(days=7)
log = logging.getLogger(__name__)


class TlsError(Exception):
    """Certificate and key cannot be used; the message says why and names the file."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    fingerprint: str
    state: tuple[object, ...]
    """What the files looked like."""


class ServerTls:
    """Certificate and key from files. `watch` it while serving."""

    def __init__(self, certificate: Path, key: Path, *, is_self_made: bool = False) -> None:
        """Reads both files. Raises TlsError."""
        self._certificate = certificate
        self._key = key
        self.is_self_made = is_self_made
        """Nobody but us vouches for it: clients must pin it."""
        self.on_change: list[Callable[[], None]] = []
        """Called after the certificate was replaced."""
        self._now = self._load()
        self._told: tuple[object, ...] = self._now.state
        self.context = _context()
        """For listeners. It stays; the certificates behind it change."""
        _load_into(self.context, certificate, key)
        # Each handshake asks which certificate to show, also without a server name. Loading new
        # files into the context that serves would leave it half changed if they do not fit.
        self.context.sni_callback = self._choose

    @property
    def fingerprint(self) -> str:
        """The pin of the key that is shown now."""
        return self._now.fingerprint

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._now.context

    async def watch(self) -> None:
        """Take up changed files, until cancelled. What cannot be used is logged, once."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> bool:
        """Whether the certificate was replaced."""
        state = await asyncio.to_thread(self._state)
        if state == self._told:
            return False
        self._told = state
        if state == self._now.state:
            return False
        try:
            self._now = await asyncio.to_thread(self._load)
        except TlsError as error:
            log.error(  # noqa: TRY400  what is wrong is in the file, not in the code
                "the new certificate is not used, the old one stays: %s", error
            )
            return False
        log.info("the certificate was replaced", extra={"fingerprint": self._now.fingerprint})
        for tell in self.on_change:
            tell()
        return True

    def _state(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in (self._certificate, self._key):
            with contextlib.suppress(OSError):
                status = path.stat()
                found += [status.st_ino, status.st_mtime_ns, status.st_size, status.st_ctime_ns]
            found.append(path)
        return tuple(found)

    def _load(self) -> _Loaded:
        state = self._state()
        certificate = _read_certificate(self._certificate)
        _check_key(self._key, certificate)
        context = _context()
        _load_into(context, self._certificate, self._key)
        if self._state() != state:
            raise TlsError(f"{self._certificate} or its key changed while they were read")
        try:
            pin = fingerprint_of(certificate)
        except ValueError as error:
            raise TlsError(f"{self._certificate}: {error}") from None
        _warn(certificate, self._certificate, self._key)
        return _Loaded(context, pin, state)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_into(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # An empty password: OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"{certificate} and {key} cannot be used: {error}") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise TlsError(f"{path} is larger than {MAX_FILE} bytes")
    return data


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_read(path))[0]
    except (ValueError, x509.InvalidVersion, IndexError):
        raise TlsError(
            f"{path} holds no certificate in PEM (the server's own first, then those that vouch "
            "for it)"
        ) from None


def _check_key(path: Path, certificate: x509.Certificate) -> None:
    data = _read(path)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise TlsError(
            f"the key in {path} has a password: store it without one, readable by this server only"
        ) from None
    except Exception:  # noqa: BLE001  several libraries' errors, one meaning
        raise TlsError(f"{path} holds no private key in PEM") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise TlsError(f"the key in {path} is not the certificate's")


def _warn(certificate: x509.Certificate, path: Path, key: Path) -> None:
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    if left < dt.timedelta():
        log.warning("the certificate %s has expired: browsers refuse it", path)
    elif left < _ENDS_SOON:
        log.warning("the certificate %s expires in %d days", path, left.days)
    if key.stat().st_mode & 0o007:
        log.warning("everybody on this machine can read the key: run `chmod 600 %s`", key)
