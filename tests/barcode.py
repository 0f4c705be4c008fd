"""A clock that can be read out of a picture: 24 black or white blocks across the top.

22 blocks are milliseconds of the monotonic clock (modulo 2^22, 70 minutes), most significant first;
2 are a checksum, never right for a black or white picture.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

BLOCKS = 24
BITS = 22
MODULUS = 1 << BITS
BLACK, WHITE = 24, 230


def now_ms() -> int:
    """What `draw` should write now."""
    return time.monotonic_ns() // 1_000_000 % MODULUS


def height(picture_height: int) -> int:
    """Rows that the code takes."""
    return max(16, picture_height // 10) & ~1


def draw(luma: NDArray[np.uint8], value: int) -> None:
    """Write ``value`` into the top rows of a luma plane (rows, columns)."""
    rows, columns = luma.shape
    width = columns // BLOCKS
    for block, bit in enumerate(bits(value)):
        luma[: height(rows), block * width : (block + 1) * width] = WHITE if bit else BLACK
    luma[: height(rows), BLOCKS * width :] = BLACK


def read(luma: NDArray[np.uint8]) -> int | None:
    """The value in a decoded luma plane; None when the checksum is wrong."""
    rows, columns = luma.shape
    width = columns // BLOCKS
    tall = height(rows)
    middle = luma[tall // 4 : tall - tall // 4]
    found = [
        int(middle[:, b * width + width // 4 : (b + 1) * width - width // 4].mean() > 127)
        for b in range(BLOCKS)
    ]
    value = int("".join(map(str, found[:BITS])), 2)
    return value if bits(value) == found else None


def age_ms(value: int) -> int:
    """Milliseconds since ``value`` was drawn."""
    return (now_ms() - value) % MODULUS


def bits(value: int) -> list[int]:
    """The blocks, from left to right: 1 is white."""
    check = 0b01
    for at in range(0, BITS, 2):
        check ^= value >> at & 0b11
    whole = value << 2 | check
    return [whole >> place & 1 for place in reversed(range(BLOCKS))]
