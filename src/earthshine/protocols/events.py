"""Entries of a session's event log, in the one encoding that spool, wire and store share.

An entry is `[seq, ts, kind, data]` in MessagePack: `seq` from 1 without holes, `ts` milliseconds
since 1970, `kind` a number from `Kind`, `data` bytes. For `OUTPUT` the data is what the terminal
printed; for all other kinds it is the JSON of the struct of that name below.

See docs/protocols/event-log.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeVar

import msgspec

MAX_DATA: Final = 64 * 1024
"""Bytes of data in one entry. A longer write becomes several entries."""
MAX_PROMPT_DATA: Final = 1537 * 1024
"""Bytes of the JSON of a `Prompted`: 256 Ki characters, each up to six bytes as JSON, and 1 KiB
for the rest."""

Cells = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Number = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Kind(IntEnum):
    """What an entry says. A reader skips numbers it does not know."""

    OUTPUT = 1
    STARTED = 2
    RESIZED = 3
    PROMPTED = 4
    INTERRUPTED = 5
    STOPPING = 6
    EXITED = 7
    FAILED = 8
    GAP = 9


class Event(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One entry of the log."""

    seq: int
    ts: int
    kind: int
    data: bytes


class Detail(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of what the non-output kinds carry."""


class Started(Detail):
    """The agent's process runs."""

    agent: str
    argv: list[str]
    pid: Number
    folder: str
    cols: Cells
    rows: Cells
    branch: str | None = None


class Resized(Detail):
    """The terminal has a new size, in cells."""

    cols: Cells
    rows: Cells


class Prompted(Detail):
    """Somebody gave the agent a prompt."""

    text: str
    by: str
    command_id: str


class Interrupted(Detail):
    """Somebody interrupted the agent."""

    by: str
    command_id: str


class Stopping(Detail):
    """Somebody asked for the end; `how` is `stop` (SIGHUP, later SIGKILL) or `kill`."""

    by: str
    how: str
    command_id: str


class Exited(Detail):
    """The agent's process ended: exactly one of the two is set."""

    exit_code: Number | None
    signal: Number | None


class Failed(Detail):
    """The session ended without its agent having run to an end."""

    code: str
    detail: str
    remedy: str | None = None


class Gap(Detail):
    """Entries `first_seq` to `last_seq` are gone; the gap's own `seq` is `last_seq`."""

    first_seq: Seq
    last_seq: Seq
    bytes: Bytes
    """Of terminal output among them."""
    reason: str


DETAILS: Final[dict[int, type[Detail]]] = {
    Kind.STARTED: Started,
    Kind.RESIZED: Resized,
    Kind.PROMPTED: Prompted,
    Kind.INTERRUPTED: Interrupted,
    Kind.STOPPING: Stopping,
    Kind.EXITED: Exited,
    Kind.FAILED: Failed,
    Kind.GAP: Gap,
}
_KIND_OF: Final = {detail: kind for kind, detail in DETAILS.items()}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)
_json = msgspec.json.Encoder()
D = TypeVar("D", bound=Detail)


class EventError(ValueError):
    """Bytes that are no entry, or an entry that breaks a limit."""


def encode(event: Event) -> bytes:
    """The entry as MessagePack."""
    return _encoder.encode(event)


def decode(data: bytes | memoryview) -> Event:
    """Read one entry. Raises EventError."""
    try:
        event = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EventError(f"not an entry: {error}") from error
    validate(event)
    return event


def validate(event: Event) -> None:
    """Check the limits. Raises EventError."""
    limit = MAX_PROMPT_DATA if event.kind == Kind.PROMPTED else MAX_DATA
    if not 1 <= event.seq < 2**63 or not 0 <= event.ts < 2**63:
        raise EventError("seq or ts out of range")
    if not 1 <= event.kind <= 0xFF:
        raise EventError("kind out of range")
    if len(event.data) > limit:
        raise EventError(f"{len(event.data)} bytes of data; at most {limit}")


def entry(seq: int, ts: int, detail: Detail) -> Event:
    """An entry of the kind that `detail` belongs to."""
    return Event(seq, ts, _KIND_OF[type(detail)], _json.encode(detail))


def detail(event: Event, of: type[D]) -> D:
    """What a non-output entry carries. Raises EventError."""
    try:
        return msgspec.json.decode(event.data, type=of)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EventError(f"entry {event.seq} is no {of.__name__}: {error}") from error


def span(event: Event) -> tuple[int, int]:
    """First and last `seq` that the entry stands for: more than one only for a gap."""
    if event.kind != Kind.GAP:
        return event.seq, event.seq
    gap = detail(event, Gap)
    if gap.last_seq != event.seq or not 1 <= gap.first_seq <= gap.last_seq or gap.bytes < 0:
        raise EventError("a gap that does not end at its own seq")
    return gap.first_seq, gap.last_seq


def output_bytes(event: Event) -> int:
    """Bytes of terminal output that the entry holds or, for a gap, stands for."""
    if event.kind == Kind.OUTPUT:
        return len(event.data)
    if event.kind == Kind.GAP:
        return detail(event, Gap).bytes
    return 0
