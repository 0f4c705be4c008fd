"""Input of one client, with a memory of what it holds down.

When a client leaves or vanishes, its keys and buttons are released: nothing else would.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.input import (
    NO_BUTTONS,
    Contact,
    ControllerState,
    InputEvent,
    KeyEvent,
    MouseButton,
    MouseButtonEvent,
    PenMoved,
    Touched,
)

if TYPE_CHECKING:
    from earthshine.runner.desktops.moonlight_host.stage import InputSink

MAX_KEYS: Final = 256
MAX_TOUCHES: Final = 32
_PEN_AWAY: Final = (Contact.CANCEL, Contact.CANCEL_ALL, Contact.HOVER_LEAVE)


class HeldInput:
    """Passes events to ``sink`` and releases what is held when told to."""

    def __init__(self, sink: InputSink) -> None:
        self._sink = sink
        self._keys: dict[int, KeyEvent] = {}
        self._buttons: set[MouseButton] = set()
        self._controllers: dict[int, ControllerState] = {}
        self._touches: dict[int, Touched] = {}
        self._pen: PenMoved | None = None

    def handle(self, event: InputEvent) -> None:
        """Do it and remember."""
        match event:
            case KeyEvent():
                if event.down and len(self._keys) < MAX_KEYS:
                    self._keys[event.code] = event
                elif not event.down:
                    self._keys.pop(event.code, None)
            case MouseButtonEvent():
                (self._buttons.add if event.down else self._buttons.discard)(event.button)
            case ControllerState():
                self._controllers[event.number] = event
            case Touched():
                self._touch(event)
            case PenMoved():
                self._pen = None if event.contact in _PEN_AWAY else event
        self._sink.handle(event)

    def release(self) -> None:
        """Let go of everything."""
        for key in list(self._keys.values()):
            self._sink.handle(KeyEvent(key.code, down=False, flags=key.flags))
        for button in sorted(self._buttons):
            self._sink.handle(MouseButtonEvent(button, down=False))
        for number, state in self._controllers.items():
            if _pressed(state):
                self._sink.handle(ControllerState(number, state.active, NO_BUTTONS))
            if state.active:
                self._sink.handle(ControllerState(number, 0, NO_BUTTONS))
        if self._touches:
            last = next(reversed(self._touches.values()))
            self._sink.handle(Touched(Contact.CANCEL_ALL, last.finger, last.x, last.y))
        if self._pen is not None:
            self._sink.handle(replace(self._pen, contact=Contact.CANCEL, buttons=0))
            self._pen = None
        self._keys.clear()
        self._buttons.clear()
        self._controllers.clear()
        self._touches.clear()

    def _touch(self, event: Touched) -> None:
        if event.contact is Contact.DOWN and len(self._touches) < MAX_TOUCHES:
            self._touches[event.finger] = event
        elif event.contact in (Contact.UP, Contact.CANCEL):
            self._touches.pop(event.finger, None)
        elif event.contact is Contact.CANCEL_ALL:
            self._touches.clear()


def _pressed(state: ControllerState) -> bool:
    return bool(
        state.buttons
        or state.left_trigger
        or state.right_trigger
        or state.left_x
        or state.left_y
        or state.right_x
        or state.right_y
    )
