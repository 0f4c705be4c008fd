"""Parts of a desktop that die, and a full disk: what comes back, what is said, what is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.runner.desktops import capabilities, x11
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.keeper import Desktop, DesktopError
from earthshine.runner.desktops.messages import Watch
from earthshine.runner.desktops.stream import StreamGoneError
from tests.unit.runner.desktops.test_keeper import (
    Runner,
    display_process,
    own_segments,
    runner,
    windows,
)
from tests.unit.runner.desktops.test_stream import Viewer, run

__all__ = ["runner"]
Eventually = Callable[..., Awaitable[Any]]


def part(desktop: Desktop, name: str) -> psutil.Process | None:
    """The process of this name below the holder."""
    for child in psutil.Process(desktop.status.pid).children():
        with contextlib.suppress(psutil.Error, IndexError):  # it has just ended
            if name in Path(child.cmdline()[0]).name:
                return child
    return None


def another(desktop: Desktop, name: str, before: psutil.Process) -> Callable[[], object]:
    def found() -> psutil.Process | None:
        now = part(desktop, name)
        return now if now is not None and now.pid != before.pid else None

    return found


def managed(desktop: Desktop) -> bool:
    """Whether a window manager answers: the window that it names is there."""
    variables = desktop.status.environment
    connection = x11.connect(variables["DISPLAY"], variables["XAUTHORITY"])
    try:
        check = connection.intern_atom("_NET_SUPPORTING_WM_CHECK")
        named = connection.screen().root.get_full_property(check, x11.X.AnyPropertyType)
        if named is None:
            return False
        window = connection.create_resource_object("window", named.value[0])
        return window.get_full_property(check, x11.X.AnyPropertyType) is not None
    except x11.protocol_errors():
        return False
    finally:
        x11.disconnect(connection)


async def test_a_window_manager_that_dies_comes_back_and_windows_stay(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        await eventually(lambda: windows(desktop) == ["xterm"])
        name = capabilities.first(capabilities.programs(), capabilities.WINDOW_MANAGER).name
        terminal = part(desktop, "xterm")
        before = part(desktop, name)
        assert before is not None
        before.kill()
        await eventually(another(desktop, name, before))
        await eventually(lambda: managed(desktop) and windows(desktop) == ["xterm"])
        assert part(desktop, "xterm") == terminal
        assert desktop.status.restarts == 0


async def test_a_bus_that_dies_comes_back_under_its_address(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running(programs=[], window_manager="off") as keeper:
        desktop = await runner.start(keeper)
        before = part(desktop, "dbus-daemon")
        assert before is not None
        before.kill()
        await eventually(another(desktop, "dbus-daemon", before))
        call = ["--dest=org.freedesktop.DBus", "--print-reply", "/", "org.freedesktop.DBus.GetId"]

        async with asyncio.timeout(10):
            while b"string" not in await run(desktop, "dbus-send", "--session", *call):
                assert part(desktop, "dbus-daemon") is not None


async def test_a_sound_server_that_dies_comes_back_and_is_heard(
    runner: Runner, eventually: Eventually
) -> None:
    quarter = os.urandom(48_000)  # stereo, 16 bits: a quarter of a second of noise
    async with runner.running(programs=[], window_manager="off", audio="auto") as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        async with desktop.stream(Watch(video=False, repaint=False, audio=True)) as stream:
            viewer = Viewer(stream)
            listening = asyncio.create_task(viewer.listen())
            before = part(desktop, "pulseaudio")
            assert before is not None
            before.kill()
            await eventually(another(desktop, "pulseaudio", before))
            viewer.skip()

            async def play() -> None:
                while True:
                    await run(desktop, "paplay", "--raw", "--rate=48000", data=quarter)

            playing = asyncio.create_task(play())
            assert (await viewer.next(m.Audio)).data
            for task in (playing, listening):
                task.cancel()
            await asyncio.gather(playing, listening, return_exceptions=True)


async def test_what_dies_again_and_again_is_given_up_with_words(
    runner: Runner, eventually: Eventually, tmp_path: Path
) -> None:
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nexit 1\n")
    dies.chmod(0o700)
    async with runner.running(programs=[], window_manager=str(dies)) as keeper:
        desktop = await runner.start(keeper)

        def given_up() -> bool:
            return "again and again" in " ".join(desktop.status.notes)

        await eventually(given_up, 30)
        assert desktop.status.phase == "running"


async def test_killed_displays_and_workers_leave_nothing(runner: Runner) -> None:
    async with runner.running(programs=[]) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        family: list[psutil.Process] = []
        segments: set[str] = set()
        for restarts in range(1, 4):
            family += psutil.Process(desktop.status.pid).children(recursive=True)
            with contextlib.suppress(StreamGoneError):
                async with desktop.stream(Watch()) as stream:
                    async for message in stream:
                        if isinstance(message, m.Video):
                            segments |= own_segments(family)
                            display_process(desktop).kill()
            await desktop.until(lambda status, n=restarts: status.restarts == n, 15)  # type: ignore[misc]
            await desktop.wake()
        family += psutil.Process(desktop.status.pid).children(recursive=True)
        number = desktop.status.display.removeprefix(":")
        assert segments, "pictures are captured through shared memory"
        await desktop.end()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert alive == []
        assert not segments & own_segments([])
        assert own_segments(family) == set()
        assert not Path(f"/tmp/.X{number}-lock").exists()


# --- a full disk ---------------------------------------------------------------------------------


class SmallDisk:
    """A file system of 64 KiB, mounted for a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """Made before the runner, and gone after it."""
    folder = Path(tempfile.mkdtemp(prefix="earthshine-disk-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield SmallDisk(folder)
    left = [one.name for one in folder.iterdir() if one.name != "filler"]
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
    assert left == []


async def test_where_the_disk_is_full_a_display_does_not_start_and_says_so(
    small_disk: SmallDisk, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(small_disk.folder))
    small_disk.fill()
    async with runner.running(programs=[]) as keeper:
        with pytest.raises(DesktopError, match="No space left on device") as refused:
            await runner.start(keeper)
        assert "make room" in (refused.value.remedy or "")


async def test_a_display_that_crashes_while_the_disk_is_full_comes_back_once_there_is_room(
    small_disk: SmallDisk, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(small_disk.folder))
    async with runner.running(programs=[], window_manager="off") as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        before = desktop.status.environment
        small_disk.fill()
        display_process(desktop).kill()
        status = await desktop.until(lambda status: status.phase == "failed", 30)
        assert "No space left on device" in status.detail
        assert "make room" in (status.remedy or "")
        small_disk.empty()
        assert (await desktop.wake()).environment == before
