"""The worker of an X display: consumers in, pictures out, input to the display.

Everything happens on one event loop and one X connection, except encoding (the library's threads)
and exact pictures (`stills`). Input is carried out as it arrives and never waits for pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Any, Final

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops import resize, x11
from earthshine.runner.desktops.capture import AccessUnit, CaptureError, Tuning
from earthshine.runner.desktops.clipboard import Clipboard
from earthshine.runner.desktops.cursor import cursor_shape
from earthshine.runner.desktops.keyboard import Keyboard, known_layout, set_layout
from earthshine.runner.desktops.limits import Codec
from earthshine.runner.desktops.messages import Box, Pulse, ToWorker, Trouble
from earthshine.runner.desktops.pointer import Pointer
from earthshine.runner.desktops.producer import HIGH_WATER
from earthshine.runner.desktops.repaint import SettleTracker
from earthshine.runner.desktops.worker.encodings import MAX_QUEUED, Encoding, Encodings
from earthshine.runner.desktops.worker.lines import Line
from earthshine.runner.desktops.worker.screen import ScreenWatch
from earthshine.runner.desktops.worker.serving import DisplayWorker
from earthshine.runner.desktops.worker.stills import Stills
from earthshine.runner.desktops.x11 import DisplayError, Rectangle

DAMAGE_SECONDS: Final = 0.05
"""How long damage may stay unread while nothing is encoded."""
CATCH_UP_SECONDS: Final = 0.1
"""Between looks at consumers that wait for a key frame."""
log = logging.getLogger(__name__)


class XWorker(DisplayWorker):
    """Serves the consumers of one display until it, or the holder, goes."""

    def __init__(self, folder: Path, display: str, encoder: str, tuning: Tuning) -> None:
        """Raises DisplayError, CaptureError."""
        super().__init__(folder)
        self._connection: Any = x11.connect(display)
        self._screen = ScreenWatch(self._connection)
        self._keyboard = Keyboard(self._connection)
        self._pointer = Pointer(self._connection)
        self._clipboard = Clipboard(self._connection, self._copied)
        self._stills = Stills(display)
        self._encoder = encoder
        self._encodings = Encodings(self._make_encoding, tuning)
        self._tracker = SettleTracker(*self._screen.size)
        self._layout = known_layout(self._connection)
        self._shape: m.Cursor | None = None
        self._moved = time.monotonic()
        self._failure: BaseException | None = None
        self._work = asyncio.Event()
        """There may be damage to read, or a consumer that waits."""
        self._soiled = asyncio.Event()
        """There may be something to repaint."""

    async def run(self) -> None:
        """Until the display or the holder has gone. Raises python-xlib's connection errors."""
        self._screen.on_damage = self._damage_reported
        self._screen.on_size = self._size_changed
        self._screen.on_pointer = self._pointer_changed
        self._screen.on_layout = self._layout_changed
        self._screen.on_other = self._clipboard.handle
        descriptor = self._connection.fileno()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, self._guarded, self._screen.drain)
        try:
            await self._serve(self._settle, self._look)
        finally:
            loop.remove_reader(descriptor)
            for encoding in self._encodings:
                encoding.stop()
            with contextlib.suppress(*x11.connection_errors()):
                self._release_all()
            self._stills.close()
            x11.disconnect(self._connection)
        if self._failure is not None:
            raise self._failure

    def _guarded(self, work: Any, *arguments: Any) -> None:
        """Do something with the X connection; when that is broken, the worker ends."""
        try:
            work(*arguments)
            self._screen.drain()
        except x11.connection_errors() as error:
            self._failure = error
            self._ended.set()

    # --- consumers -------------------------------------------------------------------------------

    def _joined(self, line: Line) -> None:
        self._tell_size(line)
        self._guarded(self._welcome, line)
        self._pulses.now()

    def _welcome(self, line: Line) -> None:
        if line.wants.cursor:
            if self._shape is None:
                self._shape = cursor_shape(self._connection)
            line.tell(self._shape)
        if line.wants.clipboard:
            self._clipboard.ask()
        if line.wants.repaint:
            self._soil_all()
        self._consumers_changed()
        if not line.paused:
            self._join(line)

    def _join(self, line: Line) -> None:
        encoding = self._encoding(line)
        if encoding is not None:
            encoding.producer.join(line, time.monotonic())

    def _left(self, line: Line) -> None:
        for encoding in self._encodings:
            encoding.producer.leave(line)
            encoding.forget(line)
        if self._nobody_controls(line):
            self._guarded(self._release_all)
        self._consumers_changed()
        self._pulses.now()

    def _release_all(self) -> None:
        self._keyboard.release_all()
        self._pointer.release_all()

    def _consumers_changed(self) -> None:
        """Sound and the drawn pointer are there while somebody wants them."""
        self._audio_wanted.set()
        for encoding in self._encodings:
            lines = [line for line in self._lines if line.wants.codec == encoding.codec]
            watchers = [line.wants for line in lines if line.wants.video]
            encoding.refine(any(not wants.repaint for wants in watchers))
            if encoding.draw_pointer(any(not wants.cursor for wants in watchers)):
                for line in lines:
                    self._tell_size(line)

    def _tell_size(self, line: Line) -> None:
        width, height = self._screen.size
        encoding = self._encoding(line)
        if encoding is None:
            line.tell(m.Screen(width=width, height=height))
            return
        line.tell(
            m.Screen(
                width=width,
                height=height,
                pointer_drawn=encoding.tuning.pointer_drawn,
                encoder=encoding.capture.name,
                layout=self._layout,
                invalidates=encoding.capture.invalidates,
            )
        )

    # --- pictures --------------------------------------------------------------------------------

    def _make_encoding(self, codec: Codec, tuning: Tuning) -> Encoding:
        def failed(error: CaptureError) -> None:
            watching = [line for line in self._lines if line.wants.codec == codec]
            self._capture_failed(error, watching)

        return Encoding(
            codec, self._encoder, tuning, lambda: self._screen.size, self._encoded, failed
        )

    def _encoding(self, line: Line) -> Encoding | None:
        """What the line asked for; None, and it is told, where that cannot be."""
        try:
            return self._encodings.of(line.wants.codec)
        except CaptureError as error:
            line.tell(Trouble(code="capture", detail=error.detail, remedy=error.remedy))
            return None

    def _encoded(self, encoding: Encoding, unit: AccessUnit) -> None:
        """On the library's thread."""
        self._soon(self._guarded, self._offer, encoding, unit)

    def _offer(self, encoding: Encoding, unit: AccessUnit) -> None:
        encoding.queued -= 1
        producer = encoding.producer
        if not producer.running:
            return
        if encoding.queued > MAX_QUEUED and not unit.key:
            producer.restart()
            return
        # Everything drawn before this picture was captured is known once the server has answered.
        self._take_damage()
        producer.offer(unit, encoding.take_dirty(), time.monotonic())
        if producer.anybody_waits:
            self._work.set()

    def _damage_reported(self) -> None:
        if len(self._lines):
            self._work.set()

    def _take_damage(self) -> None:
        places = self._screen.take()
        if not places:
            return
        now = time.monotonic()
        self._moved = now
        self._tracker.soil(places, now)
        self._soiled.set()
        boxes: list[Box] = [(p.x, p.y, p.width, p.height) for p in places]
        for encoding in self._encodings:
            encoding.soil(boxes)
        self._work.set()

    async def _look(self) -> None:
        """Damage that no picture told of, and consumers that wait for a key frame."""
        while True:
            await asyncio.sleep(
                CATCH_UP_SECONDS if self._encodings.anybody_waits else DAMAGE_SECONDS
            )
            if not len(self._lines):
                self._work.clear()
                await self._work.wait()
                continue
            for encoding in self._encodings:
                if encoding.producer.anybody_waits:
                    encoding.producer.look(time.monotonic())
            if self._screen.damaged:
                self._guarded(self._take_damage)
            elif not self._encodings.anybody_waits:
                self._work.clear()
                await self._work.wait()

    async def _settle(self) -> None:
        """Show what has settled with exact pixels."""
        while True:
            wait = self._tracker.due(time.monotonic())
            if wait is None or not any(line.wants.repaint for line in self._lines):
                self._soiled.clear()
                await self._soiled.wait()
                continue
            if not self._repainted():  # a consumer that is behind
                await asyncio.sleep(CATCH_UP_SECONDS)
                continue
            if wait > 0:
                await asyncio.sleep(wait)
            for place in self._tracker.settled(time.monotonic()):
                await self._repaint(place)

    def _soil_all(self) -> None:
        self._tracker.soil_all(time.monotonic())
        self._soiled.set()
        self._work.set()

    def _repainted(self) -> list[Line]:
        return [
            line
            for line in self._lines
            if line.wants.repaint and not line.wants_key and line.backlog() < HIGH_WATER
        ]

    async def _repaint(self, place: Rectangle) -> None:
        try:
            picture = await self._stills.take(place)
        except x11.protocol_errors():
            return  # the screen has become smaller
        except x11.failures() as error:
            self._failure = error
            self._ended.set()
            return
        # What was drawn meanwhile makes these pixels void: they settle again.
        self._guarded(self._take_damage)
        if self._tracker.is_soiled(place):
            self._tracker.soil([place], time.monotonic())
            return
        box = (place.x, place.y, place.width, place.height)
        receivers = self._repainted()
        for line in self._lines:
            if line in receivers:
                line.tell(m.Repaint(box=box, data=picture))
            elif line.wants.repaint and not line.paused:
                self._tracker.soil([place], time.monotonic())

    def _size_changed(self) -> None:
        width, height = self._screen.size
        self._tracker = SettleTracker(width, height)
        self._soil_all()
        for line in self._lines:
            self._tell_size(line)
        for encoding in self._encodings:
            encoding.resize()

    def _pointer_changed(self) -> None:
        self._shape = None
        if any(line.wants.cursor for line in self._lines):
            self._shape = cursor_shape(self._connection)
            self._tell_all(self._shape, "cursor")

    def _copied(self, mime: str, data: bytes) -> None:
        kind: Any = mime
        self._tell_all(m.Clipboard(mime=kind, data=data), "clipboard")

    # --- commands --------------------------------------------------------------------------------

    def _obey(self, line: Line, message: ToWorker) -> None:
        self._guarded(self._carry_out, line, message)

    def _carry_out(self, line: Line, message: ToWorker) -> None:
        match message:
            case m.Pointer():
                self._pointer.move(message.x, message.y)
            case m.Key():
                self._keyboard.key(message.keysym, message.down)
            case m.Button():
                self._pointer.button(message.button, message.down)
            case m.Wheel():
                self._pointer.wheel(message.vertical, message.horizontal)
            case m.PointerBy():
                x, y = self._pointer.move_by(message.dx, message.dy)
                line.tell(m.PointerIs(x=x, y=y))
            case m.ScanCode():
                self._keyboard.scan_code(message.code, message.down)
            case m.Touch():
                self._pointer.touch(message.finger, message.phase, message.x, message.y)
            case m.Type():
                self._keyboard.type(message.text)
            case m.ReleaseAll():
                self._release_all()
            case m.PutClipboard():
                self._clipboard.put(message.mime, message.data)
            case _:
                self._arrange(line, message)

    def _arrange(self, line: Line, message: ToWorker) -> None:
        match message:
            case m.Watch():
                self._want(line, message)
            case m.Pause() | m.Continue() | m.KeyFrame() | m.Invalidate() | m.Tune():
                encoding = self._encoding(line)
                if encoding is not None:
                    self._steer(line, encoding, message)
            case m.Resize():
                self._resize(line, message)
            case m.Layout():
                self._begin(self._set_layout(line, message))
            case m.TakeStill():
                self._begin_still(line, message)

    def _steer(self, line: Line, encoding: Encoding, message: ToWorker) -> None:
        match message:
            case m.Pause():
                line.paused = True
                encoding.producer.leave(line)
            case m.Continue() if line.paused:
                line.paused = False
                self._soil_all()
                encoding.producer.join(line, time.monotonic())
            case m.KeyFrame():
                line.wants_key |= message.lost
                encoding.producer.want_key(time.monotonic())
                self._work.set()
            case m.Invalidate():
                encoding.capture.invalidate_reference(message.frame_id)
            case m.Tune():
                encoding.wish(line, message)

    def _want(self, line: Line, wants: m.Watch) -> None:
        before = self._rewish(line, wants)
        if wants.repaint and not before.repaint:
            self._soil_all()
        if wants.cursor and not before.cursor:
            self._pointer_changed()
        if wants.clipboard and not before.clipboard:
            self._clipboard.ask()
        self._consumers_changed()

    def _resize(self, line: Line, message: m.Resize) -> None:
        running = [encoding for encoding in self._encodings if encoding.producer.running]
        for encoding in running:
            encoding.stop()  # it must not grab beyond a smaller screen
        try:
            resize.set_size(self._connection, message.width, message.height)
        except DisplayError as error:
            line.tell(Trouble(code="resize", detail=error.detail, remedy=error.remedy))
        before = self._screen.size
        self._screen.drain()
        if self._screen.size == before:
            for encoding in running:
                encoding.producer.restart()
                encoding.start()

    async def _set_layout(self, line: Line, message: m.Layout) -> None:
        try:
            await asyncio.to_thread(set_layout, message.layout, message.variant)
        except DisplayError as error:
            line.tell(Trouble(code="layout", detail=error.detail, remedy=error.remedy))

    def _layout_changed(self, first: int, count: int) -> None:
        if not self._keyboard.is_own_change(first, count):
            self._keyboard.reload()
            layout = known_layout(self._connection)
            if layout != self._layout:
                self._layout = layout
                for line in self._lines:
                    self._tell_size(line)

    async def _picture(self, message: m.TakeStill) -> m.Still | Trouble:
        place = Rectangle(*(message.box or (0, 0, *self._screen.size)))
        inside = place.clipped(*self._screen.size)
        if inside is None:
            words = "that place is outside the screen"
            return Trouble(code="still", detail=words, request_id=message.request_id)
        try:
            data = await self._stills.take(inside, message.format)
        except x11.failures() as error:
            return Trouble(code="still", detail=str(error), request_id=message.request_id)
        box = (inside.x, inside.y, inside.width, inside.height)
        return m.Still(request_id=message.request_id, box=box, format=message.format, data=data)

    # --- the holder ------------------------------------------------------------------------------

    def _beat(self) -> Pulse | None:
        found: list[Pulse] = []
        self._guarded(lambda: found.append(self._feel()))
        return found[0] if found else None

    def _feel(self) -> Pulse:
        if self._screen.damaged:
            self._take_damage()
        self._clipboard.expire()
        for encoding in self._encodings:
            problem = encoding.capture.problem()
            if problem is not None and encoding.producer.running:
                log.error("%s", problem)
                encoding.begin_anew()
        viewers, now = len(self._lines), time.monotonic()
        return Pulse(
            viewers=viewers,
            guests=0 if viewers else self._screen.guests(),
            quiet=now - self._moved,
            at=now,
            notes=self._notes,
        )
