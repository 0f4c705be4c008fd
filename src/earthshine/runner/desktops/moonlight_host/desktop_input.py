"""Input of GameStream clients, for this runner's desktops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Literal

from earthshine.protocols.moonlight.input import (
    Contact,
    ControllerArrived,
    ControllerBattery,
    ControllerMoved,
    ControllerState,
    ControllerTouched,
    InputEvent,
    KeyEvent,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    PenMoved,
    Scrolled,
    ScrolledSideways,
    TextTyped,
    Touched,
)
from earthshine.runner.desktops import messages
from earthshine.runner.desktops.capabilities import controllers
from earthshine.runner.desktops.messages import Watch
from earthshine.runner.desktops.moonlight_host.virtual_keys import EVDEV
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.runner.desktops.keeper import Desktop

RETRY_SECONDS: Final = 0.2
CONTROLLER_EVENTS: Final = (
    ControllerArrived,
    ControllerBattery,
    ControllerMoved,
    ControllerState,
    ControllerTouched,
)
_BUTTONS: Final = {1: 1, 2: 2, 3: 3, 4: 8, 5: 9}
_TOUCHES: Final[dict[Contact, Literal["down", "move", "up", "cancel"]]] = {
    Contact.DOWN: "down",
    Contact.MOVE: "move",
    Contact.UP: "up",
    Contact.CANCEL: "cancel",
}
_MAX_FINGERS: Final = 32
_PEN_BUTTONS: Final = {1: 3, 2: 2, 4: 8}
"""Buttons of a pen -> of a mouse: the one at the forefinger is the right button."""
_TIP: Final = 1

log = logging.getLogger(__name__)


class Pen:
    """A pen as a mouse: its tip is the left button, and its buttons are the others."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def translate(self, event: PenMoved, x: int, y: int) -> list[messages.Message]:
        """What the pen's pointer does; a pen that goes away lets go of everything."""
        said: list[messages.Message] = []
        gone = event.contact in (Contact.CANCEL, Contact.CANCEL_ALL, Contact.HOVER_LEAVE)
        wanted: set[int] = set()
        if not gone:
            if event.contact is not Contact.BUTTON_ONLY:
                said.append(messages.Pointer(x=x, y=y))
            wanted = {mouse for pen, mouse in _PEN_BUTTONS.items() if event.buttons & pen}
            kept = event.contact in (Contact.MOVE, Contact.BUTTON_ONLY) and _TIP in self._held
            if event.contact is Contact.DOWN or kept:
                wanted.add(_TIP)
        said += [messages.Button(button=b, down=False) for b in sorted(self._held - wanted)]
        said += [messages.Button(button=b, down=True) for b in sorted(wanted - self._held)]
        self._held = wanted
        return said


class DesktopInput:
    """`InputSink` of one desktop.

    X's test extension has one pointer: a pen is that pointer and its buttons, without pressure or
    tilt. Controllers have no place in it; see `controllers`.
    """

    def __init__(
        self,
        desktop: Desktop,
        tasks: asyncio.TaskGroup,
        on_screen: Callable[[messages.Screen], None] = lambda _: None,
    ) -> None:
        self.size = (0, 0)
        self._on_screen = on_screen
        self._pen = Pen()
        self.sized = asyncio.Event()
        self._told = False
        self._fingers: set[int] = set()
        self._desktop = desktop
        self._stream: DesktopStream | None = None
        self._reader = tasks.create_task(self._read())

    @property
    def touch(self) -> bool:
        """The first finger is the pointer."""
        return True

    def handle(self, event: InputEvent) -> None:
        """See `InputSink`."""
        if isinstance(event, CONTROLLER_EVENTS):
            self._refuse_controller()
            return
        for message in self._translated(event):
            self.tell(message)

    def _refuse_controller(self) -> None:
        if not self._told:
            self._told = True
            found = controllers()
            log.warning("a client's controller is not taken: %s", found.detail)

    def tell(self, message: messages.Message) -> None:
        """Say it if the desktop listens at the moment."""
        if self._stream is not None:
            with contextlib.suppress(StreamGoneError):
                self._stream.tell(message)

    def close(self) -> None:
        """Let go."""
        self._reader.cancel()

    def _translated(self, event: InputEvent) -> list[messages.Message]:
        match event:
            case KeyEvent(code, down):
                known = EVDEV.get(code & 0xFF)
                return [] if known is None else [messages.ScanCode(code=known, down=down)]
            case TextTyped(text):
                return [messages.Type(text=text)]
            case MouseMoved(dx, dy):
                return [messages.PointerBy(dx=dx, dy=dy)]
            case MousePlaced(x, y, width, height):
                return [messages.Pointer(x=self._at(x, width, 0), y=self._at(y, height, 1))]
            case MouseButtonEvent(button, down):
                return [messages.Button(button=_BUTTONS[button], down=down)]
            case Scrolled(amount):
                return [messages.Wheel(vertical=amount)]
            case ScrolledSideways(amount):
                return [messages.Wheel(horizontal=amount)]
            case Touched():
                return self._touched(event)
            case PenMoved():
                return self._pen.translate(event, *self._place(event.x, event.y))
        return []

    def _place(self, x: float, y: float) -> tuple[int, int]:
        """Parts of the picture's width and height, in pixels of the display."""
        width, height = self.size
        return (
            max(0, min(int(x * width), width - 1)),
            max(0, min(int(y * height), height - 1)),
        )

    def _touched(self, event: Touched) -> list[messages.Message]:
        x, y = self._place(event.x, event.y)
        if event.contact is Contact.CANCEL_ALL:
            fingers, self._fingers = self._fingers, set()
            return [messages.Touch(finger=f, phase="cancel", x=x, y=y) for f in sorted(fingers)]
        phase = _TOUCHES.get(event.contact)
        if phase is None:
            return []
        finger = event.finger % _MAX_FINGERS
        (self._fingers.add if phase in ("down", "move") else self._fingers.discard)(finger)
        return [messages.Touch(finger=finger, phase=phase, x=x, y=y)]

    def _at(self, position: int, extent: int, axis: int) -> int:
        """A position in the client's area, in pixels of the display."""
        own = self.size[axis]
        return max(0, min(position * own // max(extent, 1), max(own - 1, 0)))

    async def _read(self) -> None:
        wants = Watch(control=True, video=False, repaint=False, cursor=False)
        while True:
            with contextlib.suppress(StreamGoneError, OSError):
                async with self._desktop.stream(wants) as stream:
                    self._stream = stream
                    async for message in stream:
                        if isinstance(message, messages.Screen):
                            self.size = (message.width, message.height)
                            self._on_screen(message)
                            self.sized.set()
            self._stream = None
            await asyncio.sleep(RETRY_SECONDS)
