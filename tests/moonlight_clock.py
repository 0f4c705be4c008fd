"""A program for a display: `tests.barcode` across its whole width, so many times a second."""

from __future__ import annotations

import sys
import time

from tests import barcode

MAX_TALL = 512


def main() -> None:
    """Until ended. The display may change its size."""
    from Xlib import X, display

    rate = float(sys.argv[1])
    connection = display.Display()
    screen = connection.screen()
    root = screen.root
    window = root.create_window(
        0, 0, 8192, 8192, 0, screen.root_depth, override_redirect=True,
        background_pixel=screen.black_pixel, event_mask=X.NoEventMask,
    )  # fmt: skip
    window.map()
    # Drawn apart and copied whole, so that no picture shows half of it.
    drawing = window.create_pixmap(screen.width_in_pixels * 4, MAX_TALL, screen.root_depth)
    paints = [
        drawing.create_gc(foreground=level << 16 | level << 8 | level)
        for level in (barcode.BLACK, barcode.WHITE)
    ]
    due = time.monotonic()
    while True:
        size = root.get_geometry()
        wide, tall = size.width // barcode.BLOCKS, barcode.height(size.height)
        bits = barcode.bits(barcode.now_ms())
        for shade, paint in enumerate(paints):
            blocks = [(n * wide, 0, wide, tall) for n, bit in enumerate(bits) if bit == shade]
            drawing.poly_fill_rectangle(paint, blocks)
        window.copy_area(paints[0], drawing, 0, 0, wide * barcode.BLOCKS, tall, 0, 0)
        connection.flush()
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
