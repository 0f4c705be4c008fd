"""What a viewer of a session would see: its terminal output, drawn by an emulator."""

import asyncio
import re

import pyte

_PRIVATE = re.compile(rb"\x1b\[[<>=?][0-?]*[ -/]*[a-gi-km-z]|\x1b[P_^X][^\x1b]*\x1b\\")
"""Sequences that the emulator takes for others or for text. None of them draws anything."""
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[P_^X][^\x1b]*\x1b?)?\Z")


class Terminal:
    """A screen that grows with `feed`; `until` waits for what should show."""

    def __init__(self, cols: int, rows: int) -> None:
        self._screen = pyte.HistoryScreen(cols, rows, history=2000)
        self._stream = pyte.ByteStream(self._screen)
        self._held = b""
        self._changed = asyncio.Event()
        self.output = bytearray()

    def feed(self, data: bytes) -> None:
        """Draw output."""
        self.output += data
        data = _PRIVATE.sub(b"", self._held + data)
        unfinished = _UNFINISHED.search(data)
        end = unfinished.start() if unfinished else len(data)
        self._held = data[end:]
        self._stream.feed(data[:end])
        self._changed.set()

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    async def until(self, *wanted: str, timeout: float = 20) -> None:
        """Wait until all of `wanted` are on the screen at once, however lines are broken."""
        try:
            async with asyncio.timeout(timeout):
                while not all(_flat(words) in _flat(self.text) for words in wanted):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"{wanted} did not show within {timeout} s:\n{self.text}"
            ) from None


def _flat(text: str) -> str:
    return "".join(text.split())
