"""The pointer, seen by a window in the display."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.pointer import Pointer
from earthshine.runner.desktops.x11 import X


class Watcher:
    """A window over the whole display; says what the pointer did."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        screen = connection.screen()
        window = screen.root.create_window(
            0, 0, 800, 600, 0, screen.root_depth, override_redirect=True,
            event_mask=X.ButtonPressMask | X.ButtonReleaseMask,
        )  # fmt: skip
        window.map()
        connection.sync()

    def buttons(self) -> list[tuple[str, int]]:
        """What was pressed and released since the last look."""
        self._connection.sync()
        seen = []
        while self._connection.pending_events():
            event = self._connection.next_event()
            if event.type in (X.ButtonPress, X.ButtonRelease):
                seen.append(("down" if event.type == X.ButtonPress else "up", event.detail))
        return seen

    def place(self) -> tuple[int, int]:
        found = self._connection.screen().root.query_pointer()
        return found.root_x, found.root_y


@pytest.fixture
def connection(display: Display, connect: Callable[[Display], Any]) -> Any:
    """One for both ends: the server answers in the order in which it was asked."""
    return connect(display)


@pytest.fixture
def pointer(connection: Any) -> Pointer:
    return Pointer(connection)


@pytest.fixture
def watcher(connection: Any) -> Watcher:
    return Watcher(connection)


async def test_it_moves_to_places_and_by_distances(pointer: Pointer, watcher: Watcher) -> None:
    pointer.move(100, 200)
    assert watcher.place() == (100, 200)
    pointer.move_by(-30, 15)
    assert watcher.place() == (70, 215)


async def test_it_stays_on_the_screen(pointer: Pointer, watcher: Watcher) -> None:
    pointer.move(32767, 32767)
    assert watcher.place() == (799, 599)
    pointer.move(-5, -32768)
    assert watcher.place() == (0, 0)


async def test_a_button_that_is_down_is_not_pressed_again(
    pointer: Pointer, watcher: Watcher
) -> None:
    pointer.button(1, True)
    pointer.button(1, True)
    pointer.button(3, True)
    pointer.button(1, False)
    pointer.button(1, False)
    assert watcher.buttons() == [("down", 1), ("down", 3), ("up", 1)]
    pointer.release_all()
    assert watcher.buttons() == [("up", 3)]


async def test_a_wheel_turns_in_both_axes(pointer: Pointer, watcher: Watcher) -> None:
    pointer.wheel(120, 0)
    pointer.wheel(-240, 0)
    pointer.wheel(0, 120)
    pointer.wheel(0, -120)
    presses = [button for kind, button in watcher.buttons() if kind == "down"]
    assert presses == [4, 5, 5, 7, 6]


async def test_parts_of_a_step_add_up_until_the_direction_changes(
    pointer: Pointer, watcher: Watcher
) -> None:
    for _ in range(4):
        pointer.wheel(30, 0)
    assert watcher.buttons() == [("down", 4), ("up", 4)]
    pointer.wheel(110, 0)
    pointer.wheel(-30, 0)
    pointer.wheel(90, 0)
    assert watcher.buttons() == []


async def test_one_message_turns_only_so_far(pointer: Pointer, watcher: Watcher) -> None:
    pointer.wheel(32767, 0)
    assert len(watcher.buttons()) == 40


async def test_the_first_finger_is_the_pointer(pointer: Pointer, watcher: Watcher) -> None:
    pointer.touch(0, "down", 50, 60)
    pointer.touch(1, "down", 500, 500)
    pointer.touch(0, "move", 70, 80)
    assert watcher.place() == (70, 80)
    pointer.touch(1, "up", 500, 500)
    assert watcher.buttons() == [("down", 1)]
    pointer.touch(0, "up", 70, 80)
    assert watcher.buttons() == [("up", 1)]
