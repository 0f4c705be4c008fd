"""Typing into a display through XTEST.

A key comes as a keysym (what it means) or as an evdev code (where it is). For a keysym the keyboard
finds the key and level in the display's own layout, and holds or lets go of Shift and AltGr around
it where the viewer's layout differs. A keysym that the layout lacks borrows a key that has none.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from earthshine.runner.desktops.held_keys import EVDEV_OFFSET, HeldKeys, Name, keysyms_of
from earthshine.runner.desktops.x11 import DisplayError, X, xtest

FIRST: Final = 8
LAST: Final = 255
MAX_LAYOUT: Final = 64
SETTLE_LAYOUT_SECONDS: Final = 5.0
SHIFT: Final = 0xFFE1
LEVEL3: Final = 0xFE03
CAPS_LOCK: Final = 0xFFE5
_KEYPAD: Final = range(0xFF80, 0xFFBE)
_LEVELS: Final = ((0, 0), (1, 1), (4, 2), (5, 3))
"""Columns of the core mapping and the level they stand for (bit 0: Shift, bit 1: AltGr)."""


class Keyboard:
    """The display's keyboard. Uses the connection of its own thread; flushes, seldom waits."""

    def __init__(self, connection: Any) -> None:
        """Raises DisplayError when the display has no XTEST."""
        if not connection.has_extension("XTEST"):
            raise DisplayError("the display has no XTEST extension: it can only be watched")
        self._connection = connection
        self._held = HeldKeys(self._fake)
        self._borrowed: OrderedDict[int, int] = OrderedDict()
        """keysym -> spare keycode, the longest unused first."""
        self._spare: list[int] = []
        self._keys: dict[int, tuple[int, int]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the layout again; after the server says that it has changed."""
        self._keys = {}
        self._spare = []
        self._borrowed.clear()
        mapping = self._connection.get_keyboard_mapping(FIRST, LAST - FIRST + 1)
        modifiers = {code for row in self._connection.get_modifier_mapping() for code in row}
        for keycode, symbols in enumerate(mapping, FIRST):
            if not any(symbols):
                if keycode not in modifiers:
                    self._spare.append(keycode)
                continue
            for column, level in _LEVELS:
                symbol = symbols[column] if column < len(symbols) else 0
                known = self._keys.get(symbol)
                if symbol and (known is None or known[1] > level):
                    self._keys[symbol] = (keycode, level)

    @property
    def held(self) -> int:
        """How many keys are down."""
        return len(self._held)

    # --- keys ------------------------------------------------------------------------------------

    def key(self, keysym: int, down: bool) -> None:
        """Press or release the key that means `keysym`."""
        name: Name = ("symbol", keysym)
        if not down:
            self._held.up(name)
        elif name in self._held:
            self._fake(self._held[name], True)  # the viewer's own repetition
        else:
            keycode, level = self._find(keysym)
            with self._at_level(keysym, level):
                self._held.down(name, keycode)
        self._connection.flush()

    def scan_code(self, code: int, down: bool) -> None:
        """Press or release the key at this place, whatever the layout makes of it."""
        name: Name = ("code", code)
        if down:
            self._held.down(name, min(code + EVDEV_OFFSET, LAST))
        else:
            self._held.up(name)
        self._connection.flush()

    def type(self, text: str) -> None:
        """Type text, character by character; control characters that are no keys are left out."""
        for keysym in keysyms_of(text):
            self.key(keysym, True)
            self.key(keysym, False)

    def release_all(self) -> None:
        """All keys up."""
        self._held.release_all()
        self._connection.flush()

    def _fake(self, keycode: int, down: bool) -> None:
        xtest.fake_input(self._connection, X.KeyPress if down else X.KeyRelease, keycode)

    # --- levels ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _at_level(self, keysym: int, level: int) -> Iterator[None]:
        """Shift and AltGr as the level needs them, and afterwards as the viewer holds them."""
        undo: list[tuple[bool, int]] = []
        lock = self._lock_in_the_way(keysym)
        self._tap(lock)
        if keysym not in (SHIFT, SHIFT + 1, LEVEL3, CAPS_LOCK):
            undo += self._adjust(SHIFT, self._needs_shift(keysym, level), (SHIFT, SHIFT + 1))
            undo += self._adjust(LEVEL3, bool(level & 2), (LEVEL3, 0xFF7E, 0xFFEA))
        try:
            yield
        finally:
            for down, keycode in reversed(undo):
                self._fake(keycode, down)
            self._tap(lock)

    def _lock_in_the_way(self, keysym: int) -> int | None:
        """Caps Lock's key, where it is on and would change a letter on a borrowed key."""
        if keysym not in self._borrowed or not _is_letter(keysym) or CAPS_LOCK not in self._keys:
            return None
        mask = self._connection.screen().root.query_pointer().mask
        return self._keys[CAPS_LOCK][0] if mask & X.LockMask else None

    def _tap(self, keycode: int | None) -> None:
        if keycode is not None:
            self._fake(keycode, True)
            self._fake(keycode, False)

    def _needs_shift(self, keysym: int, level: int) -> bool:
        shift = bool(level & 1)
        borrowed = keysym in self._borrowed
        if keysym in _KEYPAD or (level < 2 and _is_letter(keysym) and not borrowed):
            mask = self._connection.screen().root.query_pointer().mask
            if keysym in _KEYPAD:
                return shift and not mask & X.Mod2Mask  # NumLock does what Shift would
            return shift != bool(mask & X.LockMask)
        return shift

    def _adjust(
        self, modifier: int, needed: bool, family: tuple[int, ...]
    ) -> list[tuple[bool, int]]:
        """Fake the modifier if it is not as needed; returns what undoes that.

        Modifiers held by place count as well: their codes come from the same layout.
        """
        codes = {self._keys[symbol][0] for symbol in family if symbol in self._keys}
        down = [code for code in self._held.keycodes if code in codes]
        if needed and not down and modifier in self._keys:
            keycode = self._keys[modifier][0]
            self._fake(keycode, True)
            return [(False, keycode)]
        if not needed and down:
            for keycode in down:
                self._fake(keycode, False)
            return [(True, keycode) for keycode in down]
        return []

    # --- keysyms that the layout lacks -----------------------------------------------------------

    def _find(self, keysym: int) -> tuple[int, int]:
        known = self._keys.get(keysym)
        if known is None and keysym & 0xFF000000 == 0x01000000:
            known = self._keys.get(keysym & 0xFFFFFF) if keysym & 0xFFFFFF < 0x100 else None
        if known is not None:
            return known
        if keysym in self._borrowed:
            self._borrowed.move_to_end(keysym)
            return self._borrowed[keysym], 0
        return self._borrow(keysym), 0

    def _borrow(self, keysym: int) -> int:
        """Give a spare key this meaning. Programs hear of it before the key that follows.

        They ask for the meaning themselves: one that asks only after the key has got its next, some
        twenty borrowed keysyms later, types that.
        """
        if self._spare:
            keycode = self._spare.pop(0)
        elif self._borrowed:
            _, keycode = self._borrowed.popitem(last=False)
        else:
            keycode = LAST
        # Both levels of both groups: Shift, Caps Lock and a second layout must not change it.
        self._connection.change_keyboard_mapping(keycode, [(keysym,) * 4])
        self._connection.sync()
        self._borrowed[keysym] = keycode
        return keycode

    def is_own_change(self, first: int, count: int) -> bool:
        """Whether a change of the layout that the server tells of is a key borrowed here."""
        return count == 1 and first in self._borrowed.values()


def _is_letter(keysym: int) -> bool:
    if keysym < 0x100:
        return chr(keysym).isalpha()
    return keysym >> 24 == 1 and chr(keysym & 0xFFFFFF).isalpha()


def known_layout(connection: Any) -> str:
    """The layouts that the display has, by their XKB names; empty where it does not say."""
    root = connection.screen().root
    said = root.get_full_property(connection.intern_atom("_XKB_RULES_NAMES"), X.AnyPropertyType)
    if said is None:
        return ""
    data = said.value if isinstance(said.value, bytes) else bytes(said.value)
    names = data.decode(errors="replace").split("\0")  # rules, model, layout, variant, options
    return names[2][:MAX_LAYOUT] if len(names) > 2 else ""


def set_layout(layout: str, variant: str) -> None:
    """Load a keyboard layout into the display (setxkbmap). Blocks. Raises DisplayError."""
    try:
        done = subprocess.run(
            ["setxkbmap", "-layout", layout, "-variant", variant],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SETTLE_LAYOUT_SECONDS,
            check=False,
            env=os.environ,
        )
    except FileNotFoundError:
        raise DisplayError(
            "the keyboard layout cannot be changed: setxkbmap was not found",
            "apt-get install x11-xkb-utils",
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DisplayError(f"the keyboard layout cannot be changed: {error}") from None
    if done.returncode != 0:
        raise DisplayError(f"the display knows no keyboard layout {layout} {variant}".rstrip())
