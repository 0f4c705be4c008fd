"""The password file of a VNC server: passwords of eight bytes, enciphered with a known key.

The enciphering only hides them from a glance; what protects the file is its mode. A second
password lets its holder watch without typing. The server reads the file at each connection, so
replacing it changes the password for the next one and disturbs nobody.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from earthshine.runner.desktops.authority import write_private

LENGTH: Final = 8
"""Characters that VNC authentication looks at (RFC 6143 section 7.2.2)."""
_KEY: Final = bytes((0x17, 0x52, 0x6B, 0x06, 0x23, 0x4E, 0x58, 0x07))
_ALPHABET: Final = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def new_password() -> str:
    """As many random characters as count: 47 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))


def encipher(key: bytes, blocks: bytes) -> bytes:
    """DES in ECB with the bits of each key byte reversed, as VNC does. `key`: eight bytes."""
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    # DES is triple DES with one key three times. ECB: each password is one block.
    cipher = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()  # noqa: S305
    return cipher.update(blocks) + cipher.finalize()


def write_passwords(path: Path, full: str, view_only: str) -> None:
    """Set both passwords. Raises ValueError unless they are eight ASCII characters."""
    for password in (full, view_only):
        if len(password) != LENGTH or not password.isascii():
            raise ValueError(f"a VNC password has {LENGTH} ASCII characters")
    write_private(path, encipher(_KEY, (full + view_only).encode()))
