"""What becomes of frames: pieces that follow each other, and survive a crash."""

import io
import os
import time

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import Indexed, Tracks
from earthshine.runner.desktops.recording import journal
from earthshine.runner.desktops.recording.journal import Record
from earthshine.runner.desktops.recording.piece import Begun, Piece
from earthshine.runner.desktops.recording.store import RecordingStore, Wish
from earthshine.runner.transfers.folders import FileError
from tests.unit.protocols.test_fmp4 import encoded

SECOND = 1_000_000
ORIGIN = 55 * SECOND
UNITS = encoded([n * 8 for n in range(20)], 5)
KEY = fmp4.access_unit(UNITS[0])
TRACKS = Tracks(64, 48, KEY.sps, KEY.pps, audio=False)
BEGUN = Begun("s1", "0123456789abcdef", 1_700_000_000_000, ORIGIN, TRACKS)


def piece(number=1, start=ORIGIN, begun=BEGUN, units=UNITS[:5], every=SECOND // 5):
    made = Piece(begun, number, start)
    for n, unit in enumerate(units):
        journal.apply(made, Record(start + n * every, frame=unit))
    return made


def pictures(*closed):
    segments = [segment for segment, _, _ in closed]
    header = fmp4.header(TRACKS, [Indexed(s.size, s.duration) for s in segments])
    with av.open(io.BytesIO(header + b"".join(data for _, data, _ in closed)), "r") as container:
        return [round(float(frame.time), 2) for frame in container.decode(video=0)]


def test_pieces_follow_each_other_without_a_gap():
    first = piece().close(ORIGIN + 10 * SECOND)
    second = piece(2, ORIGIN + 10 * SECOND, units=UNITS[5:10]).close(ORIGIN + 12 * SECOND)
    assert first[0].start + first[0].duration == second[0].start
    assert pictures(first, second) == [0.0, 0.2, 0.4, 0.6, 0.8, 10.0, 10.2, 10.4, 10.6, 10.8]


def test_times_never_go_back_and_always_move():
    made = Piece(BEGUN, 1, ORIGIN)
    for unit in UNITS[:4]:
        journal.apply(made, Record(ORIGIN - 5 * SECOND, frame=unit))  # a group from before
    segment, data, _ = made.close(ORIGIN)
    assert segment.start == 0
    assert len(data) == segment.size
    assert 3 <= segment.duration < 20


def test_the_logs_places_are_kept_where_they_change():
    made = piece()
    for at, seq in ((0, 4), (1, 4), (2, 9)):
        made.log_is_at(ORIGIN + at * SECOND, seq)
    assert made.close(ORIGIN + 3 * SECOND)[0].events == [(0, 4), (2000, 9)]


def test_sound_with_silence_where_nothing_was_played():
    tracks = Tracks(64, 48, KEY.sps, KEY.pps, audio=True)
    begun = Begun("s1", BEGUN.recording, BEGUN.began, ORIGIN, tracks)
    made = piece(begun=begun)
    tone = _tone()
    for n in range(100):  # a second of sound, a second after the beginning
        made.hear(ORIGIN + SECOND + n * 10_000, tone[n])
    segment, data, audio_to = made.close(ORIGIN + 4 * SECOND)
    assert audio_to == pytest.approx(4 * fmp4.SAMPLES, abs=fmp4.SILENT_SAMPLES)
    header = fmp4.header(tracks, [Indexed(segment.size, segment.duration)])
    with av.open(io.BytesIO(header + data), "r") as container:
        loud = [
            (float(frame.time or 0), float(np.abs(frame.to_ndarray()).max()))
            for frame in container.decode(audio=0)
        ]
    times = [at for at, level in loud if level > 0.05]
    assert 0.9 < times[0] < 1.1
    assert 1.85 < times[-1] < 2.1


def _tone():
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    encoder.options = {"frame_duration": "10"}
    wave = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * 12_000).astype(np.int16)
    packets = []
    for at in range(0, 48_000, 480):
        samples = np.repeat(wave[at : at + 480], 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def journalled():
    made = Piece(BEGUN, 3, ORIGIN)
    records = [Record(ORIGIN + n * SECOND // 5, frame=unit) for n, unit in enumerate(UNITS[:5])]
    records += [Record(ORIGIN + 2 * SECOND, seq=7), Record(ORIGIN + 9 * SECOND)]
    return journal.beginning(made) + b"".join(journal.record(one) for one in records)


def test_a_journal_tells_all_of_a_piece():
    recovered = journal.recover(journalled())
    assert recovered is not None
    found, last = recovered
    assert (found.number, found.begun, last) == (3, BEGUN, ORIGIN + 9 * SECOND)
    segment, _, _ = found.close(last)
    assert segment.duration == 9 * fmp4.TICKS
    assert segment.events == [(2000, 7)]


@given(st.integers(0, len(journalled())), st.binary(max_size=20))
def test_a_journal_that_breaks_off_anywhere_is_a_shorter_piece(cut, garbage):
    whole = journalled()
    recovered = journal.recover(whole[:cut] + garbage)
    if recovered is None:
        first = journal.record(Record(ORIGIN, frame=UNITS[0]))
        assert cut < len(journal.beginning(Piece(BEGUN, 3, ORIGIN)) + first)
        return
    found, last = recovered
    complete = journal.recover(whole)
    assert complete is not None
    assert found.frames == complete[0].frames[: len(found.frames)]
    found.close(last)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_journal_or_none(data):
    journal.recover(data)


@pytest.fixture
def store(tmp_path):
    return RecordingStore(tmp_path, limit=1000, days=7)


def test_a_piece_is_kept_listed_read_and_dropped(store):
    made = piece()
    store.begin(made)
    store.keep(made, ORIGIN + SECOND)
    (segment,) = store.segments().segments
    file, size = store.read("s1", BEGUN.recording, 1)
    with file:
        data = file.read()
    assert len(data) == size == segment.size
    assert data[4:8] == b"moof"
    assert store.waiting("s1") == 1
    store.drop("s1", BEGUN.recording, 1)
    assert store.segments().segments == []
    with pytest.raises(FileError):
        store.read("s1", BEGUN.recording, 1)


def test_a_killed_runner_loses_nothing_that_was_written(store, tmp_path):
    made = piece()
    store.begin(made)
    whole = journalled()
    store.add(made, whole[len(journal.beginning(Piece(BEGUN, 3, ORIGIN))) :] + b"\0\0\1half a rec")
    again = RecordingStore(tmp_path, limit=10**9, days=7)
    again.recover()
    (segment,) = again.segments().segments
    assert segment.duration == 9 * fmp4.TICKS
    assert not list(tmp_path.rglob("journal"))


def test_damaged_pieces_are_not_offered(store, tmp_path):
    made = piece()
    store.keep(made, ORIGIN + SECOND)
    (place,) = tmp_path.rglob("*.piece")
    place.write_bytes(b"\0\0")
    assert store.segments().segments == []
    assert not place.exists()


def test_limits_of_size_and_age(store, tmp_path):
    assert not store.is_full()
    for number in range(1, 9):
        store.keep(piece(number), ORIGIN + SECOND)
    assert store.is_full()
    (oldest, *_) = sorted(tmp_path.rglob("*.piece"))
    long_ago = time.time() - 8 * 86_400
    os.utime(oldest, (long_ago, long_ago))
    store.sweep()
    assert store.waiting("s1") == 7
    store.forget("s1")
    assert store.segments().segments == []


def test_wishes_outlive_the_runner(store, tmp_path):
    store.wish("s1", Wish(by="anna", since=5))
    store.wish("s2", Wish(by="otto", since=6))
    store.wish("s2", None)
    again = RecordingStore(tmp_path, limit=1000, days=7)
    assert again.wishes() == {"s1": Wish(by="anna", since=5)}
