"""Typing into the Wayland compositor. Pure: it is told which keys to bind and to press.

Letters, digits and named keys have the places of a US keyboard. Whatever else a viewer's layout
gives borrows a key: the compositor's keymap is changed so that this key means it, with any
modifiers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from earthshine.runner.desktops.held_keys import EVDEV_OFFSET, HeldKeys, Name, keysyms_of

BORROWED: Final = range(184, 248)
"""X keycodes of keys that keyboards hardly have: F14 and above, and of multimedia."""
_ROWS: Final = ((10, "1234567890"), (24, "qwertyuiop"), (38, "asdfghjkl"), (52, "zxcvbnm"))
_NAMED: Final = {
    0xFF1B: 9, 0xFF08: 22, 0xFF09: 23, 0xFE20: 23, 0xFF0D: 36, 0x20: 65, 0xFFE3: 37, 0xFFE4: 105,
    0xFFE1: 50, 0xFFE2: 62, 0xFFE9: 64, 0xFFE7: 64, 0xFFEA: 108, 0xFE03: 108, 0xFFE8: 108,
    0xFFEB: 133, 0xFFEC: 134, 0xFFE5: 66, 0xFF7F: 77, 0xFF14: 78, 0xFF61: 107, 0xFF13: 127,
    0xFF67: 135, 0xFF50: 110, 0xFF52: 111, 0xFF55: 112, 0xFF51: 113, 0xFF53: 114, 0xFF57: 115,
    0xFF54: 116, 0xFF56: 117, 0xFF63: 118, 0xFFFF: 119, 0xFFC8: 95, 0xFFC9: 96,
    **{0xFFBE + number: 67 + number for number in range(10)},
}  # fmt: skip
_SHIFT: Final = (0xFFE1, 0xFFE2)


def _plain_keys() -> dict[int, int]:
    places = {ord(c): first + at for first, row in _ROWS for at, c in enumerate(row)}
    return {**places, **_NAMED}


class WaylandKeyboard:
    """What is held, and which keys are borrowed."""

    def __init__(
        self,
        bind: Callable[[list[tuple[int, int]]], None],
        press: Callable[[int, bool], None],
    ) -> None:
        """`bind` gets all borrowed (X keycode, keysym) pairs; `press` an X keycode, down or up."""
        self._bind = bind
        self._plain = _plain_keys()
        self._borrowed: OrderedDict[int, int] = OrderedDict()
        """keysym -> X keycode, the longest unused first."""
        # One is always free to be given another meaning.
        self._held = HeldKeys(press, len(BORROWED) - 1)

    @property
    def held(self) -> int:
        """How many keys are down."""
        return len(self._held)

    def key(self, keysym: int, down: bool) -> None:
        """Press or release the key that means `keysym`."""
        name: Name = ("symbol", keysym)
        if not down:
            self._held.up(name)
        elif name not in self._held:  # the compositor's clients repeat themselves
            self._held.down(name, self._find(keysym))

    def scan_code(self, code: int, down: bool) -> None:
        """Press or release the key at this place (an evdev code)."""
        name: Name = ("code", code)
        if not down:
            self._held.up(name)
        elif name not in self._held:
            self._held.down(name, code + EVDEV_OFFSET)

    def type(self, text: str) -> None:
        """Type text, character by character; control characters that are no keys are left out."""
        for keysym in keysyms_of(text):
            self.key(keysym, True)
            self.key(keysym, False)

    def release_all(self) -> None:
        """All keys up."""
        self._held.release_all()

    def _find(self, keysym: int) -> int:
        shifted = any(("symbol", shift) in self._held for shift in _SHIFT)
        if shifted and ord("A") <= keysym <= ord("Z"):
            return self._plain[keysym + 32]
        plain = self._plain.get(keysym)
        if plain is not None and not (shifted and 0x20 < keysym <= 0x7E):
            return plain
        return self._borrow(keysym)

    def _borrow(self, keysym: int) -> int:
        keycode = self._borrowed.get(keysym)
        if keycode is not None:
            self._borrowed.move_to_end(keysym)
            return keycode
        if len(self._borrowed) < len(BORROWED):
            keycode = BORROWED[len(self._borrowed)]
        else:
            busy = self._held.keycodes
            oldest = next(s for s, code in self._borrowed.items() if code not in busy)
            keycode = self._borrowed.pop(oldest)
        self._borrowed[keysym] = keycode
        self._bind([(code, symbol) for symbol, code in self._borrowed.items()])
        return keycode
