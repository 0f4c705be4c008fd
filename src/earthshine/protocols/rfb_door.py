"""The server's side of RFB (RFC 6143) up to the desktop, with a password: who lets clients in.

Versions 3.3 (in which the server dictates the security type; xrdp's libvnc speaks it), 3.7 and
3.8. The check itself is the caller's: it gets challenge and response, and says yes or no.

Reading raises RfbError and nothing else. See docs/protocols/rfb.md.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from earthshine.protocols.rfb import (
    CHALLENGE_BYTES,
    MAX_REASON,
    VERSION,
    BadMessageError,
    Buffer,
    Security,
    ServerInit,
)

_VERSIONS: Final[dict[bytes, int]] = {
    b"RFB 003.003\n": 3,
    b"RFB 003.007\n": 7,
    b"RFB 003.008\n": 8,
}


class DoorStage(Enum):
    """What is awaited, from the client where nothing else is said."""

    VERSION = "its version"
    SECURITY = "its choice of security"
    RESPONSE = "its response to the challenge"
    JUDGEMENT = "the caller's verdict"
    INIT = "its ClientInit"
    DONE = "nothing"


class DoorHandshake:
    """Asks a client for a password. `challenge` is random, `CHALLENGE_BYTES` long.

    Send `begin`, then what `receive` gives, until `stage` is JUDGEMENT. Then `accept` or `refuse`;
    after `accept` go on until DONE.
    """

    def __init__(self, challenge: bytes) -> None:
        if len(challenge) != CHALLENGE_BYTES:
            raise ValueError(f"a challenge has {CHALLENGE_BYTES} bytes")
        self.challenge: Final = challenge
        self.response = b""
        self.stage = DoorStage.VERSION
        self._buffer = Buffer()
        self._minor = 8
        self._desktop: ServerInit | None = None

    @property
    def early(self) -> bytes:
        """Bytes behind the handshake, once."""
        return self._buffer.rest()

    def begin(self) -> bytes:
        """The first bytes."""
        return VERSION

    def receive(self, data: bytes) -> bytes:
        """What to send in answer. Raises RfbError."""
        self._buffer.add(data)
        answer = b""
        while (step := self._step()) is not None:
            answer += step
        return answer

    def accept(self, desktop: ServerInit) -> bytes:
        """The password was right: what to send. `desktop` follows once the client asks for it."""
        assert self.stage is DoorStage.JUDGEMENT
        self._desktop = desktop
        self.stage = DoorStage.INIT
        return bytes(4)

    def refuse(self, words: str) -> bytes:
        """The password was wrong, or there is no desktop: what to send before closing."""
        assert self.stage is DoorStage.JUDGEMENT
        self.stage = DoorStage.DONE
        if self._minor < 8:
            return (1).to_bytes(4)
        reason = words.encode("utf-8", "replace")[:MAX_REASON]
        return (1).to_bytes(4) + len(reason).to_bytes(4) + reason

    def _step(self) -> bytes | None:
        match self.stage:
            case DoorStage.VERSION:
                return self._version()
            case DoorStage.SECURITY:
                chosen = self._buffer.take(1)
                if chosen is None:
                    return None
                if chosen[0] != Security.VNC_AUTH:
                    raise BadMessageError("the client chose a security type that was not offered")
                self.stage = DoorStage.RESPONSE
                return self.challenge
            case DoorStage.RESPONSE:
                response = self._buffer.take(CHALLENGE_BYTES)
                if response is None:
                    return None
                self.response = response
                self.stage = DoorStage.JUDGEMENT
                return b""
            case DoorStage.INIT:
                # Whether the desktop is shared is not the client's to say.
                if self._buffer.take(1) is None:
                    return None
                assert self._desktop is not None
                self.stage = DoorStage.DONE
                return self._desktop.encode()
            case _:
                return None

    def _version(self) -> bytes | None:
        line = self._buffer.take(len(VERSION))
        if line is None:
            return None
        if line not in _VERSIONS:
            raise BadMessageError("the client speaks no version of RFB that is known here")
        self._minor = _VERSIONS[line]
        if self._minor == 3:
            self.stage = DoorStage.RESPONSE
            return int(Security.VNC_AUTH).to_bytes(4) + self.challenge
        self.stage = DoorStage.SECURITY
        return bytes((1, Security.VNC_AUTH))
