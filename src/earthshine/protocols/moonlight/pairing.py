"""Pairing: a PIN shown by the client and typed at the host turns into two pinned certificates.

Four phases run over plain HTTP and one over HTTPS. With H = SHA-256 and
K = the first 16 bytes of H(salt || PIN digits), AES-128-ECB without padding under K:

1. ``getservercert``        client sends salt (16) and its certificate; host answers with its own,
                            but only after somebody typed the PIN
2. ``clientchallenge``      client sends E(C), C of 16 bytes; host answers
                            E(H(C || host certificate signature || S) || X), 48 bytes
3. ``serverchallengeresp``  client sends E(R), R = H(X || client certificate signature || T);
                            host answers S || its RSA signature of S
4. ``clientpairingsecret``  client sends T || its RSA signature of T; host checks R and the
signature 5. ``pairchallenge``        over HTTPS with the client certificate just stored

S, X, T are 16 random bytes each; signatures are RSA PKCS#1 v1.5 with SHA-256. Neither side learns
whether the PIN was right before it has committed itself, so each attempt is worth one guess.

This module holds what both sides share; `pairing_host` and `pairing_client` hold the state
machines.
"""

from __future__ import annotations

import enum
import hashlib
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from earthshine.protocols.moonlight.errors import MoonlightError

PATH = "/pair"
UNPAIR_PATH = "/unpair"

SALT_BYTES = 16
CHALLENGE_BYTES = 16
SECRET_BYTES = 16
HASH_BYTES = 32
CHALLENGE_ANSWER_BYTES = HASH_BYTES + CHALLENGE_BYTES

_KEY_BYTES = 16
_PIN = re.compile(r"[0-9]{4}\Z", re.ASCII)


class PairingError(MoonlightError):
    """Pairing could not go on. The message says why."""


class PinError(PairingError):
    """The PIN is not four decimal digits; the attempt is still open."""


class Phase(enum.IntEnum):
    """The five requests of one attempt, in order."""

    CERTIFICATES = 1
    CLIENT_CHALLENGE = 2
    HOST_CHALLENGE = 3
    SECRETS = 4
    CONFIRMATION = 5


class Failure(enum.Enum):
    """Why an attempt ended without pairing."""

    MALFORMED = "the request is malformed or has a wrong length"
    OUT_OF_ORDER = "the request does not belong to this phase"
    IN_PROGRESS = "this client already has a pairing in progress"
    TOO_MANY = "too many pairings are in progress"
    RATE_LIMITED = "too many failed attempts; try again later"
    WRONG_PIN = "the PIN is wrong"
    BAD_SIGNATURE = "a signature does not verify"
    NOT_PAIRED = "the certificate is not known to the host"
    REFUSED = "the other side refused"
    EXPIRED = "the attempt took too long"
    ABANDONED = "the attempt was abandoned"


def check_pin(pin: str) -> str:
    """Return ``pin`` if it is four ASCII digits; raises `PinError` otherwise."""
    if not _PIN.match(pin):
        raise PinError("a PIN is four decimal digits")
    return pin


def derive_key(salt: bytes, pin: str) -> bytes:
    """The 16-byte AES key of an attempt from its 16-byte salt and the PIN."""
    return hashlib.sha256(salt + pin.encode("ascii")).digest()[:_KEY_BYTES]


def encrypt(key: bytes, plain: bytes) -> bytes:
    """AES-128-ECB of whole 16-byte blocks."""
    context = _ecb(key).encryptor()
    return context.update(plain) + context.finalize()


def decrypt(key: bytes, sealed: bytes) -> bytes:
    """Inverse of `encrypt`."""
    context = _ecb(key).decryptor()
    return context.update(sealed) + context.finalize()


def challenge_hash(challenge: bytes, certificate_signature: bytes, secret: bytes) -> bytes:
    """H(challenge || signature bits of the prover's certificate || the prover's secret)."""
    return hashlib.sha256(challenge + certificate_signature + secret).digest()


def _ecb(key: bytes) -> Cipher[modes.ECB]:
    # The protocol prescribes ECB; every block it carries is random or a hash.
    return Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305
