"""A certificate that the server makes for itself, for networks without an authority.

Clients pin its key (`earthshine.net.pinning`), so the key stays for good and the certificate around
it is made again whenever the server's names change.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE: Final = dt.timedelta(days=3650)
"""Long: nobody but ourselves vouches for it, so an early end would protect nobody."""
RENEW_BEFORE: Final = dt.timedelta(days=90)
CLOCKS_DIFFER: Final = dt.timedelta(days=1)
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
MAX_COMMON_NAME: Final = 64
"""Characters, RFC 5280 appendix A.1; nothing reads it, the names that count are elsewhere."""


def self_made(
    folder: Path, names: Iterable[str], now: dt.datetime | None = None
) -> tuple[Path, Path]:
    """Paths of certificate and key in `folder`, made where missing or no longer fitting.

    `names` are host names and addresses; loopback's are always added. Raises OSError, or ValueError
    when the key that is there cannot be read: a new one would lock out whoever pinned it.
    """
    now = now or dt.datetime.now(dt.UTC)
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = _key(key_path)
    wanted = _alternatives([*names, *ALWAYS])
    if not _fits(certificate_path, key, wanted, now):
        certificate = _certificate(key, wanted, now)
        _write(certificate_path, certificate.public_bytes(Encoding.PEM))
    return certificate_path, key_path


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        known = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no private key: {error}") from None
    if not isinstance(known, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} is not a key that Earthshine made")  # noqa: TRY004  a file is wrong
    return known


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: dict[str, x509.GeneralName] = {}
    for name in names:
        try:
            found[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            with contextlib.suppress(ValueError):  # not ASCII: IDNA names come in their ASCII form
                found[name] = x509.DNSName(name.lower())
    return list(found.values())


def _fits(
    path: Path,
    key: ec.EllipticCurvePrivateKey,
    wanted: list[x509.GeneralName],
    now: dt.datetime,
) -> bool:
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
        names = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    return (
        known.public_key() == key.public_key()
        and set(names) == set(wanted)
        and known.not_valid_before_utc <= now < known.not_valid_after_utc - RENEW_BEFORE
    )


def _certificate(
    key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName], now: dt.datetime
) -> x509.Certificate:
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Earthshine {names[0].value}"[:MAX_COMMON_NAME])]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, data: bytes) -> None:
    """For its owner only, at once or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
