"""A stage that is another session's: seen and used by one more client, ended by its owner only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from earthshine.protocols.moonlight.sdp import Codec
    from earthshine.runner.desktops.moonlight_host.stage import (
        AudioSource,
        InputSink,
        Producer,
        Stage,
    )


class SharedStage:
    """A `Stage` that does not own what it shows."""

    def __init__(self, owned: Stage) -> None:
        self._owned = owned

    @property
    def size(self) -> tuple[int, int]:
        """The owner's."""
        return self._owned.size

    def producer(self, codec: Codec) -> Producer:
        """The owner's."""
        return self._owned.producer(codec)

    @property
    def audio(self) -> AudioSource | None:
        """The owner's."""
        return self._owned.audio

    @property
    def input(self) -> InputSink:
        """The owner's."""
        return self._owned.input

    async def resize(self, width: int, height: int, fps: int) -> None:
        """Only the owner's wishes count."""

    async def run(self, command: str) -> int:
        """On the owner's display."""
        return await self._owned.run(command)

    async def ended(self) -> None:
        """When the owner's application ends, or somebody ends it."""
        await self._owned.ended()

    async def close(self) -> None:
        """The owner's goes on."""
