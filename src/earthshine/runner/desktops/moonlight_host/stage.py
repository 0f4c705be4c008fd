"""What the host needs of a desktop: pictures, sound, input, and somebody who starts and stops it.

A stage lives as long as its application; viewers come and go. It encodes once per codec, however
many watch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.protocols.moonlight.input import InputEvent
    from earthshine.protocols.moonlight.sdp import Codec, OpusLayout


class StageError(Exception):
    """A stage cannot be started or changed. The message is for the person who waits."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture: Annex B for H.264 and HEVC, a temporal unit for AV1."""

    number: int
    """Counts up over the life of the producer."""
    data: bytes = field(repr=False)
    key: bool
    """Decodable without anything before it; carries all parameter sets."""
    captured: float
    """Seconds of the monotonic clock when the picture was taken."""
    avoids: tuple[int, int] | None = None
    """First and last unit that this one, and what builds on it, does not refer to: the answer to
    `Producer.invalidate_reference`."""


class Subscription(Protocol):
    """One taker of pictures or sound."""

    def close(self) -> None:
        """No more calls after this returns. Closing twice is harmless."""
        ...


class Producer(Protocol):
    """Capture and encoder of one stage and codec.

    Methods may be called from any thread and return at once.
    """

    @property
    def invalidates(self) -> bool:
        """Whether `invalidate_reference` can do better than a key frame."""
        ...

    def subscribe(self, receive: Callable[[AccessUnit], None]) -> Subscription:
        """Every unit from now on, in order, on a thread of the producer.

        A key frame comes at once. A still picture is repeated at least every half second.
        ``receive`` must return soon. While nobody is subscribed nothing is encoded.
        """
        ...

    def request_key_frame(self) -> None:
        """The next unit is a key frame. Asking again before it came changes nothing."""
        ...

    def set_bitrate(self, kbps: int) -> None:
        """From the next units on."""
        ...

    def invalidate_reference(self, first: int, last: int) -> bool:
        """Units ``first`` to ``last`` were lost: the next unit avoids them. False: it cannot."""
        ...


class AudioSource(Protocol):
    """Sound of one stage as Opus at a constant bit rate, 48 kHz."""

    @property
    def layouts(self) -> tuple[tuple[OpusLayout, bool], ...]:
        """Layouts it can encode, and whether they are the high-quality ones. Stereo is a must."""
        ...

    def subscribe(
        self, layout: OpusLayout, duration_ms: int, receive: Callable[[bytes], None]
    ) -> Subscription:
        """One Opus packet every ``duration_ms`` (5 or 10), on a thread of the source."""
        ...


class InputSink(Protocol):
    """Keyboard, mouse, touch and controllers of one stage."""

    @property
    def touch(self) -> bool:
        """Whether it takes fingers and pens."""
        ...

    def handle(self, event: InputEvent) -> None:
        """Do it now. Called on the event loop; must not block and must not raise."""
        ...


@dataclass(frozen=True, slots=True)
class StageRequest:
    """What to start. Sizes in pixels; ``command`` None starts an empty display."""

    name: str
    command: str | None
    width: int
    height: int
    fps: int
    environment: dict[str, str] = field(default_factory=dict)
    folder: str | None = None
    """Name of the folder that keeps this client's files, if its person chose one."""
    desktop: str | None = None
    """Show the desktop of this session, which lives by itself, instead of a new one."""


class Stage(Protocol):
    """A display with an application on it."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def producer(self, codec: Codec) -> Producer:
        """The one producer of that codec. Raises StageError if there is no encoder for it."""
        ...

    @property
    def audio(self) -> AudioSource | None:
        """None if the stage is silent."""
        ...

    @property
    def input(self) -> InputSink:
        """Where input goes."""
        ...

    async def resize(self, width: int, height: int, fps: int) -> None:
        """Follow what a client announced. Raises StageError; then nothing changed."""
        ...

    async def run(self, command: str) -> int:
        """Run one more program on this display until it ends; its exit code. Raises StageError.

        Cancelling ends the program.
        """
        ...

    async def ended(self) -> None:
        """Returns when the application ended by itself; never for an empty display."""
        ...

    async def close(self) -> None:
        """End application, display and encoders. Never raises; closing twice is harmless."""
        ...


class StageProvider(Protocol):
    """Starts stages."""

    @property
    def codecs(self) -> frozenset[Codec]:
        """What can be encoded here; H.264 is always among them."""
        ...

    async def start(self, request: StageRequest) -> Stage:
        """Raises StageError. Cancelling leaves nothing behind."""
        ...
