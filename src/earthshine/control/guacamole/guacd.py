"""The guacd that an operator runs for this server: whether it is there, and connections to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from earthshine.control.errors import PartMissingError
from earthshine.control.settings import GuacdSettings
from earthshine.net.bridge import CHUNK_BYTES, TransportStream

CONNECT_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 10.0
"""How long an answer to "is it there" is good."""
OFF: Final = "No guacd is set up for this server."
SET_UP: Final = "Install guacd and set control.guacd."


class Guacd:
    """Connects to guacd."""

    def __init__(
        self, settings: GuacdSettings | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._looking = asyncio.Lock()
        self._looked = float("-inf")
        self._missing: PartMissingError | None = None

    @property
    def ssh_port(self) -> int:
        """Where runners' SSH servers listen."""
        return (self._settings or GuacdSettings()).ssh_port

    async def missing(self) -> PartMissingError | None:
        """Why it cannot be used, as of a moment ago."""
        async with self._looking:
            if self._clock() - self._looked > LOOK_SECONDS:
                try:
                    (await self.connect()).abort()
                    self._missing = None
                except PartMissingError as error:
                    self._missing = error
                self._looked = self._clock()
            return self._missing

    async def connect(self) -> TransportStream:
        """A connection to it. Raises PartMissingError."""
        settings = self._settings
        if settings is None:
            raise PartMissingError(OFF, remedy=SET_UP)
        where = f"{settings.host} port {settings.port}"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return TransportStream(
                    *await asyncio.open_connection(settings.host, settings.port, limit=CHUNK_BYTES)
                )
        except TimeoutError:
            raise PartMissingError(
                f"guacd does not answer at {where}.", remedy="Check its address and the network."
            ) from None
        except OSError:
            raise PartMissingError(
                f"guacd is not there at {where}.", remedy="Start it, or correct control.guacd."
            ) from None
