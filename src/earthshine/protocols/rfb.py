"""RFB, the protocol of VNC (RFC 6143), as a gateway between a server and a browser speaks it.

The gateway finishes the server's authentication itself (`ServerHandshake`), offers the browser
none (`BrowserHandshake`), and from then on passes the server's bytes on as they are. The browser's
bytes go through `ClientMessages`, which knows where every message ends and so can hold back input
from those who may only watch, at any moment.

Numbers are big-endian. Reading raises RfbError and nothing else. See docs/protocols/rfb.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

SUBPROTOCOL: Final = "binary"
VERSION: Final = b"RFB 003.008\n"
MAX_REASON: Final = 4096
"""Bytes of a server's reason for refusing."""
MAX_NAME_BYTES: Final = 4096
MAX_NAME: Final = 128
"""Characters of a desktop's name that reach the browser."""
MAX_ENCODINGS: Final = 256
MAX_CUT_TEXT: Final = 1 << 20
"""Bytes of one clipboard message from a browser."""
MAX_SCREENS: Final = 16
MAX_FENCE: Final = 64
MAX_HELD: Final = 128
"""Keys that count as held down at once; further ones are dropped."""
PASSWORD_BYTES: Final = 8
"""VncAuth looks at no more than these."""
CHALLENGE_BYTES: Final = 16


class RfbError(ValueError):
    """Base of the errors of this module; the message can be shown to a person."""


class BadMessageError(RfbError):
    """The bytes are not RFB, or break a stated limit."""


class UnsupportedError(RfbError):
    """The other end is RFB but offers nothing that this end can do."""


class RefusedError(RfbError):
    """The server said no; `reason` is the server's own words, as plain text."""

    def __init__(self, words: str, reason: str = "") -> None:
        super().__init__(f"{words} ({reason})" if reason else words)
        self.reason = reason


class Security(IntEnum):
    """Security types (RFC 6143, 7.2, and the registry)."""

    INVALID = 0
    NONE = 1
    VNC_AUTH = 2


_NO_MARKUP: Final = str.maketrans("<>", "\u2039\u203a")


def plain_text(data: bytes, limit: int) -> str:
    """What a server calls itself, as text that no page can take for markup."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.translate(_NO_MARKUP)
    return "".join(character for character in text if character.isprintable())[:limit]


def vnc_response(password: bytes, challenge: bytes) -> bytes:
    """VncAuth (RFC 6143, 7.2.2): the challenge under DES, the password being the key.

    Its first eight bytes count, each with its bits the other way round. Three equal keys make
    Triple DES what single DES is.
    """
    key = password[:PASSWORD_BYTES].ljust(PASSWORD_BYTES, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    encryptor = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(challenge) + encryptor.finalize()


class Buffer:
    """Exact amounts from pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        self._data += data

    def peek(self, start: int, count: int) -> bytes | None:
        """None if there is less."""
        if len(self._data) < start + count:
            return None
        return bytes(self._data[start : start + count])

    def take(self, count: int) -> bytes | None:
        """None if there is less."""
        data = self.peek(0, count)
        if data is not None:
            del self._data[:count]
        return data

    def rest(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


@dataclass(frozen=True, slots=True)
class ServerInit:
    """A desktop: its size, its own pixel format (16 bytes, RFC 6143, 7.4), its name as text."""

    width: int
    height: int
    pixel_format: bytes
    name: str

    def encode(self) -> bytes:
        """The message for a browser."""
        name = self.name.encode("utf-8", "replace")
        head = struct.pack(">HH16sI", self.width, self.height, self.pixel_format, len(name))
        return head + name


_SERVER_INIT: Final = struct.Struct(">HH16sI")


class ServerStage(Enum):
    """What is awaited from the server."""

    VERSION = "its version"
    SECURITY = "its security types"
    CHALLENGE = "its challenge"
    RESULT = "its verdict on the password"
    INIT = "the desktop's size and name"
    DONE = "nothing"


class ServerHandshake:
    """The client's side towards a VNC server, without and with a password (VncAuth).

    Feed `receive` until `stage` is DONE; then `desktop` is known and `early` are bytes that came
    behind it. The desktop is always asked for as shared: one viewer must not throw out another.
    """

    def __init__(self, password: str | None) -> None:
        self._password = password
        self._buffer = Buffer()
        self.stage = ServerStage.VERSION
        self.desktop: ServerInit | None = None
        self._steps: dict[ServerStage, Callable[[], bytes | None]] = {
            ServerStage.VERSION: self._version,
            ServerStage.SECURITY: self._security,
            ServerStage.CHALLENGE: self._challenge,
            ServerStage.RESULT: self._result,
            ServerStage.INIT: self._init,
        }

    @property
    def early(self) -> bytes:
        """Bytes behind the handshake, once."""
        return self._buffer.rest()

    def receive(self, data: bytes) -> bytes:
        """What to send in answer. Raises RfbError."""
        self._buffer.add(data)
        answer = b""
        while self.stage is not ServerStage.DONE:
            step = self._steps[self.stage]()
            if step is None:
                break
            answer += step
        return answer

    def _version(self) -> bytes | None:
        line = self._buffer.take(len(VERSION))
        if line is None:
            begun = self._buffer.peek(0, min(len(self._buffer), 4)) or b""
            if not b"RFB ".startswith(begun):
                raise BadMessageError("what answers there is not a VNC server")
            return None
        if not _is_version(line):
            raise BadMessageError("what answers there is not a VNC server")
        if line < VERSION:
            spoken = f"{int(line[4:7])}.{int(line[8:11])}"
            raise UnsupportedError(f"the VNC server speaks RFB {spoken}; 3.8 is needed")
        self.stage = ServerStage.SECURITY
        return VERSION

    def _security(self) -> bytes | None:
        count = self._buffer.peek(0, 1)
        if count is None:
            return None
        if count[0] == 0:
            self._raise_refused(1, "The VNC server refuses connections.")
            return None
        offered = self._buffer.peek(1, count[0])
        if offered is None:
            return None
        self._buffer.take(1 + count[0])
        if Security.VNC_AUTH in offered and self._password is not None:
            self.stage = ServerStage.CHALLENGE
            return bytes((Security.VNC_AUTH,))
        if Security.NONE in offered:
            self.stage = ServerStage.RESULT
            return bytes((Security.NONE,))
        if Security.VNC_AUTH in offered:
            raise UnsupportedError("the VNC server wants a password and none is set")
        kinds = ", ".join(str(kind) for kind in offered[:16])
        raise UnsupportedError(
            f"the VNC server offers only security types that are not supported ({kinds}); "
            "allow VncAuth or None there"
        )

    def _challenge(self) -> bytes | None:
        challenge = self._buffer.take(CHALLENGE_BYTES)
        if challenge is None:
            return None
        self.stage = ServerStage.RESULT
        return vnc_response((self._password or "").encode("utf-8", "replace"), challenge)

    def _result(self) -> bytes | None:
        verdict = self._buffer.peek(0, 4)
        if verdict is None:
            return None
        if any(verdict):
            self._raise_refused(4, "The VNC server refused the password.")
            return None
        self._buffer.take(4)
        self.stage = ServerStage.INIT
        return b"\x01"  # ClientInit: shared

    def _raise_refused(self, at: int, words: str) -> None:
        """Once the server's reason is complete."""
        head = self._buffer.peek(at, 4)
        if head is None:
            return
        length = int.from_bytes(head)
        if length > MAX_REASON:
            raise RefusedError(words)
        reason = self._buffer.peek(at + 4, length)
        if reason is not None:
            raise RefusedError(words, plain_text(reason, 200))

    def refused_at_end(self) -> RfbError | None:
        """What it means that the server ends the stream now; None once the handshake is done."""
        if self.stage is ServerStage.DONE:
            return None
        if self.stage is ServerStage.RESULT and any(self._buffer.peek(0, 4) or b""):
            return RefusedError("The VNC server refused the password.")
        return BadMessageError(f"the VNC server ended the connection before {self.stage.value}")

    def _init(self) -> bytes | None:
        head = self._buffer.peek(0, _SERVER_INIT.size)
        if head is None:
            return None
        width, height, pixel_format, length = _SERVER_INIT.unpack(head)
        if length > MAX_NAME_BYTES:
            raise BadMessageError("the VNC server's desktop has an impossible name")
        name = self._buffer.peek(_SERVER_INIT.size, length)
        if name is None:
            return None
        self._buffer.take(_SERVER_INIT.size + length)
        self.desktop = ServerInit(width, height, pixel_format, plain_text(name, MAX_NAME))
        self.stage = ServerStage.DONE
        return b""


def _is_version(line: bytes) -> bool:
    digits = line[4:7] + line[8:11]
    return line[:4] == b"RFB " and line[7:8] == b"." and line[11:] == b"\n" and digits.isdigit()


# --- Towards the browser --------------------------------------------------------------------------


class BrowserStage(Enum):
    """What is awaited from the browser."""

    VERSION = "its version"
    SECURITY = "its choice of security"
    INIT = "its ClientInit"
    DONE = "nothing"


class BrowserHandshake:
    """The server's side towards a browser whom somebody else has let in: security type None.

    With `refusal` the browser is told that text instead of getting a desktop, in the way in which
    RFB servers refuse (RFC 6143, 7.1.2). Send `begin`, then what `receive` gives.
    """

    def __init__(self, desktop: ServerInit | None, *, refusal: str = "") -> None:
        self._desktop = desktop
        self._refusal = refusal or "There is no desktop."
        self._buffer = Buffer()
        self.stage = BrowserStage.VERSION

    def begin(self) -> bytes:
        """The first bytes."""
        return VERSION

    @property
    def early(self) -> bytes:
        """Bytes behind the handshake, once."""
        return self._buffer.rest()

    def receive(self, data: bytes) -> bytes:
        """What to send in answer. Raises RfbError."""
        self._buffer.add(data)
        answer = b""
        while self.stage is not BrowserStage.DONE:
            step = self._step()
            if step is None:
                break
            answer += step
        return answer

    def _step(self) -> bytes | None:
        if self.stage is BrowserStage.VERSION:
            line = self._buffer.take(len(VERSION))
            if line is None:
                return None
            if line != VERSION:
                raise BadMessageError("the browser does not speak RFB 3.8")
            if self._desktop is None:
                self.stage = BrowserStage.DONE
                reason = self._refusal.encode("utf-8", "replace")[:MAX_REASON]
                return b"\0" + len(reason).to_bytes(4) + reason
            self.stage = BrowserStage.SECURITY
            return bytes((1, Security.NONE))
        taken = self._buffer.take(1)
        if taken is None:
            return None
        if self.stage is BrowserStage.SECURITY:
            if taken[0] != Security.NONE:
                raise BadMessageError("the browser chose a security type that was not offered")
            self.stage = BrowserStage.INIT
            return bytes(4)
        self.stage = BrowserStage.DONE
        assert self._desktop is not None
        return self._desktop.encode()


# --- The browser's messages -----------------------------------------------------------------------


class ClientMessage(IntEnum):
    """Types of messages from client to server (RFC 6143, 7.5, and the registry)."""

    SET_PIXEL_FORMAT = 0
    SET_ENCODINGS = 2
    UPDATE_REQUEST = 3
    KEY = 4
    POINTER = 5
    CUT_TEXT = 6
    CONTINUOUS_UPDATES = 150
    FENCE = 248
    XVP = 250
    SET_DESKTOP_SIZE = 251
    QEMU = 255


_HEADERS: Final[dict[ClientMessage, int]] = {
    ClientMessage.SET_PIXEL_FORMAT: 20,
    ClientMessage.SET_ENCODINGS: 4,
    ClientMessage.UPDATE_REQUEST: 10,
    ClientMessage.KEY: 8,
    ClientMessage.POINTER: 6,
    ClientMessage.CUT_TEXT: 8,
    ClientMessage.CONTINUOUS_UPDATES: 10,
    ClientMessage.FENCE: 9,
    ClientMessage.XVP: 4,
    ClientMessage.SET_DESKTOP_SIZE: 8,
    ClientMessage.QEMU: 12,
}
"""Bytes after which a message's length is known; for most that is all of it."""
_WATCHING: Final = frozenset(
    {
        ClientMessage.SET_PIXEL_FORMAT,
        ClientMessage.SET_ENCODINGS,
        ClientMessage.UPDATE_REQUEST,
        ClientMessage.CONTINUOUS_UPDATES,
        ClientMessage.FENCE,
    }
)
"""What those who only watch may send."""
_NEVER: Final = frozenset({ClientMessage.XVP})
"""What nobody may send: XVP switches the machine off."""
_QEMU_KEY: Final = 0

EXTENDED_CLIPBOARD: Final = 0xC0A1E5CE - (1 << 32)
EXTENDED_DESKTOP_SIZE: Final = -308
LEFT_OUT: Final = frozenset({-259, -305, -307, -309, -316})
"""Pseudo-encodings that no browser gets to announce, so that the server never begins with them.

QEMU audio, GII and XVP bring messages of their own. Extended mouse buttons make the length of a
PointerEvent depend on what the server has agreed to, which is not looked at here. A desktop name
would reach the page as the server wrote it.
"""


class ClientMessages:
    """Where the browser's messages end, and which of them may pass.

    `view_only` may change at any time and counts for every message that is not complete yet. A
    message is passed on whole or not at all. `extended_clipboard` lets the browser speak of
    clipboards beyond Latin-1, for servers known to understand it: to others such a message has
    another length, and so another end. With `fixed_size` the client cannot change the desktop's
    size, and does not hear that it could. `steering` is asked about the size of each message that
    steers; what it declines is dropped, except for keys and buttons that are let go.
    """

    def __init__(
        self,
        *,
        view_only: bool,
        extended_clipboard: bool = False,
        fixed_size: bool = False,
        steering: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.view_only = view_only
        self._steering = steering
        self._left_out = LEFT_OUT if extended_clipboard else LEFT_OUT | {EXTENDED_CLIPBOARD}
        self._never = _NEVER
        if fixed_size:
            self._left_out |= {EXTENDED_DESKTOP_SIZE}
            self._never |= {ClientMessage.SET_DESKTOP_SIZE}
        self._extended_clipboard = extended_clipboard
        self._buffer = Buffer()
        self._skip = 0
        self._held: dict[bytes, bytes] = {}
        self._pointer: bytes | None = None

    def receive(self, data: bytes) -> bytes:
        """What goes to the server. Raises BadMessageError, after which it must not be used."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer.add(data)
        passed = []
        while (message := self._next()) is not None:
            passed.append(message)
        return b"".join(passed)

    def take_control(self) -> bytes:
        """Make it view-only; the bytes release every key and button that is held down."""
        self.view_only = True
        releases = list(self._held.values())
        if self._pointer is not None:
            releases.append(bytes((ClientMessage.POINTER, 0)) + self._pointer)
        self._held.clear()
        self._pointer = None
        return b"".join(releases)

    def _next(self) -> bytes | None:
        """What remains of the next message: b"" if nothing may pass, None if it is not complete."""
        first = self._buffer.peek(0, 1)
        if first is None:
            return None
        try:
            kind = ClientMessage(first[0])
        except ValueError:
            raise BadMessageError(
                f"the browser sent a message of unknown type {first[0]}"
            ) from None
        head = self._buffer.peek(0, _HEADERS[kind])
        if head is None:
            return None
        length = _length(kind, head, extended_clipboard=self._extended_clipboard)
        if kind in self._never or (self.view_only and kind not in _WATCHING):
            self._skip = length - min(length, len(self._buffer))
            self._buffer.take(length - self._skip)
            return b""
        message = self._buffer.take(length)
        if message is None:
            return None
        if kind not in _WATCHING and not _lets_go(kind, message) and not self._steering(length):
            return b""
        return self._rewritten(kind, message)

    def _rewritten(self, kind: ClientMessage, message: bytes) -> bytes:
        if kind is ClientMessage.SET_ENCODINGS:
            announced = struct.unpack(f">{len(message) // 4 - 1}i", message[4:])
            kept = [encoding for encoding in announced if encoding not in self._left_out]
            return struct.pack(f">BxH{len(kept)}i", kind, len(kept), *kept)
        if kind is ClientMessage.POINTER:
            self._pointer = message[2:] if message[1] else None
        if kind is ClientMessage.KEY:
            return self._key(message, message[4:], is_down=message[1] != 0, up=b"\x04\0")
        if kind is ClientMessage.QEMU:
            is_down = message[2:4] != bytes(2)
            return self._key(message, message[4:], is_down=is_down, up=b"\xff\0\0\0")
        return message

    def _key(self, message: bytes, key: bytes, *, is_down: bool, up: bytes) -> bytes:
        if not is_down:
            self._held.pop(key, None)
            return message
        if key not in self._held and len(self._held) >= MAX_HELD:
            return b""
        self._held[key] = up + message[len(up) : 4] + key
        return message


def _lets_go(kind: ClientMessage, message: bytes) -> bool:
    """Whether a message does nothing but release a key or the buttons."""
    if kind is ClientMessage.QEMU:
        return message[2:4] == bytes(2)
    return kind in (ClientMessage.KEY, ClientMessage.POINTER) and message[1] == 0


def _length(kind: ClientMessage, head: bytes, *, extended_clipboard: bool) -> int:
    """The length of a message; BadMessageError for one that is too long."""
    if kind is ClientMessage.SET_ENCODINGS:
        count = int.from_bytes(head[2:4])
        if count > MAX_ENCODINGS:
            raise BadMessageError("the browser announced too many encodings")
        return len(head) + 4 * count
    if kind is ClientMessage.CUT_TEXT:
        count = int.from_bytes(head[4:8], signed=True)
        if count < 0 and not extended_clipboard:
            raise BadMessageError("the browser sent a clipboard of a kind it was not offered")
        if abs(count) > MAX_CUT_TEXT:
            raise BadMessageError(f"a clipboard has at most {MAX_CUT_TEXT} bytes")
        return len(head) + abs(count)
    if kind is ClientMessage.FENCE:
        if head[8] > MAX_FENCE:
            raise BadMessageError("the browser sent a fence that is too long")
        return len(head) + head[8]
    if kind is ClientMessage.SET_DESKTOP_SIZE:
        if head[6] > MAX_SCREENS:
            raise BadMessageError("the browser asked for too many screens")
        return len(head) + 16 * head[6]
    if kind is ClientMessage.QEMU and head[1] != _QEMU_KEY:
        raise BadMessageError(f"the browser sent a QEMU message of unknown type {head[1]}")
    return len(head)
