"""Which parts of the screen have settled, to be shown again with exact pixels.

Works in tiles. Pure: times are arguments, in seconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from earthshine.runner.desktops.x11 import Rectangle

TILE: Final = 64
"""Pixels of a tile's edge."""
SETTLE_SECONDS: Final = 0.18
"""How long a tile must stay as it is."""
MAX_RECTANGLES: Final = 24
"""Rectangles that one look returns; the rest come with the next."""
MAX_ROWS: Final = 4
"""Tiles that a rectangle may be high: pictures stay small, so that nothing waits behind one."""


class SettleTracker:
    """The tiles that are not exact at the viewers, and when each was last drawn on."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        shape = (-(-height // TILE), -(-width // TILE))
        self._soiled = np.zeros(shape, dtype=bool)
        self._when: NDArray[np.float64] = np.zeros(shape)

    def soil(self, places: list[Rectangle], now: float) -> None:
        """These places were drawn on."""
        for place in places:
            inside = place.clipped(self._width, self._height)
            if inside is not None:
                where = _tiles(inside)
                self._soiled[where] = True
                self._when[where] = now

    def soil_all(self, when: float) -> None:
        """Somebody has no exact pixels at all: everything is due again from `when`."""
        self._soiled[:] = True
        self._when[self._when < when] = when

    @property
    def clean(self) -> bool:
        """Whether everything is exact."""
        return not self._soiled.any()

    def due(self, now: float) -> float | None:
        """Seconds until some tile settles; None when all are clean."""
        if self.clean:
            return None
        return max(0.0, float(self._when[self._soiled].min()) + SETTLE_SECONDS - now)

    def settled(self, now: float) -> list[Rectangle]:
        """Places that have settled, at most `MAX_RECTANGLES`. They count as clean from now on."""
        ripe = self._soiled & (self._when <= now - SETTLE_SECONDS)
        found: list[Rectangle] = []
        rows, columns = ripe.shape
        for row in range(rows):
            column = 0
            while column < columns and len(found) < MAX_RECTANGLES:
                if not ripe[row, column]:
                    column += 1
                    continue
                end = column
                while end < columns and ripe[row, end]:
                    end += 1
                low = row + 1
                while low < min(rows, row + MAX_ROWS) and ripe[low, column:end].all():
                    low += 1
                ripe[row:low, column:end] = False
                self._soiled[row:low, column:end] = False
                place = Rectangle(
                    column * TILE, row * TILE, (end - column) * TILE, (low - row) * TILE
                ).clipped(self._width, self._height)
                if place is not None:
                    found.append(place)
                column = end
        return found

    def is_soiled(self, place: Rectangle) -> bool:
        """Whether something was drawn in that place since it counted as settled."""
        return bool(self._soiled[_tiles(place)].any())


def _tiles(place: Rectangle) -> tuple[slice, slice]:
    return (
        slice(place.y // TILE, -(-(place.y + place.height) // TILE)),
        slice(place.x // TILE, -(-(place.x + place.width) // TILE)),
    )
