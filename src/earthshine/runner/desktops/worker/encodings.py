"""A display in the codecs that somebody wants: one capture and one encoder for each.

An encoding is made when the first consumer asks for its codec, and then stays: its encoder runs
while somebody watches, and a moment longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from earthshine.runner.desktops import resize
from earthshine.runner.desktops.capture import AccessUnit, CaptureError, Tuning, open_capture
from earthshine.runner.desktops.limits import Codec
from earthshine.runner.desktops.messages import Box, Tune
from earthshine.runner.desktops.producer import Producer, limited
from earthshine.runner.desktops.worker.lines import Line

MAX_QUEUED: Final = 90
"""Encoded frames that may wait for the event loop; then the group of pictures is given up."""
LINGER_SECONDS: Final = 3.0
"""How long an encoder goes on when the last one has left: a page that is loaded again is back by
then, and needs not wait for it to start."""


class Encoding:
    """One codec: its capture, and who gets what that makes. For the event loop's thread.

    ``encoded`` is called on the library's thread.
    """

    def __init__(
        self,
        codec: Codec,
        wanted: str,
        tuning: Tuning,
        size: Callable[[], tuple[int, int]],
        encoded: Callable[[Encoding, AccessUnit], None],
        failed: Callable[[CaptureError], None],
    ) -> None:
        """Raises CaptureError."""
        self.codec = codec
        self.tuning = tuning
        self.capture = open_capture(wanted, tuning, codec)
        self.producer = Producer(self.start, self._stop_later, self.capture.request_key_frame)
        self.dirty: list[Box] = []
        self.queued = 0
        """Frames on their way from the library's thread."""
        self._base = tuning
        self._wishes: dict[Line, Tune] = {}
        self._size = size
        self._encoded = encoded
        self._failed = failed
        self._lingering: asyncio.TimerHandle | None = None
        """The encoder runs although nobody watches, until then."""

    # -- the encoder ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with a key frame."""
        self.dirty = []
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
            self.capture.request_key_frame()
            return
        try:
            self.capture.start(*resize.bounded(*self._size()), self._arrived)
        except CaptureError as error:
            self._failed(error)

    def stop(self) -> None:
        """Make nothing more for now."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self.capture.stop()

    def _stop_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._lingering = loop.call_later(LINGER_SECONDS, self.stop)

    def resize(self) -> None:
        """The display has another size."""
        self.producer.restart()
        if self._lingering is not None:
            self.stop()
        if self.producer.running:
            try:
                self.capture.resize(*resize.bounded(*self._size()))
            except CaptureError as error:
                self._failed(error)

    def begin_anew(self) -> None:
        """What was encoded so far does not matter any more."""
        self.producer.restart()
        self.stop()
        self.start()

    def soil(self, boxes: list[Box]) -> None:
        """Something was drawn there."""
        self.dirty = limited([*self.dirty, *boxes])

    def take_dirty(self) -> list[Box]:
        """What was drawn since the picture before."""
        dirty, self.dirty = self.dirty, []
        return dirty

    def _arrived(self, unit: AccessUnit) -> None:
        self.queued += 1
        self._encoded(self, unit)

    # -- what consumers ask for -------------------------------------------------------------------

    def wish(self, line: Line, wanted: Tune) -> None:
        """See `Tune`."""
        if wanted.preset is not None:
            self._base = replace(self._base, preset=wanted.preset)
        before = self._wishes.get(line, Tune())
        rate, bits = wanted.frames_per_second, wanted.bitrate_kbps
        self._wishes[line] = Tune(
            frames_per_second=before.frames_per_second if rate is None else rate,
            bitrate_kbps=before.bitrate_kbps if bits is None else bits,
        )
        self._settle()

    def forget(self, line: Line) -> None:
        """It is gone, and so are its wishes."""
        if self._wishes.pop(line, None) is not None:
            self._settle()

    def draw_pointer(self, drawn: bool) -> bool:
        """Whether that is a change."""
        if drawn == self.tuning.pointer_drawn:
            return False
        self._base = replace(self._base, pointer_drawn=drawn)
        self._settle()
        return True

    def refine(self, needed: bool) -> None:
        """Whether somebody sees only video of what stands still."""
        if needed != self._base.refine:
            self._base = replace(self._base, refine=needed)
            self._settle()

    def _settle(self) -> None:
        rates = [wish.frames_per_second for wish in self._wishes.values()]
        caps = [wish.bitrate_kbps for wish in self._wishes.values()]
        self._tune(
            replace(
                self._base,
                frames_per_second=max((r for r in rates if r), default=0)
                or self._base.frames_per_second,
                bitrate_kbps=min((cap for cap in caps if cap), default=self._base.bitrate_kbps),
            )
        )

    def _tune(self, tuning: Tuning) -> None:
        if tuning != self.tuning:
            self.tuning = tuning
            self.capture.tune(tuning)


class Encodings:
    """All encodings of a display. H.264 is there from the start."""

    def __init__(self, make: Callable[[Codec, Tuning], Encoding], tuning: Tuning) -> None:
        """Raises CaptureError."""
        self._make = make
        self._tuning = tuning
        self._by_codec: dict[Codec, Encoding] = {"h264": make("h264", tuning)}

    def __iter__(self) -> Iterator[Encoding]:
        return iter(list(self._by_codec.values()))

    def of(self, codec: Codec) -> Encoding:
        """Made now if need be. Raises CaptureError."""
        found = self._by_codec.get(codec)
        if found is None:
            found = self._by_codec[codec] = self._make(codec, self._tuning)
        return found

    @property
    def running(self) -> bool:
        """Whether somebody watches."""
        return any(encoding.producer.running for encoding in self)

    @property
    def anybody_waits(self) -> bool:
        """Whether `Producer.look` may have something to do."""
        return any(encoding.producer.anybody_waits for encoding in self)
