"""A viewer's input, as the worker understands it. Pure.

The worker hears of single buttons; a viewer says which are down. What is out of the worker's bounds
is clamped where that means the same, and dropped where it means nothing.
"""

from __future__ import annotations

from typing import Final, Literal

from earthshine.protocols import viewer
from earthshine.protocols.viewer import Button, ClipboardKind, TouchPhase
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE

MAX_KEYSYM: Final = 0x1FFFFFFF
MAX_KEY: Final = 247
MAX_FINGER: Final = 31
_BUTTONS: Final = (
    (Button.LEFT, 1),
    (Button.MIDDLE, 2),
    (Button.RIGHT, 3),
    (Button.BACK, 8),
    (Button.FORWARD, 9),
)
_PHASES: Final[dict[int, Literal["down", "move", "up", "cancel"]]] = {
    TouchPhase.DOWN: "down",
    TouchPhase.MOVED: "move",
    TouchPhase.UP: "up",
    TouchPhase.CANCELLED: "cancel",
}


class TooLargeError(ValueError):
    """More than the desktop's clipboard takes."""


Input = (
    viewer.Key
    | viewer.Text
    | viewer.Pointer
    | viewer.PointerBy
    | viewer.Wheel
    | viewer.Touch
    | viewer.ReleaseAll
    | viewer.Clipboard
)


def takes_control(message: Input) -> bool:
    """Whether this takes control that nobody has: typing, clicking, pasting; not passing by."""
    match message:
        case viewer.Pointer(buttons=buttons) | viewer.PointerBy(buttons=buttons):
            return buttons != 0
        case viewer.Key(down=down):
            return down == 1
        case viewer.Touch(phase=phase):
            return phase == TouchPhase.DOWN
    return isinstance(message, viewer.Text | viewer.Clipboard)


class Hands:
    """Remembers which buttons are down. One for a desktop: one viewer at a time has control."""

    def __init__(self) -> None:
        self._down = 0

    def release(self) -> m.ReleaseAll:
        """Everything up: nobody types any more, or somebody else does."""
        self._down = 0
        return m.ReleaseAll()

    def commands(self, message: Input) -> list[m.Message]:
        """What the worker is told. Raises TooLargeError."""
        match message:
            case viewer.Key():
                return _key(message)
            case viewer.Text(data=data):
                return [m.Type(text=data.decode())] if data else []
            case viewer.Pointer(x=x, y=y, buttons=buttons):
                place = m.Pointer(x=min(x, MAX_SIZE), y=min(y, MAX_SIZE))
                return [place, *self._buttons(buttons)]
            case viewer.PointerBy(dx=dx, dy=dy, buttons=buttons):
                moved: list[m.Message] = [m.PointerBy(dx=dx, dy=dy)] if dx or dy else []
                return [*moved, *self._buttons(buttons)]
            case viewer.Wheel(dx=dx, dy=dy):
                return [m.Wheel(vertical=min(-dy, 32767), horizontal=dx)]
            case viewer.Touch(finger=finger, phase=phase, x=x, y=y):
                if finger > MAX_FINGER:
                    return []
                at = {"x": min(x, MAX_SIZE), "y": min(y, MAX_SIZE)}
                return [m.Touch(finger=finger, phase=_PHASES[phase], **at)]
            case viewer.ReleaseAll():
                return [self.release()]
            case viewer.Clipboard(kind=kind, data=data):
                if len(data) > m.MAX_CLIPBOARD:
                    raise TooLargeError(f"the clipboard takes {m.MAX_CLIPBOARD // 1024} KiB")
                mime: Literal["text/plain", "image/png"] = (
                    "image/png" if kind == ClipboardKind.PNG else "text/plain"
                )
                return [m.PutClipboard(mime=mime, data=data)]

    def _buttons(self, down: int) -> list[m.Message]:
        changed, self._down = self._down ^ down, down
        return [
            m.Button(button=number, down=bool(down & bit))
            for bit, number in _BUTTONS
            if changed & bit
        ]


def _key(message: viewer.Key) -> list[m.Message]:
    """By its symbol, which holds whatever the keyboard; else by its place."""
    if 0 < message.keysym <= MAX_KEYSYM:
        return [m.Key(keysym=message.keysym, down=bool(message.down))]
    if 0 < message.key <= MAX_KEY:
        return [m.ScanCode(code=message.key, down=bool(message.down))]
    return []


def resize(message: viewer.Resize) -> m.Resize:
    """The nearest size that a display may have."""
    return m.Resize(
        width=min(max(message.width, MIN_SIZE), MAX_SIZE),
        height=min(max(message.height, MIN_SIZE), MAX_SIZE),
    )
