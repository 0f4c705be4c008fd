"""What a stream measures about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_CLOCK: Final = 90_000


@dataclass(slots=True)
class Figures:
    """Counted since the stream began. Times are in milliseconds, ``bitrate_kbps`` over all."""

    frames: int = 0
    """Whole frames that a decoder may see."""
    lost: int = 0
    held_back: int = 0
    """Frames that came but refer to lost ones."""
    damaged_blocks: int = 0
    recovered_packets: int = 0
    """Data packets restored from parity."""
    video_packets: int = 0
    video_bytes: int = 0
    refused_packets: int = 0
    """Datagrams that could not be of this stream."""
    idr_frames: int = 0
    idr_requests: int = 0
    invalidations: int = 0
    audio_packets: int = 0
    audio_recovered: int = 0
    audio_missing: int = 0
    host_latency_ms: float = 0.0
    """Mean of what the host said, from capture to sending."""
    jitter_ms: float = 0.0
    """RFC 3550 section 6.4.1, over frames."""
    round_trip_ms: int = 0
    first_frame_ms: float | None = None
    """From opening the stream to the first whole frame."""
    seconds: float = 0.0
    _latencies: int = field(default=0, repr=False)
    _last: tuple[float, int] | None = field(default=None, repr=False)

    @property
    def bitrate_kbps(self) -> float:
        """Everything that came on the video port."""
        return self.video_bytes * 8 / 1000 / self.seconds if self.seconds else 0.0

    def arrived(self, now: float, timestamp: int, latency: int) -> None:
        """A whole frame at ``now`` seconds; ``latency`` in 0.1 ms, 0 if the host did not say."""
        if latency:
            self._latencies += 1
            self.host_latency_ms += (latency / 10 - self.host_latency_ms) / self._latencies
        if self._last is not None:
            passed, sent = now - self._last[0], (timestamp - self._last[1] & 0xFFFFFFFF) / _CLOCK
            self.jitter_ms += (abs(passed - sent) * 1000 - self.jitter_ms) / 16
        self._last = (now, timestamp)

    def as_json(self) -> dict[str, float | int | None]:
        """For programs."""
        names = [name for name in self.__slots__ if not name.startswith("_")]
        found = {name: getattr(self, name) for name in names}
        found["bitrate_kbps"] = self.bitrate_kbps
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in found.items()
        }
