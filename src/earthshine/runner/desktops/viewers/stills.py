"""Pictures for who has no video: one whenever the screen has changed and the last one was seen."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from earthshine.protocols.viewer import Still
from earthshine.runner.desktops import messages as m
from earthshine.runner.desktops.viewers import pictures
from earthshine.runner.desktops.viewers.pace import MUTE_SECONDS

MOVING_SECONDS: Final = 0.25
"""Between looks while something changes."""
REST_SECONDS: Final = 1.0
"""At most, while nothing does."""
PATIENCE: Final = 5.0
"""How long a picture may take."""


class Stills:
    """Asks for pictures while they are wanted. `run` must be running."""

    def __init__(
        self, ask: Callable[[m.TakeStill], None], show: Callable[[Still], Awaitable[None]]
    ) -> None:
        """`ask` asks the worker, whose answer comes to `answered`; `show` sends to the viewer."""
        self._ask, self._show = ask, show
        self._wanted = asyncio.Event()
        self._seen = asyncio.Event()
        self._answer: asyncio.Future[m.Still | None] | None = None
        self._number = 0
        self._shown = b""

    def want(self, wanted: bool) -> None:
        """Whether the viewer wants stills now."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
            self._shown = b""

    def answered(self, still: m.Still | None) -> None:
        """The worker's answer; None: it could not, or the stream has ended."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(still)

    def seen(self, number: int) -> None:
        """The viewer says what is on its screen."""
        if number == self._number:
            self._seen.set()

    async def run(self) -> None:
        """Until cancelled."""
        rest = MOVING_SECONDS
        while True:
            await self._wanted.wait()
            fresh = await self._look()
            rest = MOVING_SECONDS if fresh else min(2 * rest, REST_SECONDS)
            await asyncio.sleep(rest)

    async def _look(self) -> bool:
        """Show the screen; False: nothing on it is new."""
        captured = time.monotonic_ns() // 1000
        still = await self._take()
        if still is None or not self._wanted.is_set():
            return False
        digest = hashlib.blake2b(still.data, digest_size=16).digest()
        if digest == self._shown:
            return False
        self._shown = digest
        self._number += 1
        self._seen.clear()
        now = time.monotonic_ns() // 1000
        await self._show(pictures.still(still, self._number, captured, now))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MUTE_SECONDS):
                await self._seen.wait()
        return True

    async def _take(self) -> m.Still | None:
        self._answer = asyncio.get_running_loop().create_future()
        self._ask(m.TakeStill(request_id=f"still-{self._number}", format="jpeg"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await self._answer
        return None
