"""Which keys of the compositor mean what a viewer types."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.desktops.held_keys import MAX_HELD
from earthshine.runner.desktops.wayland_keyboard import BORROWED, WaylandKeyboard

SHIFT = 0xFFE1
EURO = 0x20AC


class Compositor:
    """Remembers its keymap and what is down, and what came out."""

    def __init__(self) -> None:
        self.bound: dict[int, int] = {}
        self.down: list[int] = []
        self.pressed: list[int] = []
        self.keyboard = WaylandKeyboard(self.bind, self.press)

    def bind(self, keys: list[tuple[int, int]]) -> None:
        self.bound.clear()
        self.bound.update(keys)

    def press(self, keycode: int, down: bool) -> None:
        if down:
            assert keycode not in self.down
            self.down.append(keycode)
            self.pressed.append(keycode)
        else:
            self.down.remove(keycode)

    def tap(self, keysym: int) -> int:
        """The key that it is."""
        self.keyboard.key(keysym, True)
        self.keyboard.key(keysym, False)
        return self.pressed[-1]


def test_letters_and_named_keys_have_their_places() -> None:
    here = Compositor()
    assert [here.tap(ord(c)) for c in "a1m"] == [38, 10, 58]
    assert [here.tap(keysym) for keysym in (0xFF0D, 0xFF1B, 0xFFBE, 0xFF51)] == [36, 9, 67, 113]
    assert here.bound == {}


def test_a_capital_is_its_letter_under_shift_and_borrowed_without() -> None:
    here = Compositor()
    here.keyboard.key(SHIFT, True)
    assert here.tap(ord("A")) == 38
    here.keyboard.key(SHIFT, False)
    assert here.bound[here.tap(ord("A"))] == ord("A")


def test_a_digit_that_a_layout_has_under_shift_is_borrowed() -> None:
    here = Compositor()
    here.keyboard.key(SHIFT, True)
    assert here.bound[here.tap(ord("2"))] == ord("2")


def test_what_a_keyboard_lacks_is_borrowed_and_kept() -> None:
    here = Compositor()
    first = here.tap(EURO)
    assert here.bound == {first: EURO}
    assert here.tap(EURO) == first


def test_the_longest_unused_key_is_lent_again_but_none_that_is_down() -> None:
    here = Compositor()
    here.keyboard.key(0x1000100, True)
    for number in range(1, 2 * len(BORROWED)):
        assert here.bound[here.tap(0x1000100 + number)] == 0x1000100 + number
    assert here.bound[here.down[0]] == 0x1000100


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["symbol", "code"]),
            st.one_of(st.integers(0x20, 0xFF), st.integers(0x1000100, 0x1000200), st.just(SHIFT)),
            st.booleans(),
        ),
        max_size=400,
    )
)
def test_whatever_comes_all_keys_go_up_again(events: list[tuple[str, int, bool]]) -> None:
    here = Compositor()
    held: dict[int, int] = {}

    def press(keycode: int, down: bool) -> None:
        held[keycode] = held.get(keycode, 0) + (1 if down else -1)

    keyboard = WaylandKeyboard(here.bind, press)
    for kind, which, down in events:
        if kind == "symbol":
            keyboard.key(which, down)
        else:
            keyboard.scan_code(which % 248, down)
        assert keyboard.held < MAX_HELD
    keyboard.release_all()
    assert not any(held.values())
