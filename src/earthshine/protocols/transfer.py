"""Files and pieces of recordings between control plane and runner, over a dialled stream.

    length u32 | kind u8 | body          big-endian; `length` counts the body

Kind 1 is a message (MessagePack, a struct below), 2 a piece of a file, 3 its end. A stream that
breaks off before the end has brought nothing: whoever receives keeps only what was ended.

    control plane                        runner
    PutFile -------------------------->
            <-------------------------- Ready, or Refused
    pieces, end ---------------------->
            <-------------------------- Stored, or Refused (also in the middle)
    GetFile, GetSegment -------------->
            <-------------------------- Ready, pieces, end; or Refused
    ListFiles, ListSegments, DropSegment ->
            <-------------------------- Files, Segments, Dropped; or Refused

One stream may carry any number of these, one after the other. Sans-IO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

MAX_PIECE: Final = 256 * 1024
"""Bytes of a file in one frame."""
MAX_MESSAGE: Final = 1024 * 1024
"""Bytes of one message."""
MAX_FILES: Final = 1000
"""Files that a session may have, and that are listed."""
MAX_SEGMENTS: Final = 64
"""Pieces of recordings that are listed at once."""
MAX_EVENTS: Final = 256
"""Points in time at which one piece of a recording names the log's place."""
HEADER: Final = 5
_MESSAGE, _PIECE, _END = 1, 2, 3

Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-z-]{1,64}$")]
RecordingId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Number = Annotated[int, msgspec.Meta(ge=1, le=10**8)]
Words = Annotated[str, msgspec.Meta(max_length=4096)]


class TransferError(ValueError):
    """What came is not this protocol."""


class Message(msgspec.Struct, kw_only=True, rename="camel", tag_field="what"):
    """Base of all messages."""


# --- files ---------------------------------------------------------------------------------------


class PutFile(Message, tag="put-file"):
    """A file of `size` bytes follows. Without `replace` one that is there stays as it is."""

    session: Id
    name: Words
    size: Count
    replace: bool = False
    by: str = ""


class GetFile(Message, tag="get-file"):
    """Send this file."""

    session: Id
    name: Words
    by: str = ""


class ListFiles(Message, tag="list-files"):
    """What is in the session's folder for files."""

    session: Id
    by: str = ""


class FileEntry(msgspec.Struct, kw_only=True, rename="camel"):
    """A file that can be fetched. `modified`: milliseconds since 1970."""

    name: str
    size: Count
    modified: int


class Files(Message, tag="files"):
    """The answer to `ListFiles`. `unlisted` files have names that cannot be transferred."""

    folder: str
    files: Annotated[list[FileEntry], msgspec.Meta(max_length=MAX_FILES)]
    unlisted: Count = 0
    max_file: Count = 0
    max_total: Count = 0


# --- recordings ----------------------------------------------------------------------------------


class Segment(msgspec.Struct, kw_only=True, rename="camel"):
    """A piece of a recording: one MP4 fragment that begins with a key frame.

    `start` and `duration` count 1/90000 s from the recording's beginning, which was at `began`
    (milliseconds since 1970). `events`: at so many milliseconds after `began` the session's log had
    come to this `seq`.
    """

    session: Id
    recording: RecordingId
    number: Number
    began: Count
    start: Count
    duration: Count
    size: Count
    crc: Count
    width: Annotated[int, msgspec.Meta(ge=1, le=16_384)]
    height: Annotated[int, msgspec.Meta(ge=1, le=16_384)]
    sps: Annotated[bytes, msgspec.Meta(min_length=4, max_length=1024)]
    pps: Annotated[bytes, msgspec.Meta(min_length=1, max_length=1024)]
    audio: bool = False
    events: Annotated[list[tuple[Count, Count]], msgspec.Meta(max_length=MAX_EVENTS)] = []


class ListSegments(Message, tag="list-segments"):
    """What was recorded and not fetched yet, oldest first."""


class Segments(Message, tag="segments"):
    """The answer; `more` when there are others."""

    segments: Annotated[list[Segment], msgspec.Meta(max_length=MAX_SEGMENTS)]
    more: bool = False


class GetSegment(Message, tag="get-segment"):
    """Send this piece."""

    session: Id
    recording: RecordingId
    number: Number


class DropSegment(Message, tag="drop-segment"):
    """It is stored at the control plane: delete it."""

    session: Id
    recording: RecordingId
    number: Number


# --- answers -------------------------------------------------------------------------------------


class Ready(Message, tag="ready"):
    """Of a file that is to be sent: go on. Of one that is fetched: it follows."""

    size: Count


class Stored(Message, tag="stored"):
    """The file is there, under its name."""

    path: str


class Dropped(Message, tag="dropped"):
    """It is gone."""


class Refused(Message, tag="refused"):
    """It was not done: what failed and what to do."""

    code: str
    detail: str
    remedy: str | None = None


Request = PutFile | GetFile | ListFiles | ListSegments | GetSegment | DropSegment
Answer = Ready | Stored | Files | Segments | Dropped | Refused
_decoder: msgspec.msgpack.Decoder[Request | Answer] = msgspec.msgpack.Decoder(Request | Answer)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Said:
    """A message came."""

    message: Request | Answer


@dataclass(frozen=True, slots=True)
class PieceCame:
    """The next bytes of a file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The file is complete."""


Event = Said | PieceCame | FileEnded


def encode(message: Request | Answer) -> bytes:
    """The frame for a message."""
    return _frame(_MESSAGE, _encoder.encode(message))


def piece(data: bytes) -> bytes:
    """The frame for at most MAX_PIECE bytes of a file."""
    if len(data) > MAX_PIECE:
        raise ValueError(f"a piece of {len(data)} bytes")
    return _frame(_PIECE, data)


END: Final = _END.to_bytes(1).rjust(HEADER, b"\0")
"""The frame for the end of a file."""


def _frame(kind: int, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind.to_bytes(1) + body


class Deframer:
    """Bytes in, events out. Raises TransferError."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """What is complete now."""
        self._buffer += data
        events: list[Event] = []
        at = 0
        while len(self._buffer) - at >= HEADER:
            length, kind = int.from_bytes(self._buffer[at : at + 4]), self._buffer[at + 4]
            _check(length, kind)
            if len(self._buffer) - at - HEADER < length:
                break
            body = bytes(self._buffer[at + HEADER : at + HEADER + length])
            at += HEADER + length
            events.append(_event(kind, body))
        del self._buffer[:at]
        return events


def _check(length: int, kind: int) -> None:
    limit = {_MESSAGE: MAX_MESSAGE, _PIECE: MAX_PIECE, _END: 0}.get(kind)
    if limit is None:
        raise TransferError(f"a frame of kind {kind}")
    if length > limit:
        raise TransferError(f"a frame of {length} bytes; at most {limit}")


def _event(kind: int, body: bytes) -> Event:
    if kind == _PIECE:
        return PieceCame(body)
    if kind == _END:
        return FileEnded()
    try:
        return Said(_decoder.decode(body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise TransferError(str(error)) from None
