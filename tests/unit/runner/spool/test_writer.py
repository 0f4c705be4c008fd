import errno
import os

import pytest

from earthshine.protocols import events
from earthshine.protocols.events import EventError, Kind
from earthshine.runner.spool.reader import SpoolReader
from earthshine.runner.spool.segments import record, segments
from earthshine.runner.spool.writer import MIN_LIMIT, SpoolWriter

BLOCK = b"x" * 32 * 1024


def contents(folder, after=0):
    reader = SpoolReader(folder, after)
    found = []
    while (batch := reader.read(1 << 20, 0)) is not None:
        found += [events.decode(bytes(body)) for body in batch.events]
    reader.close()
    return found


def test_entries_are_numbered_and_come_back(tmp_path):
    with SpoolWriter(tmp_path) as writer:
        assert writer.append(Kind.OUTPUT, b"hello", 5) == 1
        assert writer.append_detail(events.Resized(cols=1, rows=2), 6) == 2
        assert (writer.first_seq, writer.last_seq, writer.output_bytes) == (1, 2, 5)
    first, second = contents(tmp_path)
    assert (first.seq, first.ts, first.kind, first.data) == (1, 5, Kind.OUTPUT, b"hello")
    assert events.detail(second, events.Resized) == events.Resized(cols=1, rows=2)


def test_a_new_spool_is_empty_and_private(tmp_path):
    folder = tmp_path / "deep" / "spool"
    with SpoolWriter(folder) as writer:
        assert (writer.first_seq, writer.last_seq, writer.size) == (1, 0, 0)
        writer.append(Kind.OUTPUT, b"x", 0)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert segments(folder)[0].path.stat().st_mode & 0o777 == 0o600


def test_reopening_continues_where_it_ended(tmp_path):
    for number in range(1, 6):
        with SpoolWriter(tmp_path) as writer:
            assert writer.append(Kind.OUTPUT, b"abc", 0) == number
            assert writer.output_bytes == 3 * number
    assert [event.seq for event in contents(tmp_path)] == [1, 2, 3, 4, 5]
    assert len(segments(tmp_path)) == 1


def test_a_torn_record_is_cut_off_wherever_it_was_torn(tmp_path):
    with SpoolWriter(tmp_path) as writer:
        writer.append(Kind.OUTPUT, b"whole", 0)
    path = segments(tmp_path)[0].path
    whole = path.read_bytes()
    torn = record(2, 4, events.encode(events.Event(2, 0, Kind.OUTPUT, b"torn")))
    for cut in range(len(torn)):
        path.write_bytes(whole + torn[:cut])
        with SpoolWriter(tmp_path) as writer:
            assert (writer.last_seq, writer.output_bytes, writer.size) == (1, 5, len(whole))
        assert path.read_bytes() == whole


def test_a_damaged_tail_is_cut_off(tmp_path):
    with SpoolWriter(tmp_path) as writer:
        writer.append(Kind.OUTPUT, b"first", 0)
        size = writer.size
        writer.append(Kind.OUTPUT, b"second", 0)
    path = segments(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with SpoolWriter(tmp_path) as writer:
        assert (writer.last_seq, writer.size) == (1, size)
        assert writer.append(Kind.OUTPUT, b"again", 0) == 2
    assert [event.data for event in contents(tmp_path)] == [b"first", b"again"]


def test_a_writer_that_died_before_its_first_record_leaves_a_usable_spool(tmp_path):
    with SpoolWriter(tmp_path) as writer:
        writer.append(Kind.OUTPUT, b"abc", 0)
    path = segments(tmp_path)[0].path
    path.with_name("0000000000000002-0000000000000003.log").touch()
    with SpoolWriter(tmp_path) as writer:
        assert (writer.last_seq, writer.output_bytes) == (1, 3)
        assert writer.append(Kind.OUTPUT, b"def", 0) == 2
    assert [event.data for event in contents(tmp_path)] == [b"abc", b"def"]


def test_long_logs_become_several_segments(tmp_path):
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        for _ in range(20):
            writer.append(Kind.OUTPUT, BLOCK, 0)
        names = segments(tmp_path)
        assert len(names) > 3
        assert writer.size == sum(s.path.stat().st_size for s in names)
        assert all(s.offset == (s.first_seq - 1) * len(BLOCK) for s in names)
    assert [event.seq for event in contents(tmp_path)] == list(range(1, 21))
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        assert (writer.last_seq, writer.output_bytes) == (20, 20 * len(BLOCK))
        assert writer.size == sum(s.path.stat().st_size for s in names)


def test_what_is_stored_elsewhere_is_removed_by_whole_segments(tmp_path):
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        for _ in range(20):
            writer.append(Kind.OUTPUT, BLOCK, 0)
        before = segments(tmp_path)
        writer.acked(before[2].first_seq - 2)
        assert segments(tmp_path) == before[1:]
        writer.acked(before[2].first_seq - 1)
        assert segments(tmp_path) == before[2:]
        assert writer.first_seq == before[2].first_seq
        assert writer.size == sum(s.path.stat().st_size for s in before[2:])
        writer.acked(20)
        assert segments(tmp_path) == before[-1:], "the one that grows stays"
        writer.acked(20)
        assert writer.append(Kind.OUTPUT, b"x", 0) == 21


def test_at_the_limit_the_oldest_goes(tmp_path):
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        for _ in range(200):
            writer.append(Kind.OUTPUT, BLOCK, 0)
            if writer.full:
                writer.trim()
            assert writer.size < MIN_LIMIT
            on_disk = sum(s.path.stat().st_size for s in segments(tmp_path))
            assert on_disk == writer.size
        assert writer.first_seq > 100


def test_a_limit_below_the_least_is_raised_to_it(tmp_path):
    with SpoolWriter(tmp_path, limit=1) as writer:
        writer.append(Kind.OUTPUT, BLOCK, 0)
        assert not writer.full


def test_what_breaks_a_limit_is_not_written(tmp_path):
    with SpoolWriter(tmp_path) as writer:
        with pytest.raises(EventError):
            writer.append(Kind.OUTPUT, bytes(events.MAX_DATA + 1), 0)
        assert writer.last_seq == 0
        assert writer.append(Kind.OUTPUT, b"x", 0) == 1


class FakeDisk:
    """Stands in for `os.write`: takes `room` bytes, then has no space left."""

    def __init__(self, room):
        self.room = room
        self._write = os.write

    def write(self, fd, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 19, 20, 30])
def test_a_full_disk_leaves_the_spool_as_it_was(tmp_path, monkeypatch, room):
    with SpoolWriter(tmp_path) as writer:
        writer.append(Kind.OUTPUT, b"before", 0)
        size = writer.size
        disk = FakeDisk(room)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", disk.write)
            with pytest.raises(OSError, match="No space"):
                writer.append(Kind.OUTPUT, b"during" * 100, 0)
        assert (writer.last_seq, writer.size, writer.output_bytes) == (1, size, 6)
        assert segments(tmp_path)[0].path.stat().st_size == size
        assert writer.append(Kind.OUTPUT, b"after", 0) == 2
    assert [event.data for event in contents(tmp_path)] == [b"before", b"after"]


def test_a_full_disk_at_the_first_record_of_a_segment(tmp_path, monkeypatch):
    with SpoolWriter(tmp_path) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", FakeDisk(5).write)
            with pytest.raises(OSError, match="No space"):
                writer.append(Kind.OUTPUT, b"x" * 100, 0)
        assert contents(tmp_path) == []
        assert writer.append(Kind.OUTPUT, b"after", 0) == 1
    assert [event.data for event in contents(tmp_path)] == [b"after"]


def test_a_segment_that_cannot_be_made_can_be_made_later(tmp_path, monkeypatch):
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        while len(segments(tmp_path)) < 2:
            writer.append(Kind.OUTPUT, BLOCK, 0)
        while writer._end < writer._segment_limit:
            writer.append(Kind.OUTPUT, BLOCK, 0)
        last, size = writer.last_seq, writer.size

        def no_space(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", no_space)
            with pytest.raises(OSError, match="No space"):
                writer.append(Kind.OUTPUT, BLOCK, 0)
        assert (writer.last_seq, writer.size) == (last, size)
        assert writer.append(Kind.OUTPUT, BLOCK, 0) == last + 1
        assert writer.size == sum(s.path.stat().st_size for s in segments(tmp_path))


def test_short_writes_are_finished(tmp_path, monkeypatch):
    write = os.write
    with SpoolWriter(tmp_path) as writer:
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        writer.append(Kind.OUTPUT, b"y" * 100, 0)
        monkeypatch.undo()
    assert [event.data for event in contents(tmp_path)] == [b"y" * 100]
