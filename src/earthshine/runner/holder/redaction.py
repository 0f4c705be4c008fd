"""Taking secrets out of what an agent prints: bytes in, bytes out, whatever way they are cut.

A secret is found where its bytes stand in a row. One that a program wraps, colours, encodes or
spells out is not: this keeps keys out of logs by accident, not against intent.

What could be the beginning of a secret is held back, at most its length less one byte. Where more
decides, it goes out changed or unchanged; where nothing comes, `give_up` lets it go, and the
remembered beginning still hides the rest if that follows later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MIN_LENGTH: Final = 8
"""Bytes of a secret from which on it is looked for. Shorter ones would hit ordinary text."""
QUIET: Final = ((4, 0.01), (8, 0.05))
"""Fewer bytes than this go out after so many seconds of silence: somebody who types an `s` wants to
see it. On a busy machine a program may well pause in the middle of a write."""
QUIET_LONG: Final = 1.0
"""The same for more bytes: what begins so much like a secret is seldom anything else."""


class Redactor:
    """For one stream. `secrets`: what to call each, and its value."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        named = {
            value.encode(): b"[redacted %s]" % name.encode()
            for name, value in sorted(secrets.items())
            if len(value.encode()) >= MIN_LENGTH
        }
        self._names = named
        # Of two that begin alike the longer one counts.
        self._values = sorted(named, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value) for value in self._values))
        self._longest = len(self._values[0]) if self._values else 0
        self._pending = b""
        self._shown = 0
        """Bytes of `_pending` that are out already."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to look for."""
        return not self._values

    @property
    def quiet(self) -> float | None:
        """Seconds of silence after which to call `give_up`; None when nothing is held back."""
        held = len(self._pending) - self._shown
        if not held:
            return None
        return next((seconds for size, seconds in QUIET if held < size), QUIET_LONG)

    def feed(self, data: bytes) -> bytes:
        """Take output; what may be shown of it now."""
        if not self._values:
            return data
        data = self._pending + data
        out: list[bytes] = []
        start = 0
        held = self._beginning(data, 0)
        while (match := self._search(data, start)) is not None and match.start() < held:
            self._copy(out, data, start, match.start())
            self._hide(out, match)
            start = match.end()
            if held < start:
                held = self._beginning(data, start)
        self._copy(out, data, start, held)
        self._keep(data, held)
        return b"".join(out)

    def give_up(self) -> bytes:
        """What is held back, because nothing has come for a while."""
        out: list[bytes] = []
        data, start = self._pending, 0
        # A whole secret may be waiting, for a longer one that begins with it.
        for match in self._pattern.finditer(data) if self._values else ():
            self._copy(out, data, start, match.start())
            self._hide(out, match)
            start = match.end()
        self._copy(out, data, start, len(data))
        if start:
            self._pending, self._shown = b"", 0
        else:
            self._shown = len(data)
        return b"".join(out)

    def _search(self, data: bytes, start: int) -> re.Match[bytes] | None:
        """The next secret. Output seldom has one: looking for each is faster than for any."""
        if not any(data.find(value, start) >= 0 for value in self._values):
            return None
        return self._pattern.search(data, start)

    def _copy(self, out: list[bytes], data: bytes, start: int, end: int) -> None:
        out.append(data[max(start, self._shown) : end])

    def _hide(self, out: list[bytes], match: re.Match[bytes]) -> None:
        out.append(self._names[match[0]])

    def _keep(self, data: bytes, start: int) -> None:
        self._pending = data[start:]
        self._shown = max(0, self._shown - start)

    def _beginning(self, data: bytes, start: int) -> int:
        """Where the last bytes of `data` first look like the beginning of a secret."""
        found = len(data)
        for value in self._values:
            at = max(start, len(data) - len(value) + 1)
            while 0 <= (at := data.find(value[:1], at)) < found:
                if value.startswith(data[at:]):
                    found = at
                    break
                at += 1
        return found
