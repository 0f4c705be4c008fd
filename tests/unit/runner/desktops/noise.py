"""A scene that no encoder can foresee: RATE times a second, coloured squares over the screen."""

from __future__ import annotations

import random
import sys
import time

SQUARE = 8
SHADES = 12


def main() -> None:
    """Draw until ended."""
    from Xlib import display

    rate = float(sys.argv[1])
    connection = display.Display()
    screen = connection.screen()
    width, height = screen.width_in_pixels, screen.height_in_pixels
    window = screen.root.create_window(
        0, 0, width, height, 0, screen.root_depth, override_redirect=True
    )
    window.map()
    shades = [
        window.create_gc(foreground=random.Random(index).randrange(1 << 24))
        for index in range(SHADES)
    ]
    dice = random.Random(1)
    places = [
        (x, y, SQUARE, SQUARE)
        for x in range(0, min(width, 640), SQUARE)
        for y in range(0, min(height, 288), SQUARE)
    ]
    due = time.monotonic()
    while True:
        dice.shuffle(places)
        for index, shade in enumerate(shades):
            window.poly_fill_rectangle(shade, places[index::SHADES])
        connection.sync()
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
