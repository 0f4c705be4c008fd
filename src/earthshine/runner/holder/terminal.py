"""Answers to the questions that programs ask their terminal.

A program may wait for an answer before it draws, also when no viewer is there, and several viewers
must not all answer. So the holder answers, at once and always the same way. The one question that
needs a real screen, the cursor's position, is left to the leading viewer while there is one.

Sequences as in ECMA-48, DEC STD 070, xterm's control sequences, the kitty keyboard protocol, and
the Program Status Protocol (OSC 7501), by which agents report that they wait for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

PENDING: Final = 4096 + 16
"""Bytes of an unfinished sequence that are kept for the next read; status reports are longest."""
SCREEN_TAIL: Final = 32 * 1024
"""Bytes of output from which the cursor's position is worked out when nobody watches."""
MAX_REPLIES: Final = 16 * 1024
"""Bytes of replies to one read: a hostile stream of questions is not answered without end."""
KITTY_DEPTH: Final = 16
"""Entries of the keyboard-flags stack."""
MAX_ASKING: Final = 64
"""Records of a program that are known to be blocked; it has one for each of its tasks."""

_QUERY: Final = re.compile(
    rb"\x1b\[(?:"
    rb"(?P<da1>0?c)|>(?P<da2>0?c)|(?P<dsr>5n)|(?P<cpr>\??6n)|(?P<scheme>\?996n)|(?P<size>18t)"
    rb"|>(?P<version>0?q)|(?P<kitty>\?u)|(?P<kitty_set>[<>=][0-9;]{0,12}u)"
    rb"|\?(?P<decrqm>[0-9]{1,5})\$p|\?(?P<modes>[0-9;]{1,40})(?P<on>[hl]))"
    rb"|\x1b\](?P<colour>1[012]);\?(?:\x07|\x1b\\)"
    rb"|\x1b\]7501;(?P<status>[^\x07\x1b]{1,4096})(?:\x07|\x1b\\)"
    rb"|\x1b\][02];(?P<title>[^\x07\x1b]{0,512})(?:\x07|\x1b\\)"
    rb"|\x1bP(?P<dcs>\+q|\$q)[^\x1b\x07]{0,48}(?:\x07|\x1b\\)"
    rb"|(?P<reset>\x1bc|\x1b\[!p)"
)
_KNOWN_MODES: Final = frozenset(
    {1, 7, 12, 25, 47, 66, 1000, 1002, 1003, 1004, 1006, 1007, 1047, 1048, 1049, 2004, 2026, 2031}
)
_INITIAL_MODES: Final = frozenset({7, 25})
BRACKETED_PASTE: Final = 2004
_HAND: Final = "\N{RAISED HAND}".encode()
"""How Gemini CLI, which sends no status reports, begins the window's title when it asks."""
_COLOURS: Final = {
    True: {b"10": b"e6e6/e8e8/eeee", b"11": b"0e0e/1010/1616", b"12": b"e6e6/e8e8/eeee"},
    False: {b"10": b"1a1a/1c1c/2222", b"11": b"fbfb/fbfb/fdfd", b"12": b"1a1a/1c1c/2222"},
}


class TerminalQueries:
    """Watches a terminal's output; returns what a terminal would say to it."""

    def __init__(
        self,
        cols: int,
        rows: int,
        cursor: Callable[[bytes, int, int], tuple[int, int]],
        *,
        dark: bool = True,
    ) -> None:
        """`cursor(output, cols, rows)` works out the cursor's row and column, from 1."""
        self.cols = cols
        self.rows = rows
        self.dark = dark
        self.attended = False
        self.modes: set[int] = set(_INITIAL_MODES)
        self._kitty = [0]
        self._asking: set[bytes] = set()
        self._pending = b""
        self._tail = bytearray()
        self._cursor = cursor

    @property
    def bracketed_paste(self) -> bool:
        """Whether the program wants pastes marked (mode 2004)."""
        return BRACKETED_PASTE in self.modes

    @property
    def keyboard_depth(self) -> int:
        """Keyboard flags that the program has pushed and not popped."""
        return len(self._kitty) - 1

    @property
    def asking(self) -> bool:
        """Whether the program says that it cannot go on without its user: Enter might mean yes."""
        return bool(self._asking)

    def answered(self) -> None:
        """The program was made to give up its question, whether it says so or not."""
        self._asking.clear()

    def feed(self, data: bytes) -> bytes:
        """Take output; the reply to type, often empty."""
        if not self._pending and b"\x1b" not in data:
            self._remember(data)
            return b""
        fresh, already = data, len(self._pending)
        data = self._pending + data
        replies = bytearray()
        end = 0
        for match in _QUERY.finditer(data):
            end = match.end()
            if len(replies) < MAX_REPLIES:
                replies += self._reply(match, fresh[: max(0, end - already)])
        self._remember(fresh)
        rest = data[max(end, len(data) - PENDING) :]
        start = rest.rfind(b"\x1b")
        # ESC \ may end a string that began before: look one escape further back.
        if start > 0 and rest[start : start + 2] in (b"\x1b", b"\x1b\\"):
            earlier = rest.rfind(b"\x1b", 0, start)
            if earlier >= 0 and not _complete(rest[earlier:start]):
                start = earlier
        self._pending = rest[start:] if start >= 0 and not _complete(rest[start:]) else b""
        return bytes(replies)

    def _reply(self, match: re.Match[bytes], before: bytes) -> bytes:
        kind = match.lastgroup
        value = match[kind] if kind else b""
        if kind == "on":
            self._switch(match["modes"], on=value == b"h")
            return b""
        if kind == "kitty_set":
            self._keyboard(value)
            return b""
        if kind == "status":
            return self._status(value)
        if kind == "title":
            self._status(b"id=title:state=" + (b"blocked" if value[:3] == _HAND else b"idle"))
            return b""
        if kind == "reset":
            self.modes = set(_INITIAL_MODES)
            self._kitty = [0]
            self._asking.clear()
            return b""
        if kind == "cpr":
            return self._position(value, before)
        if kind == "decrqm":
            mode = int(value)
            state = (1 if mode in self.modes else 2) if mode in _KNOWN_MODES else 0
            return b"\x1b[?%d;%d$y" % (mode, state)
        if kind == "colour":
            return b"\x1b]%s;rgb:%s\x1b\\" % (value, _COLOURS[self.dark][value])
        if kind == "dcs":
            return b"\x1bP0+r\x1b\\" if value == b"+q" else b"\x1bP0$r\x1b\\"
        return {
            "da1": b"\x1b[?62;22;52c",
            "da2": b"\x1b[>1;10;0c",
            "dsr": b"\x1b[0n",
            "scheme": b"\x1b[?997;%dn" % (1 if self.dark else 2),
            "size": b"\x1b[8;%d;%dt" % (self.rows, self.cols),
            "version": b"\x1bP>|Earthshine\x1b\\",
            "kitty": b"\x1b[?%du" % self._kitty[-1],
        }.get(kind or "", b"")

    def _switch(self, modes: bytes, *, on: bool) -> None:
        for mode in modes.split(b";"):
            if mode and (number := int(mode)) in _KNOWN_MODES:
                (self.modes.add if on else self.modes.discard)(number)

    def _keyboard(self, value: bytes) -> None:
        """Kitty keyboard flags: `>` pushes, `<` pops, `=` sets (1), adds (2) or removes (3)."""
        numbers = [int(n or b"0") for n in value[1:-1].split(b";")]
        first = numbers[0]
        if value[:1] == b">":
            self._kitty = [*self._kitty, first & 0x1F][-KITTY_DEPTH:]
        elif value[:1] == b"<":
            self._kitty = self._kitty[: -max(first, 1)] or [0]
        else:
            how = numbers[1] if len(numbers) > 1 else 1
            now = self._kitty[-1]
            self._kitty[-1] = {2: now | first, 3: now & ~first}.get(how, first) & 0x1F

    def _status(self, report: bytes) -> bytes:
        """`?` asks whether reports are read; else `key=value` pairs between colons."""
        if report.startswith(b"?"):
            return b"\x1b]7501;?\x1b\\"
        fields = dict(pair.split(b"=", 1) for pair in report.split(b":") if b"=" in pair)
        state, record = fields.get(b"state"), fields.get(b"id", b"")
        if state == b"blocked":
            if len(self._asking) < MAX_ASKING:
                self._asking.add(record)
        elif state == b"clear":
            below = record + b"/" if record else b""
            self._asking = {r for r in self._asking if r != record and not r.startswith(below)}
        elif state is not None:
            self._asking.discard(record)
        return b""

    def _remember(self, data: bytes) -> None:
        self._tail += data[-SCREEN_TAIL:]
        if len(self._tail) > 2 * SCREEN_TAIL:
            del self._tail[:-SCREEN_TAIL]

    def _position(self, query: bytes, before: bytes) -> bytes:
        if self.attended:
            return b""
        output = bytes(self._tail[-SCREEN_TAIL:]) + before
        row, col = self._cursor(output, self.cols, self.rows)
        mark = b"?" if query[:1] == b"?" else b""
        return b"\x1b[%s%d;%dR" % (mark, row, col)


_FINISHED: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|[^\[\]P^_X])", re.DOTALL
)


def _complete(sequence: bytes) -> bool:
    """Whether `sequence`, which starts with ESC, is whole."""
    return _FINISHED.match(sequence) is not None
