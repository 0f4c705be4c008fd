"""Three clients do what clients do, in any order; after each step the promised state holds."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from earthshine.protocols.moonlight.answers import AnswerRefusedError
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.lobbies import LobbyRequest
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.moonlight_host.stage import StageRequest
from earthshine.runner.desktops.moonlight_host.states import State
from tests.moonlight_guests import Guest, Watching
from tests.moonlight_world import PatternProvider
from tests.unit.runner.desktops.moonlight_host.conftest import APPS
from tests.world import free_port

pytestmark = [pytest.mark.pair, pytest.mark.timeout(600)]

SEQUENCES = 200
STEPS = 7
VANISH = 0.4
NAMES = ("launch", "watch", "leave", "vanish", "cancel", "join", "part", "exit", "drop_lobby")


class Player:
    """One client, and what the host promised it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.app: int | None = None
        self.watching: Watching | None = None
        self.vanished = False
        self.in_lobby = False
        self.expected = State.PAUSED

    async def end_watching(self, then: State = State.PAUSED) -> None:
        if self.watching is not None:
            await self.watching.leave()
            self.watching = None
            self.expected = then


class Game:
    """A sequence of random steps against one host."""

    def __init__(self, host: MoonlightHost, provider: PatternProvider, seed: int) -> None:
        self.host = host
        self.provider = provider
        self.random = random.Random(seed)
        self.players = [Player(Guest(host, number)) for number in range(3)]
        for player in self.players:
            player.guest.trust()
        self.lobby = ""
        self.log: list[str] = []

    async def play(self) -> None:
        for _ in range(STEPS):
            player = self.random.choice(self.players)
            name = self.random.choice(NAMES)
            self.log.append(f"{self.players.index(player)} {name}")
            await getattr(self, name)(player)
            await self.check(player)
        await self.clear_up()

    async def launch(self, player: Player) -> None:
        app = self.random.choice([7, 8])
        await player.guest.start(app, replace=True, core_version=self.random.choice([0, 1]))
        if player.app != app:
            player.in_lobby = False
        player.app = app
        await player.end_watching()  # the new launch ended the old stay
        player.vanished, player.expected = False, State.WAITING

    async def watch(self, player: Player) -> None:
        """Launch or resume, and wait for a picture."""
        app = player.app or 7
        started = await player.guest.start(app, core_version=self.random.choice([0, 1]))
        assert started.resumed == (player.app is not None)
        await player.end_watching()
        player.watching = await player.guest.watch(started)
        assert player.watching.frames[0].idr
        player.app, player.vanished, player.expected = app, False, State.STREAMING

    async def leave(self, player: Player) -> None:
        await player.end_watching()

    async def vanish(self, player: Player) -> None:
        if player.watching is not None:
            await player.watching.vanish()
            player.watching, player.vanished = None, True

    async def cancel(self, player: Player) -> None:
        assert await player.guest.game.cancel()
        player.app, player.in_lobby, player.vanished = None, False, False
        await player.end_watching()

    async def exit(self, player: Player) -> None:
        session = player.guest.session
        if session is not None:
            session.stage.exit()
            await until(lambda: player.guest.session is None)
            player.app, player.in_lobby, player.vanished = None, False, False
            await player.end_watching()

    async def join(self, player: Player) -> None:
        if not self.lobby:
            stage = StageRequest("lobby", "lobby", 160, 96, 30)
            stops = self.random.choice([True, False])
            lobby = await self.host.lobbies.create(
                LobbyRequest(stage, pin=(1, 2), stop_when_empty=stops)
            )
            self.lobby = lobby.id
        session = player.guest.session
        if session is None:
            return
        await self.host.lobbies.join(self.host.lobbies.find(self.lobby), session, (1, 2))
        player.in_lobby = True
        if player.watching is not None:
            await player.watching.picture()

    async def part(self, player: Player) -> None:
        if player.guest.session is not None:
            await self.host.lobbies.leave(player.guest.session)
            player.in_lobby = False
            if player.watching is not None:
                await player.watching.picture()

    async def drop_lobby(self, _: Player) -> None:
        for lobby in self.host.lobbies.all:
            await self.host.lobbies.stop(lobby)
        self.lobby = ""
        for player in self.players:
            player.in_lobby = False

    async def check(self, acted: Player) -> None:
        await asyncio.sleep(0)
        if self.lobby and not any(p.in_lobby for p in self.players):
            # It may have ended by itself when the last one left.
            await asyncio.sleep(0.01)
            if self.lobby not in [lobby.id for lobby in self.host.lobbies.all]:
                self.lobby = ""
        for player in self.players:
            session = player.guest.session
            if player is acted:
                info = await player.guest.game.info()
                assert info.current_app == (player.app or 0), self.log
            assert (session is None) == (player.app is None), self.log
            if session is None:
                continue
            assert session.app.number == player.app
            assert (session.lobby is not None) == player.in_lobby, self.log
            assert not session.stage.closed
            if player.watching is not None:
                assert not player.watching.stream.is_over, self.log
            if player.vanished:
                assert session.state in (State.STREAMING, State.PAUSED), self.log
            else:
                assert session.state is player.expected, (self.log, session.state)
        # A stage closes a moment after its session has gone.
        alive = len(self.host.sessions.all) + len(self.host.lobbies.all)
        await until(lambda: len(self.provider.stages) == alive)

    async def clear_up(self) -> None:
        for player in self.players:
            await player.end_watching()
            if player.vanished:
                session = player.guest.session
                await until(lambda session=session: session.state is State.PAUSED)
            await player.guest.game.cancel()
        await self.drop_lobby(self.players[0])
        assert self.provider.stages == [], self.log
        assert self.host.sessions.all == []
        await until(lambda: self.host.stays.idle)
        await until(lambda: not media_threads())


def media_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("moonlight")]


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
async def arena(tmp_path: Path) -> AsyncIterator[tuple[MoonlightHost, PatternProvider]]:
    provider = PatternProvider(sound=False)
    settings = HostSettings(tmp_path, base_port=free_port(), control_timeout=VANISH)
    async with MoonlightHost(settings, provider, APPS) as host:
        yield host, provider


async def test_two_hundred_random_sequences(arena):
    host, provider = arena
    process = psutil.Process()
    await Game(host, provider, 0).play()  # whatever is opened once is open now
    files, children = process.num_fds(), len(process.children())
    tasks = len(asyncio.all_tasks())
    for seed in range(1, SEQUENCES + 1):
        game = Game(host, provider, seed)
        try:
            await game.play()
        except (AssertionError, AnswerRefusedError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}: {game.log}: {error!r}") from error
    await until(lambda: process.num_fds() <= files)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert len(process.children()) == children
