"""Capture by pixelflux: shared-memory capture and x264, x265 or SVT-AV1, or the GPU."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import pixelflux

from earthshine.runner.desktops.capture.adapter import (
    AccessUnit,
    CaptureError,
    Tuning,
    is_key,
)
from earthshine.runner.desktops.limits import Codec

NAMES: Final[dict[Codec, str]] = {"h264": "h264", "hevc": "h265", "av1": "av1"}
"""Codecs as pixelflux calls them."""
REFERENCES: Final = frozenset[Codec]({"h264", "av1"})
"""What its software encoders can predict past a lost frame in; AV1 only at a constant rate."""
REMEMBERED: Final = 256
"""Frames whose number in pixelflux is known, to invalidate one."""
START_SECONDS: Final = 3.0
AFTER_DAMAGE: Final = 3
"""Frames that a place which moved for long gets after it has come to rest; 30 sharpen it."""
RATE_CAP: Final = 1.5
"""Bits that may come at once under a cap, as a multiple of one frame's share."""


class PixelfluxCapture:
    """See `Capture`. pixelflux numbers frames anew at each start; ours go on counting."""

    name = "pixelflux"

    def __init__(self, tuning: Tuning, codec: Codec = "h264") -> None:
        self._tuning = tuning
        self._codec = codec
        self._capture: Any = pixelflux.ScreenCapture()
        # Looking for a GPU takes a moment: not when the first viewer waits.
        self._hardware = NAMES[codec] in pixelflux.hardware_encoders()
        self._deliver: Callable[[AccessUnit], None] | None = None
        self._size = (0, 0)
        self._next = 0
        self._numbers: OrderedDict[int, int] = OrderedDict()
        """pixelflux's frames of this run -> ours."""
        self._run = 0

    @property
    def invalidates(self) -> bool:
        return not self._hardware and self._codec in REFERENCES

    def start(self, width: int, height: int, deliver: Callable[[AccessUnit], None]) -> None:
        self._deliver = deliver
        self._size = (width, height)
        self._begin()

    def _begin(self) -> None:
        self._run += 1
        self._numbers.clear()
        run, size = self._run, self._size
        try:
            self._capture.start_capture(
                lambda frame: self._encoded(run, size, frame), self._settings()
            )
        except (RuntimeError, ValueError) as error:
            raise CaptureError(f"pixelflux cannot capture: {error}") from None

    def _settings(self) -> Any:
        settings = pixelflux.CaptureSettings()
        settings.use_wayland = False
        settings.codec = NAMES[self._codec]
        settings.use_cpu = not self._hardware
        if not self._hardware:
            settings.encode_node_index = -1
        settings.video_fullframe = True
        settings.video_cbr_mode = self._codec == "av1"  # else it neither tracks nor keeps a rate
        settings.omit_stripe_headers = True
        settings.capture_width, settings.capture_height = self._size
        self._apply(settings)
        return settings

    def _apply(self, settings: Any) -> None:
        tuning = self._tuning
        settings.target_fps = float(tuning.frames_per_second)
        settings.capture_cursor = tuning.pointer_drawn
        settings.video_crf = tuning.quality.crf
        settings.video_paintover_crf = tuning.quality.settled_crf
        # x265 begins anew for it.
        settings.use_paint_over_quality = tuning.refine and self._codec != "hevc"
        if not tuning.refine:
            settings.damage_block_duration = AFTER_DAMAGE
        settings.video_streaming_mode = tuning.quality.every_frame
        settings.video_bitrate_kbps = tuning.bitrate_kbps or 4000
        settings.video_vbv_multiplier = RATE_CAP if tuning.bitrate_kbps else 0.0

    def _encoded(self, run: int, size: tuple[int, int], frame: Any) -> None:
        if run != self._run or self._deliver is None:
            return
        data = bytes(frame)
        if not data:
            return
        number = self._next
        self._next += 1
        self._numbers[frame.frame_id] = number
        if len(self._numbers) > REMEMBERED:
            self._numbers.popitem(last=False)
        key = is_key(data, self._codec)
        now = time.monotonic_ns()
        self._deliver(
            AccessUnit(
                frame_id=number,
                key=key,
                data=data,
                width=size[0],
                height=size[1],
                captured=(frame.capture_ns or now) // 1000,
                grabbed=(frame.encode_start_ns or frame.capture_ns or now) // 1000,
                encoded=(frame.encode_end_ns or now) // 1000,
                reference=None if key else self._numbers.get(frame.reference_frame_id),
            )
        )

    def stop(self) -> None:
        self._run += 1
        self._capture.stop_capture()

    def request_key_frame(self) -> None:
        self._capture.request_idr_frame()

    def tune(self, tuning: Tuning) -> None:
        before, self._tuning = self._tuning, tuning
        if not self._capture.is_capturing:
            return
        if bool(before.bitrate_kbps) != bool(tuning.bitrate_kbps):
            self.stop()  # the rate control's kind is fixed for a run
            self._begin()
            return
        if before.frames_per_second != tuning.frames_per_second:
            self._capture.update_framerate(float(tuning.frames_per_second))
        if tuning.bitrate_kbps and before.bitrate_kbps != tuning.bitrate_kbps:
            self._capture.update_video_bitrate(tuning.bitrate_kbps)
        self._capture.update_tunables(self._settings())

    def resize(self, width: int, height: int) -> None:
        self.stop()
        self._size = (width, height)
        self._begin()

    def invalidate_reference(self, frame_id: int) -> None:
        for theirs, ours in list(self._numbers.items()):
            if ours == frame_id:
                self._capture.invalidate_reference(theirs)
                return
        self.request_key_frame()

    def problem(self) -> str | None:
        state, reason = self._capture.capture_state()
        return f"pixelflux: {reason}" if state == "failed" else None

    def description(self) -> str:
        """What it runs on, for people."""
        info = None
        with contextlib.suppress(RuntimeError):
            info = self._capture.stream_info()
        return f"{info['capture']} and {info['encoder']}" if info else "pixelflux"
