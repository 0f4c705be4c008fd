"""pixelflux's Wayland compositor, as the screen that it captures. One for a process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, Final

import pixelflux

from earthshine.runner.desktops.capture.adapter import CaptureError, Tuning
from earthshine.runner.desktops.capture.pixelflux_x11 import PixelfluxCapture

PRIMARY: Final = 0
"""The one output that is shown."""


class WaylandScreen(PixelfluxCapture):
    """See `Capture`; and input, clipboard and pointer shapes of the compositor."""

    def __init__(self, tuning: Tuning, width: int, height: int) -> None:
        """Start the compositor, under XDG_RUNTIME_DIR. Raises CaptureError."""
        super().__init__(tuning)
        try:
            self.socket = str(pixelflux.ensure_wayland_display() or "")
        except (RuntimeError, ValueError, OSError) as error:
            raise CaptureError(f"pixelflux's compositor does not start: {error}") from None
        if not self.socket:
            raise CaptureError("pixelflux's compositor did not start in time")
        os.environ["WAYLAND_DISPLAY"] = self.socket
        self.set_size(width, height)

    def _settings(self) -> Any:
        settings = super()._settings()
        settings.use_wayland = True
        return settings

    def set_size(self, width: int, height: int) -> bool:
        """Give the screen another size; False where it refuses."""
        return bool(self._capture.resize_output(PRIMARY, width, height))

    @property
    def windows(self) -> int:
        """Windows that programs have on the screen."""
        return len(self._capture.list_windows())

    def on_pointer(self, changed: Callable[[bytes, int, int], None]) -> None:
        """`changed` gets each shape as PNG and its hot spot; empty: hidden. On another thread."""
        self._capture.set_cursor_callback(
            lambda kind, data, x, y: changed(bytes(data) if kind == "png" else b"", x, y)
        )

    def on_copy(self, copied: Callable[[list[tuple[str, bytes]]], None]) -> None:
        """`copied` gets what a program copied, by MIME types. On another thread."""
        self._capture.set_clipboard_callback(copied)

    def offer(self, mime: str, data: bytes) -> None:
        """The viewer's clipboard, for programs."""
        self._capture.set_clipboard([(mime, data)])

    def picture(self) -> bytes:
        """The whole screen as PNG, with the pointer. Raises CaptureError. Blocks."""
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            return bytes(pixelflux.screenshot_png(PRIMARY))
        raise CaptureError("the compositor gives no picture now")

    # --- input -----------------------------------------------------------------------------------

    def bind(self, keys: list[tuple[int, int]]) -> None:
        """Let X keycodes mean these keysyms, beside the keyboard's own."""
        self._capture.set_keymap_overlay(keys)

    def key(self, keycode: int, down: bool) -> None:
        """An X keycode: evdev's and eight."""
        self._capture.inject_key(keycode, int(down))

    def move(self, x: int, y: int) -> None:
        """The pointer, to a place."""
        self._capture.inject_mouse_move(float(x), float(y))

    def move_by(self, dx: int, dy: int) -> None:
        """The pointer, by a distance."""
        self._capture.inject_relative_mouse_move(float(dx), float(dy))

    def place(self) -> tuple[int, int] | None:
        """Where the pointer is."""
        known = self._capture.pointer_location()
        return None if known is None else (int(known[0]), int(known[1]))

    def button(self, code: int, down: bool) -> None:
        """A button by its Linux input code."""
        self._capture.inject_mouse_button(code, int(down))

    def wheel(self, x: float, y: float) -> None:
        """Turn the wheel, in steps; positive is down, and to the right."""
        self._capture.inject_mouse_scroll(x, y)
