"""However a stay, a session or a host ends: no port, socket, stage, thread or task is left."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.lobbies import LobbyRequest
from earthshine.runner.desktops.moonlight_host.ports import (
    AUDIO_OFFSET,
    CONTROL_OFFSET,
    HTTPS_OFFSET,
    PLAIN_RTSP_OFFSET,
    PLAIN_RTSP_PORTS,
    RTSP_OFFSET,
    VIDEO_OFFSET,
)
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.moonlight_host.stage import StageRequest
from earthshine.runner.desktops.moonlight_host.states import State
from tests.moonlight_guests import Guest, Watching
from tests.moonlight_world import PatternProvider
from tests.unit.runner.desktops.moonlight_host.conftest import APPS, VANISHED
from tests.world import free_port

TCP = (
    HTTPS_OFFSET,
    0,
    RTSP_OFFSET,
    *range(PLAIN_RTSP_OFFSET, PLAIN_RTSP_OFFSET + PLAIN_RTSP_PORTS),
)
UDP = (VIDEO_OFFSET, CONTROL_OFFSET, AUDIO_OFFSET)
Eventually = Callable[..., Awaitable[Any]]
STAGE = StageRequest("room", "room", 160, 96, 30)


class Scene:
    """A host, and what the clients of one row do there."""

    def __init__(self, host: MoonlightHost, provider: PatternProvider, core: int) -> None:
        self.host, self.provider, self.core = host, provider, core
        self.guest = Guest(host)
        self.guest.trust()
        self.watching: list[Watching] = []

    async def watch(self) -> Watching:
        started = await self.guest.start(core_version=self.core)
        watching = await self.guest.watch(started)
        self.watching.append(watching)
        return watching

    async def paused(self, eventually: Eventually) -> None:
        session = self.guest.session
        await eventually(lambda: session.state is State.PAUSED)


async def left_and_cancelled(scene: Scene, eventually: Eventually) -> None:
    await (await scene.watch()).leave()
    await scene.paused(eventually)
    await scene.guest.game.cancel()


async def cancelled_while_streaming(scene: Scene, _: Eventually) -> None:
    await scene.watch()
    await scene.guest.game.cancel()


async def vanished(scene: Scene, eventually: Eventually) -> None:
    await (await scene.watch()).vanish()
    await scene.paused(eventually)


async def came_back_over_the_old_stay(scene: Scene, _: Eventually) -> None:
    await scene.watch()
    await scene.watch()


async def never_came(scene: Scene, eventually: Eventually) -> None:
    await scene.guest.start(core_version=scene.core)
    await scene.paused(eventually)


async def launched_only(scene: Scene, _: Eventually) -> None:
    await scene.guest.start(core_version=scene.core)


async def application_ended(scene: Scene, eventually: Eventually) -> None:
    await scene.watch()
    scene.provider.stages[0].exit()
    await eventually(lambda: scene.guest.session is None)


async def unpaired_while_streaming(scene: Scene, _: Eventually) -> None:
    await scene.watch()
    await scene.host.unpair(scene.host.pairings.all[0])


async def deserted_a_lobby(scene: Scene, _: Eventually) -> None:
    await scene.watch()
    lobby = await scene.host.lobbies.create(LobbyRequest(STAGE, stop_when_empty=True))
    await scene.host.lobbies.join(lobby, scene.guest.session, None)
    await scene.host.lobbies.leave(scene.guest.session)
    assert scene.host.lobbies.all == []


async def in_a_lobby_with_a_pin(scene: Scene, _: Eventually) -> None:
    await scene.watch()
    lobby = await scene.host.lobbies.create(LobbyRequest(STAGE, pin=(1, 2)))
    await scene.host.lobbies.join(lobby, scene.guest.session, (1, 2))


async def streaming(scene: Scene, _: Eventually) -> None:
    await scene.watch()


WAYS = [
    left_and_cancelled,
    cancelled_while_streaming,
    vanished,
    came_back_over_the_old_stay,
    never_came,
    launched_only,
    application_ended,
    unpaired_while_streaming,
    deserted_a_lobby,
    in_a_lobby_with_a_pin,
    streaming,
]


def open_sockets() -> int:
    return len(psutil.Process().net_connections("inet"))


@pytest.mark.parametrize("core", [0, 1], ids=["plain", "encrypted"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_nothing_is_left(
    tmp_path: Path, eventually: Eventually, way: Callable[..., Awaitable[None]], core: int
) -> None:
    before = open_sockets(), set(threading.enumerate()), asyncio.all_tasks()
    provider = PatternProvider(sound=True)
    waits = 0.3 if way is never_came else 30.0
    settings = HostSettings(
        tmp_path, base_port=free_port(), control_timeout=VANISHED, handshake_wait=waits
    )
    async with MoonlightHost(settings, provider, APPS) as host:
        scene = Scene(host, provider, core)
        await way(scene, eventually)
        session = scene.guest.session
        if session is None or session.state is State.PAUSED:
            # The stay's own ports are free again while the host goes on.
            await eventually(lambda: host.stays.idle)
        base = host.base_port
    for watching in scene.watching:
        await watching.vanish()
    assert provider.stages == []
    await eventually(lambda: open_sockets() == before[0])
    names = {t.name for t in set(threading.enumerate()) - before[1]}
    assert not {name for name in names if not name.startswith("asyncio")}, names
    await eventually(lambda: asyncio.all_tasks() <= before[2])
    for kind, offsets in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
        for offset in offsets:
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", base + offset))
