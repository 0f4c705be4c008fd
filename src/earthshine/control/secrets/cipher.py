"""Encryption of secrets at rest: AES-256-GCM, bound to whose secret it is and what it is called."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class SecretKeyError(ValueError):
    """That is no key; says what one looks like."""


class UnsealError(Exception):
    """The secret was encrypted with another key, or for somebody else, or was altered."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose secret, and its name. A ciphertext is good for one place only."""

    owner_kind: str
    """`person` or `runner`."""
    owner_id: str
    name: str


class Cipher:
    """Holds the key. A nonce is random: with one key, good for about 2^32 values."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SecretKeyError(f"the key has {len(key)} bytes, not {KEY_BYTES}")
        self._aead = AESGCM(key)
        self.key_id = hashlib.sha256(b"earthshine secrets key\n" + key).hexdigest()[:16]

    def seal(self, place: Place, value: str) -> bytes:
        """Nonce, ciphertext, tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value.encode(), _bound_to(place))

    def unseal(self, place: Place, sealed: bytes) -> str:
        """The value. Raises UnsealError."""
        try:
            plain = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(place))
            return plain.decode()
        except (InvalidTag, ValueError):
            raise UnsealError from None


def _bound_to(place: Place) -> bytes:
    words = ["earthshine secret 1", place.owner_kind, place.owner_id, place.name]
    return json.dumps(words, ensure_ascii=True).encode()


def parse_key(text: str) -> bytes:
    """A key of 32 bytes, as base64 (either alphabet) or hexadecimal. Raises SecretKeyError."""
    text = text.strip()
    key = b""
    try:
        if len(text) == 2 * KEY_BYTES:
            key = bytes.fromhex(text)
        else:
            padded = text.replace("-", "+").replace("_", "/").rstrip("=")
            key = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretKeyError(
            f"a key is {KEY_BYTES} random bytes as base64 or hexadecimal; "
            f"make one with `openssl rand -base64 {KEY_BYTES}`"
        )
    return key


def new_key() -> str:
    """A fresh key as text."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()
