"""The worker of a Wayland display: compositor, encoder and input are pixelflux's, in this process.

It speaks what the other worker speaks. What it lacks: places of damage (each frame counts as new
everywhere, and what stands still is sharpened by video instead of exact pixels), layouts, and
programs that need X.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops import resize
from earthshine.runner.desktops.capture.adapter import AccessUnit, CaptureError, Tuning
from earthshine.runner.desktops.capture.pixelflux_wayland import WaylandScreen
from earthshine.runner.desktops.messages import Pulse, ToWorker, Trouble
from earthshine.runner.desktops.producer import Producer
from earthshine.runner.desktops.wayland_keyboard import WaylandKeyboard
from earthshine.runner.desktops.worker.lines import Line
from earthshine.runner.desktops.worker.serving import DisplayWorker

LOOK_SECONDS: Final = 0.1
"""Between looks at consumers that wait for a key frame."""
NOTCH: Final = 120
STEP: Final = 10.0
"""The compositor's units of one notch of a wheel."""
_BUTTONS: Final = {1: 0x110, 2: 0x112, 3: 0x111, 8: 0x113, 9: 0x114}
"""X numbers of buttons -> Linux input codes."""
log = logging.getLogger(__name__)


class WaylandWorker(DisplayWorker):
    """Serves the consumers of its own screen until it is told to end, or the holder goes."""

    def __init__(self, folder: Path, size: tuple[int, int], tuning: Tuning) -> None:
        """Raises CaptureError."""
        super().__init__(folder)
        self._size = resize.bounded(*size)
        self._tuning = tuning
        self._screen = WaylandScreen(tuning, *self._size)
        self._keyboard = WaylandKeyboard(self._screen.bind, self._screen.key)
        self._buttons: set[int] = set()
        self._finger: int | None = None
        self._producer = Producer(
            self._start_capture, self._screen.stop, self._screen.request_key_frame
        )
        self._shape = m.Cursor(serial=0, x=0, y=0, data=b"")
        self._copied: m.Clipboard | None = None
        self._moved = time.monotonic()

    async def run(self, ready: int) -> None:
        """Until the end. The name of the compositor's socket goes to the descriptor `ready`."""
        self._screen.on_pointer(lambda *shape: self._soon(self._pointer_changed, *shape))
        self._screen.on_copy(lambda entries: self._soon(self._was_copied, entries))

        def tell_name() -> None:
            os.write(ready, f"{self._screen.socket}\n".encode())
            os.close(ready)

        try:
            await self._serve(self._look, ready=tell_name)
        finally:
            self._screen.stop()

    def _beat(self) -> Pulse:
        problem = self._screen.problem()
        if problem is not None and self._producer.running:
            log.error("%s", problem)
            self._producer.restart()
            self._start_capture()
        now = time.monotonic()
        return Pulse(
            viewers=len(self._lines),
            guests=self._screen.windows,
            quiet=now - self._moved,
            at=now,
            notes=self._notes,
        )

    # --- consumers -------------------------------------------------------------------------------

    def _joined(self, line: Line) -> None:
        self._tell_size(line)
        if line.wants.cursor:
            line.tell(self._shape)
        if line.wants.clipboard and self._copied is not None:
            line.tell(self._copied)
        self._consumers_changed()
        if not line.paused:
            self._join(line)
        self._pulses.now()

    def _join(self, line: Line) -> None:
        if line.wants.codec == "h264":
            self._producer.join(line, time.monotonic())
        else:
            words = "a Wayland display is encoded in H.264 only"
            line.tell(Trouble(code="capture", detail=words))

    def _left(self, line: Line) -> None:
        self._producer.leave(line)
        if self._nobody_controls(line):
            self._release_all()
        self._consumers_changed()
        self._pulses.now()

    def _consumers_changed(self) -> None:
        self._audio_wanted.set()
        drawn = any(line.wants.video and not line.wants.cursor for line in self._lines)
        if drawn != self._tuning.pointer_drawn:
            self._tune(replace(self._tuning, pointer_drawn=drawn))
            for line in self._lines:
                self._tell_size(line)

    def _tell_size(self, line: Line) -> None:
        width, height = self._size
        line.tell(
            m.Screen(
                width=width,
                height=height,
                pointer_drawn=self._tuning.pointer_drawn,
                encoder=self._screen.name,
                invalidates=self._screen.invalidates,
            )
        )

    # --- pictures --------------------------------------------------------------------------------

    def _start_capture(self) -> None:
        try:
            self._screen.start(*self._size, lambda unit: self._soon(self._offer, unit))
        except CaptureError as error:
            self._capture_failed(error, self._lines)

    def _offer(self, unit: AccessUnit) -> None:
        if self._producer.running:
            self._moved = time.monotonic()
            self._producer.offer(unit, [(0, 0, *self._size)], self._moved)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._producer.anybody_waits:
                self._producer.look(time.monotonic())

    def _tune(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._screen.tune(tuning)

    def _pointer_changed(self, data: bytes, x: int, y: int) -> None:
        self._shape = m.Cursor(serial=self._shape.serial + 1, x=x, y=y, data=data)
        self._tell_all(self._shape, "cursor")

    def _was_copied(self, entries: list[tuple[str, bytes]]) -> None:
        for kind, data in entries:
            mime: Any = kind.partition(";")[0]
            if mime in ("text/plain", "image/png") and len(data) <= m.MAX_CLIPBOARD:
                self._copied = m.Clipboard(mime=mime, data=bytes(data))
                self._tell_all(self._copied, "clipboard")
                return

    # --- commands --------------------------------------------------------------------------------

    def _obey(self, line: Line, message: ToWorker) -> None:
        match message:
            case m.Pointer():
                self._screen.move(message.x, message.y)
            case m.PointerBy():
                self._screen.move_by(message.dx, message.dy)
                if (place := self._screen.place()) is not None:
                    line.tell(m.PointerIs(x=place[0], y=place[1]))
            case m.Button():
                self._button(message.button, message.down)
            case m.Wheel():
                down, right = -message.vertical * STEP / NOTCH, message.horizontal * STEP / NOTCH
                self._screen.wheel(right, down)
            case m.Touch():
                self._touch(message)
            case m.Key():
                self._keyboard.key(message.keysym, message.down)
            case m.ScanCode():
                self._keyboard.scan_code(message.code, message.down)
            case m.Type():
                self._keyboard.type(message.text)
            case m.ReleaseAll():
                self._release_all()
            case m.PutClipboard():
                self._screen.offer(message.mime, message.data)
            case _:
                self._arrange(line, message)

    def _button(self, number: int, down: bool) -> None:
        code = _BUTTONS.get(number)
        if code is not None and down != (number in self._buttons):
            (self._buttons.add if down else self._buttons.discard)(number)
            self._screen.button(code, down)

    def _touch(self, message: m.Touch) -> None:
        """The first finger is the pointer with its left button."""
        if message.phase == "down" and self._finger is None:
            self._finger = message.finger
            self._screen.move(message.x, message.y)
            self._button(1, True)
        elif message.finger == self._finger:
            if message.phase == "move":
                self._screen.move(message.x, message.y)
            else:
                self._finger = None
                self._button(1, False)

    def _release_all(self) -> None:
        self._finger = None
        self._keyboard.release_all()
        for number in sorted(self._buttons):
            self._button(number, False)

    def _arrange(self, line: Line, message: ToWorker) -> None:
        now = time.monotonic()
        match message:
            case m.Watch():
                self._rewish(line, message)
                self._consumers_changed()
            case m.Pause():
                line.paused = True
                self._producer.leave(line)
            case m.Continue() if line.paused:
                line.paused = False
                self._join(line)
            case m.KeyFrame():
                line.wants_key |= message.lost
                self._producer.want_key(now)
            case m.Invalidate():
                self._screen.invalidate_reference(message.frame_id)
            case m.Tune():
                rate, cap = message.frames_per_second, message.bitrate_kbps
                self._tune(
                    replace(
                        self._tuning,
                        preset=message.preset or self._tuning.preset,
                        frames_per_second=rate or self._tuning.frames_per_second,
                        bitrate_kbps=self._tuning.bitrate_kbps if cap is None else cap,
                    )
                )
            case m.Resize():
                self._resize(line, message)
            case m.Layout():
                words = "a Wayland display takes keys by what they mean, and has no layout to set"
                line.tell(Trouble(code="layout", detail=words))
            case m.TakeStill():
                self._begin_still(line, message)

    def _resize(self, line: Line, message: m.Resize) -> None:
        size = resize.bounded(message.width, message.height)
        if size == self._size:
            return
        if not self._screen.set_size(*size):
            line.tell(Trouble(code="resize", detail="the compositor refused that size"))
            return
        self._size = size
        for other in self._lines:
            self._tell_size(other)
        self._producer.restart()
        if self._producer.running:
            try:
                self._screen.resize(*size)
            except CaptureError as error:
                self._note(error.detail)

    async def _picture(self, message: m.TakeStill) -> m.Still | Trouble:
        """Always the whole screen, always PNG: that is what the compositor gives."""
        try:
            data = await asyncio.to_thread(self._screen.picture)
        except CaptureError as error:
            return Trouble(code="still", detail=error.detail, request_id=message.request_id)
        whole = (0, 0, *self._size)
        return m.Still(request_id=message.request_id, box=whole, format="png", data=data)
