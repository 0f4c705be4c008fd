"""What a paired runner keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from earthshine.protocols import pairing
from earthshine.protocols.envelope import Token

VERSION: Final = 1


class BadRecordError(Exception):
    """What was kept cannot be read."""


class CredentialsEndedError(Exception):
    """The control plane does not take this runner; only a person can help. Its words."""

    def __init__(self, words: str, *, for_good: bool) -> None:
        super().__init__(words)
        self.for_good = for_good
        """It was revoked; otherwise the fault may be the server's, and pass."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """All of it is secret but the key's fingerprint. `private_key` is base64url."""

    version: int = VERSION
    url: str
    pin: str = ""
    ca_file: str = ""
    allow_plain_http: bool = False
    runner_id: str
    name: str
    private_key: str
    refresh_token: str
    access_token: str
    access_until: float
    """Seconds since 1970."""

    @property
    def key(self) -> bytes:
        """The private key."""
        return pairing.from_text(self.private_key, pairing.KEY_BYTES)

    @property
    def origin(self) -> str:
        """The control plane's, as it goes into what is signed."""
        return pairing.origin_of(self.url)

    @property
    def fingerprint(self) -> str:
        """Of the public key."""
        return pairing.fingerprint(pairing.public_key(self.key))

    def sign_session(self, token: str, challenge: str) -> str:
        """For a session token in exchange for `token`."""
        message = pairing.session_transcript(self.origin, self.runner_id, token, challenge)
        return pairing.sign(self.key, message)

    def sign_stream(self, token: str, challenge: str) -> Token:
        """The first message on a control connection, with a session token."""
        message = pairing.stream_transcript(self.origin, self.runner_id, token, challenge)
        return Token(token=token, proof=pairing.sign(self.key, message))

    def sign_unpair(self, challenge: str) -> str:
        """For giving the credentials up."""
        message = pairing.unpair_transcript(self.origin, self.runner_id, challenge)
        return pairing.sign(self.key, message)


def encode(identity: Identity) -> bytes:
    """For keeping."""
    return msgspec.json.encode(identity)


def decode(data: bytes) -> Identity:
    """Raises BadRecordError."""
    try:
        identity = msgspec.json.decode(data, type=Identity)
        identity.key, identity.origin  # noqa: B018  both are checked by being read
    except (msgspec.DecodeError, UnicodeDecodeError, pairing.PairingError) as error:
        raise BadRecordError(f"the runner's identity cannot be read: {error}") from None
    if identity.version != VERSION:
        raise BadRecordError("the runner's identity was kept by another version of Earthshine")
    return identity
