"""A display that exists already. It is used and left as it was found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.backends.display import Display, DisplaySpec
from earthshine.runner.desktops.x11 import DisplayError


class AttachedDisplay(Display):
    """Somebody else's display; it counts as crashed when our connection to it breaks."""

    def __init__(self, spec: DisplaySpec) -> None:
        super().__init__(spec)
        self.name = spec.attach_to
        self._connection: Any = None
        self._fd = -1
        self._crashed: asyncio.Future[int] | None = None

    @property
    def authority(self) -> Path | None:
        return self.spec.authority

    @property
    def crashed(self) -> asyncio.Future[int]:
        assert self._crashed is not None
        return self._crashed

    async def start(self) -> None:
        if not self.name:
            raise DisplayError("no display is named to attach to", "set runner.desktop.display")
        self._connection = x11.connect(
            self.name, None if self.authority is None else str(self.authority)
        )
        loop = asyncio.get_running_loop()
        self._crashed = loop.create_future()
        self._fd = self._connection.fileno()
        loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        """We asked for no events, so there is something to read only when the server hangs up."""
        try:
            while self._connection.pending_events():
                self._connection.next_event()
        except x11.connection_errors():
            self._let_go()
            assert self._crashed is not None
            if not self._crashed.done():
                self._crashed.set_result(-1)

    async def stop(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            x11.disconnect(self._connection)
            self._connection = None
