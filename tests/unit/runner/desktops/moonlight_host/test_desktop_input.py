"""Every kind of input, from our client into a real display, and read back by a program in it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.input import (
    Button,
    Capability,
    Contact,
    ControllerArrived,
    ControllerState,
    ControllerType,
    InputEvent,
    KeyEvent,
    MouseButton,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    PenMoved,
    Scrolled,
    ScrolledSideways,
    TextTyped,
    Tool,
    Touched,
)
from earthshine.runner.desktops.capabilities import controllers
from earthshine.runner.desktops.messages import Button as ButtonMessage
from earthshine.runner.desktops.messages import Pointer
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.desktop_input import Pen
from earthshine.runner.desktops.moonlight_host.held import HeldInput
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from tests.moonlight_guests import Guest, Watching
from tests.unit.runner.desktops import listener
from tests.unit.runner.desktops.moonlight_host.desktops import running

Eventually = Callable[..., Awaitable[Any]]
SIZE = (640, 480)
SHIFT, KEY_A, KEY_F1, LEFT = 0x10, 0x41, 0x70, 0x25  # Windows' codes
SYM_SHIFT, SYM_F1, SYM_LEFT = 0xFFE1, 0xFFBE, 0xFF51

KINDS: dict[str, tuple[list[InputEvent], list[list[Any]]]] = {
    "a letter with Shift": (
        [
            KeyEvent(SHIFT, down=True),
            KeyEvent(KEY_A, down=True),
            KeyEvent(KEY_A, down=False),
            KeyEvent(SHIFT, down=False),
        ],
        [["key", SYM_SHIFT], ["key", ord("A")], ["key up", ord("A")], ["key up", SYM_SHIFT]],
    ),
    "keys without a character": (
        [KeyEvent(key, down=down) for key in (KEY_F1, LEFT) for down in (True, False)],
        [["key", SYM_F1], ["key up", SYM_F1], ["key", SYM_LEFT], ["key up", SYM_LEFT]],
    ),
    "text": (
        [TextTyped("q"), TextTyped("é"), TextTyped("€")],
        [["key", ord("q")], ["key", 0xE9], ["key", 0x010020AC]],
    ),
    "the mouse, placed and moved": (
        [MousePlaced(100, 50, *SIZE), MouseMoved(7, -3), MousePlaced(1920, 720, 3840, 1440)],
        [["motion", 100, 50], ["motion", 107, 47], ["motion", 320, 240]],
    ),
    "five buttons": (
        [MouseButtonEvent(button, down=down) for button in MouseButton for down in (True, False)],
        [[name, number] for number in (1, 2, 3, 8, 9) for name in ("button", "button up")],
    ),
    "the wheel, whole and in parts": (
        [
            Scrolled(120),
            Scrolled(-60),
            Scrolled(-60),
            ScrolledSideways(120),
            ScrolledSideways(-120),
        ],
        [["button", 4], ["button", 5], ["button", 7], ["button", 6]],
    ),
    "a finger": (
        [
            Touched(Contact.DOWN, 3, 0.25, 0.5),
            Touched(Contact.MOVE, 3, 0.5, 0.5),
            Touched(Contact.UP, 3, 0.5, 0.5),
        ],
        [
            ["motion", 160, 240],
            ["button", 1],
            ["motion", 320, 240],
            ["button up", 1],
        ],
    ),
    "a pen": (
        [
            PenMoved(Contact.HOVER, Tool.PEN, 0, 0.1, 0.1),
            PenMoved(Contact.DOWN, Tool.PEN, 0, 0.25, 0.25),
            PenMoved(Contact.MOVE, Tool.PEN, 0, 0.75, 0.25),
            PenMoved(Contact.UP, Tool.PEN, 0, 0.75, 0.25),
            PenMoved(Contact.BUTTON_ONLY, Tool.PEN, 1, 0.75, 0.25),
            PenMoved(Contact.HOVER_LEAVE, Tool.PEN, 0, 0.75, 0.25),
        ],
        [
            ["motion", 64, 48],
            ["motion", 160, 120],
            ["button", 1],
            ["motion", 480, 120],
            ["button up", 1],
            ["button", 3],
            ["button up", 3],
        ],
    ),
}


@pytest.fixture
async def host(tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[MoonlightHost]:
    command = f"{sys.executable} {listener.__file__} {tmp_path}/heard"
    async with running(tmp_path, [HostApp("7", "Listener", command)], window_manager="off") as host:
        yield host


class Heard:
    """What the program in the display says, since the last `forget`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0

    def __call__(self) -> list[list[Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()][self._seen :]

    def forget(self) -> None:
        self._seen += len(self())

    def has(self, wanted: list[list[Any]]) -> bool:
        """Whether all of it came, in this order; other things may lie between."""
        left = iter(self())
        return all(any(found == one for found in left) for one in wanted)


async def test_every_kind_is_read_back_inside_the_display(
    host: MoonlightHost, eventually: Eventually, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard(tmp_path / "heard")
    async with started(host, heard, eventually) as watching:
        for name, (events, wanted) in KINDS.items():
            heard.forget()
            for event in events:
                watching.stream.send(event)
                watching.stream._flush_input()  # each by itself: merging has tests of its own
            try:
                await eventually(lambda wanted=wanted: heard.has(wanted))
            except AssertionError:
                raise AssertionError(f"{name}: {heard()}") from None
        # Controllers need the kernel's help; without it the host says so, once, and goes on.
        caplog.set_level(logging.WARNING)
        heard.forget()
        arrived = ControllerArrived(0, ControllerType.XBOX, Capability.RUMBLE, Button.A)
        watching.stream.send(arrived)
        watching.stream.send(ControllerState(0, 1, Button.A, 0, 0, 0, 0, 0, 0))
        watching.stream.send(MousePlaced(9, 9, *SIZE))
        await eventually(lambda: heard.has([["motion", 9, 9]]))
        said = [r.message for r in caplog.records if "controller" in r.message]
        assert len(said) == 1
        assert controllers().detail in said[0]


async def test_what_is_held_is_released_when_the_client_leaves(
    host: MoonlightHost, eventually: Eventually, tmp_path: Path
) -> None:
    heard = Heard(tmp_path / "heard")
    async with started(host, heard, eventually) as watching:
        watching.stream.send(KeyEvent(SHIFT, down=True))
        watching.stream.send(MouseButtonEvent(MouseButton.MIDDLE, down=True))
        watching.stream.send(PenMoved(Contact.DOWN, Tool.PEN, 0, 0.5, 0.5))
        await eventually(lambda: heard.has([["key", SYM_SHIFT], ["button", 2], ["button", 1]]))
    released = (["key up", SYM_SHIFT], ["button up", 2], ["button up", 1])
    await eventually(lambda: all(one in heard() for one in released))


@asynccontextmanager
async def started(
    host: MoonlightHost, heard: Heard, eventually: Eventually
) -> AsyncIterator[Watching]:
    """The listener runs and is being watched."""
    guest = Guest(host)
    guest.trust()
    begun = await guest.start(7, width=SIZE[0], height=SIZE[1])
    watching = await guest.watch(begun, Wishes(*SIZE, 30, 4000))
    try:
        await eventually(lambda: heard.has([["ready"]]))
        yield watching
    finally:
        await watching.leave()


def test_a_pen_that_leaves_lets_go() -> None:
    pen = Pen()
    down = PenMoved(Contact.DOWN, Tool.PEN, 2, 0.5, 0.5)
    assert pen.translate(down, 5, 6) == [
        Pointer(x=5, y=6),
        ButtonMessage(button=1, down=True),
        ButtonMessage(button=2, down=True),
    ]
    assert pen.translate(PenMoved(Contact.CANCEL, Tool.PEN, 0, 0, 0), 0, 0) == [
        ButtonMessage(button=1, down=False),
        ButtonMessage(button=2, down=False),
    ]


def test_a_held_pen_is_cancelled() -> None:
    seen: list[InputEvent] = []

    class Sink:
        touch = True

        def handle(self, event: InputEvent) -> None:
            seen.append(event)

    held = HeldInput(Sink())
    held.handle(PenMoved(Contact.DOWN, Tool.PEN, 1, 0.5, 0.5))
    held.release()
    held.release()
    assert seen[1:] == [PenMoved(Contact.CANCEL, Tool.PEN, 0, 0.5, 0.5)]


def test_controllers_have_a_named_reason(tmp_path: Path) -> None:
    missing = controllers(str(tmp_path / "uinput"))
    assert not missing.available
    assert "no uinput" in missing.detail
    closed = tmp_path / "closed"
    closed.touch(mode=0o400)
    assert not controllers(str(closed)).available
