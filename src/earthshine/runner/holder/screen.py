"""Where the cursor is after some output, worked out by a terminal emulator.

Imported only when a program asks and nobody watches: the emulator is slow and large.
"""

from __future__ import annotations

import re
from typing import Final

import pyte

# Private sequences that the emulator mistakes for others; none of them moves the cursor.
_CONFUSING: Final = re.compile(rb"\x1b\[[<>=?][0-?]*[\x20-/]*[a-gi-km-z]|\x1b[P_^X][^\x1b]*\x1b\\")


def cursor(output: bytes, cols: int, rows: int) -> tuple[int, int]:
    """Row and column from 1, as far as `output` tells; the home position if it cannot be read."""
    screen = pyte.Screen(cols, rows)
    stream = pyte.ByteStream(screen)
    try:
        stream.feed(_CONFUSING.sub(b"", output))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return 1, 1
    return screen.cursor.y + 1, min(screen.cursor.x + 1, cols)
