"""This runner's real desktops as stages.

An app gets a desktop of its own, made for it and ended with it; an app can also be the desktop of
a session that is there anyway, which then is only shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.input import (
    Contact,
    InputEvent,
    KeyEvent,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    Scrolled,
    ScrolledSideways,
    TextTyped,
    Touched,
)
from earthshine.protocols.moonlight.sdp import Codec
from earthshine.runner.desktops import messages
from earthshine.runner.desktops.keeper import Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE
from earthshine.runner.desktops.messages import Video, Watch
from earthshine.runner.desktops.moonlight_host.desktop_sound import DesktopSound
from earthshine.runner.desktops.moonlight_host.stage import AccessUnit, StageError
from earthshine.runner.desktops.moonlight_host.virtual_keys import EVDEV
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.runner.desktops.moonlight_host.stage import StageRequest
    from earthshine.runner.desktops.settings import DesktopSettings

STILL_SECONDS: Final = 0.25
"""After the last picture: one key frame, which shows the client a loss of that last one."""
KEEP_SECONDS: Final = 4.0
"""Between key frames of a still screen; clients give up after 10 s without a packet."""
RETRY_SECONDS: Final = 0.2
RESIZE_SECONDS: Final = 3.0
END_SECONDS: Final = 5.0
MAX_FPS: Final = 120
_BUTTONS: Final = {1: 1, 2: 2, 3: 3, 4: 8, 5: 9}
_TOUCHES: Final = {
    Contact.DOWN: "down",
    Contact.MOVE: "move",
    Contact.UP: "up",
    Contact.CANCEL: "cancel",
}
_MAX_FINGERS: Final = 32

log = logging.getLogger(__name__)


class DesktopProducer:
    """`Producer` of one desktop: reads its stream while somebody watches."""

    def __init__(self, desktop: Desktop, tasks: asyncio.TaskGroup) -> None:
        self._desktop = desktop
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._receivers: dict[int, Callable[[AccessUnit], None]] = {}
        self._next = 0
        self._reader: asyncio.Task[None] | None = None
        self._stream: DesktopStream | None = None
        self._number = 0
        self._tuning = messages.Tune()

    @property
    def invalidates(self) -> bool:
        """A desktop does not say which picture avoids the lost ones, so a key frame answers."""
        return False

    def subscribe(self, receive: Callable[[AccessUnit], None]) -> DesktopSubscription:
        """See `Producer`. Call on the event loop."""
        self._next += 1
        self._receivers[self._next] = receive
        if self._reader is None:
            self._reader = self._tasks.create_task(self._read())
        else:
            self.request_key_frame()
        return DesktopSubscription(self, self._next)

    def request_key_frame(self) -> None:
        """See `Producer`."""
        self._loop.call_soon_threadsafe(self._tell, messages.KeyFrame())

    def set_bitrate(self, kbps: int) -> None:
        """See `Producer`."""
        self.tune(messages.Tune(bitrate_kbps=kbps))

    def tune(self, wanted: messages.Tune) -> None:
        """Change what is encoded; kept for a stream that begins anew."""
        self._tuning = messages.Tune(
            frames_per_second=wanted.frames_per_second or self._tuning.frames_per_second,
            bitrate_kbps=wanted.bitrate_kbps or self._tuning.bitrate_kbps,
        )
        self._loop.call_soon_threadsafe(self._tell, self._tuning)

    def invalidate_reference(self, first: int, last: int) -> bool:  # noqa: ARG002
        """See `invalidates`."""
        return False

    def leave(self, number: int) -> None:
        """A subscription is over. From any thread."""
        self._receivers.pop(number, None)
        self._loop.call_soon_threadsafe(self._stop_if_alone)

    def close(self) -> None:
        """Nobody watches any more."""
        self._receivers.clear()
        self._stop_if_alone()

    def _stop_if_alone(self) -> None:
        if not self._receivers and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _tell(self, message: messages.Message) -> None:
        if self._stream is not None:
            with contextlib.suppress(StreamGoneError):
                self._stream.tell(message)

    async def _read(self) -> None:
        while True:
            try:
                # The pointer is drawn into the picture: GameStream has no other way to show it.
                wants = Watch(control=True, repaint=False, cursor=False)
                async with self._desktop.stream(wants) as stream:
                    self._stream = stream
                    stream.tell(self._tuning)
                    stream.tell(messages.KeyFrame())
                    await self._hand_on(stream, time.monotonic_ns() // 1000)
            except (StreamGoneError, OSError) as error:
                log.info("the desktop's stream is interrupted: %s", error)
            except Exception:
                log.exception("the desktop's stream cannot be handed on")
            finally:
                self._stream = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _hand_on(self, stream: DesktopStream, joined: int) -> None:
        still = self._tasks.create_task(self._keep_alive())
        try:
            async for message in stream:
                # What was encoded before we came is a group of pictures to catch up on: the key
                # frame we asked for comes sooner than the network could carry that.
                if not isinstance(message, Video) or message.encoded < joined:
                    continue
                self._shown = time.monotonic()
                self._number += 1
                unit = AccessUnit(self._number, message.data, message.key, message.captured / 1e6)
                for receive in list(self._receivers.values()):
                    receive(unit)
        finally:
            still.cancel()

    async def _keep_alive(self) -> None:
        self._shown = time.monotonic()
        answered = 0.0
        while True:
            await asyncio.sleep(STILL_SECONDS)
            quiet = time.monotonic() - self._shown
            fresh = self._shown > answered + STILL_SECONDS
            if quiet >= KEEP_SECONDS or (quiet >= STILL_SECONDS and fresh):
                self._tell(messages.KeyFrame())
                answered = time.monotonic()


class DesktopSubscription:
    """One taker of pictures."""

    def __init__(self, producer: DesktopProducer, number: int) -> None:
        self._producer = producer
        self._number = number

    def close(self) -> None:
        """No more."""
        self._producer.leave(self._number)


class DesktopInput:
    """`InputSink` of one desktop. Controllers and pens are not taken: X has no place for them."""

    def __init__(self, desktop: Desktop, tasks: asyncio.TaskGroup) -> None:
        self.size = (0, 0)
        self.sized = asyncio.Event()
        self._desktop = desktop
        self._stream: DesktopStream | None = None
        self._reader = tasks.create_task(self._read())

    @property
    def touch(self) -> bool:
        """The first finger is the pointer."""
        return True

    def handle(self, event: InputEvent) -> None:
        """See `InputSink`."""
        for message in self._translated(event):
            self.tell(message)

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
        return []

    def _touched(self, event: Touched) -> list[messages.Message]:
        if event.contact is Contact.CANCEL_ALL:
            return [messages.ReleaseAll()]
        phase = _TOUCHES.get(event.contact)
        if phase is None:
            return []
        x, y = (
            max(0, min(int(part * extent), extent - 1))
            for part, extent in zip((event.x, event.y), self.size, strict=True)
        )
        return [
            messages.Touch(finger=event.finger % _MAX_FINGERS, phase=phase, x=x, y=y)  # type: ignore[arg-type]
        ]

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
                            self.sized.set()
            self._stream = None
            await asyncio.sleep(RETRY_SECONDS)


class DesktopStage:
    """`Stage` on one desktop. ``owned``: it ends with the stage."""

    def __init__(self, desktop: Desktop, tasks: asyncio.TaskGroup, *, owned: bool) -> None:
        self._desktop = desktop
        self._owned = owned
        self._producer = DesktopProducer(desktop, tasks)
        self._sound = DesktopSound(desktop, tasks)
        self._input = DesktopInput(desktop, tasks)
        self._program: asyncio.subprocess.Process | None = None
        self._closed = False

    @property
    def size(self) -> tuple[int, int]:
        """Of the display."""
        return self._input.size

    def producer(self, codec: Codec) -> DesktopProducer:
        """A desktop is encoded once, as H.264. Raises StageError for anything else."""
        if codec is not Codec.H264:
            raise StageError(f"this host does not encode {codec.name}")
        return self._producer

    @property
    def audio(self) -> DesktopSound:
        """Its sound; silence where there is none."""
        return self._sound

    @property
    def input(self) -> DesktopInput:
        """Its keyboard and pointer."""
        return self._input

    async def prepare(self, request: StageRequest) -> None:
        """Size it, and start the application. Raises StageError."""
        try:
            async with asyncio.timeout(RESIZE_SECONDS):
                await self._input.sized.wait()
        except TimeoutError:
            raise StageError("the desktop does not show itself") from None
        if self._owned:
            await self.resize(request.width, request.height, request.fps)
            if request.command is not None:
                self._program = await self._start(request.command, request)

    async def resize(self, width: int, height: int, fps: int) -> None:
        """A desktop that is shared with others keeps its size."""
        self._producer.tune(messages.Tune(frames_per_second=max(1, min(fps, MAX_FPS))))
        if not self._owned or (width, height) == self.size:
            return
        if not all(MIN_SIZE <= extent <= MAX_SIZE for extent in (width, height)):
            raise StageError(f"a display cannot be {width}x{height}")
        self._input.sized.clear()
        self._input.tell(messages.Resize(width=width, height=height))
        try:
            async with asyncio.timeout(RESIZE_SECONDS):
                await self._input.sized.wait()
        except TimeoutError:
            raise StageError(f"the display did not become {width}x{height}") from None

    async def run(self, command: str) -> int:
        """See `Stage`."""
        program = await self._start(command, None)
        try:
            return await program.wait()
        finally:
            await _end(program)

    async def ended(self) -> None:
        """When the application, or else the desktop, has ended."""
        if self._program is not None:
            await self._program.wait()
            return
        while not self._desktop.ended:
            with contextlib.suppress(TimeoutError):
                await self._desktop.until(lambda status: status.phase == "ended", 3600)

    async def close(self) -> None:
        """See `Stage`."""
        if self._closed:
            return
        self._closed = True
        self._producer.close()
        self._input.close()
        if self._program is not None:
            await _end(self._program)
        if self._owned:
            await self._desktop.end()

    async def _start(
        self, command: str, request: StageRequest | None
    ) -> asyncio.subprocess.Process:
        environment = {**os.environ, **self._desktop.status.environment}
        folder = None
        if request is not None:
            environment |= request.environment
        try:
            return await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                env={k: v for k, v in environment.items() if not k.startswith("EARTHSHINE_")},
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StageError(f"the command cannot be started: {error.strerror}") from None


async def _end(program: asyncio.subprocess.Process) -> None:
    """End a program with everything it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, number)
        try:
            async with asyncio.timeout(END_SECONDS):
                await program.wait()
        except TimeoutError:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        return


class DesktopProvider:
    """`StageProvider` on this runner's desktops.

    ``shown`` finds the desktop of a session by id. Desktops made for apps lie in a folder of their
    own; none outlives the host, so what an earlier run left is ended by `load`.
    """

    def __init__(
        self,
        state: Path,
        settings: DesktopSettings,
        shown: Callable[[str], Desktop | None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        own = settings.model_copy(update={"programs": [], "idle_seconds": 0.0})
        self._keeper = DesktopKeeper(state / "moonlight", own)
        self._shown = shown
        self._tasks = tasks
        self._home = str(Path.home())

    @property
    def codecs(self) -> frozenset[Codec]:
        """What desktops are encoded as."""
        return frozenset({Codec.H264})

    async def load(self) -> None:
        """End what an earlier run left behind."""
        await self._keeper.load(self._tasks)
        for desktop in self._keeper:
            await desktop.end()

    async def start(self, request: StageRequest) -> DesktopStage:
        """See `StageProvider`."""
        desktop, owned = await self._desktop(request)
        stage = DesktopStage(desktop, self._tasks, owned=owned)
        try:
            await stage.prepare(request)
        except BaseException:
            await asyncio.shield(self._tasks.create_task(stage.close()))
            raise
        return stage

    async def _desktop(self, request: StageRequest) -> tuple[Desktop, bool]:
        try:
            if request.desktop is not None:
                found = self._shown(request.desktop)
                if found is None:
                    raise StageError("the session's desktop is not there any more")
                await found.wake()
                return found, False
            name = f"app-{secrets.token_hex(8)}"
            made = await self._keeper.start(name, self._home, {})
            await made.wake()
        except DesktopError as error:
            words = f"{error.detail}: {error.remedy}" if error.remedy else error.detail
            raise StageError(words) from None
        return made, True

    def close(self) -> None:
        """Let go of what is left."""
        self._keeper.close()
