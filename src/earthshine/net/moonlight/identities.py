"""Making and keeping an identity: the self-signed certificate and key that a side is known by.

A client pins the host's exact certificate, and a host the client's; losing the file means pairing
anew with everybody.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from earthshine.protocols.moonlight.certificates import CertificateError, Identity

if TYPE_CHECKING:
    from pathlib import Path

HOST_NAME: Final = "Earthshine GameStream Host"
CLIENT_NAME: Final = "NVIDIA GameStream Client"
"""What clients call themselves; some hosts look at it."""
KEY_BITS: Final = 2048
VALID_DAYS: Final = 365 * 20
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"


class IdentityError(Exception):
    """The identity's files cannot be read or written. The message says which."""


def make_identity(name: str, now: datetime) -> Identity:
    """A fresh RSA key and its certificate, valid for twenty years from ``now``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    return Identity.from_pem(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    """An unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_identity(folder: Path, name: str, now: datetime) -> Identity:
    """The identity kept in ``folder``, made when there is none. Blocks. Raises IdentityError."""
    certificate, key = folder / CERTIFICATE_FILE, folder / KEY_FILE
    try:
        if certificate.exists() and key.exists():
            return Identity.from_pem(certificate.read_bytes(), key.read_bytes())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = make_identity(name, now)
        write_private(key, private_pem(fresh.private_key))
        write_private(certificate, fresh.certificate.pem)
    except (OSError, CertificateError) as error:
        raise IdentityError(f"the identity in {folder} cannot be used: {error}") from None
    return fresh


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
