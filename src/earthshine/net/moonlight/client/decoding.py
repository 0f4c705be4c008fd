"""What arrives into pictures and samples, with PyAV (the extra ``desktop``)."""

from __future__ import annotations

import queue
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.protocols.moonlight.sdp import Codec, OpusLayout

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.protocols.moonlight.depacketiser import Frame

MAX_QUEUED: Final = 60
"""Frames waiting to be decoded: a second; then the decoder is too slow and begins anew."""
SAMPLE_RATE: Final = 48_000
_NAMES: Final = {Codec.H264: "h264", Codec.HEVC: "hevc", Codec.AV1: "libdav1d"}
# Where FL FR C LFE BL BR SL SR lie in the order of Vorbis, which the head prescribes (RFC 7845
# section 5.1.1.2).
_VORBIS: Final = {6: (0, 2, 1, 5, 3, 4), 8: (0, 2, 1, 7, 5, 6, 3, 4)}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame. ``image`` is PyAV's ``VideoFrame``."""

    number: int
    image: Any


def _av() -> Any:
    try:
        import av  # noqa: PLC0415  an optional part
    except ImportError as error:
        raise ConnectionFailedError(
            f"decoding needs PyAV, which is not installed ({error}): "
            "pip install 'earthshine[desktop]'"
        ) from None
    return av


class VideoDecoder:
    """Decodes on a thread. ``on_picture`` and ``on_failure`` are called there."""

    def __init__(
        self,
        codec: Codec,
        on_picture: Callable[[Picture], None],
        on_failure: Callable[[], None],
    ) -> None:
        """Raises ConnectionFailedError without PyAV or without that decoder."""
        self._av = _av()
        self._name = _NAMES[codec]
        self._on_picture = on_picture
        self._on_failure = on_failure
        self._queue: queue.Queue[Frame | None] = queue.Queue(MAX_QUEUED)
        self._needs_idr = False
        self._context = self._make()
        self.pictures = 0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="moonlight-decode", daemon=True)
        self._thread.start()

    def put(self, frame: Frame) -> None:
        """Decode ``frame``; when too much waits, everything up to the next IDR is dropped."""
        if self._needs_idr and not frame.idr:
            return
        try:
            self._queue.put_nowait(frame)
            self._needs_idr = False
        except queue.Full:
            self._needs_idr = True
            self._on_failure()

    def close(self) -> None:
        """Stop after what is queued. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _make(self) -> Any:
        try:
            context = self._av.CodecContext.create(self._name, "r")
        except (ValueError, self._av.FFmpegError) as error:
            raise ConnectionFailedError(f"there is no decoder {self._name}: {error}") from None
        context.thread_count = 1
        context.options = {"flags": "low_delay"}
        return context

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            try:
                images = self._context.decode(self._av.Packet(frame.data))
            except self._av.FFmpegError:
                self.failures += 1
                self._context = self._make()
                self._on_failure()
                continue
            for image in images:
                self.pictures += 1
                self._on_picture(Picture(frame.number, image))


class AudioDecoder:
    """Opus packets into samples: float32, (samples, channels), in the order of the layout."""

    def __init__(self, layout: OpusLayout) -> None:
        """Raises ConnectionFailedError without PyAV."""
        av = _av()
        self._av = av
        self._context = av.CodecContext.create("libopus", "r")
        self._context.sample_rate = SAMPLE_RATE
        self._context.extradata = _opus_head(layout)
        self._channels = layout.channels

    def decode(self, opus: bytes) -> list[Any]:
        """Arrays of samples; empty for a packet that cannot be decoded."""
        try:
            frames = self._context.decode(self._av.Packet(opus))
        except self._av.FFmpegError:
            return []
        return [self._shaped(frame) for frame in frames]

    def _shaped(self, frame: Any) -> Any:
        samples = frame.to_ndarray()
        if samples.shape[0] > 1:  # one row per channel
            return samples.T
        shaped = samples.reshape(-1, self._channels)
        return shaped / 32768 if shaped.dtype.kind == "i" else shaped


def _opus_head(layout: OpusLayout) -> bytes:
    """RFC 7845 section 5.1."""
    order = _VORBIS.get(layout.channels)
    family = 0 if order is None else 1
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, layout.channels, 0, SAMPLE_RATE, 0, family)
    if order is not None:
        mapping = bytearray(layout.channels)
        for place, entry in zip(order, layout.mapping, strict=True):
            mapping[place] = entry
        head += bytes([layout.streams, layout.coupled]) + mapping
    return head
