"""What the display's programs play, as Opus packets (pcmflux on the sound server's monitor)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from earthshine.runner.desktops.sound import SINK

FRAME_MILLISECONDS: Final = 10.0
LATENCY_MILLISECONDS: Final = 10
"""Without it the sound server hands out sound in blocks as long as the player's buffer: up to 2 s
at once, which is heard in pieces."""
BITRATE: Final = 128_000


class AudioCapture:
    """Opus, 48 kHz stereo; silence is not sent. `problem` says why there is no sound."""

    def __init__(self, deliver: Callable[[int, bytes], None]) -> None:
        """`deliver` gets the sample count and the packet, on a thread of the library's."""
        self._deliver = deliver
        self._capture: Any = None
        self.problem: str | None = None

    def start(self) -> None:
        """Begin; harmless when it has."""
        if self._capture is not None:
            return
        try:
            import pcmflux  # noqa: PLC0415 - loads its own libraries
        except ImportError as error:
            self.problem = f"no sound: pcmflux cannot be loaded: {error}"
            return
        settings = pcmflux.AudioCaptureSettings()
        settings.device_name = f"{SINK}.monitor"
        settings.frame_duration_ms = FRAME_MILLISECONDS
        settings.latency_ms = LATENCY_MILLISECONDS
        settings.opus_bitrate = BITRATE
        settings.sample_rate = 48_000
        settings.channels = 2
        settings.omit_audio_header = True
        capture: Any = pcmflux.AudioCapture()
        try:
            capture.start_capture(settings, lambda f: self._deliver(f.pts, bytes(f)))
        except (RuntimeError, ValueError) as error:
            self.problem = f"no sound: {error}"
            return
        self._capture = capture
        self.problem = None

    def stop(self) -> None:
        """End it; nothing is delivered afterwards."""
        if self._capture is not None:
            self._capture.stop_capture()
            self._capture = None
