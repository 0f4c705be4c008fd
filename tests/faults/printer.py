"""The agent of the fault test: prints a stream that can be computed again.

`python printer.py SEED BYTES SECONDS` prints BYTES bytes, spread over about SECONDS.
"""

from __future__ import annotations

import os
import random
import sys
import termios
import time
import tty

CHUNK = 32 * 1024
# ESC would begin control sequences, and some of them make a terminal type an answer.
TABLE = bytes(byte if byte != 0x1B else 0x20 for byte in range(256))


def stream(seed: int, size: int) -> bytes:
    """The whole stream: every byte value but ESC."""
    return random.Random(seed).randbytes(size).translate(TABLE)


def main() -> None:
    seed, size, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    tty.setraw(1, termios.TCSANOW)  # the terminal must not change what is printed
    data = memoryview(stream(seed, size))
    begun = time.monotonic()
    position = 0
    while position < size:
        position += os.write(1, data[position : position + CHUNK])
        ahead = position / size * seconds - (time.monotonic() - begun)
        if ahead > 0:
            time.sleep(ahead)


if __name__ == "__main__":
    main()
