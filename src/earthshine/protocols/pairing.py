"""Pairing a runner with a control plane: the code, the keys' fingerprints, what is signed.

A person asks the control plane for a code and types it on the other machine. That machine makes a
key (Ed25519, RFC 8032), presents code and public key, and shows the key's fingerprint. The person
sees the fingerprint that arrived, compares, and confirms; then the machine collects its tokens.

The code. 12 symbols of Crockford's base 32 in three groups: 11 random ones (55 bits) and one check
symbol, so that a typing mistake is found on the spot and costs no attempt.

Signatures. Every message that a machine signs is a domain, which says what the signature is for,
and fields, each behind its length (`transcript`): no signature means anything in another place.
The origin of the server as the machine knows it is one of the fields: what is said to a false
server is of no use to it at the true one.

Time and randomness are arguments. See docs/protocols/pairing.md.
"""

from __future__ import annotations

import hashlib
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U."""
CODE_SYMBOLS: Final = 11
"""Random symbols of a code, five bits each."""
CODE_ENTROPY_BYTES: Final = 7
GROUP: Final = 4
FINGERPRINT_SYMBOLS: Final = 16
"""80 bits. Whoever wants another key with the same fingerprint has to try some 2^80."""
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_NAME: Final = 64
MAX_HOSTNAME: Final = 128
MAX_PLATFORM: Final = 128
MAX_TYPED: Final = 64
"""Characters that are looked at of what somebody typed as a code."""
MAX_URL: Final = 512


class PairingError(ValueError):
    """Base of the errors of this module; the message can be shown to a person."""


class BadCodeError(PairingError):
    """The text is no pairing code."""


class BadKeyError(PairingError):
    """The text is no public key, or no signature."""


class BadProofError(PairingError):
    """The signature is not that of this key over this."""


class BadAddressError(PairingError):
    """The text is not the address of a control plane."""


class Purpose(Enum):
    """What a signature is for; its domain."""

    PRESENT = "earthshine pairing present v1"
    COLLECT = "earthshine pairing collect v1"
    SESSION = "earthshine device session v1"
    STREAM = "earthshine device stream v1"
    UNPAIR = "earthshine device unpair v1"


# --- The code -------------------------------------------------------------------------------------

_VALUE: Final = {sign: number for number, sign in enumerate(ALPHABET)}
_READ_AS: Final = {"I": "1", "L": "1", "O": "0"}


def new_code(entropy: bytes) -> str:
    """A code from `CODE_ENTROPY_BYTES` random bytes, without its dashes."""
    if len(entropy) < CODE_ENTROPY_BYTES:
        raise PairingError(f"a code needs {CODE_ENTROPY_BYTES} random bytes")
    number = int.from_bytes(entropy[:CODE_ENTROPY_BYTES], "big")
    symbols = "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(CODE_SYMBOLS))
    return symbols + _check_symbol(symbols)


def show_code(code: str) -> str:
    """The code in groups, as people read it."""
    return _in_groups(code)


def read_code(typed: str) -> str:
    """What somebody typed, as `new_code` made it. Raises BadCodeError.

    Case, spaces and dashes of any kind do not matter; I and L are taken for 1, O for 0.
    """
    text = unicodedata.normalize("NFKC", typed[:MAX_TYPED]).upper()
    kept = [sign for sign in text if not (sign.isspace() or _is_dash(sign))]
    symbols = "".join(_READ_AS.get(sign, sign) for sign in kept)
    if len(typed) > MAX_TYPED or len(symbols) != CODE_SYMBOLS + 1:
        raise BadCodeError(f"a pairing code has {CODE_SYMBOLS + 1} letters and digits")
    if any(sign not in _VALUE for sign in symbols):
        raise BadCodeError("a pairing code has only digits and letters, and no U")
    if _check_symbol(symbols[:-1]) != symbols[-1]:
        raise BadCodeError("that is not quite the code: one of its signs is wrong")
    return symbols


def code_digest(code: str) -> bytes:
    """What is kept of a code, and what is signed in its place."""
    return hashlib.sha256(b"earthshine pairing code v1\0" + code.encode("ascii")).digest()


def _check_symbol(symbols: str) -> str:
    """The sum of the symbols, each times another power of x, in GF(32) by x^5 + x^2 + 1.

    Finds every single wrong symbol and every two that changed places.
    """
    total = 0
    for symbol in symbols:
        total = _times_x(total ^ _VALUE[symbol])
    return ALPHABET[total]


def _times_x(value: int) -> int:
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


def _is_dash(sign: str) -> bool:
    return unicodedata.category(sign) in ("Pd", "Cf") or sign in "_.\N{MINUS SIGN}"


def _in_groups(symbols: str) -> str:
    return "-".join(symbols[i : i + GROUP] for i in range(0, len(symbols), GROUP))


# --- Keys and fingerprints ------------------------------------------------------------------------


def to_text(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_text(text: str, length: int) -> bytes:
    """Exactly `length` bytes, from the one way to write them. Raises BadKeyError."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise BadKeyError("that is not base64url") from None
    if len(data) != length or to_text(data) != text:
        raise BadKeyError(f"that is not {length} bytes of base64url")
    return data


def fingerprint(key: bytes) -> str:
    """How a public key is shown to people: 16 symbols in groups of four."""
    digest = hashlib.sha256(b"earthshine device key v1\0" + key).digest()
    number = int.from_bytes(digest[:10], "big")
    symbols = "".join(
        ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(FINGERPRINT_SYMBOLS))
    )
    return _in_groups(symbols)


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two people or programs mean the same one, however they group it."""
    return _bare(one) == _bare(other) != ""


def _bare(text: str) -> str:
    return "".join(_READ_AS.get(sign, sign) for sign in text[:MAX_TYPED].upper() if sign.isalnum())


# --- Signatures -----------------------------------------------------------------------------------


def transcript(purpose: Purpose, *fields: bytes | str) -> bytes:
    """What is signed: the domain and the fields, each behind its length (u32, big-endian)."""
    parts = [purpose.value.encode("ascii"), *(_bytes(field) for field in fields)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _bytes(field: bytes | str) -> bytes:
    return field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field


def sign(private_key: bytes, message: bytes) -> str:
    """A signature as text."""
    return to_text(Ed25519PrivateKey.from_private_bytes(private_key).sign(message))


def public_key(private_key: bytes) -> bytes:
    """The public half of a private key of `KEY_BYTES` random bytes."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def verify(key: bytes, signature: str, message: bytes) -> None:
    """Raises BadProofError."""
    try:
        raw = from_text(signature, SIGNATURE_BYTES)
        Ed25519PublicKey.from_public_bytes(key).verify(raw, message)
    except (InvalidSignature, ValueError):
        raise BadProofError("the signature does not prove possession of the device's key") from None


def present_transcript(
    origin: str, code: str, key: bytes, name: str, hostname: str, platform: str
) -> bytes:
    """Signed when a code is presented."""
    return transcript(Purpose.PRESENT, origin, code_digest(code), key, name, hostname, platform)


def collect_transcript(origin: str, pairing_id: str, challenge: str) -> bytes:
    """Signed when tokens are asked for."""
    return transcript(Purpose.COLLECT, origin, pairing_id, challenge)


def session_transcript(origin: str, runner_id: str, token: str, challenge: str) -> bytes:
    """Signed when a session token is asked for; `token` is the one that is shown for it."""
    return transcript(Purpose.SESSION, origin, runner_id, _token_digest(token), challenge)


def stream_transcript(origin: str, runner_id: str, token: str, challenge: str) -> bytes:
    """Signed in the first message on a control connection, over the challenge of its handshake."""
    return transcript(Purpose.STREAM, origin, runner_id, _token_digest(token), challenge)


def unpair_transcript(origin: str, runner_id: str, challenge: str) -> bytes:
    """Signed when a runner gives its credentials up."""
    return transcript(Purpose.UNPAIR, origin, runner_id, challenge)


def _token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


# --- Addresses ------------------------------------------------------------------------------------

SCHEME: Final = "earthshine"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a control plane is, and the pin of its key where one was given along."""

    url: str
    pin: str | None = None


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser writes them. Raises BadAddressError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadAddressError(f"{url[:MAX_URL]} is not an address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddressError("the address of a control plane begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise BadAddressError("credentials do not belong into the address")
    name = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" + ("" if port in (None, default) else f":{port}")


def read_address(text: str) -> ServerAddress:
    """`URL` or `URL#PIN`. Raises BadAddressError."""
    if len(text) > MAX_URL:
        raise BadAddressError("the address is too long")
    url, _, pin = text.strip().partition("#")
    origin_of(url)
    if urlsplit(url).query:
        raise BadAddressError("the address of a control plane has no query")
    return ServerAddress(url.rstrip("/"), pin or None)


def pairing_uri(address: ServerAddress, code: str) -> str:
    """What the QR code says: `earthshine:pair?server=URL&code=CODE&pin=PIN`."""
    query = {"server": address.url, "code": show_code(code)}
    if address.pin:
        query["pin"] = address.pin
    return f"{SCHEME}:pair?{urlencode(query, quote_via=quote, safe=':/')}"


def read_pairing_uri(uri: str) -> tuple[ServerAddress, str]:
    """The address and code of a pairing URI. Raises BadAddressError, BadCodeError."""
    if len(uri) > MAX_URL:
        raise BadAddressError("the address is too long")
    try:
        parts = urlsplit(uri.strip())
        query = parse_qs(parts.query, max_num_fields=8)
    except ValueError:
        raise BadAddressError("that is no pairing address") from None
    if parts.scheme != SCHEME or parts.path != "pair" or not query.get("server"):
        raise BadAddressError("that is no pairing address")
    address = read_address(query["server"][0])
    pin = query.get("pin", [address.pin])[0]
    return ServerAddress(address.url, pin), read_code(query.get("code", [""])[0])
