"""Milliseconds as blocks of black and white: drawn on a desktop, read back from a page's pixels.

22 bits of time, the highest first, and 2 check bits, so that a black or white canvas is no time.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np

BITS: Final = 22
CHECKS: Final = 2
BLOCK: Final = 16
"""Pixels of a block, both ways; it fills whole macroblocks, so that video keeps it readable."""
WIDTH: Final = (BITS + CHECKS) * BLOCK
PERIOD: Final = 1 << BITS
BLACK: Final = 16
WHITE: Final = 235

_READ: Final = """
  (canvas) => {
    const blocks = BLOCKS, bits = BITS, size = BLOCK;
    if (!canvas || canvas.width < blocks * size) return null;
    const row = canvas.getContext('2d').getImageData(0, size / 2, blocks * size, 1).data;
    let value = 0, ones = 0, check = 0;
    for (let at = 0; at < blocks; at += 1) {
      const level = row[(at * size + size / 2) * 4 + 1];
      if (level > 80 && level < 176) return null;
      const bit = level >= 176 ? 1 : 0;
      if (at < bits) { value = value * 2 + bit; ones += bit; } else check = check * 2 + bit;
    }
    return check === ((ones + 2) & 3) ? value : null;
  }
"""
READ: Final = (
    _READ.replace("BLOCKS", str(BITS + CHECKS))
    .replace("BITS", str(BITS))
    .replace("BLOCK", str(BLOCK))
)
"""A function for the page: a canvas's time, or null where there is none to read."""


def now() -> int:
    """The time that a barcode drawn now shows. The browser on this machine has the same clock."""
    return int(time.time() * 1000) % PERIOD


def draw(picture: np.ndarray, value: int) -> None:
    """Put it at the top left of an RGB picture."""
    bits = [value >> at & 1 for at in reversed(range(BITS))]
    check = sum(bits) + 2 & 3
    bits += [check >> 1, check & 1]
    for at, bit in enumerate(bits):
        picture[:BLOCK, at * BLOCK : (at + 1) * BLOCK] = WHITE if bit else BLACK
