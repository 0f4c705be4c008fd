"""Moving and pressing a display's pointer through XTEST."""

from __future__ import annotations

from typing import Any, Final

from earthshine.runner.desktops.x11 import X, xtest

NOTCH: Final = 120
"""Units of one step of a wheel."""
MAX_STEPS: Final = 20
"""Steps that one message may turn."""
UP, DOWN, LEFT, RIGHT = 4, 5, 6, 7


class Pointer:
    """The display's pointer: places in pixels, buttons by X's numbers, a wheel in both axes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pressed: set[int] = set()
        self._turned = {"vertical": 0, "horizontal": 0}
        self._finger: int | None = None

    def move(self, x: int, y: int) -> None:
        """To a place."""
        xtest.fake_input(self._connection, X.MotionNotify, x=x, y=y)
        self._connection.flush()

    def move_by(self, dx: int, dy: int) -> tuple[int, int]:
        """By a distance; where it is then."""
        xtest.fake_input(self._connection, X.MotionNotify, detail=1, x=dx, y=dy)
        place = self._connection.screen().root.query_pointer()
        return place.root_x, place.root_y

    def button(self, number: int, down: bool) -> None:
        """Press or release; what is so already stays."""
        if down == (number in self._pressed):
            return
        (self._pressed.add if down else self._pressed.discard)(number)
        xtest.fake_input(self._connection, X.ButtonPress if down else X.ButtonRelease, number)
        self._connection.flush()

    def wheel(self, vertical: int, horizontal: int) -> None:
        """Turn it; parts of a step add up."""
        self._turn("vertical", vertical, UP, DOWN)
        self._turn("horizontal", horizontal, RIGHT, LEFT)
        self._connection.flush()

    def _turn(self, axis: str, units: int, positive: int, negative: int) -> None:
        if units * self._turned[axis] < 0:
            self._turned[axis] = 0  # a change of direction begins anew
        self._turned[axis] += units
        steps = int(self._turned[axis] / NOTCH)
        self._turned[axis] -= steps * NOTCH
        number = positive if steps > 0 else negative
        for _ in range(min(abs(steps), MAX_STEPS)):
            xtest.fake_input(self._connection, X.ButtonPress, number)
            xtest.fake_input(self._connection, X.ButtonRelease, number)

    def touch(self, finger: int, phase: str, x: int, y: int) -> None:
        """The first finger is the pointer with its left button; others are not told apart."""
        if phase == "down" and self._finger is None:
            self._finger = finger
            self.move(x, y)
            self.button(1, True)
        elif finger == self._finger:
            if phase == "move":
                self.move(x, y)
            else:
                self._finger = None
                self.button(1, False)

    def release_all(self) -> None:
        """All buttons up."""
        self._finger = None
        for number in sorted(self._pressed):
            xtest.fake_input(self._connection, X.ButtonRelease, number)
        self._pressed.clear()
        self._connection.flush()
