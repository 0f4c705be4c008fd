"""Which parts of a frame are new: a list before the access unit, where `FrameFlag.DAMAGE` is set.

Without it every frame would draw over all exact pixels, and a blinking cursor would blur the whole
screen. The list tells what changed since the frame that this viewer got before: exact pixels
elsewhere stay. Layout: count u8, then x, y, width, height (u16) each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from .codec import ViewerError

MAX_BOXES: Final = 255
_BOX: Final = struct.Struct(">HHHH")
Box = tuple[int, int, int, int]
"""x, y, width, height, in pixels."""


def with_damage(boxes: Sequence[Box], access_unit: bytes) -> bytes:
    """The `data` of a `Video` with the flag. Raises ViewerError: more than MAX_BOXES boxes."""
    if len(boxes) > MAX_BOXES:
        raise ViewerError("too many rectangles: merge some")
    return bytes([len(boxes)]) + b"".join(_BOX.pack(*box) for box in boxes) + access_unit


def split_damage(data: bytes) -> tuple[list[Box], bytes]:
    """What `with_damage` put together. Raises ViewerError."""
    end = 1 + data[0] * _BOX.size if data else 1
    if len(data) < end:
        raise ViewerError("a list of rectangles that is cut short")
    boxes = [(x, y, width, height) for x, y, width, height in _BOX.iter_unpack(data[1:end])]
    return boxes, data[end:]
