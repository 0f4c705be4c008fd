"""The pointer's shape (XFIXES 2), as a picture to be drawn by the viewer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from earthshine.runner.desktops.capture.pictures import png
from earthshine.runner.desktops.messages import Cursor

MAX_EDGE: Final = 256
"""Pixels of a pointer that are shown."""


def cursor_shape(connection: Any) -> Cursor:
    """The shape now. XFIXES gives 32-bit ARGB with the colours multiplied by alpha."""
    image = connection.xfixes_get_cursor_image(connection.screen().root)
    width, height = image.width, image.height
    words = np.array(image.cursor_image[: width * height], dtype="<u4")
    pixels = words.view(np.uint8).reshape(height, width, 4)[:MAX_EDGE, :MAX_EDGE]
    alpha = pixels[:, :, 3:4].astype(np.uint16)
    straight = pixels.copy()
    colours = (pixels[:, :, :3].astype(np.uint16) * 255 + alpha // 2) // np.maximum(alpha, 1)
    straight[:, :, :3] = np.minimum(colours, 255)
    return Cursor(
        serial=image.cursor_serial,
        x=image.xhot,
        y=image.yhot,
        data=png(straight, alpha=True),
    )
