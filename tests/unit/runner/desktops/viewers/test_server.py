"""Viewers of a real desktop, on the socket that the control plane dials."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from earthshine.protocols import viewer as v
from earthshine.protocols.viewer import DesktopIs, Problem, Viewers
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.viewers.server import PREFIX, ViewerServer
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.test_keeper import Runner, runner
from tests.unit.runner.desktops.test_stream import run, scene
from tests.unit.runner.desktops.viewers.decoding import Decoder

__all__ = ["runner"]
T = TypeVar("T")
Eventually = Callable[..., Awaitable[Any]]
PATIENCE = 20.0


class Watcher:
    """What the control plane is for one viewer: passes on, and keeps what came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard: list[v.FromDesktop] = []
        self.sees = True
        self.ended = False
        self.writer = writer
        self._reader = reader
        self._news = asyncio.Event()

    async def listen(self) -> None:
        deframer = v.Deframer(v.MAX_FROM_DESKTOP)
        with contextlib.suppress(OSError):
            while data := await self._reader.read(65536):
                for message in deframer.feed(data):
                    found = v.decode_from_desktop(message)
                    self.heard.append(found)
                    if self.sees and isinstance(found, v.Video | v.Still):
                        self.say(v.Seen(found.frame, 1))
                self._news.set()
        self.ended = True
        self._news.set()

    def say(self, *messages: v.Message) -> None:
        for message in messages:
            self.writer.write(v.framed(v.encode(message)))

    async def until(self, condition: Callable[[], T]) -> T:
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):
                self._news.clear()
                await self._news.wait()
        return found

    async def hears(self, kind: type[T], met: Callable[[T], bool] = lambda _: True) -> T:
        """Some message of this kind, whenever it came."""
        return (await self.until(lambda: [one for one in self.all(kind) if met(one)]))[-1]

    def all(self, kind: type[T]) -> list[T]:
        return [one for one in self.heard if isinstance(one, kind)]

    @property
    def state(self) -> str:
        said = self.all(DesktopIs)
        return said[-1].state if said else ""

    async def ready(self) -> None:
        await self.until(lambda: self.state == "ready")

    @property
    def number(self) -> int:
        return next(one.number for one in self.all(Viewers)[-1].viewers if one.you)


class Show:
    """A desktop and the server that shows it."""

    def __init__(self, server: ViewerServer, desktop: Desktop) -> None:
        self.server = server
        self.desktop = desktop
        self.refused: set[str] = set()
        """Names that this machine's policy lets not type."""
        self._stack = contextlib.AsyncExitStack()

    async def connect(self, *, sees: bool = True) -> Watcher:
        path = await self.server.place(self.desktop)
        assert len(str(path)) <= 107
        assert self.server.serves(str(path))
        watcher = Watcher(*await asyncio.open_unix_connection(path))
        watcher.sees = sees
        listening = asyncio.create_task(watcher.listen())

        async def leave() -> None:
            watcher.writer.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

        self._stack.push_async_callback(leave)
        return watcher

    async def watch(
        self, name: str = "anna", *, may: bool = True, sees: bool = True, **wants: Any
    ) -> Watcher:
        watcher = await self.connect(sees=sees)
        role = "owner" if may else "viewer"
        watcher.say(v.Attach(viewer=name, name=name, role=role, may_control=may), v.Watch(**wants))
        return watcher

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def show(runner: Runner, tmp_path: Path) -> AsyncIterator[Show]:
    """Nothing in the display but what a test puts there."""
    settings = DesktopSettings(width=640, height=480, audio="off", programs=[])
    async with runner.running(programs=[], window_manager="off") as keeper:
        desktop = await runner.start(keeper)
        refused: set[str] = set()
        server = ViewerServer(
            tmp_path, settings, lambda name: f"{name} may not type" if name in refused else ""
        )
        assert keeper._tasks is not None
        server.begin(keeper._tasks)
        show = Show(server, desktop)
        show.refused = refused
        yield show
        await show.close()
        await server.close()
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).glob(f"{PREFIX}*"))


async def test_a_slow_viewer_is_skipped_and_slows_nobody(show: Show) -> None:
    async with scene(show.desktop, 30, 300):
        slow, quick = await show.watch("otto", sees=False), await show.watch("anna")
        await quick.until(lambda: len(quick.all(v.Video)) > 105)
        assert len(slow.all(v.Video)) < 80, "two seconds of them, then none for as long"
        decoder, shown = Decoder(), []
        for video in quick.all(v.Video):
            unit = v.split_damage(video.data)[1] if video.flags & 2 else video.data
            shown.append(barcode.read(decoder.luma(unit)))
        assert len({time for time in shown if time is not None}) > 45
        slow.sees = True
        before = len(slow.all(v.Video))
        slow.say(v.Watch(video="none"), v.Watch())
        await slow.until(lambda: len(slow.all(v.Video)) > before + 10)
        assert slow.all(v.Video)[before].flags & v.FrameFlag.KEY, "it goes on with a key frame"


async def test_a_display_that_crashes_is_said_and_comes_back(show: Show) -> None:
    watcher = await show.watch()
    await watcher.ready()
    frames = len(watcher.all(v.Video))
    for process in psutil.Process(show.desktop.status.pid).children():
        if process.name() in ("Xtigervnc", "Xvnc", "Xvfb"):
            process.send_signal(signal.SIGKILL)
    await watcher.until(lambda: watcher.state == "restarting")
    await watcher.ready()
    await watcher.until(lambda: len(watcher.all(v.Video)) > frames)
    first = watcher.all(v.Video)[frames]
    assert first.flags == v.FrameFlag.KEY, "and all exact pixels are void"
    assert not watcher.ended


async def test_a_worker_that_dies_is_replaced_and_typing_goes_on(show: Show) -> None:
    watcher = await show.watch()
    await watcher.ready()
    for process in psutil.Process(show.desktop.status.pid).children():
        if "earthshine.runner.desktops.worker" in process.cmdline():
            process.kill()
    await watcher.until(lambda: watcher.state == "restarting")
    await watcher.ready()

    watcher.say(v.TakeControl(), v.Resize(width=800, height=600))
    await watcher.hears(DesktopIs, lambda told: told.width == 800)


async def test_the_end_of_the_desktop_is_said(show: Show) -> None:
    watcher = await show.watch()
    await watcher.ready()
    path = await show.server.place(show.desktop)
    await show.desktop.end()
    await watcher.until(lambda: watcher.ended)
    last = watcher.all(DesktopIs)[-1]
    assert (last.state, bool(last.detail), bool(last.remedy)) == ("stopped", True, True)
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(path.exists):
            await asyncio.sleep(0.01)
    assert not show.server.serves(str(path))


async def test_a_policy_that_lets_nobody_type(show: Show) -> None:
    show.refused.add("anna")
    watcher = await show.watch("anna")
    await watcher.ready()
    watcher.say(v.Key(1, 0x61, 30), v.Key(0, 0x61, 30), v.TakeControl())
    refused = await watcher.hears(Problem)
    assert (refused.code, refused.detail) == ("refused-by-policy", "anna may not type")
    show.refused.clear()
    watcher.say(v.TakeControl())
    await watcher.hears(Viewers, lambda told: told.control == watcher.number)
    assert len(watcher.all(Problem)) == 1, "said once"


async def test_a_lost_decoder_gets_a_key_frame_and_exact_pixels_again(show: Show) -> None:
    watcher = await show.watch()
    await watcher.hears(v.Exact)
    watcher.heard.clear()
    watcher.say(v.KeyFrameWanted())
    await watcher.hears(v.Exact)
    assert watcher.all(v.Video)[0].flags == v.FrameFlag.KEY, "new everywhere"


async def test_a_page_that_nobody_looks_at_gets_no_pictures_until_somebody_does(
    show: Show,
) -> None:
    watcher = await show.watch()
    await watcher.ready()
    watcher.say(v.Watch(video="none"), v.Ping(1))
    await watcher.hears(v.Pong)
    watcher.heard.clear()
    other = await show.watch("otto")
    async with scene(show.desktop, 30, 300):
        await other.until(lambda: len(other.all(v.Video)) > 20)
        assert len(watcher.all(v.Video)) <= 1, "one that was on its way"
        watcher.heard.clear()
        watcher.say(v.Watch())
        await watcher.hears(v.Video)
        assert watcher.all(v.Video)[0].flags == v.FrameFlag.KEY


async def test_the_preset_and_the_size_are_for_everybody(show: Show) -> None:
    first, second = await show.watch("anna"), await show.watch("otto")
    await first.ready()
    await second.ready()
    first.say(v.TakeControl(), v.SetPreset(preset=v.Preset.MOTION))
    await second.hears(DesktopIs, lambda told: told.preset == v.Preset.MOTION)
    second.say(v.Resize(width=700, height=500))
    assert (await second.hears(Problem)).code == "not-in-control"
    first.say(v.Resize(width=700, height=500))
    await second.hears(DesktopIs, lambda told: (told.width, told.height) == (700, 500))


async def test_the_keyboards_layout_is_told_and_can_be_changed(show: Show) -> None:
    watcher = await show.watch("anna")
    await watcher.ready()
    watcher.say(v.TakeControl(), v.SetLayout(layout="de", variant="nodeadkeys"))
    await watcher.hears(DesktopIs, lambda told: told.layout == "de")
    watcher.say(v.SetLayout(layout="no-such-layout"))
    assert (await watcher.hears(Problem)).code == "layout"


async def test_others_see_a_pointer_that_is_moved_by_distances(show: Show) -> None:
    first, second = await show.watch("anna"), await show.watch("otto")
    await first.ready()
    await second.ready()
    first.say(v.TakeControl(), v.Pointer(100, 200, 0), v.PointerBy(7, -8, 0))
    await second.hears(v.PointerAt, lambda told: (told.x, told.y) == (107, 192))
    assert second.all(v.PointerAt)[-1].viewer == first.number
    assert first.all(v.PointerAt) == []


async def test_capture_and_encoding_are_measured_apart(show: Show) -> None:
    watcher = await show.watch("anna")
    await watcher.ready()
    watcher.say(v.Watch(statistics=True))
    async with scene(show.desktop, 30, 300):
        told = await watcher.hears(v.Statistics, lambda told: told.frames > 5)
    assert 0 < told.capture_ms < 1000
    assert 0 < told.encode_ms < 1000


async def test_the_clipboard_is_for_who_may_type(show: Show) -> None:
    typist, guest = await show.watch("anna"), await show.watch("otto", may=False)
    await typist.ready()
    await guest.ready()
    typist.say(v.Clipboard(0, "grüße".encode()))
    await typist.hears(Viewers, lambda told: told.control == typist.number)
    assert await pasted(show.desktop) == "grüße".encode()
    typist.say(v.Clipboard(1, bytes(2**20 + 1)))
    assert (await typist.hears(Problem)).code == "too-large"
    assert guest.all(v.Clipboard) == []


async def pasted(desktop: Desktop) -> bytes:
    """What a program in the display finds on the clipboard, once something is there."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await run(desktop, "xclip", "-o", "-selection", "clipboard")):
            await asyncio.sleep(0.05)
    return found


async def test_a_second_window_is_another_viewer_and_one_that_comes_back_the_same(
    show: Show,
) -> None:
    first = await show.watch("anna")
    await first.ready()
    second = await show.watch("anna")
    await second.hears(Viewers)
    assert {first.number, second.number} == {1, 2}
    for one in (first, second):
        one.writer.close()
        await one.until(lambda one=one: one.ended)  # type: ignore[misc]
    third = await show.watch("anna")
    await third.hears(Viewers, lambda told: len(told.viewers) == 1)
    assert third.number == 2


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        v.framed(v.encode(v.Key(1, 0x61, 30))),
        v.framed(b"\x7fnonsense"),
        v.framed(v.encode(v.Attach(viewer="a", name="a", role="owner", may_control=True))) * 2,
        b"",
    ],
    ids=["length", "no attach", "unknown", "attach twice", "nothing"],
)
async def test_what_is_not_the_protocol_ends_that_stream_alone(show: Show, data: bytes) -> None:
    other = await show.watch()
    await other.ready()
    bad = await show.connect()
    bad.writer.write(data)
    bad.writer.write_eof()
    await bad.until(lambda: bad.ended)
    other.say(v.Ping(5))
    assert (await other.hears(v.Pong)).sent == 5


async def test_what_a_killed_runner_left_is_removed(show: Show, tmp_path: Path) -> None:
    left = Path(os.environ["XDG_RUNTIME_DIR"]) / f"{PREFIX}left"
    left.mkdir()
    (tmp_path / "viewers-folder").write_text(str(left))
    await show.server.place(show.desktop)
    assert not left.exists()
