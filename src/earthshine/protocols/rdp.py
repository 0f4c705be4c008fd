"""RDP, as far as a gateway between a browser and an RDP server looks into it.

Between the two the stream is RDP under TLS that the gateway ends, so it sees the connection
sequence of [MS-RDPBCGR] 1.3.1.1. `ClientStream` changes two of the browser's messages: in the
Connect Initial PDU the colour depths (`CS_CORE`), in the Client Info PDU the login, so that no
password ever reaches the page. After that it knows where every message ends and can hold back
input from those who may only watch.

Messages are TPKT (RFC 1006) with big-endian lengths around little-endian contents, or fast-path
input. Reading raises RdpError and nothing else. See docs/protocols/rdcleanpath.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import Final

TPKT_HEADER: Final = 4
_TPKT_VERSION: Final = 3
MAX_CONFIRM: Final = 512
"""Bytes of an X.224 connection confirm."""
MAX_LOGIN_BYTES: Final = 512
"""Bytes of a user name, a password or a domain in UTF-16, [MS-RDPBCGR] 2.2.1.11.1.1."""
MAX_HELD: Final = 128
"""Keys that count as held down at once."""


class RdpError(ValueError):
    """The bytes are not RDP as it is known here; the message can be shown to a person."""


class NegotiationError(RdpError):
    """The server does not do TLS without CredSSP. `confirm` is its answer, for the browser."""

    def __init__(self, words: str, confirm: bytes) -> None:
        super().__init__(words)
        self.confirm = confirm


# --- X.224 ----------------------------------------------------------------------------------------


class Protocol(IntFlag):
    """Security protocols, [MS-RDPBCGR] 2.2.1.1.1."""

    STANDARD = 0
    TLS = 1
    CREDSSP = 2


_CONNECTION_REQUEST: Final = 0xE0
_CONNECTION_CONFIRM: Final = 0xD0
_NEGOTIATION_RESPONSE: Final = 2
_NEGOTIATION_FAILURE: Final = 3
_FAILURES: Final[dict[int, str]] = {
    1: "The RDP server wants TLS and then refused it.",
    2: "The RDP server does not allow TLS: set security_layer=tls there.",
    3: "The RDP server has no certificate.",
    4: "The RDP server did not understand the request.",
    5: "The RDP server insists on network level authentication (NLA): allow TLS without it there.",
    6: "The RDP server wants a client certificate.",
}


def connection_request() -> bytes:
    """An X.224 connection request that asks for TLS: the gateway's own, in the browser's place.

    With CredSSP the browser would have to know the password.
    """
    negotiation = struct.pack("<BBHI", 1, 0, 8, Protocol.TLS)
    x224 = struct.pack(">BHHB", _CONNECTION_REQUEST, 0, 0, 0) + negotiation
    return _tpkt(bytes((len(x224),)) + x224)


def is_connection_request(data: bytes) -> bool:
    """Whether the browser's first message is what it should be."""
    head = struct.pack(">BBH", _TPKT_VERSION, 0, len(data) & 0xFFFF)
    return data.startswith(head) and data[5:6] == bytes((_CONNECTION_REQUEST,))


def check_confirm(confirm: bytes) -> None:
    """Whether the server's answer means TLS; NegotiationError or RdpError if not."""
    if tpkt_length(confirm) != len(confirm) or confirm[5:6] != bytes((_CONNECTION_CONFIRM,)):
        raise RdpError("what answers there is not an RDP server")
    negotiation = confirm[11:]
    if len(negotiation) != 8:
        raise NegotiationError("The RDP server does not do TLS.", confirm)
    kind, _, _, value = struct.unpack("<BBHI", negotiation)
    if kind == _NEGOTIATION_FAILURE:
        words = _FAILURES.get(value, f"The RDP server refused the connection ({value}).")
        raise NegotiationError(words, confirm)
    if kind != _NEGOTIATION_RESPONSE or value != Protocol.TLS:
        raise NegotiationError("The RDP server chose a security that was not asked for.", confirm)


def tpkt_length(data: bytes) -> int | None:
    """The length of the TPKT message that begins `data`; None if its header is cut off."""
    if data and data[0] != _TPKT_VERSION:
        raise RdpError("this is not RDP")
    if len(data) < TPKT_HEADER:
        return None
    length = int.from_bytes(data[2:4])
    if length < TPKT_HEADER + 3:
        raise RdpError("an RDP message has an impossible length")
    return length


def _tpkt(x224: bytes) -> bytes:
    return struct.pack(">BBH", _TPKT_VERSION, 0, TPKT_HEADER + len(x224)) + x224


# --- MCS and GCC ----------------------------------------------------------------------------------

_DATA: Final = b"\x02\xf0\x80"
"""The X.224 header of everything after the connection request."""
_CONNECT_INITIAL: Final = b"\x7f\x65"
_SEND_DATA: Final = 0x64
_DISCONNECT: Final = 0x20
_BEFORE_INFO: Final = frozenset({0x04, 0x28, 0x38})
"""Erect domain, attach user, join channel: choices of an MCS message (T.125, 7), shifted by 2."""
_GCC: Final = b"\x00\x05\x00\x14\x7c\x00\x01"
_GCC_REQUEST: Final = b"\x00\x08\x00\x10\x00\x01\xc0\x00Duca"
_CS_CORE: Final = 0xC001
_HIGH_COLOUR: Final = 140
_EARLY_CAPABILITIES: Final = 144
_ALL_DEPTHS: Final = 0x000F
_WANT_32_BITS: Final = 0x0002
_DEEPEST: Final = 24


class _Reader:
    """Takes what must be there from a message; RdpError where it is not."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise RdpError("an RDP message is cut off")
        self.at += count
        return taken

    def expect(self, wanted: bytes) -> None:
        if self.take(len(wanted)) != wanted:
            raise RdpError("an RDP message is not built as expected")

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def ber_length(self) -> int:
        first = self.u8()
        if first < 0x80:
            return first
        if first not in {0x81, 0x82}:
            raise RdpError("an RDP message has an impossible length")
        return int.from_bytes(self.take(first & 0x7F))

    def per_length(self) -> int:
        first = self.u8()
        return first if first < 0x80 else (first & 0x7F) << 8 | self.u8()


def with_deep_colour(message: bytes) -> bytes:
    """A Connect Initial PDU that asks for 32 bits a pixel; the same length. Raises RdpError."""
    reader = _Reader(message, TPKT_HEADER)
    reader.expect(_DATA)
    reader.expect(_CONNECT_INITIAL)
    reader.ber_length()
    for tag in (0x04, 0x04, 0x01, 0x30, 0x30, 0x30):
        reader.expect(bytes((tag,)))
        reader.take(reader.ber_length())
    reader.expect(b"\x04")
    reader.ber_length()
    reader.expect(_GCC)
    reader.per_length()
    reader.expect(_GCC_REQUEST)
    end = reader.per_length() + reader.at
    if end != len(message):
        raise RdpError("an RDP message is not built as expected")
    patched = bytearray(message)
    while reader.at < end:
        start = reader.at
        kind, length = reader.u16(), reader.u16()
        if length < 4:
            raise RdpError("an RDP message is not built as expected")
        reader.take(length - 4)
        if kind == _CS_CORE and length >= _EARLY_CAPABILITIES + 2:
            at = start + _HIGH_COLOUR
            _, depths, capabilities = struct.unpack_from("<HHH", patched, at)
            asked = (_DEEPEST, depths | _ALL_DEPTHS, capabilities | _WANT_32_BITS)
            struct.pack_into("<HHH", patched, at, *asked)
    return bytes(patched)


@dataclass(frozen=True, slots=True)
class _SendData:
    """An MCS Send Data Request: who, to which channel, and what."""

    initiator: bytes
    channel: int
    options: bytes
    content: bytes

    @classmethod
    def read(cls, message: bytes) -> _SendData:
        reader = _Reader(message, TPKT_HEADER)
        reader.expect(_DATA)
        reader.u8()
        initiator = reader.take(2)
        channel = int.from_bytes(reader.take(2))
        options = reader.take(1)
        length = reader.per_length()
        if reader.at + length != len(message):
            raise RdpError("an RDP message does not have the length it states")
        return cls(initiator, channel, options, reader.take(length))

    def encode(self) -> bytes:
        head = bytes((_SEND_DATA,)) + self.initiator + self.channel.to_bytes(2) + self.options
        length = (0x8000 | len(self.content)).to_bytes(2)
        return _tpkt(_DATA + head + length + self.content)


# --- Client Info ----------------------------------------------------------------------------------

_INFO_PACKET: Final = 0x0040
_LICENSE_PACKET: Final = 0x0080
_AUTOLOGON: Final = 0x00000008
_UNICODE: Final = 0x00000010
_PASSWORD_IS_PIN: Final = 0x00040000
_RECONNECT_BYTES: Final = 28


@dataclass(frozen=True, slots=True)
class Login:
    """Who the server shall take the browser for."""

    user: str
    password: str = field(repr=False)
    domain: str = ""


def with_login(message: bytes, login: Login) -> bytes:
    """A Client Info PDU with that login in place of the browser's. Raises RdpError.

    The browser does not choose a program or a folder to start in either.
    """
    sent = _SendData.read(message)
    reader = _Reader(sent.content)
    security = reader.take(4)
    if not int.from_bytes(security[:2], "little") & _INFO_PACKET:
        raise RdpError("the browser did not send its login where it belongs")
    code_page = reader.take(4)
    flags = reader.u32()
    if not flags & _UNICODE:
        raise RdpError("the browser's login is not in Unicode")
    for length in [reader.u16() for _ in range(5)]:
        reader.take(length + 2)
    rest = reader.data[reader.at :]
    texts = [_utf16(text) for text in (login.domain, login.user, login.password, "", "")]
    flags = (flags | _AUTOLOGON) & ~_PASSWORD_IS_PIN
    lengths = struct.pack("<5H", *map(len, texts))
    info = code_page + flags.to_bytes(4, "little") + lengths
    info += b"".join(text + b"\0\0" for text in texts)
    return _SendData(sent.initiator, sent.channel, sent.options, security + info + rest).encode()


def _utf16(text: str) -> bytes:
    try:
        encoded = text.encode("utf-16-le")
    except UnicodeEncodeError:
        raise RdpError("the login contains half of a character") from None
    if len(encoded) > MAX_LOGIN_BYTES or "\0" in text:
        raise RdpError("a user name or password is longer than RDP allows")
    return encoded


# --- The browser's stream -------------------------------------------------------------------------

_IO_CHANNEL: Final = 1003
_CONFIRM_ACTIVE: Final = 0x3
_DATA_PDU: Final = 0x7
_WATCHING: Final = frozenset({20, 31, 33, 35, 36, 39, 43, 56})
"""Data PDUs of those who only watch: control, synchronize, refresh, suppress, shutdown request,
font list, persistent keys, frame acknowledge; [MS-RDPBCGR] 2.2.8.1.1.1.2."""
_EVENT_BYTES: Final = (1, 6, 6, 0, 2, 6, 4)
"""What follows a fast-path event's header, by its code; [MS-RDPBCGR] 2.2.8.1.2.2."""
_SCANCODE: Final = 0
_MOUSE: Final = 1
_EXTENDED_MOUSE: Final = 2
_UNICODE_KEY: Final = 4
_UP: Final = 0x01
_POINTER_DOWN: Final = 0x8000


class _Stage(Enum):
    CONNECTING = "connect initial"
    JOINING = "client info"
    RELAYING = "everything"


class ClientStream:
    """The browser's side of the stream, behind RDCleanPath: rewritten, then passed on or held back.

    `view_only` may change at any time and counts for every message that is not complete yet. In a
    viewer's stream only what keeps the picture coming passes: no input, no virtual channels
    (clipboard, drives, resizing).
    """

    def __init__(self, login: Login, *, view_only: bool) -> None:
        self._login = login
        self.view_only = view_only
        self._buffer = bytearray()
        self._stage = _Stage.CONNECTING
        self._is_active = False
        self._held = HeldInput()
        self._typed = 0

    def receive(self, data: bytes) -> bytes:
        """What goes to the server. Raises RdpError, after which it must not be used."""
        self._buffer += data
        passed = []
        while (length := self._length()) is not None and len(self._buffer) >= length:
            message = bytes(self._buffer[:length])
            del self._buffer[:length]
            passed.append(self._passed(message))
        return b"".join(passed)

    def take_typed(self) -> int:
        """Bytes of keys and buttons that passed since this was asked last."""
        typed, self._typed = self._typed, 0
        return typed

    def take_control(self) -> bytes:
        """Make it view-only; the bytes release every key and button that is held down."""
        self.view_only = True
        return self._held.release()

    def _length(self) -> int | None:
        head = bytes(self._buffer[:TPKT_HEADER])
        if not head or head[0] & 0x3 == _TPKT_VERSION:
            return tpkt_length(head)
        if head[0] & 0x3 or self._stage is not _Stage.RELAYING:
            raise RdpError("the browser sent something that is not RDP")
        if head[0] & 0xC0:
            raise RdpError("the browser sent encrypted input, which TLS makes pointless")
        if len(head) < 3:
            return None
        length = head[1] if head[1] < 0x80 else (head[1] & 0x7F) << 8 | head[2]
        if length < 3:
            raise RdpError("an RDP message has an impossible length")
        return length

    def _passed(self, message: bytes) -> bytes:
        if message[0] & 0x3 != _TPKT_VERSION:
            if self.view_only:
                return b""
            if not self._held.notice(message):
                return b""
            self._typed += len(message)
            return message
        if self._stage is _Stage.CONNECTING:
            self._stage = _Stage.JOINING
            return with_deep_colour(message)
        if self._stage is _Stage.RELAYING:
            return message if not self.view_only or self._may_watch(message) else b""
        kind = _mcs_choice(message)
        if kind == _SEND_DATA:
            self._stage = _Stage.RELAYING
            return with_login(message, self._login)
        if kind not in _BEFORE_INFO:
            raise RdpError("the browser did not send its login where it belongs")
        return message

    def _may_watch(self, message: bytes) -> bool:
        kind = _mcs_choice(message)
        if kind != _SEND_DATA:
            return kind == _DISCONNECT
        sent = _SendData.read(message)
        content = sent.content
        if sent.channel != _IO_CHANNEL or len(content) < 6:
            return False
        length, share = struct.unpack_from("<HH", content)
        if length != len(content):
            return not self._is_active and length == _LICENSE_PACKET
        if share & 0xF == _CONFIRM_ACTIVE:
            self._is_active = True
            return True
        return share & 0xF == _DATA_PDU and len(content) > 14 and content[14] in _WATCHING


def _mcs_choice(message: bytes) -> int:
    reader = _Reader(message, TPKT_HEADER)
    reader.expect(_DATA)
    return reader.u8() & 0xFC


class HeldInput:
    """Which keys and buttons a browser holds down, from its fast-path input."""

    def __init__(self) -> None:
        self._keys: dict[bytes, None] = {}
        self._buttons: dict[tuple[int, int], bytes] = {}

    def notice(self, message: bytes) -> bool:
        """Whether the message may pass: not with more keys down than can be released again.

        Raises RdpError.
        """
        reader = _Reader(message)
        count = reader.u8() >> 2 & 0xF
        reader.take(1 if message[1] < 0x80 else 2)
        if not count:
            count = reader.u8()
        for _ in range(count):
            head = reader.u8()
            code, flags = head >> 5, head & 0x1F
            if code >= len(_EVENT_BYTES):
                raise RdpError("the browser sent input of an unknown kind")
            self._event(code, flags, reader.take(_EVENT_BYTES[code]))
        if reader.at != len(message):
            raise RdpError("an RDP message does not have the length it states")
        return len(self._keys) <= MAX_HELD

    def release(self) -> bytes:
        """Fast-path input that lets everything go."""
        events = [*self._keys, *self._buttons.values()]
        self._keys.clear()
        self._buttons.clear()
        return b"".join(_fast_path(event) for event in events)

    def _event(self, code: int, flags: int, body: bytes) -> None:
        if code in {_SCANCODE, _UNICODE_KEY}:
            release = bytes((code << 5 | flags | _UP,)) + body
            if flags & _UP:
                self._keys.pop(release, None)
            else:
                self._keys[release] = None
        elif code in {_MOUSE, _EXTENDED_MOUSE}:
            (pointer,) = struct.unpack_from("<H", body)
            for button in (0x1000, 0x2000, 0x4000) if code == _MOUSE else (0x1, 0x2):
                if pointer & button and pointer & _POINTER_DOWN:
                    up = struct.pack("<H", button) + body[2:]
                    self._buttons[code, button] = bytes((code << 5,)) + up
                elif pointer & button:
                    self._buttons.pop((code, button), None)


def _fast_path(event: bytes) -> bytes:
    return bytes((1 << 2, 2 + len(event))) + event
