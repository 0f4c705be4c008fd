"""Streams to what serves a desktop on its runner."""

from __future__ import annotations

from typing import Self

from earthshine.control.dialing.service import DialedStream, DialService
from earthshine.net.bridge import TransportStream


class RunnerStream(TransportStream):
    """A dialled connection. Revoking the runner ends it, through `dialed`, which it keeps."""

    dialed: DialedStream

    @classmethod
    async def dial(cls, dialing: DialService, runner_id: str, destination: str) -> Self:
        """Connect to an address on a runner. Raises what `DialService.dial` raises, and OSError."""
        dialed = await dialing.dial(runner_id, destination)
        connection = dialed.take()
        stream = await cls.on_socket(connection.sock, connection.early)
        stream.dialed = dialed
        return stream
