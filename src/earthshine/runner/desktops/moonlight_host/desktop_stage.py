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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from earthshine.protocols.moonlight.sdp import Codec
from earthshine.runner.desktops import messages
from earthshine.runner.desktops.capture import codecs
from earthshine.runner.desktops.keeper import Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.limits import MAX_SIZE, MIN_SIZE
from earthshine.runner.desktops.limits import Codec as CodecName
from earthshine.runner.desktops.moonlight_host.desktop_input import DesktopInput
from earthshine.runner.desktops.moonlight_host.desktop_pictures import DesktopProducer
from earthshine.runner.desktops.moonlight_host.desktop_sound import DesktopSound
from earthshine.runner.desktops.moonlight_host.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from earthshine.runner.desktops.moonlight_host.stage import StageRequest
    from earthshine.runner.desktops.settings import DesktopSettings

RESIZE_SECONDS: Final = 3.0
END_SECONDS: Final = 5.0
MAX_FPS: Final = 120
CodecChoice = Literal["auto"] | Sequence[CodecName]
_CODECS: Final[dict[Codec, CodecName]] = {
    Codec.H264: "h264",
    Codec.HEVC: "hevc",
    Codec.AV1: "av1",
}

log = logging.getLogger(__name__)


class DesktopStage:
    """`Stage` on one desktop. ``owned``: it ends with the stage."""

    def __init__(
        self,
        desktop: Desktop,
        tasks: asyncio.TaskGroup,
        codecs: frozenset[Codec] = frozenset({Codec.H264}),
        *,
        owned: bool,
    ) -> None:
        self._desktop = desktop
        self._owned = owned
        self._codecs = codecs
        self._tasks = tasks
        self._producers: dict[Codec, DesktopProducer] = {}
        self._fps = 0
        self._sound = DesktopSound(desktop, tasks)
        self._input = DesktopInput(desktop, tasks, self._shown)
        self._program: asyncio.subprocess.Process | None = None
        self._closed = False

    @property
    def size(self) -> tuple[int, int]:
        """Of the display."""
        return self._input.size

    def producer(self, codec: Codec) -> DesktopProducer:
        """Encodes once for all who want that codec. Raises StageError where it cannot be had."""
        if codec not in self._codecs:
            raise StageError(f"this host does not encode {codec.name}")
        found = self._producers.get(codec)
        if found is None:
            found = DesktopProducer(self._desktop, _CODECS[codec], self._tasks)
            self._producers[codec] = found
            if self._fps:
                found.tune(messages.Tune(frames_per_second=self._fps))
        return found

    def _shown(self, screen: messages.Screen) -> None:
        """The input's stream tells of H.264, also while nobody watches."""
        self.producer(Codec.H264).invalidates = screen.invalidates

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
        self._fps = max(1, min(fps, MAX_FPS))
        for producer in self._producers.values():
            producer.tune(messages.Tune(frames_per_second=self._fps))
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
        for producer in self._producers.values():
            producer.close()
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
        codecs: CodecChoice = "auto",
    ) -> None:
        own = settings.model_copy(update={"programs": [], "idle_seconds": 0.0})
        self._keeper = DesktopKeeper(state / "moonlight", own)
        self._shown = shown
        self._tasks = tasks
        self._home = str(Path.home())
        self._encoder = settings.encoder
        self._choice = codecs
        self._codecs = frozenset({Codec.H264})

    @property
    def codecs(self) -> frozenset[Codec]:
        """What desktops are encoded as; known after `load`."""
        return self._codecs

    async def load(self) -> None:
        """Find out what can be encoded, and end what an earlier run left behind."""
        self._codecs = offered(await codecs.survey(self._encoder), self._choice)
        await self._keeper.load(self._tasks)
        for desktop in self._keeper:
            await desktop.end()

    async def start(self, request: StageRequest) -> DesktopStage:
        """See `StageProvider`."""
        desktop, owned = await self._desktop(request)
        stage = DesktopStage(desktop, self._tasks, self._codecs, owned=owned)
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


def offered(engines: Mapping[CodecName, codecs.Engine], choice: CodecChoice) -> frozenset[Codec]:
    """H.264, and what was chosen; by itself, what a GPU encodes."""
    return frozenset(
        codec
        for codec, name in _CODECS.items()
        if codec is Codec.H264
        or (
            engines.get(name) == "hardware"
            if choice == "auto"
            else name in engines and name in choice
        )
    )
