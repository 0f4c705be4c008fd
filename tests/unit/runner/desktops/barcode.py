"""A scene that shows the time: 24 blocks on the screen, 22 bits of milliseconds and 2 to check.

Run as a program it draws them again and again; `read` finds the time in a decoded picture.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

BLOCK = 16
BITS = 22
BLOCKS = BITS + 2
WIDTH, HEIGHT = BLOCKS * BLOCK, BLOCK
MODULUS = 1 << BITS


def now() -> int:
    """Milliseconds of CLOCK_MONOTONIC, as many bits as are shown."""
    return time.monotonic_ns() // 1_000_000 % MODULUS


def pattern(milliseconds: int) -> list[bool]:
    """Which blocks are white. The last two: parity, and its opposite."""
    bits = [bool(milliseconds >> bit & 1) for bit in range(BITS)]
    odd = sum(bits) % 2 == 1
    return [*bits, odd, not odd]


def read(luma: Any) -> int | None:
    """The time in a picture's luma (height x width); None where it cannot be read."""
    rows = luma[BLOCK // 4 : BLOCK - BLOCK // 4]
    blocks = [float(np.mean(rows[:, i * BLOCK + 4 : (i + 1) * BLOCK - 4])) for i in range(BLOCKS)]
    if any(80 < level < 170 for level in blocks):
        return None
    white = [level > 125 for level in blocks]
    milliseconds = sum(1 << bit for bit in range(BITS) if white[bit])
    return milliseconds if pattern(milliseconds) == white else None


def age(milliseconds: int, at: int) -> int:
    """Milliseconds from the time shown to `at` (likewise a `now`)."""
    return (at - milliseconds) % MODULUS


def main() -> None:
    """Draw so many times a second, for so many pictures; then stand still."""
    from Xlib import X, display

    rate, pictures = float(sys.argv[1]), int(sys.argv[2])
    connection = display.Display()
    screen = connection.screen()
    window = screen.root.create_window(
        0, 0, WIDTH, HEIGHT, 0, screen.root_depth, override_redirect=True,
        background_pixel=screen.black_pixel, event_mask=X.ExposureMask,
    )  # fmt: skip
    window.map()
    white = window.create_gc(foreground=screen.white_pixel)
    black = window.create_gc(foreground=screen.black_pixel)
    connection.sync()
    due = time.monotonic()
    for _ in range(pictures):
        blocks = pattern(now())
        for context, shown in ((white, True), (black, False)):
            window.poly_fill_rectangle(
                context,
                [(i * BLOCK, 0, BLOCK, BLOCK) for i in range(BLOCKS) if blocks[i] is shown],
            )
        connection.flush()
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
    print("still", flush=True)
    while True:
        connection.next_event()


if __name__ == "__main__":
    main()
