"""Fragmented MP4, read back by FFmpeg."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import Indexed, Sample, StreamError, Tracks

SECOND = fmp4.TICKS


def encoded(levels: list[int], key_every: int) -> list[bytes]:
    """Access units in Annex B: plain pictures of these grey levels."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": f"repeat-headers=1:aud=1:scenecut=0:keyint={key_every}",
    }
    units = []
    for number, level in enumerate(levels):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
        picture = frame.reformat(format="yuv420p")
        picture.pts = number
        units += [bytes(packet) for packet in encoder.encode(picture)]
    return units


def recording(durations: list[int], *, audio: bool = False) -> bytes:
    """A picture for each duration (ticks), five to a fragment, each a little lighter."""
    units = [fmp4.access_unit(u) for u in encoded([n * 8 for n in range(len(durations))], 5)]
    fragments: list[bytes] = []
    index = []
    at = 0
    for begin in range(0, len(units), 5):
        part = list(zip(units[begin : begin + 5], durations[begin : begin + 5], strict=True))
        length = sum(duration for _, duration in part)
        sound = [Sample(fmp4.SILENCE, fmp4.SILENT_SAMPLES)] * (length * 50 // SECOND)
        fragments.append(
            fmp4.fragment(
                len(fragments) + 1,
                [Sample(unit.data, duration, unit.key) for unit, duration in part],
                at,
                sound if audio else (),
                at * fmp4.SAMPLES // SECOND,
            )
        )
        index.append(Indexed(len(fragments[-1]), length))
        at += length
    tracks = Tracks(64, 48, units[0].sps, units[0].pps, audio)
    return fmp4.header(tracks, index) + b"".join(fragments)


def pictures(container: Any) -> list[tuple[float, int]]:
    return [
        (round(float(frame.time), 3), int(frame.to_ndarray(format="gray").mean()))
        for frame in container.decode(video=0)
    ]


def test_pictures_come_back_at_their_times():
    durations = [SECOND // 10] * 7 + [SECOND * 30] + [SECOND // 5] * 7
    with av.open(io.BytesIO(recording(durations)), "r") as container:
        assert container.duration == pytest.approx(sum(durations) / SECOND * 1_000_000, abs=2)
        shown = pictures(container)
    expected = [round(sum(durations[:n]) / SECOND, 3) for n in range(15)]
    assert [at for at, _ in shown] == expected
    assert [level for _, level in shown] == pytest.approx([n * 8 for n in range(15)], abs=4)


def test_a_player_jumps_to_the_fragment_before():
    with av.open(io.BytesIO(recording([SECOND] * 20)), "r") as container:
        container.seek(12_300_000)
        assert pictures(container)[0][0] == 10.0


def test_sound_lies_beside():
    with av.open(io.BytesIO(recording([SECOND // 5] * 10, audio=True)), "r") as container:
        frames = list(container.decode(audio=0))
    assert sum(frame.samples for frame in frames) == 2 * fmp4.SAMPLES
    assert all(np.abs(frame.to_ndarray()).max() == 0 for frame in frames)


def test_an_access_unit_loses_what_the_header_has():
    key, other = encoded([10, 20], 250)
    unit = fmp4.access_unit(key)
    assert unit.key
    assert unit.sps[0] & 0x1F == 7
    assert unit.pps[0] & 0x1F == 8
    kinds = []
    at = 0
    while at < len(unit.data):
        length = int.from_bytes(unit.data[at : at + 4])
        kinds.append(unit.data[at + 4] & 0x1F)
        at += 4 + length
    assert at == len(unit.data)
    assert not {7, 8, 9} & set(kinds)
    assert fmp4.codec(unit.sps).startswith("avc1.42")
    assert not fmp4.access_unit(other).key


@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)), min_size=1, max_size=9))
def test_a_header_can_be_made_of_whatever_a_runner_says(fragments):
    tracks = Tracks(16_384, 1, b"\x67\x42\xc0\x1e", b"\x68", audio=True)
    header = fmp4.header(tracks, [Indexed(size, duration) for size, duration in fragments])
    assert header[4:8] == b"ftyp"


@given(st.binary(max_size=300))
def test_any_bytes_are_an_access_unit_or_an_error(data):
    try:
        unit = fmp4.access_unit(data)
    except StreamError:
        return
    assert unit.data


@given(
    st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b"\x65" + b.replace(b"\0", b"\1")))
)
def test_units_are_found_whatever_lies_between(units):
    stream = b"".join(b"\0\0\0\1" + unit for unit in units)
    assert fmp4.units(stream) == units
