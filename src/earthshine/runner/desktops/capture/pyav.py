"""Capture by PyAV: FFmpeg's x11grab and software encoders. Slower; for where pixelflux cannot be
loaded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import av
import av.error
import numpy as np
from av.video.frame import PictureType

from earthshine.runner.desktops.capture.adapter import (
    AccessUnit,
    CaptureError,
    Tuning,
    is_key,
)
from earthshine.runner.desktops.limits import Codec

STOP_SECONDS: Final = 5.0
ENCODERS: Final[dict[Codec, tuple[str, dict[str, str]]]] = {
    "h264": (
        "libx264",
        {
            "preset": "veryfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "x264-params": "repeat-headers=1:scenecut=0",
        },
    ),
    "hevc": (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x265-params": "info=0:log-level=none:bframes=0:repeat-headers=1:frame-threads=1:"
            "keyint=-1:scenecut=0",
        },
    ),
    "av1": (
        "libsvtav1",
        {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0:keyint=-1"},
    ),
}


class PyAvCapture:
    """See `Capture`. One thread grabs, compares with the picture before and encodes."""

    name = "pyav"

    def __init__(self, tuning: Tuning, codec: Codec = "h264") -> None:
        self._tuning = tuning
        self._codec = codec
        self._deliver: Callable[[AccessUnit], None] | None = None
        self._size = (0, 0)
        self._next = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._key = threading.Event()
        self._problem: str | None = None

    @property
    def invalidates(self) -> bool:
        return False

    def start(self, width: int, height: int, deliver: Callable[[AccessUnit], None]) -> None:
        self._deliver = deliver
        self._size = (width, height)
        self._begin()

    def _begin(self) -> None:
        self._stop = threading.Event()
        self._key.set()
        self._problem = None
        try:
            source = av.open(
                os.environ.get("DISPLAY", ""),
                format="x11grab",
                options={
                    "video_size": f"{self._size[0]}x{self._size[1]}",
                    "framerate": str(self._tuning.frames_per_second),
                    "draw_mouse": "1" if self._tuning.pointer_drawn else "0",
                },
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise CaptureError(f"PyAV cannot capture the display: {error}") from None
        self._thread = threading.Thread(
            target=self._loop, args=(source, self._stop, self._size, self._tuning), daemon=True
        )
        self._thread.start()

    def _encoder(self, size: tuple[int, int], tuning: Tuning) -> Any:
        name, options = ENCODERS[self._codec]
        encoder: Any = av.CodecContext.create(name, "w")
        encoder.width, encoder.height = size
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = Fraction(1, 1_000_000)
        encoder.framerate = Fraction(tuning.frames_per_second)
        encoder.gop_size = 2**31 - 1
        encoder.options = options | {"crf": str(tuning.quality.crf)}
        if tuning.bitrate_kbps and self._codec == "av1":  # which has no cap beside a quality
            encoder.bit_rate = tuning.bitrate_kbps * 1000
            encoder.options = options
        elif tuning.bitrate_kbps:
            share = tuning.bitrate_kbps * 1000
            encoder.options |= {
                "maxrate": str(share),
                "bufsize": str(share * 3 // (2 * tuning.frames_per_second)),
            }
        return encoder

    def _loop(
        self, source: Any, stop: threading.Event, size: tuple[int, int], tuning: Tuning
    ) -> None:
        before = None
        try:
            encoder = self._encoder(size, tuning)
            with source:
                for frame in source.decode(video=0):
                    captured = time.monotonic_ns() // 1000
                    if stop.is_set():
                        return
                    pixels = np.frombuffer(frame.planes[0], np.uint8)
                    key = self._key.is_set()
                    changed = before is None or not np.array_equal(pixels, before)
                    if not (key or changed or tuning.quality.every_frame):
                        continue
                    before = pixels
                    self._encode(encoder, frame, captured, key, stop)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if not stop.is_set():
                self._problem = f"PyAV: {error}"

    def _encode(
        self, encoder: Any, frame: Any, captured: int, key: bool, stop: threading.Event
    ) -> None:
        begun = time.monotonic_ns() // 1000
        picture = frame.reformat(format="yuv420p")
        picture.pts = captured
        picture.pict_type = PictureType.I if key else PictureType.NONE
        if key:
            self._key.clear()
        for packet in encoder.encode(picture):
            if stop.is_set() or self._deliver is None:
                return
            data = bytes(packet)
            number = self._next
            self._next += 1
            self._deliver(
                AccessUnit(
                    frame_id=number,
                    key=is_key(data, self._codec),
                    data=data,
                    width=encoder.width,
                    height=encoder.height,
                    captured=captured,
                    grabbed=begun,
                    encoded=time.monotonic_ns() // 1000,
                )
            )

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def request_key_frame(self) -> None:
        self._key.set()

    def tune(self, tuning: Tuning) -> None:
        tuning = replace(tuning, refine=True)  # which it does not know
        before, self._tuning = self._tuning, tuning
        if self._thread is not None and before != tuning:
            self.stop()
            self._begin()

    def resize(self, width: int, height: int) -> None:
        self.stop()
        self._size = (width, height)
        self._begin()

    def invalidate_reference(self, frame_id: int) -> None:  # noqa: ARG002 - they cannot here
        self.request_key_frame()

    def problem(self) -> str | None:
        return self._problem

    def description(self) -> str:
        """What it runs on, for people."""
        return f"x11grab and {ENCODERS[self._codec][0]}"
