"""Fragmented MP4 (ISO/IEC 14496-12) with H.264 (14496-15) and Opus: as much as recordings need.

Our own, because neither end may load a library of codecs for it: the runner's process stays free of
large native code (docs/adr/0006), and the control plane never touches pictures. Nothing is encoded
or decoded here. PyAV reads what this writes in the tests.

A recording is a `header`, then fragments. Each fragment begins with a key frame, so the header's
index (`sidx`) tells a player where to jump. Pure; ticks are 1/90000 s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

TICKS: Final = 90_000
"""In a second; of the video and of the recording."""
SAMPLES: Final = 48_000
"""In a second of sound."""
VIDEO, AUDIO = 1, 2
"""Numbers of the tracks."""
MAX_INDEX: Final = 65_535
"""Fragments that an index can name."""
SILENCE: Final = b"\xfc\xff\xfe"
"""An Opus packet (RFC 6716): 20 ms of stereo silence."""
SILENT_SAMPLES: Final = 960
_SYNC, _NOT_SYNC = 0x0200_0000, 0x0101_0000
_SPS, _PPS, _DELIMITER, _IDR = 7, 8, 9, 5
_MAX_U32: Final = 2**32 - 1
_MAX_DURATION: Final = 2**62
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)


class StreamError(ValueError):
    """What was given is no H.264 that a recording can hold."""


def ticks(microseconds: int) -> int:
    """Microseconds in ticks."""
    return microseconds * 9 // 100


# --- H.264 ---------------------------------------------------------------------------------------


def units(stream: bytes) -> list[bytes]:
    """The NAL units of an access unit in Annex B."""
    found: list[bytes] = []
    begin = stream.find(b"\0\0\1")
    while begin >= 0:
        begin += 3
        end = stream.find(b"\0\0\1", begin)
        unit = stream[begin:] if end < 0 else stream[begin:end]
        unit = unit.rstrip(b"\0")  # of the next start code, or padding
        if unit:
            found.append(unit)
        begin = end
    return found


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture: `data` has a length before each unit and no parameter sets."""

    data: bytes
    key: bool
    sps: bytes = b""
    pps: bytes = b""
    """Where the stream says them, as key frames do."""


def access_unit(stream: bytes) -> AccessUnit:
    """From Annex B. Raises StreamError for one without a picture."""
    kept: list[bytes] = []
    sps = pps = b""
    key = picture = False
    for unit in units(stream):
        kind = unit[0] & 0x1F
        if kind == _SPS:
            sps = unit
        elif kind == _PPS:
            pps = unit
        elif kind != _DELIMITER:
            key = key or kind == _IDR
            picture = picture or 1 <= kind <= _IDR
            kept.append(len(unit).to_bytes(4) + unit)
    if not picture:
        raise StreamError("an access unit without a picture")
    return AccessUnit(b"".join(kept), key, sps, pps)


def codec(sps: bytes) -> str:
    """As browsers name it (RFC 6381)."""
    return f"avc1.{sps[1:4].hex()}"


# --- boxes ---------------------------------------------------------------------------------------


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


@dataclass(frozen=True, slots=True)
class Tracks:
    """What a recording holds. It stays the same from the first fragment to the last."""

    width: int
    height: int
    sps: bytes
    pps: bytes
    audio: bool


@dataclass(frozen=True, slots=True)
class Indexed:
    """A fragment in the index: bytes, and ticks until the next one begins."""

    size: int
    duration: int


def header(tracks: Tracks, fragments: Sequence[Indexed]) -> bytes:
    """What comes before the fragments: `ftyp`, `moov` and the index of all of them."""
    if not 1 <= len(fragments) <= MAX_INDEX:
        raise ValueError(f"{len(fragments)} fragments")
    return (
        _box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6isomavc1mp41dash")
        + _moov(tracks, min(sum(fragment.duration for fragment in fragments), _MAX_DURATION))
        + _index(fragments)
    )


def _moov(tracks: Tracks, duration: int) -> bytes:
    extends = [_trex(VIDEO)] + ([_trex(AUDIO)] if tracks.audio else [])
    return _box(
        b"moov",
        _full(
            b"mvhd", 1, 0,
            struct.pack(">QQIQIHH8x", 0, 0, TICKS, duration, 0x10000, 0x100, 0),
            _MATRIX, bytes(24), struct.pack(">I", AUDIO + 1),
        ),
        _video_track(tracks, duration),
        _audio_track(duration) if tracks.audio else b"",
        _box(b"mvex", _full(b"mehd", 1, 0, struct.pack(">Q", duration)), *extends),
    )  # fmt: skip


def _trex(track: int) -> bytes:
    return _full(b"trex", 0, 0, struct.pack(">5I", track, 1, 0, 0, 0))


def _track(track: int, duration: int, size: tuple[int, int], media: bytes) -> bytes:
    volume = 0x100 if track == AUDIO else 0
    return _box(
        b"trak",
        _full(
            b"tkhd", 1, 3,
            struct.pack(">QQI4xQ8xHHH2x", 0, 0, track, duration, 0, track - 1, volume),
            _MATRIX, struct.pack(">II", size[0] << 16, size[1] << 16),
        ),
        media,
    )  # fmt: skip


def _media(scale: int, handler: bytes, name: bytes, kind: bytes, entry: bytes) -> bytes:
    empty = b"".join(
        (
            _full(b"stts", 0, 0, bytes(4)),
            _full(b"stsc", 0, 0, bytes(4)),
            _full(b"stsz", 0, 0, bytes(8)),
            _full(b"stco", 0, 0, bytes(4)),
        )
    )
    here = _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1))
    return _box(
        b"mdia",
        _full(b"mdhd", 1, 0, struct.pack(">QQIQHH", 0, 0, scale, 0, 0x55C4, 0)),  # "und"
        _full(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name + b"\0"),
        _box(
            b"minf",
            kind,
            _box(b"dinf", here),
            _box(b"stbl", _full(b"stsd", 0, 0, struct.pack(">I", 1), entry), empty),
        ),
    )


def _video_track(tracks: Tracks, duration: int) -> bytes:
    sps, pps = tracks.sps, tracks.pps
    configuration = _box(
        b"avcC",
        b"\x01" + sps[1:4] + b"\xff\xe1",  # four bytes of length; one SPS
        struct.pack(">H", len(sps)), sps,
        b"\x01", struct.pack(">H", len(pps)), pps,
    )  # fmt: skip
    entry = _box(
        b"avc1",
        struct.pack(">6xH16xHHIIIH", 1, tracks.width, tracks.height, 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">Hh", 24, -1),
        configuration,
    )
    kind = _full(b"vmhd", 0, 1, bytes(8))
    media = _media(TICKS, b"vide", b"desktop", kind, entry)
    return _track(VIDEO, duration, (tracks.width, tracks.height), media)


def _audio_track(duration: int) -> bytes:
    # dOps (Encapsulation of Opus in ISOBMFF, 4.3.2): two channels, no samples to skip.
    specific = _box(b"dOps", struct.pack(">BBHIhB", 0, 2, 0, SAMPLES, 0, 0))
    entry = _box(b"Opus", struct.pack(">6xH8xHH4xI", 1, 2, 16, SAMPLES << 16), specific)
    media = _media(SAMPLES, b"soun", b"sound", _full(b"smhd", 0, 0, bytes(4)), entry)
    return _track(AUDIO, duration, (0, 0), media)


def _index(fragments: Sequence[Indexed]) -> bytes:
    entries = b"".join(
        # A fragment, not another index; it begins with a key frame (type 1).
        struct.pack(
            ">III", fragment.size & 0x7FFF_FFFF, min(fragment.duration, _MAX_U32), 0x9000_0000
        )
        for fragment in fragments
    )
    return _full(
        b"sidx", 1, 0, struct.pack(">IIQQHH", VIDEO, TICKS, 0, 0, 0, len(fragments)), entries
    )


# --- fragments -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture or a packet of sound, and how long it lasts in its track's units."""

    data: bytes
    duration: int
    key: bool = True


def fragment(
    number: int,
    video: Sequence[Sample],
    video_at: int,
    audio: Sequence[Sample] = (),
    audio_at: int = 0,
) -> bytes:
    """`moof` and `mdat`. `number` counts from 1; times are since the recording began."""
    counts = len(video), len(audio)
    # The sizes are known, so is where the data will lie.
    size = len(_moof(number, (video, video_at, 0), (audio, audio_at, 0)))
    at = size + 8
    sound_at = at + sum(len(sample.data) for sample in video)
    moof = _moof(number, (video, video_at, at), (audio, audio_at, sound_at))
    assert len(moof) == size, counts
    data = [sample.data for sample in (*video, *audio)]
    return moof + struct.pack(">I4s", 8 + sum(map(len, data)), b"mdat") + b"".join(data)


Run = tuple[Sequence[Sample], int, int]
"""Samples, the time of the first, and where their data begins."""


def _moof(number: int, video: Run, audio: Run) -> bytes:
    return _box(
        b"moof",
        _full(b"mfhd", 0, 0, struct.pack(">I", number)),
        _run(VIDEO, *video),
        _run(AUDIO, *audio) if audio[0] else b"",
    )


def _run(track: int, samples: Iterable[Sample], at: int, offset: int) -> bytes:
    entries = [
        struct.pack(">III", sample.duration, len(sample.data), _SYNC if sample.key else _NOT_SYNC)
        for sample in samples
    ]
    # Data offset, and for each sample duration, size and flags.
    run = struct.pack(">Ii", len(entries), offset)
    return _box(
        b"traf",
        _full(b"tfhd", 0, 0x20000, struct.pack(">I", track)),  # offsets count from the moof
        _full(b"tfdt", 1, 0, struct.pack(">Q", at)),
        _full(b"trun", 0, 0x701, run, b"".join(entries)),
    )
