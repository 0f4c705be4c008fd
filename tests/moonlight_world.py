"""A synthetic desktop for GameStream tests: a drawn picture, a tone, and a sink that records input.

Encoders are real (PyAV); the display and the application are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Coroutine
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from earthshine.protocols.moonlight.input import InputEvent
from earthshine.protocols.moonlight.sdp import (
    STEREO_LAYOUT,
    SURROUND_51_LAYOUT,
    Codec,
    Encryption,
    OpusLayout,
)
from earthshine.runner.desktops.moonlight_host.stage import AccessUnit, StageError, StageRequest
from tests import barcode

if TYPE_CHECKING:
    from earthshine.runner.desktops.moonlight_host.host import MoonlightHost

av.logging.set_level(av.logging.ERROR)

ENCODERS: dict[Codec, tuple[str, dict[str, str]]] = {
    Codec.H264: (
        "libx264",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "bf": "0",
            "forced-idr": "1",
            "threads": "1",
        },
    ),
    Codec.HEVC: (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x265-params": (
                "info=0:log-level=none:bframes=0:repeat-headers=1:pools=1:frame-threads=1:keyint=-1"
            ),
        },
    ),
    Codec.AV1: (
        "libsvtav1",
        {"preset": "12", "svtav1-params": "pred-struct=1:rc=2:lookahead=0:keyint=-1:lp=1"},
    ),
}


# Noise at a fixed quality: 640x360 becomes frames of 90 to 120 kB, key frames or not (AV1: less
# between key frames).
NOISE: dict[Codec, dict[str, str]] = {
    Codec.H264: {"qp": "34"},
    Codec.HEVC: {"x265-params": ENCODERS[Codec.HEVC][1]["x265-params"] + ":qp=31"},
    Codec.AV1: {"svtav1-params": "pred-struct=1:rc=0:lookahead=0:keyint=-1:lp=1:aq-mode=0:qp=45"},
}


class PatternEncoder:
    """A scene with a barcode clock, encoded once for all subscribers, on a thread of its own.

    ``invalidates``: claim to be able to; the answer is really a clean picture of its own, which no
    software encoder here can improve on.
    """

    def __init__(
        self, codec: Codec, size: tuple[int, int], fps: int, *, noise: bool, invalidates: bool
    ) -> None:
        self._codec = codec
        self._size = size
        self._fps = fps
        self._noise = noise
        self._invalidates = invalidates
        self._lock = threading.Lock()
        self._receivers: dict[int, Callable[[AccessUnit], None]] = {}
        self._next = 0
        self._key = False
        self._avoid: tuple[int, int] | None = None
        self._kbps = 4000
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._number = 0
        self._changed = True
        self.key_requests = 0

    @property
    def invalidates(self) -> bool:
        return self._invalidates

    @property
    def kbps(self) -> int:
        return self._kbps

    @property
    def encoding(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def subscribe(self, receive: Callable[[AccessUnit], None]) -> PatternSubscription:
        with self._lock:
            self._next += 1
            self._receivers[self._next] = receive
            self._key = True
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(self._stop,), daemon=True)
                self._thread.start()
            return PatternSubscription(self, self._next)

    def request_key_frame(self) -> None:
        self.key_requests += 1
        self._key = True

    def set_bitrate(self, kbps: int) -> None:
        self._kbps = kbps
        self._changed = True

    def invalidate_reference(self, first: int, last: int) -> bool:
        if self._invalidates:
            self._avoid = (first, last)
        return self._invalidates

    def resize(self, size: tuple[int, int], fps: int) -> None:
        self._size, self._fps, self._changed, self._key = size, fps, True, True

    def leave(self, number: int) -> None:
        thread = None
        with self._lock:
            self._receivers.pop(number, None)
            if not self._receivers and self._thread is not None:
                self._stop.set()
                thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def close(self) -> None:
        for number in list(self._receivers):
            self.leave(number)

    def _context(self) -> Any:
        name, options = ENCODERS[self._codec]
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.framerate = self._fps
        context.time_base = Fraction(1, self._fps)
        if self._noise:
            options = {**options, **NOISE[self._codec]}
        else:
            context.bit_rate = self._kbps * 1000
        if self._codec is not Codec.AV1 and not self._noise:
            bits = str(self._kbps * 1000)
            options = {**options, "maxrate": bits, "bufsize": str(self._kbps * 1000 // 4)}
        context.options = options
        context.gop_size = 1_000_000
        return context

    def _run(self, stop: threading.Event) -> None:
        context: Any = None
        random = np.random.default_rng(1)
        begun = time.monotonic()
        index = 0
        while not stop.is_set():
            if self._changed or context is None:
                self._changed = False
                context, index, begun = self._context(), 0, time.monotonic()
            due = begun + index / self._fps
            if (wait := due - time.monotonic()) > 0 and stop.wait(wait):
                return
            if wait < -1:
                begun -= wait
            captured = time.monotonic()
            frame = av.VideoFrame.from_ndarray(self._picture(index, random), format="yuv420p")
            frame.pts = index
            with self._lock:
                key, self._key = self._key or index == 0, False
                avoid, self._avoid = self._avoid, None
            if key or avoid:
                frame.pict_type = av.video.frame.PictureType.I
            for packet in context.encode(frame):
                self._number += 1
                claimed = bool(packet.is_keyframe) and not (avoid and not key)
                unit = AccessUnit(self._number, bytes(packet), claimed, captured, avoid)
                with self._lock:
                    receivers = list(self._receivers.values())
                for receive in receivers:
                    receive(unit)
            index += 1

    def _picture(self, index: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
        width, height = self._size
        image = np.full((height * 3 // 2, width), 128, np.uint8)
        luma = image[:height]
        if self._noise:
            luma[:] = random.integers(16, 235, luma.shape, np.uint8)
        else:
            luma[:] = ((np.arange(width) + 4 * index) // 2 % 200 + 20).astype(np.uint8)
        barcode.draw(luma, barcode.now_ms())
        return image


class PatternSubscription:
    def __init__(self, encoder: Any, number: int) -> None:
        self._encoder = encoder
        self._number = number

    def close(self) -> None:
        self._encoder.leave(self._number)


class Tone:
    """440 Hz on the first channel, 550 on the second, and so on; Opus at a constant bit rate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[int, tuple[threading.Thread, threading.Event]] = {}
        self._next = 0

    @property
    def layouts(self) -> tuple[tuple[OpusLayout, bool], ...]:
        return ((STEREO_LAYOUT, False), (SURROUND_51_LAYOUT, False))

    def subscribe(
        self, layout: OpusLayout, duration_ms: int, receive: Callable[[bytes], None]
    ) -> PatternSubscription:
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(layout, duration_ms, receive, stop), daemon=True
        )
        with self._lock:
            self._next += 1
            self._streams[self._next] = (thread, stop)
            number = self._next
        thread.start()
        return PatternSubscription(self, number)

    def leave(self, number: int) -> None:
        with self._lock:
            thread, stop = self._streams.pop(number, (None, None))
        if thread is not None and stop is not None:
            stop.set()
            thread.join()

    def close(self) -> None:
        for number in list(self._streams):
            self.leave(number)

    @staticmethod
    def _run(
        layout: OpusLayout,
        duration_ms: int,
        receive: Callable[[bytes], None],
        stop: threading.Event,
    ) -> None:
        name = {2: "stereo", 6: "5.1"}[layout.channels]
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate = 48_000
        context.layout = name
        context.format = "flt"
        context.bit_rate = 48_000 * layout.channels
        context.options = {
            "vbr": "off",
            "application": "lowdelay",
            "frame_duration": str(duration_ms),
        }
        samples = 48 * duration_ms
        begun = time.monotonic()
        index = 0
        while not stop.wait(max(begun + index * duration_ms / 1000 - time.monotonic(), 0)):
            at = (np.arange(samples) + index * samples) / 48_000
            tones = [
                0.3 * np.sin(2 * np.pi * (440 + 110 * channel) * at)
                for channel in range(layout.channels)
            ]
            block = np.stack(tones, axis=1).astype(np.float32).reshape(1, -1)
            frame: Any = av.AudioFrame.from_ndarray(block, format="flt", layout=name)
            frame.sample_rate, frame.pts = 48_000, index * samples
            for packet in context.encode(frame):
                receive(bytes(packet))
            index += 1


class RecordedInput:
    """Takes everything and remembers it; also into a file, for tests in another process."""

    def __init__(self, path: Path | None = None) -> None:
        self.events: list[InputEvent] = []
        self._path = path

    @property
    def touch(self) -> bool:
        return True

    def handle(self, event: InputEvent) -> None:
        self.events.append(event)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(repr(event) + "\n")


class PatternStage:
    """An application that draws. `exit` makes it end by itself."""

    def __init__(self, provider: PatternProvider, request: StageRequest) -> None:
        self.request = request
        self.closed = False
        self._provider = provider
        self._size = (request.width, request.height)
        self._fps = request.fps
        self._encoders: dict[Codec, PatternEncoder] = {}
        self._ended = asyncio.Event()
        self._tone = Tone()
        self._input = RecordedInput(provider.input_file)
        self.resizes = 0
        self._runs: set[asyncio.Event] = set()

    @property
    def size(self) -> tuple[int, int]:
        return self._size

    def producer(self, codec: Codec) -> PatternEncoder:
        if codec not in self._provider.codecs:
            raise StageError(f"no encoder for {codec.name}")
        if codec not in self._encoders:
            self._encoders[codec] = PatternEncoder(
                codec,
                self._size,
                self._fps,
                noise=self.request.command == "noise",
                invalidates=self._provider.invalidates,
            )
        return self._encoders[codec]

    @property
    def audio(self) -> Tone | None:
        return self._tone if self._provider.sound else None

    @property
    def input(self) -> RecordedInput:
        return self._input

    async def resize(self, width: int, height: int, fps: int) -> None:
        self.resizes += 1
        self._size, self._fps = (width, height), fps
        for encoder in self._encoders.values():
            encoder.resize(self._size, fps)

    async def run(self, command: str) -> int:
        if command == "false":
            return 1
        if command == "true":
            return 0
        await asyncio.Event().wait()
        return 0

    async def ended(self) -> None:
        await self._ended.wait()

    def exit(self) -> None:
        self._ended.set()

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._provider.stages.remove(self)
        for encoder in self._encoders.values():
            await asyncio.to_thread(encoder.close)
        await asyncio.to_thread(self._tone.close)


class PatternProvider:
    """Starts `PatternStage`s. ``delay``: seconds a start takes; ``fail``: words with which it
    fails."""

    def __init__(
        self,
        *,
        codecs: frozenset[Codec] = frozenset({Codec.H264}),
        sound: bool = True,
        invalidates: bool = False,
        input_file: Path | None = None,
    ) -> None:
        self._codecs = codecs
        self.sound = sound
        self.invalidates = invalidates
        self.input_file = input_file
        self.stages: list[PatternStage] = []
        self.started = 0
        self.delay = 0.0
        self.fail: str | None = None

    @property
    def codecs(self) -> frozenset[Codec]:
        return self._codecs

    async def start(self, request: StageRequest) -> PatternStage:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.fail is not None:
            raise StageError(self.fail)
        stage = PatternStage(self, request)
        self.stages.append(stage)
        self.started += 1
        return stage


def read_clock(image: Any) -> int | None:
    """The barcode in a decoded PyAV frame."""
    plane = image.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[
        : image.height, : image.width
    ]
    return barcode.read(luma)


async def serve(arguments: dict[str, Any]) -> None:
    """A host in a process of its own; see `main`."""
    from earthshine.runner.desktops.moonlight_host.apps import HostApp
    from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
    from earthshine.runner.desktops.moonlight_host.settings import HostSettings
    from earthshine.runner.desktops.wolf.server import WolfServer

    provider = PatternProvider(
        codecs=frozenset(Codec[name] for name in arguments.get("codecs", ["H264"])),
        sound=arguments.get("sound", True),
        invalidates=arguments.get("invalidates", False),
        input_file=Path(arguments["input_file"]) if "input_file" in arguments else None,
    )
    settings = HostSettings(
        state_dir=Path(arguments["state_dir"]),
        base_port=arguments["port"],
        bind=arguments.get("bind", "127.0.0.1"),
        max_hosts=1,
        offer_encryption=Encryption(arguments.get("encryption", int(Encryption.ALL))),
    )
    apps = [HostApp("7", "Pattern", "pattern"), HostApp("8", "Other", "other")]
    apps += [HostApp("9", "Noise", "noise")] if arguments.get("noise") else []
    async with (
        MoonlightHost(settings, provider, apps) as host,
        contextlib.AsyncExitStack() as stack,
    ):
        if "wolf" in arguments:
            await stack.enter_async_context(WolfServer(host, Path(arguments["wolf"])))
        await type_pins(host, arguments)


async def type_pins(host: MoonlightHost, arguments: dict[str, Any]) -> None:
    """Say that the host is ready, then type ``pin`` for whoever waits, until cancelled."""
    Path(arguments["ready_file"]).write_text(str(host.base_port))
    pin = arguments.get("pin")
    woke = asyncio.Event()
    listener = host.events.listen(woke.set)
    while True:
        await woke.wait()
        woke.clear()
        listener.take()
        for waiting in host.desk.waiting:
            if pin is not None:
                await host.desk.enter_pin(waiting.attempt, pin)


def run_until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Until SIGTERM."""
    import signal

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(run())


def main() -> None:
    """``python -m tests.moonlight_world JSON``: a host until SIGTERM, typing ``pin`` by itself."""
    import sys

    run_until_stopped(serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
