"""What runner and holder say to each other: u32 big-endian length, then MessagePack.

The first thing a holder says, on its standard output, is `Ready` or `Unable`.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from earthshine.protocols.envelope import Attend, Input, Interrupt, Prompt, Resize, Stop

MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Bytes of one message."""
_HEADER: Final = struct.Struct(">I")


class HolderSpec(msgspec.Struct, kw_only=True):
    """What a holder is to do. It comes on standard input: `environment` may hold secrets."""

    session_id: str
    agent: str
    argv: list[str]
    folder: str
    environment: dict[str, str]
    cols: int
    rows: int
    interrupt: bytes
    """What to type to interrupt the agent."""
    prompt: str = ""
    """To type when the program is ready for it."""
    prompted: Prompt | None = None
    """The prompt the session began with, for the log, however it reaches the agent."""
    branch: str | None = None
    spool_limit: int
    overflow: str
    """`gap`: give up the oldest output; `pause`: stop the agent until there is room."""


class Ready(msgspec.Struct, tag_field="action", tag="ready"):
    """The agent runs."""

    pid: int


class Unable(msgspec.Struct, tag_field="action", tag="unable"):
    """The agent could not be started."""

    code: str
    detail: str
    remedy: str | None = None


class Acked(msgspec.Struct, tag_field="action", tag="acked"):
    """Entries up to `seq` are stored by the control plane."""

    seq: int


class Tail(msgspec.Struct, tag_field="action", tag="tail"):
    """The spool now ends at `seq`."""

    seq: int


class Condition(msgspec.Struct, tag_field="action", tag="condition"):
    """`ok`, or what holds the agent up."""

    code: str
    detail: str = ""
    remedy: str | None = None


ToHolder = Input | Resize | Attend | Acked | Prompt | Interrupt | Stop
FromHolder = Tail | Condition
Startup = Ready | Unable
_encoder = msgspec.msgpack.Encoder()
to_holder: msgspec.msgpack.Decoder[ToHolder] = msgspec.msgpack.Decoder(ToHolder)
from_holder: msgspec.msgpack.Decoder[FromHolder] = msgspec.msgpack.Decoder(FromHolder)
startup: msgspec.msgpack.Decoder[Startup] = msgspec.msgpack.Decoder(Startup)
spec: msgspec.msgpack.Decoder[HolderSpec] = msgspec.msgpack.Decoder(HolderSpec)


def pack(message: msgspec.Struct) -> bytes:
    """A message with its length in front."""
    body = _encoder.encode(message)
    return _HEADER.pack(len(body)) + body


class MessageError(ValueError):
    """Bytes that are no message: close the connection."""


class Unpacker:
    """Bytes in, message bodies out."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are now whole. Raises MessageError for one that is too long."""
        self._buffer += data
        bodies = []
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > self._limit:
                raise MessageError(f"a message of {length} bytes; at most {self._limit}")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[_HEADER.size : end]))
            del self._buffer[:end]
        return bodies
