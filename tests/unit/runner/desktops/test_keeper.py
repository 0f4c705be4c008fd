"""Desktops as the runner has them: they outlive it, come back after a crash, and leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.children import marked
from earthshine.runner.desktops.holder.record import MARKER
from earthshine.runner.desktops.keeper import Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.messages import Status, Watch
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.stream import StreamGoneError
from earthshine.runner.desktops.worker.pulses import PULSE_SECONDS

Eventually = Callable[..., Awaitable[Any]]
SMALL = {"width": 640, "height": 480, "audio": "off"}


class _DoneError(Exception):
    """Ends the runner's task group."""


class Runner:
    """Starts and stops keepers over one folder of state, as a runner that is restarted does."""

    def __init__(self, state: Path, environment: dict[str, str]) -> None:
        self.state = state
        self.environment = environment

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[DesktopKeeper]:
        keeper = DesktopKeeper(self.state, DesktopSettings(**{**SMALL, **settings}))
        try:
            async with asyncio.TaskGroup() as tasks:
                await keeper.load(tasks)
                yield keeper
                raise _DoneError
        except* _DoneError:
            keeper.close()

    async def start(self, keeper: DesktopKeeper, name: str = "one") -> Desktop:
        return await keeper.start(name, str(self.state), self.environment)


@pytest.fixture
async def runner(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runner]:
    """Whatever a test leaves running is ended after it, and what it leaves at all fails it."""
    short = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    own = Runner(tmp_path, environment)
    yield own
    async with own.running() as keeper:
        for desktop in keeper:
            await desktop.end()
    assert list((tmp_path / "desktops").iterdir()) == []
    assert list(short.iterdir()) == []
    shutil.rmtree(short)


def windows(desktop: Desktop) -> list[str]:
    """The names of the programs' windows in the display."""
    variables = desktop.status.environment
    connection = x11.connect(variables["DISPLAY"], variables["XAUTHORITY"])
    try:
        root = connection.screen().root
        clients = root.get_full_property(connection.intern_atom("_NET_CLIENT_LIST"), 0)
        found = []
        for window in [] if clients is None else clients.value:
            kind = connection.create_resource_object("window", window).get_wm_class()
            found.append(kind[0] if kind else "")
        return found
    finally:
        x11.disconnect(connection)


async def test_a_desktop_has_its_programs_before_anybody_watches(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        assert desktop.status.phase == "running"
        assert desktop.status.notes == []
        assert await eventually(lambda: windows(desktop)) == ["xterm"]


async def test_a_program_that_is_pointed_there_appears_there(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running(programs=[]) as keeper:
        desktop = await runner.start(keeper)
        variables = desktop.status.environment
        assert set(variables) >= {"DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"}
        agent = await asyncio.create_subprocess_exec(
            "xterm", "-e", "cat", env={**runner.environment, **variables}, stderr=-3
        )
        assert await eventually(lambda: windows(desktop)) == ["xterm"]
        agent.kill()
        await agent.wait()
        assert desktop.status.notes == []


async def test_desktops_do_not_see_each_other(runner: Runner, eventually: Eventually) -> None:
    async with runner.running() as keeper:
        one, two = await runner.start(keeper, "one"), await runner.start(keeper, "two")
        first, second = one.status.environment, two.status.environment
        assert first["DISPLAY"] != second["DISPLAY"]
        assert first["DBUS_SESSION_BUS_ADDRESS"] != second["DBUS_SESSION_BUS_ADDRESS"]
        crossed = {**runner.environment, **first, "XAUTHORITY": second["XAUTHORITY"]}
        program = await asyncio.create_subprocess_exec(
            "setxkbmap", "-print", env=crossed, stdout=-3, stderr=-3
        )
        assert await program.wait() != 0


async def test_a_desktop_outlives_the_runner(runner: Runner, eventually: Eventually) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        await eventually(lambda: windows(desktop) == ["xterm"])
        before = desktop.status
    async with runner.running() as keeper:
        found = keeper.get("one")
        assert found is not None
        status = await found.wake()
        assert (status.pid, status.environment) == (before.pid, before.environment)
        assert windows(found) == ["xterm"]


async def test_starting_what_is_there_changes_nothing(runner: Runner) -> None:
    async with runner.running(programs=[]) as keeper:
        first = await runner.start(keeper)
        assert await runner.start(keeper) is first


def display_process(desktop: Desktop) -> psutil.Process:
    """The X server below a desktop's holder."""
    for child in psutil.Process(desktop.status.pid).children():
        if child.name().startswith(("Xtigervnc", "Xvfb")):
            return child
    raise AssertionError("no display runs")


async def test_a_crashed_display_comes_back_under_the_same_name(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        before = desktop.status.environment
        display_process(desktop).kill()
        await desktop.until(lambda status: status.restarts == 1, 15)
        await desktop.wake()
        after = desktop.status.environment
        assert (after["DISPLAY"], after["XAUTHORITY"]) == (before["DISPLAY"], before["XAUTHORITY"])
        assert await eventually(lambda: windows(desktop)) == ["xterm"]


async def test_a_display_that_crashes_again_and_again_is_given_up(runner: Runner) -> None:
    async with runner.running(programs=[], window_manager="off") as keeper:
        desktop = await runner.start(keeper)
        for _ in range(20):
            status = await desktop.until(lambda s: s.phase in ("running", "failed"), 30)
            if status.phase == "failed":
                break
            crashes = status.restarts

            def known(status: Status, crashes: int = crashes) -> bool:
                return status.restarts > crashes or status.phase == "failed"

            display_process(desktop).kill()
            await desktop.until(known, 30)
        assert desktop.status.phase == "failed"
        assert "again and again" in desktop.status.detail
        assert (await desktop.wake()).phase == "running"  # a person may try again


async def test_a_crashed_worker_costs_the_programs_nothing(
    runner: Runner, eventually: Eventually
) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        await eventually(lambda: windows(desktop) == ["xterm"])
        (worker,) = [
            child
            for child in psutil.Process(desktop.status.pid).children()
            if "earthshine.runner.desktops.worker" in child.cmdline()
        ]
        async with desktop.stream(Watch()) as stream:
            worker.kill()
            with contextlib.suppress(StreamGoneError):
                async for _ in stream:
                    pass
        await desktop.until(lambda status: not status.streaming, 10)
        await desktop.wake()
        async with desktop.stream(Watch()) as stream:
            async for _ in stream:
                break
        assert windows(desktop) == ["xterm"]
        assert desktop.status.restarts == 0


@pytest.mark.pair
@pytest.mark.timeout(180)
async def test_a_worker_that_hangs_is_replaced(runner: Runner) -> None:
    async with runner.running(programs=[]) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        (worker,) = [
            child
            for child in psutil.Process(desktop.status.pid).children()
            if "earthshine.runner.desktops.worker" in child.cmdline()
        ]
        worker.suspend()
        await desktop.until(lambda status: not status.streaming, 90)
        assert (await desktop.wake()).restarts == 0
        assert not worker.is_running()


async def test_what_a_killed_holder_leaves_is_removed(runner: Runner) -> None:
    async with runner.running() as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        below = psutil.Process(desktop.status.pid).children(recursive=True)
        assert below
        os.kill(desktop.status.pid, signal.SIGKILL)
        await desktop.until(lambda status: status.phase == "ended", 15)
        _, alive = await asyncio.to_thread(psutil.wait_procs, below, 10)
        assert alive == []


async def test_a_program_that_detaches_itself_ends_with_the_display(
    runner: Runner, eventually: Eventually
) -> None:
    script = runner.state / "daemon.py"
    script.write_text(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(600)\n"
    )
    async with runner.running(programs=[f"{sys.executable} {script}"]) as keeper:
        desktop = await runner.start(keeper)

        def daemon() -> list[psutil.Process]:
            children = psutil.Process(desktop.status.pid).children(recursive=True)
            return [c for c in children if str(script) in c.cmdline()]

        found = await eventually(daemon)
        await desktop.end()
        _, alive = await asyncio.to_thread(psutil.wait_procs, found, 10)
        assert alive == []


@pytest.mark.parametrize("idle", [0.5, PULSE_SECONDS + 1])
async def test_an_idle_display_stops_and_comes_back_on_demand(runner: Runner, idle: float) -> None:
    """Also where the worker speaks up several times meanwhile."""
    async with runner.running(idle_seconds=idle, programs=[]) as keeper:
        desktop = await runner.start(keeper)
        name = desktop.status.display
        await desktop.until(lambda status: status.phase == "stopped", 20)
        assert psutil.Process(desktop.status.pid).children() == []
        status = await desktop.wake()
        assert status.display == name
        async with desktop.stream(Watch()) as stream:
            async for _ in stream:
                break


async def test_a_display_that_somebody_watches_or_uses_is_not_idle(runner: Runner) -> None:
    async with runner.running(idle_seconds=1.0, programs=[]) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        desktop.watching(1)
        with pytest.raises(TimeoutError):
            await desktop.until(lambda status: status.phase == "stopped", 3.5)
        agent = await asyncio.create_subprocess_exec(
            "xterm",
            "-e",
            "cat",
            env={**runner.environment, **desktop.status.environment},
            stderr=-3,
        )
        await asyncio.to_thread(_until, lambda: windows(desktop) == ["xterm"])
        desktop.watching(0)
        with pytest.raises(TimeoutError):
            await desktop.until(lambda status: status.phase == "stopped", 3.5)
        agent.kill()
        await agent.wait()
        await desktop.until(lambda status: status.phase == "stopped", 20)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        pass


async def test_a_stopped_display_has_no_stream(runner: Runner) -> None:
    async with runner.running(programs=[]) as keeper:
        desktop = await runner.start(keeper)
        await desktop.wake()
        desktop.halt()
        await desktop.until(lambda status: status.phase == "stopped", 15)
        with pytest.raises(StreamGoneError):
            async with desktop.stream(Watch()):
                pass


async def test_what_is_missing_is_said(runner: Runner) -> None:
    async with runner.running(window_manager="no-such-one", programs=["no-such-program"]) as keeper:
        desktop = await runner.start(keeper)
        said = " ".join(desktop.status.notes)
        assert "no-such-one" in said
        assert "no-such-program" in said


async def test_a_desktop_that_cannot_start_says_why_and_leaves_nothing(runner: Runner) -> None:
    async with runner.running(backend="xvfb", programs_path={"xvfb": "/bin/false"}) as keeper:
        with pytest.raises(DesktopError, match="Xvfb did not start"):
            await runner.start(keeper)
        assert keeper.get("one") is None or keeper.get("one").ended  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", "../up", "UPPER", "x" * 65])
async def test_a_name_that_is_no_id_is_refused(runner: Runner, name: str) -> None:
    async with runner.running() as keeper:
        with pytest.raises(DesktopError, match="no desktop's id"):
            await runner.start(keeper, name)


# --- leaks ---------------------------------------------------------------------------------------


def socket_of(number: str) -> tuple[int, int] | None:
    """Which socket clients of that display number find: its inode and when it was made."""
    try:
        found = Path(f"/tmp/.X11-unix/X{number}").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def lock_of(number: str) -> int | None:
    """Whose lock lies there for that display number: a pid."""
    try:
        return int(Path(f"/tmp/.X{number}-lock").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _has_marker(process: psutil.Process) -> bool:
    try:
        return MARKER in process.environ()
    except psutil.Error:
        return False


async def cycles(runner: Runner, count: int) -> None:
    """Start, show and end a desktop so many times; nothing of it is there afterwards."""
    async with runner.running(window_manager="auto") as keeper:
        mine: set[str] = set()
        for _ in range(count):
            desktop = await runner.start(keeper)
            await desktop.wake()
            number = desktop.status.display.removeprefix(":")
            holder = psutil.Process(desktop.status.pid)
            family = [holder, *holder.children(recursive=True)]
            markers = {p.environ()[MARKER] for p in family if p.is_running() and _has_marker(p)}
            mine |= markers
            async with desktop.stream(Watch()) as stream:
                async for message in stream:
                    if type(message).__name__ == "Video":
                        break
            segments, address = own_segments(family), socket_of(number)
            assert address is not None
            await desktop.end()
            _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
            assert alive == []
            # Another display may have taken the number since.
            assert socket_of(number) != address
            assert lock_of(number) not in {process.pid for process in family}
            assert not segments & own_segments([])
        for value in mine:
            assert marked(f"{MARKER}={value}") == []


def own_segments(family: list[psutil.Process]) -> set[str]:
    """Ids of shared memory: made by these processes, or all that there are when none is named."""
    pids = {process.pid for process in family}
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {row[1] for row in rows if not pids or int(row[4]) in pids}


@pytest.mark.timeout(300)
async def test_nothing_is_left_after_many_desktops(runner: Runner) -> None:
    await cycles(runner, 8)


@pytest.mark.pair
@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    "EARTHSHINE_TEST_LONG" not in os.environ,
    reason="takes five to ten minutes: set EARTHSHINE_TEST_LONG=1; eight cycles run always",
)
async def test_nothing_is_left_after_a_hundred_desktops(runner: Runner) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    await cycles(runner, 100)
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 2
