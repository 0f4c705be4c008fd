"""Typing, read back by a real program in the display."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.held_keys import keysym_of
from earthshine.runner.desktops.keyboard import Keyboard, set_layout
from earthshine.runner.desktops.x11 import DisplayError, X

Eventually = Callable[..., Awaitable[Any]]
SHIFT_L, CONTROL_L, CAPS_LOCK, LEVEL3, RETURN = 0xFFE1, 0xFFE3, 0xFFE5, 0xFE03, 0xFF0D
KEY_A, KEY_Y, KEY_Q, KEY_ENTER, KEY_LEFTSHIFT = 30, 21, 16, 28, 42


class Watcher:
    """A window that has the keyboard's focus; says which keys it saw, as an `xev` would."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        screen = connection.screen()
        self._window = screen.root.create_window(
            0, 0, 200, 200, 0, screen.root_depth, override_redirect=True,
            event_mask=X.KeyPressMask | X.KeyReleaseMask,
        )  # fmt: skip
        self._window.map()
        connection.sync()
        self._window.set_input_focus(X.RevertToParent, X.CurrentTime)
        connection.sync()
        self.down: set[int] = set()
        self.symbols: list[int] = []

    def server_says_down(self) -> int:
        """How many keys are down, whoever was told."""
        return sum(int(byte).bit_count() for byte in self._connection.query_keymap())

    def look(self) -> None:
        self._connection.sync()
        while self._connection.pending_events():
            event = self._connection.next_event()
            if type(event).__name__ == "MappingNotify":
                self._connection.refresh_keyboard_mapping(event)
            elif event.type == X.KeyPress:
                self.down.add(event.detail)
                level = 1 if event.state & X.ShiftMask else 0
                self.symbols.append(self._connection.keycode_to_keysym(event.detail, level))
            elif event.type == X.KeyRelease:
                self.down.discard(event.detail)


@pytest.fixture
def connection(display: Display, connect: Callable[[Display], Any]) -> Any:
    """One for both ends: the server answers in the order in which it was asked."""
    return connect(display)


@pytest.fixture
def keyboard(connection: Any) -> Keyboard:
    return Keyboard(connection)


@pytest.fixture
def watcher(connection: Any) -> Watcher:
    return Watcher(connection)


@asynccontextmanager
async def terminal(display: Display, typed: Path, eventually: Eventually) -> Any:
    """xterm in which `cat` writes to a file what is typed; it has the focus."""
    program = await asyncio.create_subprocess_exec(
        "xterm", "-u8", "-fa", "Monospace", "-geometry", "60x20", "-e",
        f"sh -c 'echo ready > {typed}.ready; exec cat > {typed}'",
        env={**os.environ, "LC_ALL": "C.UTF-8"}, stderr=-3,
    )  # fmt: skip
    try:
        await eventually(Path(f"{typed}.ready").exists)
        connection = x11.connect(display.name)
        try:
            # Without a window manager the pointer gives the focus.
            tree = connection.screen().root.query_tree()
            window = tree.children[-1]
            await eventually(lambda: window.get_attributes().map_state == X.IsViewable)
            window.set_input_focus(X.RevertToParent, X.CurrentTime)
            connection.sync()
        finally:
            x11.disconnect(connection)
        yield
    finally:
        program.kill()
        await program.wait()


@pytest.mark.parametrize(
    "text",
    [
        "plain text, Shift TOO: {}[]\\|~^`'\"",
        "Grüße, façade, señor",
        "Ωμέγα привет 你好 שלום",
        "→ € ™ 🌒",
    ],
    ids=["ascii", "latin", "scripts", "symbols"],
)
async def test_what_is_typed_arrives_in_a_terminal(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually, text: str
) -> None:
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        for character in text:
            keyboard.type(character)
            await asyncio.sleep(0.002)
        keyboard.type("\n")
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == text + "\n"


async def test_more_is_typed_than_there_are_spare_keys(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually
) -> None:
    """A key gets its next meaning once the program has had time to read the one before."""
    typed = tmp_path / "typed"
    lines = ["".join(map(chr, range(at, at + 10))) + "\n" for at in range(0x4E00, 0x4E00 + 60, 10)]
    async with terminal(display, typed, eventually):
        for number, line in enumerate(lines, 1):
            keyboard.type(line)
            await eventually(lambda number=number: typed.read_text().count("\n") == number)
        assert typed.read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("layout", "text"),
    [("de", "zyäöüß@€{[]}\\|~"), ("fr", "azerty &é\"'(-è_çà@#{[|"), ("us", "zy@")],
)
async def test_it_finds_keys_and_levels_in_the_displays_layout(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually,
    layout: str, text: str,
) -> None:  # fmt: skip
    await asyncio.to_thread(set_layout, layout, "")
    keyboard.reload()
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        keyboard.type(text + "\n")
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == text + "\n"


async def test_dead_keys_compose_in_the_program(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually
) -> None:
    await asyncio.to_thread(set_layout, "de", "")
    keyboard.reload()
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        for keysym in (0xFE51, ord("e"), 0xFE52, ord("o"), RETURN):  # acute, circumflex
            keyboard.key(keysym, True)
            keyboard.key(keysym, False)
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == "éô\n"


async def test_a_viewer_whose_shift_differs_from_the_displays(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually
) -> None:
    """A German viewer holds Shift for `/`; the display's American layout has it without."""
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        keyboard.key(SHIFT_L, True)
        keyboard.key(ord("/"), True)
        keyboard.key(ord("/"), False)
        keyboard.key(ord("A"), True)
        keyboard.key(ord("A"), False)
        keyboard.key(SHIFT_L, False)
        keyboard.key(ord("@"), True)  # AltGr+q there, Shift+2 here
        keyboard.key(ord("@"), False)
        keyboard.key(RETURN, True)
        keyboard.key(RETURN, False)
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == "/A@\n"


async def test_caps_lock_in_the_display_does_not_change_what_is_typed(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually
) -> None:
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        keyboard.key(CAPS_LOCK, True)
        keyboard.key(CAPS_LOCK, False)
        keyboard.type("aB1ä\n")
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == "aB1ä\n"


async def test_places_mean_what_the_layout_says(
    display: Display, keyboard: Keyboard, tmp_path: Path, eventually: Eventually
) -> None:
    await asyncio.to_thread(set_layout, "de", "")
    keyboard.reload()
    typed = tmp_path / "typed"
    async with terminal(display, typed, eventually):
        for code in (KEY_Y, KEY_A, KEY_ENTER):
            keyboard.scan_code(code, True)
            keyboard.scan_code(code, False)
        await eventually(lambda: "\n" in typed.read_text())
        assert typed.read_text() == "za\n"


async def test_control_reaches_programs(
    display: Display, keyboard: Keyboard, watcher: Watcher
) -> None:
    keyboard.key(CONTROL_L, True)
    keyboard.key(ord("c"), True)
    watcher.look()
    assert watcher.symbols == [CONTROL_L, ord("c")]
    keyboard.key(ord("c"), False)
    keyboard.key(CONTROL_L, False)
    watcher.look()
    assert watcher.down == set()


async def test_all_keys_up(keyboard: Keyboard, watcher: Watcher) -> None:
    keyboard.key(SHIFT_L, True)
    keyboard.key(ord("X"), True)
    keyboard.key(keysym_of("你"), True)
    keyboard.scan_code(KEY_Q, True)
    watcher.look()
    assert len(watcher.down) == 4
    assert keyboard.held == 4
    keyboard.release_all()
    watcher.look()
    assert watcher.down == set()
    assert keyboard.held == 0


async def test_a_key_goes_up_although_the_layout_changed_meanwhile(
    keyboard: Keyboard, watcher: Watcher
) -> None:
    keyboard.key(ord("y"), True)
    await asyncio.to_thread(set_layout, "de", "")
    keyboard.reload()
    keyboard.key(ord("y"), False)
    watcher.look()
    assert watcher.down == set()


async def test_keys_that_never_go_up_are_limited(keyboard: Keyboard, watcher: Watcher) -> None:
    for code in range(1, 120):
        keyboard.scan_code(code, True)
    assert keyboard.held <= 64
    keyboard.release_all()
    assert watcher.server_says_down() == 0


async def test_a_layout_that_does_not_exist_is_refused(display: Display) -> None:
    with pytest.raises(DisplayError, match="knows no keyboard layout"):
        await asyncio.to_thread(set_layout, "no-such", "")


@pytest.mark.parametrize(
    ("character", "keysym"),
    [
        ("a", 0x61),
        ("ä", 0xE4),
        ("€", 0x010020AC),
        ("\n", RETURN),
        ("\t", 0xFF09),
        ("🌒", 0x0101F312),
    ],
)
def test_keysyms_of_characters(character: str, keysym: int) -> None:
    assert keysym_of(character) == keysym
