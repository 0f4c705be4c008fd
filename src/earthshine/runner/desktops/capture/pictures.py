"""Exact pictures of a display: grabbing pixels, PNG and JPEG through FFmpeg."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from earthshine.runner.desktops.x11 import Rectangle, X

PNG_LEVEL: Final = "1"
"""The fastest deflate: text compresses well at any level."""
JPEG_QUALITY: Final = "3"
"""FFmpeg's scale: 2 is best."""
Pixels = NDArray[np.uint8]
"""height x width x 4: blue, green, red, unused."""


def grab(connection: Any, place: Rectangle) -> Pixels:
    """The pixels of a part of the root window. Raises python-xlib's errors."""
    image = connection.screen().root.get_image(
        place.x, place.y, place.width, place.height, X.ZPixmap, 0xFFFFFFFF
    )
    return np.frombuffer(image.data, np.uint8).reshape(place.height, place.width, 4)


def png(pixels: Pixels, *, alpha: bool = False) -> bytes:
    """As PNG; `alpha`: the fourth channel is one."""
    order = [2, 1, 0, 3] if alpha else [2, 1, 0]
    picture = np.ascontiguousarray(pixels[:, :, order])
    layout = "rgba" if alpha else "rgb24"
    return _encode("png", layout, picture, {"compression_level": PNG_LEVEL})


def jpeg(pixels: Pixels) -> bytes:
    """As JPEG, for a glance."""
    return _encode(
        "mjpeg", "bgr0", np.ascontiguousarray(pixels), {"qmin": "2", "qmax": JPEG_QUALITY}
    )


def _encode(codec: str, layout: str, picture: Pixels, options: dict[str, str]) -> bytes:
    height, width = picture.shape[:2]
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = width, height
    encoder.time_base = Fraction(1, 1)
    encoder.options = options
    frame: Any = av.VideoFrame(width, height, layout)
    plane = frame.planes[0]
    rows = picture.reshape(height, -1)
    padded = np.zeros((height, plane.line_size), np.uint8)
    padded[:, : rows.shape[1]] = rows
    plane.update(padded.tobytes())
    if codec == "mjpeg":
        encoder.pix_fmt = "yuvj420p"
        frame = frame.reformat(format="yuvj420p")
    else:
        encoder.pix_fmt = layout
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
