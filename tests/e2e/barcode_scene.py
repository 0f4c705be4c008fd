"""The barcode as a program on an X display. Argument: pictures in a second."""

from __future__ import annotations

import sys
import time

import numpy as np
from Xlib import X, display

from tests.e2e import barcode


def main() -> None:
    """Draw the time again and again at the top left, above all windows."""
    rate = float(sys.argv[1])
    connection = display.Display()
    screen = connection.screen()
    window = screen.root.create_window(
        0, 0, barcode.WIDTH, barcode.BLOCK, 0, screen.root_depth, override_redirect=True
    )
    window.map()
    pixmap = window.create_pixmap(barcode.WIDTH, barcode.BLOCK, screen.root_depth)
    white = window.create_gc(foreground=screen.white_pixel)
    black = window.create_gc(foreground=screen.black_pixel)
    strip = np.zeros((barcode.BLOCK, barcode.WIDTH, 3), np.uint8)
    while True:
        barcode.draw(strip, barcode.now())
        for at in range(0, barcode.WIDTH, barcode.BLOCK):
            colour = white if strip[0, at, 0] > 128 else black
            pixmap.fill_rectangle(colour, at, 0, barcode.BLOCK, barcode.BLOCK)
        # In one step, so that no picture shows half of it.
        window.copy_area(white, pixmap, 0, 0, barcode.WIDTH, barcode.BLOCK, 0, 0)
        window.configure(stack_mode=X.Above)
        connection.sync()
        time.sleep(1 / rate)


if __name__ == "__main__":
    main()
