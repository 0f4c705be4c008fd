import random
import subprocess
import sys
import threading

import pytest

from earthshine.protocols import events
from earthshine.protocols.events import Gap, Kind
from earthshine.runner.spool.reader import SpoolReader
from earthshine.runner.spool.segments import segments
from earthshine.runner.spool.writer import MIN_LIMIT, SpoolWriter

BLOCK = b"x" * 32 * 1024


@pytest.fixture
def writer(tmp_path):
    with SpoolWriter(tmp_path, limit=MIN_LIMIT) as writer:
        yield writer


@pytest.fixture
def reader(tmp_path):
    reader = SpoolReader(tmp_path)
    yield reader
    reader.close()


def take(reader, limit=1 << 20):
    batch = reader.read(limit, 99)
    return [] if batch is None else [events.decode(bytes(body)) for body in batch.events]


def everything(reader, limit=1 << 20):
    found = []
    while fresh := take(reader, limit):
        found += fresh
    return found


def fill(writer, count, data=BLOCK):
    for _ in range(count):
        writer.append(Kind.OUTPUT, data, 1)


def test_an_empty_spool_has_nothing_yet(tmp_path, reader):
    assert reader.read(1, 0) is None


def test_a_spool_that_is_gone_has_nothing(tmp_path):
    assert SpoolReader(tmp_path / "removed").read(1, 0) is None


def test_the_reader_follows_the_writer(writer, reader):
    for number in range(1, 60):
        writer.append(Kind.OUTPUT, bytes([number]) * 5000, 1)
        (event,) = take(reader)
        assert (event.seq, event.data) == (number, bytes([number]) * 5000)
        assert reader.read(1, 0) is None
    assert reader.offset == writer.output_bytes


def test_a_batch_is_about_as_long_as_asked_and_never_empty(writer, reader):
    fill(writer, 10, b"y" * 1000)
    batch = reader.read(2500, 0)
    assert batch is not None
    assert (batch.first, batch.last, len(batch.events)) == (1, 2, 2)
    assert batch.size == sum(len(bytes(body)) for body in batch.events) <= 2500
    batch = reader.read(1, 0)
    assert batch is not None
    assert (batch.first, batch.last) == (3, 3)


def test_an_entry_longer_than_one_read_comes_whole(writer, reader):
    text = "long" * 64 * 1024
    writer.append(Kind.OUTPUT, b"before", 1)
    writer.append_detail(events.Prompted(text=text, by="a", command_id="c"), 1)
    writer.append(Kind.OUTPUT, b"after", 1)
    _, prompted, after = everything(reader)
    assert events.detail(prompted, events.Prompted).text == text
    assert after.data == b"after"


@pytest.mark.parametrize("cursor", [0, 1, 3, 4, 9, 19, 20])
def test_reading_from_behind_any_cursor(tmp_path, writer, cursor):
    fill(writer, 20)
    reader = SpoolReader(tmp_path, cursor, cursor * len(BLOCK))
    assert [event.seq for event in everything(reader)] == list(range(cursor + 1, 21))
    assert reader.offset == 20 * len(BLOCK)
    reader.close()


def test_seeking_back_reads_again(writer, reader):
    fill(writer, 20)
    assert len(everything(reader)) == 20
    reader.seek(3, 3 * len(BLOCK))
    assert [event.seq for event in everything(reader)] == list(range(4, 21))


@pytest.mark.parametrize("cursor", [0, 1, 5, 7])
def test_what_was_given_up_is_exactly_one_gap(tmp_path, writer, cursor):
    fill(writer, 100, b"z" * 20_000)
    writer.trim()
    oldest = segments(tmp_path)[0]
    assert oldest.first_seq > 8
    reader = SpoolReader(tmp_path, cursor, cursor * 20_000)
    gap, *rest = everything(reader)
    assert gap.kind == Kind.GAP
    assert gap.ts == 99
    assert events.span(gap) == (cursor + 1, oldest.first_seq - 1)
    assert events.detail(gap, Gap) == Gap(
        first_seq=cursor + 1,
        last_seq=oldest.first_seq - 1,
        bytes=(oldest.first_seq - 1 - cursor) * 20_000,
        reason="spool-limit",
    )
    assert [event.seq for event in rest] == list(range(oldest.first_seq, 101))
    assert all(event.kind == Kind.OUTPUT for event in rest)
    reader.close()


def test_the_bytes_of_a_gap_count_output_only(tmp_path, writer):
    for _ in range(100):
        writer.append(Kind.OUTPUT, b"q" * 20_000, 1)
        writer.append_detail(events.Resized(cols=1, rows=1), 1)
    writer.trim()
    oldest = segments(tmp_path)[0]
    reader = SpoolReader(tmp_path)
    gap = take(reader)[0]
    reader.close()
    assert events.detail(gap, Gap).bytes == oldest.offset
    assert oldest.offset % 20_000 == 0


def test_a_segment_that_goes_while_it_is_read_is_read_to_its_end(tmp_path, writer, reader):
    fill(writer, 20)
    assert take(reader, 1)[0].seq == 1
    first, second = segments(tmp_path)[:2]
    writer.acked(second.first_seq - 1)
    assert not first.path.exists()
    assert [event.seq for event in everything(reader)] == list(range(2, 21))


def test_a_slow_reader_gets_a_gap_in_the_middle(tmp_path, writer, reader):
    fill(writer, 6)
    assert [event.seq for event in take(reader, 3 * len(BLOCK) + 200)] == [1, 2, 3]
    for _ in range(100):
        writer.append(Kind.OUTPUT, BLOCK, 1)
        writer.trim()
    rest = everything(reader)
    gaps = [event for event in rest if event.kind == Kind.GAP]
    assert len(gaps) == 1
    covered = [n for event in rest for n in range(events.span(event)[0], event.seq + 1)]
    assert covered == list(range(4, 107))
    assert sum(map(events.output_bytes, rest)) == 103 * len(BLOCK)


def test_damage_inside_a_segment_is_a_gap_that_says_so(tmp_path, writer, reader):
    fill(writer, 20)
    first, second = segments(tmp_path)[:2]
    data = bytearray(first.path.read_bytes())
    data[len(data) // 2] ^= 1
    first.path.write_bytes(data)
    found = everything(reader)
    (gap,) = [event for event in found if event.kind == Kind.GAP]
    detail = events.detail(gap, Gap)
    assert detail.reason == "damaged"
    assert detail.last_seq == second.first_seq - 1
    assert detail.bytes == (detail.last_seq - detail.first_seq + 1) * len(BLOCK)
    covered = [n for event in found for n in range(events.span(event)[0], event.seq + 1)]
    assert covered == list(range(1, 21))


def test_a_record_that_is_being_written_is_waited_for(tmp_path, writer, reader):
    writer.append(Kind.OUTPUT, b"first", 1)
    path = segments(tmp_path)[0].path
    size = path.stat().st_size
    writer.append(Kind.OUTPUT, b"second", 1)
    whole = path.read_bytes()
    for cut in range(size, len(whole)):
        path.write_bytes(whole[:cut])
        assert [event.data for event in everything(reader)] in ([], [b"first"])
    path.write_bytes(whole)
    assert [event.data for event in take(reader)] == [b"second"]


WRITER = """
import sys, random
from pathlib import Path
from earthshine.protocols.events import Kind
from earthshine.runner.spool.writer import MIN_LIMIT, SpoolWriter
rng = random.Random(int(sys.argv[2]))
with SpoolWriter(Path(sys.argv[1]), limit=MIN_LIMIT) as writer:
    for n in range(int(sys.argv[3])):
        writer.append(Kind.OUTPUT, n.to_bytes(4, "big") * rng.randint(1, 4000), 1)
        if writer.full:
            writer.trim()
    print(writer.last_seq, writer.output_bytes)
"""


@pytest.mark.parametrize("pace", [1, 50])
def test_reading_while_another_process_writes(tmp_path, pace):
    """A slow reader misses some; what it gets and what the gaps say is the whole."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "spool"), "7", "3000"],
        stdout=subprocess.PIPE,
        text=True,
    )
    output: list[str] = []
    waiting = threading.Thread(target=lambda: output.append(process.communicate()[0]))
    waiting.start()
    rng = random.Random(7)
    lengths = [rng.randint(1, 4000) for _ in range(3000)]
    reader = SpoolReader(tmp_path / "spool")
    seq = lost = received = 0
    while waiting.is_alive() or seq < 3000:
        fresh = take(reader, 200_000)
        if not fresh and not waiting.is_alive() and not (fresh := take(reader, 200_000)):
            break
        for event in fresh:
            first, last = events.span(event)
            assert first == seq + 1
            seq = last
            if event.kind == Kind.GAP:
                assert events.output_bytes(event) == 4 * sum(lengths[first - 1 : last])
                lost += events.output_bytes(event)
            else:
                assert event.data == (seq - 1).to_bytes(4, "big") * lengths[seq - 1]
                received += len(event.data)
        if pace > 1:
            threading.Event().wait(0.002)
    waiting.join()
    reader.close()
    last_seq, output_bytes = map(int, output[0].split())
    assert (seq, received + lost) == (last_seq, output_bytes)
    assert (reader.seq, reader.offset) == (last_seq, output_bytes)
