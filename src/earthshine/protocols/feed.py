"""The feed: a session's events to a viewer, key strokes and commands back.

Described in docs/protocols/feed.md. Server messages: JSON objects with a `type` (text), and runs of
event records (binary). Client messages: JSON objects (text), and typed input (binary).

Record, big-endian: seq u64, ts u64 (ms), kind u8, length u32, data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from earthshine.protocols.events import Event

SUBPROTOCOL: Final = "earthshine.feed.v1"
MAX_INPUT: Final = 64 * 1024
"""Bytes of one binary message from a client."""
MAX_TEXT: Final = 2 * 1024 * 1024
"""Characters of one text message from a client: a prompt, escaped as JSON."""
MIN_WINDOW: Final = 64 * 1024
MAX_WINDOW: Final = 16 * 1024 * 1024
_RECORD: Final = struct.Struct(">QQBI")
_COMMAND_ID: Final = r"\A[A-Za-z0-9_-]{1,64}\Z"


class FeedError(ValueError):
    """A message that is not this protocol."""


def record(event: Event) -> bytes:
    """One event, for a binary message."""
    return _RECORD.pack(event.seq, event.ts, event.kind, len(event.data)) + event.data


def records(message: bytes) -> Iterator[Event]:
    """The events of a binary message. Raises FeedError."""
    position = 0
    while position < len(message):
        if len(message) - position < _RECORD.size:
            raise FeedError("a record that is cut short")
        seq, ts, kind, length = _RECORD.unpack_from(message, position)
        position += _RECORD.size
        if len(message) - position < length:
            raise FeedError("a record that is cut short")
        yield Event(seq, ts, kind, bytes(message[position : position + length]))
        position += length


CommandId = Annotated[str, msgspec.Meta(pattern=_COMMAND_ID)]


class ClientMessage(msgspec.Struct, kw_only=True, rename="camel", tag_field="type"):
    """Base of what a client says in text."""


class Prompt(ClientMessage, tag="prompt"):
    """Type the text as a paste, then Enter."""

    command_id: CommandId
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=256 * 1024)]


class Interrupt(ClientMessage, tag="interrupt"):
    """What Ctrl-C would do."""

    command_id: CommandId


class Resize(ClientMessage, tag="resize"):
    """The viewer's window in cells."""

    cols: Annotated[int, msgspec.Meta(ge=2, le=1000)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Lead(ClientMessage, tag="lead"):
    """Let me lead."""


class Ack(ClientMessage, tag="ack"):
    """Drawn up to `seq`."""

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Ping(ClientMessage, tag="ping"):
    """Answered with the same `ts`."""

    ts: float


FromClient = Prompt | Interrupt | Resize | Lead | Ack | Ping
_decoder: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)


def decode(text: str) -> FromClient:
    """Read a client's text message. Raises FeedError."""
    if len(text) > MAX_TEXT:
        raise FeedError(f"a message of {len(text)} characters; at most {MAX_TEXT}")
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise FeedError(str(error)) from None
