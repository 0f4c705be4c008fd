"""The viewer protocol: a desktop to a browser, input back. Described in docs/protocols/viewer.md.

One message is one WebSocket message, and on the byte stream between control plane and desktop a
length (u32) and that many bytes.

The control plane passes messages on unchanged in both directions. From a viewer it passes only what
that viewer's role allows (`needs_control`), so the desktop can trust what it gets.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from .binary import (
    Audio,
    Binary,
    Carrying,
    Clipboard,
    ClipboardKind,
    CursorShape,
    Exact,
    Key,
    KeyFrameWanted,
    Ping,
    Pointer,
    PointerAt,
    PointerBy,
    Pong,
    ReleaseAll,
    Seen,
    Still,
    Text,
    Touch,
    TouchPhase,
    Video,
    Wheel,
)
from .notes import (
    AskForControl,
    Attach,
    DesktopIs,
    GiveControl,
    Note,
    Problem,
    Resize,
    RoleIs,
    SetLayout,
    SetPreset,
    Statistics,
    TakeControl,
    Viewers,
    Watch,
)

SUBPROTOCOL: Final = "earthshine.viewer.v1"
MAX_FROM_VIEWER: Final = 8 * 1024 * 1024
"""Bytes of a message from a viewer: a picture on the clipboard."""
MAX_FROM_DESKTOP: Final = 16 * 1024 * 1024
"""Bytes of a message from the desktop: a key frame or an exact picture of a large screen."""
MAX_TEXT: Final = 4096
"""Bytes of text typed at once."""
MAX_NOTE: Final = 64 * 1024
"""Bytes of a note (JSON)."""
_LENGTH: Final = struct.Struct(">I")
T = TypeVar("T")
B = TypeVar("B", bound=Binary)


class ViewerError(ValueError):
    """A message that is not this protocol."""


_Pictures = Video | Exact | Still | Audio | CursorShape | PointerAt | Pong | Clipboard
_Input = (
    Key
    | Text
    | Pointer
    | PointerBy
    | Wheel
    | Touch
    | ReleaseAll
    | Seen
    | KeyFrameWanted
    | Ping
    | Clipboard
)
_Wishes = Watch | TakeControl | AskForControl | GiveControl | Resize | SetLayout | SetPreset
_News = DesktopIs | Viewers | Statistics | Problem
FromDesktop = _Pictures | _News
FromViewer = _Input | _Wishes
FromControlPlane = Attach | RoleIs
Message = FromDesktop | FromViewer | FromControlPlane

_DESKTOP: Final[dict[int, type[_Pictures]]] = {
    kind.code: kind
    for kind in (Video, Exact, Still, Audio, CursorShape, PointerAt, Pong, Clipboard)
}
_VIEWER: Final[dict[int, type[_Input]]] = {
    kind.code: kind
    for kind in (
        Key,
        Text,
        Pointer,
        PointerBy,
        Wheel,
        Touch,
        ReleaseAll,
        Seen,
        KeyFrameWanted,
        Ping,
        Clipboard,
    )
}
_NOTES_FROM_DESKTOP: Final[msgspec.json.Decoder[_News]] = msgspec.json.Decoder(_News)
_NOTES_FROM_VIEWER: Final[msgspec.json.Decoder[_Wishes]] = msgspec.json.Decoder(_Wishes)
_NOTES_FROM_CONTROL: Final[msgspec.json.Decoder[FromControlPlane]] = msgspec.json.Decoder(
    FromControlPlane
)
_WATCHING: Final = (Seen, KeyFrameWanted, Ping, Watch)


def encode(message: Message) -> bytes:
    """A message as bytes."""
    if isinstance(message, Note):
        return b"\0" + msgspec.json.encode(message)
    fields = msgspec.structs.astuple(message)
    if isinstance(message, Carrying):
        return message.form.pack(message.code, *fields[:-1]) + bytes(fields[-1])
    return message.form.pack(message.code, *fields)


def decode_from_desktop(message: bytes) -> FromDesktop:
    """What a desktop sent. Raises ViewerError."""
    if len(message) > MAX_FROM_DESKTOP:
        raise ViewerError("a message that is too long")
    if message[:1] == b"\0":
        return _note(message, _NOTES_FROM_DESKTOP)
    return _binary(message, _DESKTOP)


def decode_from_viewer(message: bytes) -> FromViewer:
    """What a viewer sent. Raises ViewerError."""
    if len(message) > MAX_FROM_VIEWER:
        raise ViewerError("a message that is too long")
    if message[:1] == b"\0":
        return _note(message, _NOTES_FROM_VIEWER)
    found = _binary(message, _VIEWER)
    _check(found)
    return found


def decode_from_control(message: bytes) -> FromControlPlane | FromViewer:
    """What came down the stream: the control plane's own words, or what it passed on."""
    if message[:1] == b"\0":
        try:
            return _note(message, _NOTES_FROM_CONTROL)
        except ViewerError:
            return decode_from_viewer(message)
    return decode_from_viewer(message)


def _note(message: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    if len(message) > MAX_NOTE:
        raise ViewerError("a note that is too long")
    try:
        return decoder.decode(memoryview(message)[1:])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ViewerError(f"a note that cannot be read: {error}") from None


def _binary(message: bytes, kinds: Mapping[int, type[B]]) -> B:
    kind = kinds.get(message[0]) if message else None
    if kind is None:
        raise ViewerError("a message of an unknown kind")
    form = kind.form
    try:
        fields = form.unpack_from(message)[1:]
    except struct.error:
        raise ViewerError("a message that is cut short") from None
    if issubclass(kind, Carrying):
        return kind(*fields, message[form.size :])
    if len(message) != form.size:
        raise ViewerError("a message with something behind its end")
    return kind(*fields)


def _check(message: Binary) -> None:
    """What a viewer may not send although it can be read."""
    match message:
        case Text(data=data):
            if len(data) > MAX_TEXT:
                raise ViewerError("too much text at once")
            _utf8(data)
        case Clipboard(kind=kind, data=data):
            if kind not in ClipboardKind.__members__.values():
                raise ViewerError("an unknown kind of clipboard")
            if kind == ClipboardKind.TEXT:
                _utf8(data)
        case Touch(phase=phase) if phase > TouchPhase.CANCELLED:
            raise ViewerError("an unknown phase of a touch")
        case Key(down=down) if down > 1:
            raise ViewerError("a key is down or up")


def _utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ViewerError("text that is not UTF-8") from None


def needs_control(message: FromViewer) -> bool:
    """Whether only somebody who may control the session may send this. Viewers may watch."""
    return not isinstance(message, _WATCHING)


def framed(message: bytes) -> bytes:
    """A message as it goes over a byte stream."""
    return _LENGTH.pack(len(message)) + message


class Deframer:
    """Finds messages in a byte stream."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of a message, MAX_FROM_DESKTOP or MAX_FROM_VIEWER."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are complete now. Raises ViewerError; the stream is of no use then."""
        self._buffer += data
        found = []
        position = 0
        while len(self._buffer) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, position)
            if not 0 < length <= self._limit:
                raise ViewerError("a message of impossible length")
            start = position + _LENGTH.size
            if len(self._buffer) - start < length:
                break
            position = start + length
            found.append(bytes(self._buffer[start:position]))
        del self._buffer[:position]
        return found
