"""What the benchmark's desktops show: a program on an X display, told what to do line by line.

`python -m benchmarks.desktop.scene TEXT WIDTH HEIGHT`: TEXT is a raw picture of rows of BGRX, WIDTH
wide and some screens tall. Standard input takes `SCENE SECONDS`; the answer comes when it is over
and everything stands still: `{"last": barcode of the last frame, "frames": how many}`. Every scene
ends with the same picture, but for its barcode.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from Xlib import X, display

from tests.e2e import barcode

RATE = 30
"""Frames in a second while scrolling and in motion."""
KEYS = 8
"""Characters in a second while typing."""
LINE = 20
"""Pixels of a line of the text, and of one step of scrolling."""
CELL = 10
CHUNK = 200_000
"""Bytes of one put_image: the X protocol's requests have an end."""


class Stage:
    """A window over the whole screen, and what is drawn into it in one step for each frame."""

    def __init__(self, text: np.ndarray, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._connection = display.Display()
        screen = self._connection.screen()
        self._depth = screen.root_depth
        self._window = screen.root.create_window(
            0, 0, width, height, 0, self._depth, override_redirect=True
        )
        self._window.map()
        self._frame = self._window.create_pixmap(width, height, self._depth)
        self._white = self._window.create_gc(foreground=screen.white_pixel)
        self._black = self._window.create_gc(foreground=screen.black_pixel)
        self.text = self._upload(text)
        self.text_height = len(text)
        self.picture = self._upload(_landscape(2 * width, 2 * height))

    def _upload(self, pixels: np.ndarray) -> Any:
        height, width = pixels.shape[:2]
        pixmap = self._window.create_pixmap(width, height, self._depth)
        rows = CHUNK // (width * 4)
        for top in range(0, height, rows):
            part = pixels[top : top + rows]
            pixmap.put_image(
                self._white, 0, top, width, len(part), X.ZPixmap, self._depth, 0, part.tobytes()
            )
        self._connection.sync()
        return pixmap

    def copy(self, source: Any, at: tuple[int, int], to: tuple[int, int] = (0, 0)) -> None:
        """A screen from `source` into the frame."""
        self._frame.copy_area(self._white, source, *at, self.width, self.height, *to)

    def cell(self, at: tuple[int, int], to: tuple[int, int]) -> None:
        """One character of the text into the frame."""
        self._frame.copy_area(self._white, self.text, *at, CELL, LINE, *to)

    def show(self, *parts: tuple[int, int, int, int]) -> int:
        """The frame's parts (all of it, where none is given), with the time; returns that."""
        value = barcode.now()
        strip = np.zeros((barcode.BLOCK, barcode.WIDTH, 3), np.uint8)
        barcode.draw(strip, value)
        for at in range(0, barcode.WIDTH, barcode.BLOCK):
            colour = self._white if strip[0, at, 0] > 128 else self._black
            self._frame.fill_rectangle(colour, at, 0, barcode.BLOCK, barcode.BLOCK)
        code = (0, 0, barcode.WIDTH, barcode.BLOCK)
        for x, y, width, height in (code, *parts) if parts else ((0, 0, self.width, self.height),):
            self._window.copy_area(self._white, self._frame, x, y, width, height, x, y)
        self._window.configure(stack_mode=X.Above)
        self._connection.sync()
        return value


def _landscape(width: int, height: int) -> np.ndarray:
    """Something like a photograph: soft shapes of all sizes, and grain."""
    chance = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.zeros((height, width, 4), np.float32)
    for channel in range(3):
        for size in (900, 400, 170, 60, 24):
            across, down, phase = chance.uniform(0.5, 1.5, 3)
            picture[..., channel] += size**0.5 * np.sin(across * x / size + down * y / size + phase)
    picture = 128 + 3 * picture + chance.normal(0, 2, (height, width, 1)).astype(np.float32)
    return picture.clip(16, 235).astype(np.uint8)


def still(stage: Stage) -> int:
    """How every scene ends."""
    stage.copy(stage.text, (0, 0))
    return stage.show()


def frames(rate: float, seconds: float, draw: Callable[[int], object]) -> int:
    """Draw at `rate`; a frame that is late does not delay those after it. How many."""
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        draw(count)
        count += 1
        time.sleep(max(0.0, began + count / rate - time.monotonic()))
    return count


def ticking(stage: Stage, seconds: float) -> int:
    """Only the time changes."""
    return frames(RATE, seconds, lambda _: stage.show((0, 0, 1, 1)))


def typing(stage: Stage, seconds: float) -> int:
    """One character after another on a page of text."""
    across = stage.width // CELL - 8

    def type_one(count: int) -> None:
        line, column = divmod(count, across)
        to = (40 + column * CELL, 5 * LINE + line * LINE)
        stage.cell((40 + column * CELL, stage.text_height - (3 + line) * LINE), to)
        stage.show((*to, CELL, LINE))

    return frames(KEYS, seconds, type_one)


def scrolling(stage: Stage, seconds: float) -> int:
    """A page of text runs through, a line a frame."""
    beyond = (stage.text_height - stage.height) // LINE

    def scroll(count: int) -> None:
        stage.copy(stage.text, (0, (count % beyond) * LINE))
        stage.show()

    return frames(RATE, seconds, scroll)


def motion(stage: Stage, seconds: float) -> int:
    """The whole screen moves like a film's slow pan."""

    def pan(count: int) -> None:
        x = (1 + np.sin(count / 40)) / 2 * stage.width
        y = (1 + np.cos(count / 55)) / 2 * stage.height
        stage.copy(stage.picture, (int(x), int(y)))
        stage.show()

    return frames(RATE, seconds, pan)


SCENES = {"ticking": ticking, "typing": typing, "scrolling": scrolling, "motion": motion}


def main() -> None:
    """Until standard input ends."""
    path, width, height = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    text = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, width, 4)
    stage = Stage(text, width, height)
    still(stage)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, seconds = line.split()
        drawn = SCENES[name](stage, float(seconds))
        print(json.dumps({"last": still(stage), "frames": drawn}), flush=True)


if __name__ == "__main__":
    main()
