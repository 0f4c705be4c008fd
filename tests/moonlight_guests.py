"""Clients for tests of the GameStream host: each with a certificate of its own."""

from __future__ import annotations

import asyncio
import functools
import secrets
from datetime import UTC, datetime
from typing import Any

from earthshine.net.moonlight.client.host import GameHost, Started
from earthshine.net.moonlight.client.stream import ClientStream
from earthshine.net.moonlight.identities import CLIENT_NAME, make_identity
from earthshine.protocols.moonlight.certificates import Identity
from earthshine.protocols.moonlight.depacketiser import Frame
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.launch import LaunchRequest
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost

PATIENCE = 15.0
WISHES = Wishes(192, 112, 30, 2000)


@functools.cache
def identity(number: int) -> Identity:
    """Making a key takes a tenth of a second: the same few serve all tests."""
    return make_identity(f"{CLIENT_NAME} {number}", datetime.now(UTC))


class Watching:
    """A running stream of a guest."""

    def __init__(self, guest: Guest, started: Started, wishes: Wishes) -> None:
        self.frames: list[Frame] = []
        self.audio: list[bytes | None] = []
        self._seen = asyncio.Event()
        self.stream = ClientStream(
            guest.game.address,
            started,
            wishes,
            entropy=secrets.token_bytes,
            on_frame=self._frame,
            on_audio=self.audio.append,
        )

    def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._seen.set()

    async def picture(self) -> Frame:
        """The next frame."""
        self._seen.clear()
        async with asyncio.timeout(PATIENCE):
            await self._seen.wait()
        return self.frames[-1]

    async def leave(self) -> None:
        """As people do."""
        await self.stream.__aexit__(None, None, None)

    async def vanish(self) -> None:
        """As a cut cable does: not another datagram."""
        await self.stream._close(goodbye=False)


class Guest:
    """A client program at ``host``."""

    def __init__(self, host: MoonlightHost, number: int = 0, address: str = "127.0.0.1") -> None:
        self.host = host
        self.identity = identity(number)
        self.game = GameHost(address, host.base_port, self.identity, None, secrets.token_bytes)

    async def pair(self, pin: str = "1234", typed: str | None = None) -> None:
        """Pair, with somebody at the host who types ``typed`` (the right PIN if None)."""

        async def type_pin() -> None:
            while not self.host.desk.waiting:
                await asyncio.sleep(0.002)
            await self.host.desk.enter_pin(self.host.desk.waiting[0].attempt, typed or pin)

        async with asyncio.timeout(PATIENCE):
            typing = asyncio.ensure_future(type_pin())
            try:
                await self.game.pair(pin)
            finally:
                typing.cancel()

    def trust(self) -> None:
        """As if paired long ago."""
        self.host.pairings.add(self.identity.certificate, "guest", datetime.now(UTC))
        self.game.pinned = self.host.identity.certificate

    @property
    def session(self) -> Any:
        """This guest's session at the host."""
        client = self.host.pairings.find(self.identity.certificate.der)
        return None if client is None else self.host.sessions.of(client)

    async def start(self, app: int = 7, **more: Any) -> Started:
        """Launch or resume, as a client decides it."""
        request = {"width": 192, "height": 112, "fps": 30, "core_version": 1} | more
        replace = request.pop("replace", False)
        wanted = LaunchRequest(self.game.fresh_keys(), app_id=app, **request)
        return await self.game.start(wanted, await self.game.info(), replace=replace)

    async def watch(self, started: Started | None = None, wishes: Wishes = WISHES) -> Watching:
        """Connect to what was started, or start it; returns with the first picture."""
        watching = Watching(self, started or await self.start(), wishes)
        await watching.stream.__aenter__()
        if not watching.frames:
            await watching.picture()
        return watching
