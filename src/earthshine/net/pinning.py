"""Knowing a server by its key, without a certificate authority.

A pin is `sha256:` and 43 characters of base64url (RFC 4648 section 5, no padding): the SHA-256 of
the certificate's SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7). It names the key, not the
certificate, so that a renewed certificate with the same key stays good. The same with OpenSSL:

    openssl x509 -in certificate.pem -noout -pubkey | openssl pkey -pubin -outform DER \\
      | openssl dgst -sha256 -binary | basenc --base64url | tr -d =

A server that shows the pinned key has proved that it holds it: every TLS handshake signs with it.
Names, dates and issuers then add nothing and are not looked at.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PREFIX: Final = "sha256:"
_PIN: Final = re.compile(r"sha256:[A-Za-z0-9_-]{43}", re.ASCII)


class BadPinError(ValueError):
    """The text is no pin; the message can be shown to a person."""


class PinMismatchError(ssl.SSLCertVerificationError):
    """The server's key is not the pinned one. Nothing has been sent to it."""

    def __init__(self, expected: str, shown: str | None) -> None:
        words = f"its key is {shown}" if shown else "it shows no certificate that can be read"
        # Text in second place is what an OSError prints.
        super().__init__(1, f"it is not the server that was pinned: {words}, not {expected}")
        self.expected = expected
        self.shown = shown


def parse_pin(text: str) -> str:
    """The pin as it is written in full. Raises BadPinError."""
    pin = text.strip()
    if not _PIN.fullmatch(pin) or pin != _text(urlsafe_b64decode(pin.removeprefix(PREFIX) + "=")):
        raise BadPinError(
            "a pin is sha256: and 43 letters, digits, - or _, as `earthshine serve` prints it"
        )
    return pin


def fingerprint(certificate: bytes) -> str:
    """The pin of a certificate in DER. Raises ValueError if it cannot be read."""
    try:
        return fingerprint_of(x509.load_der_x509_certificate(certificate))
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def fingerprint_of(certificate: x509.Certificate) -> str:
    """The pin of a certificate. Raises ValueError for a kind of key that is not known."""
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(f"the certificate's key cannot be read: {error}") from None
    return _text(hashlib.sha256(key).digest())


def _text(digest: bytes) -> str:
    return PREFIX + urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def client_context(pin: str | None = None, ca_file: Path | None = None) -> ssl.SSLContext:
    """How a client of ours speaks TLS.

    With a pin only a server with exactly that key is taken, whatever its certificate says. Without
    one the certificate must be good for the name, under the system's authorities or, if given, only
    those of `ca_file`. Raises BadPinError, OSError or ssl.SSLError for what cannot be used.
    """
    if not pin:
        return _versions(ssl.create_default_context(cafile=None if ca_file is None else ca_file))
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.pin = parse_pin(pin)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _versions(context)


def _versions(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _check(context: ssl.SSLContext | None, certificate: bytes | None) -> None:
    expected = context.pin if isinstance(context, PinnedContext) else ""
    try:
        shown = fingerprint(certificate) if certificate else None
    except Exception:  # noqa: BLE001  whatever a stranger shows, the answer is no
        shown = None
    if not expected or shown != expected:
        raise PinMismatchError(expected, shown)


class _PinnedObject(ssl.SSLObject):
    """TLS over memory: what event loops use."""

    def do_handshake(self) -> None:
        super().do_handshake()  # raises SSLWantReadError until it is complete
        _check(self.context, self.getpeercert(binary_form=True))


class _PinnedSocket(ssl.SSLSocket):
    """TLS on a blocking socket."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check(self.context, self.getpeercert(binary_form=True))


class PinnedContext(ssl.SSLContext):
    """Fails the handshake itself when the key is wrong.

    So it holds for every user of the context (asyncio, uvloop, plain sockets, HTTP clients), and
    before any of them could have sent a byte. A context without a pin takes nobody.
    """

    pin: str = ""
    sslobject_class = _PinnedObject
    sslsocket_class = _PinnedSocket
