import pytest

from earthshine.runner.spool import segments
from earthshine.runner.spool.segments import DamagedError, Segment, parse, record


def test_a_segments_name_says_where_it_begins(tmp_path):
    name = Segment.name(0x1234, 0xABCD)
    assert name == "0000000000001234-000000000000abcd.log"
    (tmp_path / name).touch()
    assert segments.segments(tmp_path) == [Segment(0x1234, 0xABCD, tmp_path / name)]


def test_segments_come_oldest_first_and_other_files_are_left_out(tmp_path):
    for seq in (300, 2, 17):
        (tmp_path / Segment.name(seq, seq)).touch()
    for name in ("holder.log", "1-2.log.new", "x-y.log", "12.log", "notes.txt"):
        (tmp_path / name).touch()
    found = segments.segments(tmp_path)
    assert [s.first_seq for s in found if s.first_seq > 1] == [2, 17, 300]
    assert len(found) == 3


def test_a_folder_that_is_gone_has_no_segments(tmp_path):
    assert segments.segments(tmp_path / "removed") == []


def test_a_record_survives_at_any_position():
    data = memoryview(b"junk" + record(7, 3, b"body"))
    found = parse(data, 4)
    assert found is not None
    assert (found.seq, found.output, bytes(found.body), found.end) == (7, 3, b"body", len(data))


def test_a_record_that_is_not_whole_yet_is_none():
    data = record(7, 3, b"body")
    for cut in range(len(data)):
        assert parse(memoryview(data[:cut]), 0) is None


def test_every_flipped_bit_of_the_body_is_noticed():
    data = bytearray(record(7, 3, b"body"))
    for position in range(segments.RECORD.size, len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(DamagedError):
                parse(memoryview(damaged), 0)


@pytest.mark.parametrize("length", [0, segments.MAX_BODY + 1, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_damage(length):
    header = segments.RECORD.pack(length, 0, 1, 0)
    with pytest.raises(DamagedError):
        parse(memoryview(header), 0)
