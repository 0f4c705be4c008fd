"""A desktop without X: pixelflux's compositor, with real Wayland programs in it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.messages import Watch
from tests.unit.runner.desktops.test_keeper import Runner, runner
from tests.unit.runner.desktops.test_stream import Viewer, run
from tests.unit.runner.desktops.viewers.decoding import Decoder

__all__ = ["runner"]
Eventually = Callable[..., Awaitable[Any]]
MISSING = [name for name in ("foot", "wl-copy", "wl-paste") if shutil.which(name) is None]
if importlib.util.find_spec("pixelflux") is None:
    MISSING.append("pixelflux")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
PLAIN: dict[str, Any] = {"backend": "wayland", "programs": []}


@pytest.fixture
async def desktop(runner: Runner) -> AsyncIterator[Desktop]:
    async with runner.running(**PLAIN) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        yield desktop


@contextlib.asynccontextmanager
async def watching(desktop: Desktop, **wants: Any) -> AsyncIterator[Viewer]:
    async with desktop.stream(Watch(**wants)) as stream:
        viewer = Viewer(stream)
        listening = asyncio.create_task(viewer.listen())
        yield viewer
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@contextlib.asynccontextmanager
async def terminal(desktop: Desktop, folder: Path, eventually: Eventually) -> AsyncIterator[Path]:
    """A program of the agent's that writes what is typed there into a file."""
    typed = folder / "typed"
    program = await asyncio.create_subprocess_exec(
        "foot", "-o", "dpi-aware=no", "sh", "-c", f"stty -echo; cat > {typed}",
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(folder), "LANG": "C.UTF-8",
             **desktop.status.environment},
        stderr=-3,
    )  # fmt: skip
    await eventually(typed.exists)
    yield typed
    program.kill()
    await program.wait()


async def test_a_program_that_is_pointed_there_is_seen_and_typed_into(
    desktop: Desktop, tmp_path: Path, eventually: Eventually
) -> None:
    variables = desktop.status.environment
    assert variables["XDG_SESSION_TYPE"] == "wayland"
    assert "DISPLAY" not in variables
    async with watching(desktop, control=True) as viewer:
        first = await viewer.next(m.Video)
        assert first.key
        empty = Decoder().luma(first.data)
        assert empty.shape == (480, 640)
        async with terminal(desktop, tmp_path, eventually) as typed:
            await viewer.next(m.Video)
            viewer.stream.tell(m.Type(text="Grüße, 12 €\n"))
            await eventually(lambda: typed.read_text() == "Grüße, 12 €\n")
            for keysym in (0xFFE1, ord("A")):  # Shift is held, as browsers tell it
                viewer.stream.tell(m.Key(keysym=keysym, down=True))
            for keysym in (ord("A"), 0xFFE1, 0xFF0D):
                viewer.stream.tell(m.Key(keysym=keysym, down=False))
            viewer.stream.tell(m.ScanCode(code=30, down=True))
            viewer.stream.tell(m.ScanCode(code=30, down=False))
            viewer.stream.tell(m.Type(text="/\n"))
            await eventually(lambda: typed.read_text() == "Grüße, 12 €\nAa/\n")


async def test_the_clipboard_goes_both_ways(
    desktop: Desktop, tmp_path: Path, eventually: Eventually
) -> None:
    async with (
        watching(desktop, control=True, clipboard=True) as viewer,
        terminal(desktop, tmp_path, eventually),
    ):
        viewer.stream.tell(m.PutClipboard(mime="text/plain", data="hinein €".encode()))

        async def pasted() -> bytes:
            return await run(desktop, "wl-paste", "--no-newline")

        async with asyncio.timeout(10):
            while await pasted() != "hinein €".encode():
                pass
        viewer.skip()
        await run(desktop, "wl-copy", "heraus")
        assert (await viewer.next(m.Clipboard)).data == b"heraus"


async def test_it_takes_another_size(desktop: Desktop) -> None:
    async with watching(desktop, control=True) as viewer:
        await viewer.next(m.Video)
        viewer.stream.tell(m.Resize(width=800, height=500))
        await viewer.next(m.Screen, lambda told: (told.width, told.height) == (800, 500))
        video = await viewer.next(m.Video, lambda video: video.width == 800)
        assert video.key
        assert Decoder().luma(video.data).shape == (500, 800)
        viewer.stream.tell(m.TakeStill(request_id="one"))
        assert (await viewer.next(m.Still)).data.startswith(b"\x89PNG")


async def test_a_crashed_compositor_comes_back_under_its_name(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running(**{**PLAIN, "programs": ["terminal"]}) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        before = desktop.status.environment

        def below(name: str) -> list[psutil.Process]:
            children = psutil.Process(desktop.status.pid).children()
            return [child for child in children if name in " ".join(child.cmdline())]

        (compositor,) = below("--wayland=")
        await eventually(lambda: below("foot"))
        compositor.kill()
        await desktop.until(lambda status: status.restarts == 1, 20)
        await desktop.wake()
        assert desktop.status.environment == before
        await eventually(lambda: below("foot"))


async def test_an_idle_one_stops_unless_a_program_is_in_it(
    runner: Runner, tmp_path: Path, eventually: Eventually
) -> None:
    async with runner.running(**PLAIN, idle_seconds=1.0) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        async with terminal(desktop, tmp_path, eventually):
            with pytest.raises(TimeoutError):
                await desktop.until(lambda status: status.phase == "stopped", 3.5)
        await desktop.until(lambda status: status.phase == "stopped", 20)
