"""Recordings on the control plane's disk, and any bytes of them."""

import io
import os
import time
import zlib

import av
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.control.recordings.playback import (
    Playback,
    UnsatisfiableRangeError,
    byte_range,
)
from earthshine.control.recordings.storage import DamagedPieceError, Keeping, RecordingStorage
from earthshine.protocols import fmp4
from tests.unit.runner.desktops.recording.test_recording import ORIGIN, SECOND, UNITS, piece

RECORDING = "0123456789abcdef"


def made(number, seconds=2):
    start = ORIGIN + (number - 1) * seconds * SECOND
    units = UNITS[(number - 1) % 4 * 5 :][:5]
    segment, data, _ = piece(number, start, units=units).close(start + seconds * SECOND)
    segment.crc = zlib.crc32(data)
    return segment, data


def keep(storage, number, session="s1", recording=RECORDING):
    segment, data = made(number)
    segment.session, segment.recording = session, recording
    file = storage.begin(segment)
    file.write(data)
    storage.finish(segment, file)
    return segment


@pytest.fixture
def storage(tmp_path):
    return RecordingStorage(Keeping(tmp_path, limit=20_000, days=30))


async def whole(storage, recording=None, first=0, end=None):
    found = recording or storage.get("s1", RECORDING)
    playback = Playback(storage, "s1", found)
    end = playback.total if end is None else end
    return b"".join([part async for part in playback.read(first, end)])


async def test_pieces_become_a_file_that_plays(storage):
    for number in (1, 2, 3):
        keep(storage, number)
    data = await whole(storage)
    with av.open(io.BytesIO(data), "r") as container:
        assert container.duration == pytest.approx(6 * SECOND, abs=5)
        times = [round(float(frame.time), 2) for frame in container.decode(video=0)]
    assert times == [n * 2 + m / 5 for n in range(3) for m in range(5)]
    assert await whole(storage, first=100, end=1500) == data[100:1500]


async def test_a_piece_that_was_lost_is_a_pause(storage):
    for number in (1, 2, 4):
        keep(storage, number)
    found = storage.get("s1", RECORDING)
    assert [one.duration // fmp4.TICKS for one in found.indexed()] == [2, 4, 2]
    with av.open(io.BytesIO(await whole(storage)), "r") as container:
        assert [round(float(frame.time), 2) for frame in container.decode(video=0)][10] == 6.0


def test_the_same_piece_twice_is_one(storage):
    segment = keep(storage, 1)
    assert storage.has(segment)
    keep(storage, 1)
    assert [one.number for one in storage.get("s1", RECORDING).pieces] == [1]


def test_what_came_damaged_is_not_kept(storage):
    segment, data = made(1)
    file = storage.begin(segment)
    file.write(data[:-1] + b"?")
    with pytest.raises(DamagedPieceError):
        storage.finish(segment, file)
    storage.discard(segment, file)
    assert storage.of_session("s1") == []


def test_a_line_that_a_power_cut_left_unfinished(storage, tmp_path):
    keep(storage, 1)
    index = tmp_path / "s1" / RECORDING / "index"
    line = msgspec.json.encode(made(2)[0])
    with index.open("ab") as file:
        file.write(line[:50])
    keep(storage, 3)
    assert [one.number for one in storage.get("s1", RECORDING).pieces] == [1, 3]


@pytest.mark.parametrize(
    ("session", "recording"),
    [("..", RECORDING), ("s1/..", RECORDING), ("s1", ".."), ("s1", "../../../../../etc/passwd")],
)
def test_ids_do_not_lead_elsewhere(storage, session, recording):
    keep(storage, 1)
    assert storage.get(session, recording) is None
    storage.delete(session, recording)
    storage.forget("../s1")
    assert storage.get("s1", RECORDING) is not None


def test_what_is_too_old_or_too_much_goes_oldest_first(storage, tmp_path):
    ids = [f"{n:016x}" for n in range(12)]
    for recording in ids:
        keep(storage, 1, recording=recording)
    ages = [86_400 * 31, *([3600] * 10), 0]
    for recording, age in zip(ids, ages, strict=True):
        for file in (tmp_path / "s1" / recording).iterdir():
            os.utime(file, (time.time() - age, time.time() - age))
    size = sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) // 12
    crowded = RecordingStorage(Keeping(tmp_path, limit=size * 5, days=30))
    assert crowded.is_full()
    crowded.sweep()
    left = [one.id for one in crowded.of_session("s1")]
    assert left == ids[-len(left) :]
    assert 2 <= len(left) <= 5
    assert not crowded.is_full()
    lavish = RecordingStorage(Keeping(tmp_path, limit=10**9, days=30))
    assert lavish.sweep() == 0


def test_ranges():
    assert byte_range(None, 10) is None
    assert byte_range("bytes=0-", 10) == (0, 10)
    assert byte_range("bytes=2-4", 10) == (2, 5)
    assert byte_range("bytes=2-400", 10) == (2, 10)
    assert byte_range("bytes=-3", 10) == (7, 10)
    assert byte_range("bytes=-30", 10) == (0, 10)
    for everything in ("bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", ""):
        assert byte_range(everything, 10) is None
    for nothing in ("bytes=10-", "bytes=99-100", "bytes=-0"):
        with pytest.raises(UnsatisfiableRangeError):
            byte_range(nothing, 10)


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,20}-\d{0,20}"), st.integers(0, 2**40))
def test_any_range_lies_inside_or_is_none(header, total):
    try:
        found = byte_range(header, total)
    except UnsatisfiableRangeError:
        return
    if found is not None:
        assert 0 <= found[0] < found[1] <= total
