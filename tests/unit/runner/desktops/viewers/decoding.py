"""What a viewer makes of what it gets."""

from __future__ import annotations

from typing import Any

import av
import numpy as np


class Decoder:
    """What a viewer's decoder makes of access units."""

    def __init__(self) -> None:
        self._codec: Any = av.CodecContext.create("h264", "r")
        self._codec.flags |= av.codec.context.Flags.low_delay

    def luma(self, unit: bytes) -> Any:
        """The picture's luma, height x width."""
        (picture,) = self._codec.decode(av.Packet(unit))
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[: picture.height, : picture.width]


def pixels(picture: bytes, codec: str = "png") -> Any:
    """A picture's pixels: height x width x (red, green, blue)."""
    context: Any = av.CodecContext.create(codec, "r")
    (frame,) = context.decode(av.Packet(picture))
    return frame.to_ndarray(format="rgb24")
