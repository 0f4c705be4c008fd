"""Certificates as GameStream uses them: pinned byte for byte, never validated as a chain.

Moonlight clients carry certificates with serial number 0, which X.509 libraries are about to
refuse. Pairing needs three things only: the exact DER, the public key and the signature bits. So
this module walks the outer ASN.1 structure itself (X.690 section 8; RFC 5280 section 4.1) and
leaves the key
to `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from earthshine.protocols.moonlight.errors import MoonlightError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PEM_BYTES = 8192
MAX_PAIRED = 4096
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 4096

_SEQUENCE = 0x30
_BIT_STRING = 0x03
_VERSION = 0xA0
# serialNumber, signature algorithm, issuer, validity, subject: what lies before the public key.
_FIELDS_BEFORE_KEY = 5

_PEM = re.compile(
    rb"\A\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*\Z"
)


class CertificateError(MoonlightError):
    """The bytes are not a certificate this protocol can use."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One peer's certificate. Equal certificates are equal byte for byte.

    ``pem`` is kept as it was received, because pairing echoes and hashes exactly those bytes.
    """

    pem: bytes
    der: bytes
    signature: bytes
    """The signatureValue bits: 256 bytes for RSA-2048."""
    public_key: rsa.RSAPublicKey

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER as 64 lower-case hex digits: the identity to store and compare."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def key_bytes(self) -> int:
        """Length of the modulus, and so of every signature by this key, in bytes."""
        return self.public_key.key_size // 8

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is RSA PKCS#1 v1.5 with SHA-256 over ``message`` by this key."""
        try:
            self.public_key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    @classmethod
    def from_pem(cls, pem: bytes) -> Certificate:
        """Read one PEM certificate of at most `MAX_PEM_BYTES`.

        Raises `CertificateError` for anything else, and for keys that are not RSA of
        `MIN_RSA_BITS` to `MAX_RSA_BITS`.
        """
        if len(pem) > MAX_PEM_BYTES:
            raise CertificateError(f"certificate is larger than {MAX_PEM_BYTES} bytes")
        match = _PEM.match(pem)
        if match is None:
            raise CertificateError("not exactly one PEM certificate")
        try:
            der = base64.b64decode(b"".join(match[1].split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise CertificateError("certificate is not base64") from error
        return cls._read(pem, der)

    @classmethod
    def from_der(cls, der: bytes) -> Certificate:
        """Read one DER certificate, as TLS hands it over. Raises `CertificateError`."""
        if len(der) > MAX_PEM_BYTES:
            raise CertificateError(f"certificate is larger than {MAX_PEM_BYTES} bytes")
        text = base64.b64encode(der)
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        pem = b"\n".join(
            [b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""]
        )
        return cls._read(pem, der)

    @classmethod
    def _read(cls, pem: bytes, der: bytes) -> Certificate:
        outer, rest = _element(der, _SEQUENCE)
        if rest:
            raise CertificateError("bytes after the certificate")
        to_be_signed, after = _element(outer, _SEQUENCE)
        _, after = _element(after, _SEQUENCE)
        bits, after = _element(after, _BIT_STRING)
        if after or bits[:1] != b"\x00":
            raise CertificateError("malformed signature")
        return cls(pem, der, bits[1:], _public_key(to_be_signed))


class PairedCertificates:
    """Which certificates are paired. A certificate is known byte for byte or not at all.

    Issuer, serial number, names and dates prove nothing here, because anybody can write them; the
    TLS handshake has shown that the peer holds the key. Validity dates are not checked: clients'
    certificates outlive them in practice, and unpairing is how trust ends.
    """

    def __init__(self, certificates: Iterable[Certificate] = ()) -> None:
        self._known = {certificate.fingerprint: certificate for certificate in certificates}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, certificate: Certificate) -> None:
        """Pair. Raises `CertificateError` beyond `MAX_PAIRED`."""
        if len(self._known) >= MAX_PAIRED and certificate.fingerprint not in self._known:
            raise CertificateError(f"more than {MAX_PAIRED} certificates are paired")
        self._known[certificate.fingerprint] = certificate

    def remove(self, fingerprint: str) -> bool:
        """Unpair; false if it was not paired."""
        return self._known.pop(fingerprint, None) is not None

    def find(self, der: bytes | None) -> Certificate | None:
        """The paired certificate that a TLS peer presented, None if it presented no such one."""
        if der is None:
            return None
        known = self._known.get(hashlib.sha256(der).hexdigest())
        return known if known is not None and known.der == der else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate together with its private key: what one side is."""

    certificate: Certificate
    private_key: rsa.RSAPrivateKey

    def sign(self, message: bytes) -> bytes:
        """RSA PKCS#1 v1.5 with SHA-256; as many bytes as the key's modulus. Deterministic."""
        return self.private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    @classmethod
    def from_pem(cls, certificate: bytes, private_key: bytes) -> Identity:
        """Read an identity from two unencrypted PEM texts. Raises `CertificateError`."""
        try:
            key = serialization.load_pem_private_key(private_key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError("private key cannot be read") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CertificateError("private key is not RSA")
        read = Certificate.from_pem(certificate)
        if key.public_key().public_numbers() != read.public_key.public_numbers():
            raise CertificateError("private key does not belong to the certificate")
        return cls(read, key)


def _element(data: bytes, tag: int | None) -> tuple[bytes, bytes]:
    """Split ``data`` into the content of its first DER element and what follows it."""
    content, header = _bounds(data, tag)
    return data[header : header + content], data[header + content :]


def _bounds(data: bytes, tag: int | None) -> tuple[int, int]:
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise CertificateError("unexpected ASN.1 element")
    length, header = data[1], 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3 or len(data) < 2 + size:
            raise CertificateError("ASN.1 length out of range")
        length, header = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if header + length > len(data):
        raise CertificateError("ASN.1 element is cut off")
    return length, header


def _public_key(to_be_signed: bytes) -> rsa.RSAPublicKey:
    rest = to_be_signed
    if rest[:1] == bytes([_VERSION]):
        _, rest = _element(rest, _VERSION)
    for _ in range(_FIELDS_BEFORE_KEY):
        _, rest = _element(rest, None)
    length, header = _bounds(rest, _SEQUENCE)
    try:
        key = serialization.load_der_public_key(rest[: header + length])
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("public key cannot be read") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise CertificateError("public key is not RSA")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise CertificateError(f"RSA key of {key.key_size} bits is not acceptable")
    return key
