"""Who types: the state of control over one desktop. Pure: it is told what happened.

nobody -- one who may types, clicks, takes or asks ---> that one
one    -- another who may takes it -------------------> that other
one    -- another who may asks -----------------------> one still, and the other asks
one    -- gives it to another who may ----------------> that other
one    -- gives it to nobody, leaves, may no longer --> nobody
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from earthshine.protocols.viewer import ViewerIs

NOBODY: Final = 0


@dataclass(slots=True)
class Seat:
    """Somebody who watches."""

    name: str
    role: str
    may_control: bool
    asks: bool = False


class Control:
    """The viewers of a desktop by number, and who of them has control."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}
        self._holder = NOBODY

    @property
    def holder(self) -> int:
        """The number of who has control, or NOBODY."""
        return self._holder

    def may(self, number: int) -> bool:
        """Whether this viewer may have control."""
        seat = self._seats.get(number)
        return seat is not None and seat.may_control

    def joined(self, number: int, seat: Seat) -> None:
        """Somebody watches from now on."""
        self._seats[number] = seat

    def left(self, number: int) -> None:
        """Somebody watches no longer."""
        self._seats.pop(number, None)
        self.given(number, NOBODY)

    def role_changed(self, number: int, role: str, may_control: bool) -> None:
        """Who may no longer have control gives it up."""
        seat = self._seats.get(number)
        if seat is None:
            return
        seat.role, seat.may_control = role, may_control
        if not may_control:
            seat.asks = False
            self.given(number, NOBODY)

    def taken(self, number: int) -> bool:
        """Somebody takes it; False: they may not."""
        if not self.may(number):
            return False
        self._holder = number
        self._seats[number].asks = False
        return True

    def asked(self, number: int) -> bool:
        """Somebody asks for it, and has it at once when nobody has; False: they may not."""
        if not self.may(number):
            return False
        if self._holder == NOBODY:
            return self.taken(number)
        if self._holder != number:
            self._seats[number].asks = True
        return True

    def given(self, number: int, to: int) -> bool:
        """Who has it gives it on; False: they do not have it, or the other may not."""
        if self._holder != number or (to != NOBODY and not self.may(to)):
            return False
        self._holder = NOBODY
        return to == NOBODY or self.taken(to)

    def acted(self, number: int, *, takes: bool) -> bool:
        """Somebody gave input: whether it counts. `takes`: it takes control that nobody has."""
        if self._holder == NOBODY and takes:
            return self.taken(number)
        return self._holder == number

    def seen_by(self, number: int) -> list[ViewerIs]:
        """All viewers, as this one is told of them."""
        return [
            ViewerIs(number=n, name=seat.name, role=seat.role, you=n == number, asks=seat.asks)
            for n, seat in sorted(self._seats.items())
        ]
