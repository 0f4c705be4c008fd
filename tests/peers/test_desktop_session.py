"""A session's desktop from end to end: agent, display, encoder, runner, control plane, viewer.

Everything is a real process; the viewer speaks the browser's protocol over a WebSocket and decodes
the video. The agent draws a barcode that shows the time, and has an xterm that writes what is typed
there into a file.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from earthshine.protocols import viewer
from earthshine.protocols.viewer import (
    DesktopIs,
    Exact,
    GiveControl,
    Pointer,
    PointerAt,
    Problem,
    Statistics,
    Still,
    Video,
    Viewers,
)
from earthshine.runner.desktops import capabilities, x11
from tests.peers.viewer_client import Client, watching
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.viewers.decoding import Decoder, pixels
from tests.world import DESKTOP_HOLDER, World, running_world, wait_for

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
XTERM = (200, 300)
"""A place inside the xterm."""
SCRIPT = f"""
env > agent-environment
{sys.executable} {barcode.__file__} 20 1000000 &
xterm -geometry 60x12+20+120 -e 'cat > typed' &
sleep 1000000
"""


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """Where sockets lie; nothing is left there."""
    folder = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    yield folder
    left = [one.name for one in folder.iterdir() if one.name.startswith("earthshine-")]
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, runtime: Path) -> Iterator[World]:
    runner = {
        "XDG_RUNTIME_DIR": str(runtime),
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
    }
    with running_world(tmp_path_factory.mktemp("desktop"), runner=runner) as it:
        yield it
        it.runners[0].stop(signal.SIGTERM)


@dataclass
class Session:
    """A running session with a desktop."""

    world: World
    session_id: str
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.world.url.replace('http', 'ws')}/api/v1/sessions/{self.session_id}/desktop"

    def watching(self, headers: dict[str, str] | None = None, **wants: Any) -> Any:
        return watching(self.url, headers or self.world.headers, **wants)

    @property
    def typed(self) -> str:
        file = self.folder / "typed"
        return file.read_text() if file.exists() else ""

    @property
    def variables(self) -> dict[str, str]:
        """What the agent got in its environment."""
        lines = (self.folder / "agent-environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def display_server(self) -> psutil.Process:
        """The X server, below the desktop's holder."""
        for holder in self.world.holders(DESKTOP_HOLDER):
            if self.session_id in psutil.Process(holder).cmdline()[-1]:
                for child in psutil.Process(holder).children():
                    if child.name().startswith(("Xtigervnc", "Xvfb")):
                        return child
        raise AssertionError("no display runs")

    def grabbed(self) -> Any:
        """The display's pixels, asked of the server itself: height x width x RGB."""
        connection = x11.connect(self.variables["DISPLAY"], self.variables["XAUTHORITY"])
        try:
            width, height = x11.screen_size(connection)
            root = connection.screen().root
            image = root.get_image(0, 0, width, height, x11.X.ZPixmap, 0xFFFFFFFF)
            rows = np.frombuffer(image.data, np.uint8).reshape(height, width, 4)
            return rows[:, :, 2::-1]
        finally:
            x11.disconnect(connection)


@pytest.fixture
def session(world: World, tmp_path: Path) -> Iterator[Session]:
    answer = world.api(
        "POST",
        "/sessions",
        {
            "agent": "command",
            "command": ["bash", "-c", SCRIPT],
            "folder": str(tmp_path),
            "desktop": {"width": 640, "height": 480},
        },
    )
    world.wait_state(answer["id"], "running")
    wait_for((tmp_path / "typed").exists, 20, "the xterm")
    started = Session(world, answer["id"], tmp_path)
    wait_for(lambda: barcode.read(started.grabbed()[:, :, 1]) is not None, 20, "the barcode")
    yield started
    if world.session(answer["id"])["state"] == "running":
        world.api("POST", f"/sessions/{answer['id']}/kill", {})


@pytest.fixture(scope="module")
def visitor(world: World) -> tuple[str, dict[str, str]]:
    """Somebody else: their id, and the headers that they come with."""
    added = world.api("POST", "/people", {"name": "otto"})
    code = added["link"]["url"].rpartition("=")[2]
    with httpx.Client(base_url=world.url, headers={"Origin": world.url}) as client:
        assert client.post("/api/v1/sign-in", json={"code": code}).is_success
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return added["person"]["id"], {"Cookie": cookies, "Origin": world.url}


def share(session: Session, person: str, role: str) -> None:
    session.world.api("PUT", f"/sessions/{session.session_id}/shares/{person}", {"role": role})


async def until(condition: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_for, condition, 20, what)


async def ready(client: Client) -> DesktopIs:
    return await client.next(DesktopIs, lambda desktop: desktop.state == "ready")


async def people(client: Client, met: Callable[[Viewers], bool]) -> Viewers:
    """What a viewer knows of the others, once that meets a condition."""

    def known() -> Viewers | None:
        told = client.all(Viewers)
        return told[-1] if told and met(told[-1]) else None

    found: Viewers = await until(known, "what is told of viewers")
    return found


async def in_control(client: Client, number: int) -> Viewers:
    return await people(client, lambda told: told.control == number)


async def click(client: Client) -> None:
    await client.say(Pointer(*XTERM, 1), Pointer(*XTERM, 0))


async def test_what_the_agent_draws_is_seen(session: Session) -> None:
    async with session.watching(statistics=True) as client:
        desktop = await ready(client)
        assert (desktop.width, desktop.height) == (640, 480)
        assert desktop.codec.startswith("avc1.42")
        first = await client.next(Video)
        assert first.flags == viewer.FrameFlag.KEY
        # It may be caught half drawn; the ones below are read.
        assert np.ptp(Decoder().luma(first.data)[: barcode.HEIGHT, : barcode.WIDTH]) > 150
        await until(lambda: len(client.shown) > 40, "40 pictures of the barcode")
        ages = [barcode.age(drawn, seen) for drawn, seen in client.shown[10:]]
        figures = await client.next(Statistics, lambda told: told.frames > 5)
        assert figures.encoder in ("pixelflux", "pyav")
    print(
        f"\nfirst frame {client.first_frame:.3f} s after opening; pictures are "
        f"{statistics.median(ages):.0f} ms old (at most {max(ages)} ms of {len(ages)}); "
        f"{figures.frames} frames/s, {figures.encode_ms} ms to encode, {figures.bytes} bytes/s"
    )


async def test_what_stands_still_is_exact(session: Session) -> None:
    shown = np.zeros((480, 640, 3), np.uint8)
    exact = np.zeros((480, 640), bool)
    async with session.watching() as client:
        await ready(client)
        while not exact[64:].all():  # all tiles but those of the barcode
            message = await client.next(viewer.FromDesktop)
            match message:
                case Video(flags=flags, data=data):
                    boxes = viewer.split_damage(data)[0] if flags & 2 else [(0, 0, 640, 480)]
                    for x, y, width, height in boxes:
                        exact[y : y + height, x : x + width] = False
                case Exact(x=x, y=y, width=width, height=height, data=data):
                    shown[y : y + height, x : x + width] = pixels(data)
                    exact[y : y + height, x : x + width] = True
        grabbed = await asyncio.to_thread(session.grabbed)
    assert (shown[64:] == grabbed[64:]).all()
    assert len(np.unique(shown[64:].reshape(-1, 3), axis=0)) > 2, "an xterm, not an empty screen"


async def test_who_may_type_types_and_hands_over(
    session: Session, visitor: tuple[str, dict[str, str]]
) -> None:
    person, headers = visitor
    share(session, person, "viewer")
    async with session.watching() as owner, session.watching(headers) as other:
        await asyncio.gather(ready(owner), ready(other))
        me = await people(owner, lambda told: len(told.viewers) == 2)
        mine = next(one.number for one in me.viewers if one.you)
        theirs = next(one.number for one in me.viewers if not one.you)
        assert me.control == 0
        await other.type("no\n")
        assert (await other.next(Problem)).code == "not-allowed"
        await click(owner)
        await in_control(owner, mine)
        at = await other.next(PointerAt)
        assert (at.viewer, at.x, at.y) == (mine, *XTERM)
        await owner.type("hello\n")
        await until(lambda: session.typed == "hello\n", "what was typed")
        share(session, person, "controller")
        await people(owner, lambda told: {one.role for one in told.viewers} >= {"controller"})
        await other.type("nor now\n")
        await owner.say(GiveControl(to=theirs))
        await in_control(other, theirs)
        await other.type("from otto\n")
        await owner.type("not me\n")
        await until(lambda: session.typed == "hello\nfrom otto\n", "what the other typed")
        share(session, person, "viewer")
        await in_control(owner, 0)


async def test_stills_for_who_has_no_video(session: Session) -> None:
    async with session.watching(video="stills") as client:
        await ready(client)
        still = await client.next(Still)
        picture = pixels(still.data, "mjpeg")
        assert picture.shape == (480, 640, 3)
        assert barcode.read(picture[:, :, 1]) is not None
        await client.next(Still)
        assert client.all(Video) == []


async def test_the_desktop_is_stopped_and_opened_again(session: Session) -> None:
    async with session.watching() as client:
        await ready(client)
        await asyncio.to_thread(
            session.world.api, "DELETE", f"/sessions/{session.session_id}/desktop"
        )
        stopped = await client.next(DesktopIs, lambda told: told.state == "stopped")
        assert stopped.detail
        assert stopped.remedy
        async with session.watching() as again:
            await ready(again)
            await ready(client)  # who stayed sees it too
            assert (await again.next(Video)).flags == viewer.FrameFlag.KEY


async def test_the_display_crashes_and_who_watches_is_told_and_sees_it_again(
    session: Session,
) -> None:
    shown = session.variables["DISPLAY"]
    async with session.watching() as client:
        await ready(client)
        await client.next(Video)
        session.display_server().kill()
        broken = await client.next(DesktopIs, lambda told: told.state == "restarting")
        assert broken.detail
        await ready(client)
        assert (await client.next(Video)).flags == viewer.FrameFlag.KEY
        assert await asyncio.to_thread(lambda: session.grabbed().shape) == (480, 640, 3)
    assert session.variables["DISPLAY"] == shown, "what the agent was told is still true"


async def test_the_runner_restarts_and_the_picture_comes_back(session: Session) -> None:
    runner = session.world.runners[0]
    async with session.watching() as client:
        await ready(client)
        await asyncio.to_thread(runner.stop, signal.SIGTERM)
        assert await client.until_closed() == 4011
    runner.start()
    began = time.monotonic()
    await asyncio.to_thread(session.world.wait_runner)
    connected = time.monotonic()
    async with session.watching() as client:
        await ready(client)
        await client.next(Video)
        await until(lambda: len(client.shown) > 3, "the barcode, which went on")
    print(
        f"\nrunner back after {connected - began:.2f} s; "
        f"first frame {client.first_frame:.3f} s after opening again"
    )


async def test_nothing_is_left_when_the_session_ends(session: Session, runtime: Path) -> None:
    number = int(session.variables["DISPLAY"].removeprefix(":"))
    traces = [Path(f"/tmp/.X{number}-lock"), Path(f"/tmp/.X11-unix/X{number}")]
    async with session.watching() as client:
        await ready(client)
        assert traces[1].exists()
        kill = f"/sessions/{session.session_id}/kill"
        await asyncio.to_thread(session.world.api, "POST", kill, {})
        assert await client.until_closed() in (4010, 4011)
        assert client.all(DesktopIs)[-1].state in ("stopped", "restarting")
    await until(lambda: not any(trace.exists() for trace in traces), "no traces of the display")

    state = session.world.root / "runner" / "desktops" / session.session_id
    await until(lambda: not state.exists(), "no state")
    own = Path(session.variables["XAUTHORITY"]).parent
    await until(lambda: not own.exists(), "no sockets")


async def test_a_desktop_that_cannot_start_is_said(world: World, tmp_path: Path) -> None:
    runner = world.runner("bare", EARTHSHINE_RUNNER_DESKTOP__BACKEND="off")
    runner.start()
    try:
        bare = await asyncio.to_thread(world.wait_runner, "bare")
        wish = {
            "runnerId": bare["id"],
            "command": ["true"],
            "agent": "command",
            "folder": str(tmp_path),
            "desktop": {"width": 640, "height": 480},
        }
        answer = await asyncio.to_thread(world.api, "POST", "/sessions", wish)
        await asyncio.to_thread(world.wait_state, answer["id"], "failed")
        failed = await asyncio.to_thread(world.session, answer["id"])
        assert "switched off" in str(failed)
        assert "desktop-failed" in str(failed)
    finally:
        runner.stop()
        world.runners.remove(runner)
