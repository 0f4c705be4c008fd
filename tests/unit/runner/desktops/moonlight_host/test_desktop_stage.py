"""Our own client sees and uses a real display of this runner."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.input import (
    KeyEvent,
    MousePlaced,
    TextTyped,
)
from earthshine.runner.desktops.messages import Video, Watch
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.desktop_pictures import KEEP_SECONDS
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.lobbies import LobbyRequest
from earthshine.runner.desktops.moonlight_host.session import SessionRefusedError
from earthshine.runner.desktops.moonlight_host.stage import StageRequest
from earthshine.runner.desktops.moonlight_host.states import State
from tests.moonlight_guests import Guest
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.moonlight_host.desktops import CLOCK, Clock, running

pytestmark = pytest.mark.serial
SHIFT, KEY_H, KEY_I, ENTER = 0x10, 0x48, 0x49, 0x0D  # Windows' codes
WISHES = Wishes(640, 480, 30, 6000)
TOO_LATE = 1500
RESUMED_MS = 300


@pytest.fixture
async def host(tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[MoonlightHost]:
    script = f'touch {tmp_path}/reads; read line; echo "$line" > {tmp_path}/typed'
    typed = f"xterm -geometry 80x20+0+0 -e sh -c '{script}'"
    apps = [HostApp("7", "Clock", CLOCK), HostApp("8", "Terminal", typed)]
    async with running(tmp_path, apps) as host:
        yield host


async def test_the_picture_is_the_displays(host, eventually):
    guest = Guest(host)
    guest.trust()
    started = await guest.start(7, width=640, height=480)
    watching = await guest.watch(started, WISHES)
    clock, done = Clock(), 0
    ages: list[int] = []
    deadline = time.monotonic() + 20
    while len(ages) < 20:
        assert time.monotonic() < deadline, "the clock never showed"
        await watching.picture()
        for frame in watching.frames[done:]:
            shown = clock.read(frame.data)
            if shown is not None:
                ages.append(barcode.age(shown, barcode.now()))
        done = len(watching.frames)
    assert (640, 480) in clock.sizes
    assert max(ages) < TOO_LATE
    await eventually(lambda: len(watching.audio) > 40)
    assert {len(packet) for packet in watching.audio if packet} == {60}
    program = psutil.Process(guest.session.stage._program.pid)
    again, took = watching, []
    for _ in range(5):
        await again.leave()
        await eventually(lambda: guest.session.state is State.PAUSED)
        begun = time.monotonic()
        again = await guest.watch(await guest.start(7), WISHES)
        took.append((time.monotonic() - begun) * 1000)
        assert again.frames[0].idr
    assert statistics.median(took) < RESUMED_MS, took
    assert program.is_running()
    # Another size is followed while the application goes on.
    await again.leave()
    larger = await guest.watch(await guest.start(7), Wishes(800, 448, 30, 6000))
    assert guest.session.stage.size == (800, 448)
    assert program.is_running()
    await larger.leave()
    await guest.game.cancel()
    assert not program.is_running()


async def test_typing_reaches_the_application_and_its_end_is_the_sessions(
    host, eventually, tmp_path
):
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch(await guest.start(8, width=640, height=480), WISHES)
    await eventually((tmp_path / "reads").exists)
    watching.stream.send(MousePlaced(60, 60, 640, 480))
    for code, down in (
        (SHIFT, True),
        (KEY_H, True),
        (KEY_H, False),
        (SHIFT, False),
        (KEY_I, True),
        (KEY_I, False),
    ):
        watching.stream.send(KeyEvent(code, down=down))
    watching.stream.send(TextTyped("é"))
    for down in (True, False):
        watching.stream.send(KeyEvent(ENTER, down=down))
    await eventually(lambda: guest.session is None)
    assert (tmp_path / "typed").read_text() == "Hi\u00e9\n"
    assert (await watching.stream.over()).graceful
    await watching.leave()


async def test_a_still_picture_keeps_the_stream_alive(host, tmp_path, eventually):
    """Clients give up when nothing comes for ten seconds."""
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch(await guest.start(8, width=640, height=480), WISHES)
    await eventually((tmp_path / "reads").exists)
    quiet = 0.0
    while quiet < KEEP_SECONDS / 2:
        begun = time.monotonic()
        assert (await watching.picture()).data
        quiet = time.monotonic() - begun
    assert quiet < 10
    assert not watching.stream.is_over
    await watching.leave()


async def test_browsers_and_gamestream_get_the_same_encoding(host, eventually):
    """One capture and one encoder: the very bytes are the same."""
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch(await guest.start(7, width=640, height=480), WISHES)
    browser: list[bytes] = []

    async def watch() -> None:
        async with guest.session.stage._desktop.stream(Watch(cursor=False)) as stream:
            async for message in stream:
                browser.extend([message.data] if isinstance(message, Video) else [])

    task = asyncio.create_task(watch())
    await eventually(lambda: len(browser) > 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # Clients get access units padded to whole packets.
    seen = {frame.data.rstrip(b"\0") for frame in watching.frames}
    same = [unit for unit in browser if unit.rstrip(b"\0") in seen]
    assert len(same) > 10, "what the browser gets now, the other got as well"
    await watching.leave()


async def test_a_lobby_on_a_real_display(host, eventually):
    """It shows one display to two clients, and outlives them."""
    lobby = await host.lobbies.create(
        LobbyRequest(StageRequest("room", CLOCK, 640, 480, 30), pin=(4, 2))
    )
    guests = [Guest(host, number) for number in range(2)]
    watching = []
    for guest in guests:
        guest.trust()
        host.catalog.add(HostApp("20", "Empty", None))
        watching.append(await guest.watch(await guest.start(20, width=640, height=480), WISHES))
        with pytest.raises(SessionRefusedError, match="PIN"):
            await host.lobbies.join(lobby, guest.session, (4, 3))
        await host.lobbies.join(lobby, guest.session, (4, 2))
    for watched in watching:
        clock = Clock()
        done = next_key_frame = 1  # the first picture was of the client's own display
        times: list[int] = []
        while len(times) < 5:
            if done == len(watched.frames):
                await watched.picture()
            frame = watched.frames[done]
            done += 1
            if next_key_frame and not frame.idr:
                continue
            next_key_frame = 0
            shown = clock.read(frame.data)
            times += [] if shown is None else [shown]
        assert times == sorted(times)
    for guest, watched in zip(guests, watching, strict=True):
        await guest.game.cancel()
        await watched.leave()
    assert lobby.members == []
    assert host.lobbies.all == [lobby]
    assert lobby.stage._program.returncode is None
    await host.lobbies.stop(lobby)
    assert lobby.stage._program.returncode is not None
