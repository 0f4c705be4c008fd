"""Keys that viewers hold down, and what text they type. Pure: it is told how to press a key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Literal

MAX_HELD: Final = 64
"""Keys that can be down at once."""
EVDEV_OFFSET: Final = 8
"""X keycodes of evdev keyboards are evdev's plus this."""
_SPECIAL: Final = {"\n": 0xFF0D, "\r": 0xFF0D, "\t": 0xFF09, "\b": 0xFF08, "\x1b": 0xFF1B}
Name = tuple[Literal["symbol", "code"], int]
"""What a viewer calls a key: by its keysym, or by its evdev code."""


def keysym_of(character: str) -> int:
    """The keysym that types a character (X11 protocol, appendix A; Unicode keysyms above)."""
    if character in _SPECIAL:
        return _SPECIAL[character]
    point = ord(character)
    return point if 0x20 <= point <= 0x7E or 0xA0 <= point <= 0xFF else 0x01000000 | point


def keysyms_of(text: str) -> Iterator[int]:
    """One after another; control characters that are no keys are left out."""
    return (keysym_of(one) for one in text if ord(one) >= 0x20 or one in _SPECIAL)


class HeldKeys:
    """Which keys are down, by what viewers call them. The longest held goes up for one too many."""

    def __init__(self, press: Callable[[int, bool], None], limit: int = MAX_HELD) -> None:
        """`press` gets an X keycode, and whether it goes down."""
        self._press = press
        self._limit = limit
        self._down: OrderedDict[Name, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._down)

    def __contains__(self, name: Name) -> bool:
        return name in self._down

    def __getitem__(self, name: Name) -> int:
        return self._down[name]

    @property
    def keycodes(self) -> list[int]:
        """X keycodes that are down."""
        return list(self._down.values())

    def down(self, name: Name, keycode: int) -> None:
        """Press it."""
        if len(self._down) >= self._limit:
            _, oldest = self._down.popitem(last=False)
            self._press(oldest, False)
        self._down[name] = keycode
        self._press(keycode, True)

    def up(self, name: Name) -> None:
        """Let it go, if it is held."""
        keycode = self._down.pop(name, None)
        if keycode is not None:
            self._press(keycode, False)

    def release_all(self) -> None:
        """All keys up, the last one first."""
        while self._down:
            _, keycode = self._down.popitem()
            self._press(keycode, False)
