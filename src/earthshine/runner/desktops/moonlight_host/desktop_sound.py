"""A desktop's sound as Moonlight needs it: packets of the asked length, all of one size, no gaps.

A desktop sends Opus of 10 ms, of varying size, and nothing in silence. Moonlight's clients want 5
or 10 ms, and parity wants equal sizes, so the sound is decoded and encoded again, on a thread with
a clock of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from earthshine.protocols.moonlight.sdp import STEREO_LAYOUT, OpusLayout
from earthshine.runner.desktops.messages import Audio, Watch
from earthshine.runner.desktops.stream import StreamGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from earthshine.runner.desktops.keeper import Desktop

RATE: Final = 48_000
CHANNELS: Final = 2
BIT_RATE: Final = 96_000
BUFFER_MS: Final = 30
"""Sound kept in hand against an uneven supply."""
MAX_BUFFER_MS: Final = 200
"""More than this and the oldest is dropped: sound must not fall behind the picture."""
RETRY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class DesktopSound:
    """`AudioSource` of one desktop. Its readers live in ``tasks``."""

    def __init__(self, desktop: Desktop, tasks: asyncio.TaskGroup) -> None:
        self._desktop = desktop
        self._tasks = tasks

    @property
    def layouts(self) -> tuple[tuple[OpusLayout, bool], ...]:
        """Stereo."""
        return ((STEREO_LAYOUT, False),)

    def subscribe(
        self,
        layout: OpusLayout,  # noqa: ARG002  there is only one
        duration_ms: int,
        receive: Callable[[bytes], None],
    ) -> Recoder:
        """See `AudioSource`."""
        recoder = Recoder(duration_ms, receive)
        recoder.reader = self._tasks.create_task(_read(self._desktop, recoder))
        recoder.start()
        return recoder


async def _read(desktop: Desktop, recoder: Recoder) -> None:
    wants = Watch(video=False, repaint=False, cursor=False, audio=True)
    while True:
        with contextlib.suppress(StreamGoneError, OSError):
            async with desktop.stream(wants) as stream:
                async for message in stream:
                    if isinstance(message, Audio):
                        recoder.put(message.data)
        await asyncio.sleep(RETRY_SECONDS)  # the worker begins anew


class Recoder:
    """Decodes what is `put`, encodes at its own pace. A subscription: `close` it."""

    def __init__(self, duration_ms: int, receive: Callable[[bytes], None]) -> None:
        self.reader: asyncio.Task[None] | None = None
        self._duration = duration_ms
        self._receive = receive
        self._opus: deque[bytes] = deque(maxlen=MAX_BUFFER_MS // 10)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moonlight-sound", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, opus: bytes) -> None:
        """From the desktop."""
        self._opus.append(opus)

    def close(self) -> None:
        """No more calls afterwards."""
        if self.reader is not None:
            self.reader.get_loop().call_soon_threadsafe(self.reader.cancel)
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._recode()
        except Exception:
            log.exception("a desktop's sound cannot be sent")

    def _recode(self) -> None:
        import av  # noqa: PLC0415  an optional part

        decoder: Any = av.CodecContext.create("libopus", "r")
        decoder.sample_rate = RATE
        decoder.layout = "stereo"
        encoder: Any = av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "flt"
        encoder.bit_rate = BIT_RATE
        encoder.options = {
            "vbr": "off",
            "application": "lowdelay",
            "frame_duration": str(self._duration),
        }
        samples = RATE * self._duration // 1000
        waiting: NDArray[np.float32] = np.zeros(0, np.float32)
        playing = False
        begun, index = time.monotonic(), 0
        while not self._stop.wait(max(begun + index * self._duration / 1000 - time.monotonic(), 0)):
            while self._opus:
                waiting = np.concatenate([waiting, _decoded(av, decoder, self._opus.popleft())])
            limit = RATE * MAX_BUFFER_MS // 1000 * CHANNELS
            waiting = waiting[-limit:]
            # Begin with something in hand; silence until then, and when it has run out.
            playing = len(waiting) >= CHANNELS * (samples if playing else RATE * BUFFER_MS // 1000)
            block = np.zeros(samples * CHANNELS, np.float32)
            if playing:
                block, waiting = waiting[: len(block)], waiting[len(block) :]
            frame: Any = av.AudioFrame.from_ndarray(
                block.reshape(1, -1), format="flt", layout="stereo"
            )
            frame.sample_rate, frame.pts = RATE, index * samples
            for packet in encoder.encode(frame):
                self._receive(bytes(packet))
            index += 1


def _decoded(av: Any, decoder: Any, opus: bytes) -> NDArray[np.float32]:
    """Interleaved samples; empty for a packet that cannot be decoded."""
    try:
        frames = decoder.decode(av.Packet(opus))
    except av.FFmpegError as error:
        log.debug("a packet of sound cannot be decoded: %s", error)
        return np.zeros(0, np.float32)
    found = []
    for frame in frames:
        samples = frame.to_ndarray()
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768
        found.append(samples.T.reshape(-1) if samples.shape[0] > 1 else samples.reshape(-1))
    return np.concatenate(found).astype(np.float32) if found else np.zeros(0, np.float32)
