"""The chain: each record is sealed by a hash over itself and the hash of the record before.

    hash = SHA-256(DOMAIN || previous hash, 32 bytes || canonical record)

The canonical record is JSON as RFC 8785 (JCS) writes it: keys sorted, no spaces, UTF-8, escapes
only for `"`, `\\` and control characters; numbers are integers within +-(2^53 - 1). It holds all
fields but `hash` and `previous`. The first record's previous hash is GENESIS.

Here are only pure functions: bytes in, findings out. docs/protocols/audit-log.md is for those who
check an export with a program of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

DOMAIN: Final = b"earthshine audit record 1\n"
GENESIS: Final = "0" * 64
MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of one exported line."""
MAX_PROBLEMS: Final = 1000
"""Findings that a report names; it counts the rest."""
MAX_COMPARED: Final = 64
"""Altered records that are tried in each other's places."""
MAX_NUMBER: Final = 2**53 - 1


class ChainError(ValueError):
    """A line that is no record."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last record's number and hash; (0, GENESIS) of an empty log."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """`SEQ:HASH`. Raises ChainError."""
        seq, _, digest = text.strip().partition(":")
        if not (seq.isascii() and seq.isdigit() and len(seq) <= 18 and _is_hash(digest)):
            raise ChainError("a head is written SEQ:HASH, the hash as 64 hexadecimal digits")
        return cls(int(seq), digest)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record: its fields, and what it claims about itself and the record before."""

    fields: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def seq(self) -> int:
        """Its number, from 1."""
        seq: int = self.fields["seq"]
        return seq

    @property
    def is_intact(self) -> bool:
        """Whether its hash is that of its fields and of the hash before."""
        try:
            return seal(self.fields, self.previous) == self.hash
        except (ValueError, TypeError):
            return False

    def line(self) -> bytes:
        """As it is exported, without the newline."""
        return canonical({**self.fields, "previous": self.previous, "hash": self.hash})


def canonical(value: Mapping[str, Any]) -> bytes:
    """RFC 8785 for what records hold. Raises ValueError for what that has no place for."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def seal(fields: Mapping[str, Any], previous: str) -> str:
    """The record's hash, in hexadecimal digits."""
    digest = hashlib.sha256(DOMAIN)
    digest.update(bytes.fromhex(previous))
    digest.update(canonical(fields))
    return digest.hexdigest()


def append(fields: Mapping[str, Any], head: Head) -> tuple[Sealed, Head]:
    """Seal a record behind `head`; the new head."""
    numbered = {**fields, "seq": head.seq + 1}
    sealed = Sealed(numbered, head.hash, seal(numbered, head.hash))
    return sealed, Head(sealed.seq, sealed.hash)


def moment(milliseconds: int) -> str:
    """A time as records write it: RFC 3339, UTC, milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


# --- lines ---------------------------------------------------------------------------------------


def head_line(head: Head) -> bytes:
    """The last line of an export."""
    return canonical({"head": {"seq": head.seq, "hash": head.hash}})


def read_line(line: bytes) -> Sealed | Head:
    """One line of an export, with or without its newline. Raises ChainError.

    A line has to be written exactly as the log writes it: what one reader takes and another
    overlooks, such as a key that is there twice, would be a way to alter a record.
    """
    line = line.removesuffix(b"\n")
    try:
        value = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ChainError("not a JSON object") from None
    if "head" in value:
        head = _read_head(value["head"])
        if head_line(head) != line:
            raise ChainError("a head that is not written as the log writes it")
        return head
    previous, digest, seq = value.pop("previous", None), value.pop("hash", None), value.get("seq")
    if not (_is_hash(previous) and _is_hash(digest)):
        raise ChainError("no hash")
    if type(seq) is not int or not 1 <= seq <= MAX_NUMBER:
        raise ChainError("no seq")
    sealed = Sealed(value, previous, digest)
    try:
        same = sealed.line() == line
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise ChainError(f"record {seq} is not written as the log writes records")
    return sealed


def _read_head(value: Any) -> Head:
    match value:
        case {"seq": int(seq), "hash": str(digest)} if _is_hash(digest) and seq >= 0:
            return Head(seq, digest)
    raise ChainError("a head without seq and hash")


def _is_hash(value: Any) -> bool:
    return (
        isinstance(value, str) and len(value) == 64 and set(value) <= frozenset("0123456789abcdef")
    )


# --- checking ------------------------------------------------------------------------------------


class Finding(StrEnum):
    """What can be wrong."""

    ALTERED = "altered"
    """The record is not what was sealed."""
    REMOVED = "removed"
    """Records are missing between others."""
    TRUNCATED = "truncated"
    """Records are missing at the end."""
    REORDERED = "reordered"
    """The record is not in its place."""
    REPEATED = "repeated"
    """The number is there a second time."""
    REWRITTEN = "rewritten"
    """The chain holds, but is not the one that was noted before."""
    UNREADABLE = "unreadable"
    """A line is no record."""
    INCOMPLETE = "incomplete"
    """The export has no last line: it was cut, or is still being written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, from record `seq` on; 0 where no record can be named."""

    finding: Finding
    seq: int
    what: str


@dataclass(slots=True)
class Report:
    """What a check found."""

    records: int
    head: Head
    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    """Problems beyond the first MAX_PROBLEMS."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Verifier:
    """Takes records in the order in which they lie there, and says what is wrong with them.

    `known` are heads or records noted before, in ascending order: the chain has to contain them.
    Memory does not grow with the chain.
    """

    def __init__(self, known: Iterable[Head] = ()) -> None:
        self._known: Iterator[Head] = iter(known)
        self._due = next(self._known, None)
        self._next = 1
        self._last: Sealed | None = None
        self._last_intact = True
        self._records = 0
        self._missing: list[tuple[int, int]] = []
        self._altered: list[Sealed] = []
        self._foreign: list[int] | None = None
        """First and last of a run of records that are not those noted before."""
        self._problems: list[Problem] = []
        self._more = 0

    def add(self, record: Sealed) -> None:
        """The next record."""
        self._records += 1
        intact = record.is_intact
        if not intact:
            self._note_altered(record)
        if record.seq < self._next:
            self._out_of_place(record.seq)
            return
        if record.seq > self._next:
            self._gap(self._next, record.seq - 1)
        else:
            self._check_link(record, intact=intact)
        self._compare(record)
        self._next = record.seq + 1
        self._last, self._last_intact = record, intact

    def unreadable(self, line: int, why: str) -> None:
        """A line that is no record."""
        self._say(Finding.UNREADABLE, self._next, f"line {line} is no record: {why}")

    def finish(self, head: Head | None, *, incomplete: bool = False) -> Report:
        """All records have come; `head` is what was given as the last one, if anything was."""
        if incomplete:
            self._say(
                Finding.INCOMPLETE, self._next, "the last line is missing: the export was cut short"
            )
        self._place_altered()
        for first, last in self._missing:
            self._say(Finding.REMOVED, first, _missing(first, last, ""))
        self._end_foreign()
        end = self._check_head(head)
        while self._due is not None:
            if self._due.seq > end:
                self._say(
                    Finding.TRUNCATED, end + 1, _missing(end + 1, self._due.seq, " at the end")
                )
                end = self._due.seq
            self._due = next(self._known, None)
        found = Head(self._last.seq, self._last.hash) if self._last else Head()
        problems = sorted(self._problems, key=lambda problem: problem.seq)
        return Report(self._records, found, problems, self._more)

    def _say(self, finding: Finding, seq: int, what: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            self._more += 1
        else:
            self._problems.append(Problem(finding, seq, what))

    # --- in a row --------------------------------------------------------------------------------

    def _check_link(self, record: Sealed, *, intact: bool) -> None:
        expected = self._last.hash if self._last else GENESIS
        if record.previous == expected or not intact or not self._last_intact:
            return  # sound, or blamed already
        if self._last is None:
            self._say(Finding.REWRITTEN, 1, "record 1 does not begin a chain")
        else:
            self._say(
                Finding.ALTERED,
                self._last.seq,
                f"record {self._last.seq} was replaced: record {record.seq} seals another one",
            )

    def _gap(self, first: int, last: int) -> None:
        if len(self._missing) >= MAX_PROBLEMS:
            self._more += 1
        else:
            self._missing.append((first, last))

    def _out_of_place(self, seq: int) -> None:
        for index, (first, last) in enumerate(self._missing):
            if first <= seq <= last:
                around = [(first, seq - 1), (seq + 1, last)]
                self._missing[index : index + 1] = [(a, b) for a, b in around if a <= b]
                self._say(
                    Finding.REORDERED, seq, f"record {seq} stands behind record {self._next - 1}"
                )
                return
        self._say(Finding.REPEATED, seq, f"there is a second record {seq}")

    # --- altered, or moved -----------------------------------------------------------------------

    def _note_altered(self, record: Sealed) -> None:
        if len(self._altered) < MAX_COMPARED:
            self._altered.append(record)
        else:
            self._say(Finding.ALTERED, record.seq, _altered(record.seq))

    def _place_altered(self) -> None:
        """A record whose hash fits under another number was given a new one."""
        places = [record.seq for record in self._altered]
        for record in self._altered:
            was = next((seq for seq in places if _fits(record, seq)), None)
            if was is None:
                self._say(Finding.ALTERED, record.seq, _altered(record.seq))
            else:
                self._say(
                    Finding.REORDERED,
                    record.seq,
                    f"what stands as record {record.seq} was written as record {was}",
                )

    # --- against what was noted before -----------------------------------------------------------

    def _compare(self, record: Sealed) -> None:
        while self._due is not None and self._due.seq < record.seq:
            self._due = next(self._known, None)  # missing here, and named so
        if self._due is None or self._due.seq != record.seq:
            return
        if self._due.hash == record.hash:
            self._end_foreign()
        elif self._foreign is None:
            self._foreign = [record.seq, record.seq]
        else:
            self._foreign[1] = record.seq
        self._due = next(self._known, None)

    def _end_foreign(self) -> None:
        if self._foreign is None:
            return
        first, last = self._foreign
        self._foreign = None
        what = f"record {first} is" if first == last else f"records {first} to {last} are"
        self._say(Finding.REWRITTEN, first, f"{what} not what was noted before")

    def _check_head(self, head: Head | None) -> int:
        """The last number that is accounted for."""
        last = self._next - 1
        if head is None:
            return last
        if head.seq > last:
            self._say(Finding.TRUNCATED, last + 1, _missing(last + 1, head.seq, " at the end"))
        elif head.seq < last:
            self._say(
                Finding.REWRITTEN,
                head.seq + 1,
                f"the head is record {head.seq}, but there are records behind it",
            )
        elif self._last is not None and self._last.hash != head.hash and self._last_intact:
            self._say(Finding.ALTERED, last, f"record {last} is not the one that the head names")
        return max(last, head.seq)


def _fits(record: Sealed, seq: int) -> bool:
    return seal({**record.fields, "seq": seq}, record.previous) == record.hash


def _altered(seq: int) -> str:
    return f"record {seq} was altered: its hash is not that of what it says"


def _missing(first: int, last: int, where: str) -> str:
    if first == last:
        return f"record {first} is missing{where}"
    return f"records {first} to {last} are missing{where}"


def verify_lines(lines: Iterable[bytes], known: Iterable[Head] = ()) -> Report:
    """Check an export. Lines longer than MAX_LINE count as unreadable."""
    verifier = Verifier(known)
    head: Head | None = None
    for number, line in enumerate(lines, 1):
        if head is not None:
            verifier.unreadable(number, "it stands behind the head")
            break
        try:
            if len(line) > MAX_LINE:
                raise ChainError("it is too long")
            value = read_line(line)
        except ChainError as error:
            verifier.unreadable(number, str(error))
            continue
        if isinstance(value, Head):
            head = value
        else:
            verifier.add(value)
    return verifier.finish(head, incomplete=head is None)


def heads_of_lines(lines: Iterable[bytes]) -> Iterator[Head]:
    """Number and hash of each record of an export, for comparing. Raises ChainError."""
    seen = 0
    for number, line in enumerate(lines, 1):
        try:
            value = read_line(line)
        except ChainError as error:
            raise ChainError(f"line {number}: {error}") from None
        head = value if isinstance(value, Head) else Head(value.seq, value.hash)
        if head.seq > seen:
            seen = head.seq
            yield head
        elif not isinstance(value, Head):
            raise ChainError(f"line {number}: the records are not in order")
