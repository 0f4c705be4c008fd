"""A spool whose writer dies anywhere, forgets and gives up, read from any cursor."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from earthshine.protocols import events
from earthshine.protocols.events import Kind
from earthshine.runner.spool.reader import SpoolReader
from earthshine.runner.spool.segments import DamagedError, parse, segments
from earthshine.runner.spool.writer import MIN_LIMIT, SpoolWriter

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("output"), st.integers(0, 60_000)),
        st.tuples(st.just("prompt"), st.integers(1, 300_000)),
        st.tuples(st.just("trim"), st.just(0)),
        st.tuples(st.just("ack"), st.integers(0, 40)),
        st.tuples(st.just("die"), st.integers(0, 50)),
        st.tuples(st.just("read"), st.integers(1, 200_000)),
        st.tuples(st.just("seek"), st.integers(0, 40)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_read_and_what_gaps_say_is_what_was_written(steps):
    folder = Path(tempfile.mkdtemp(prefix="spool-"))
    try:
        _play(folder, steps)
    finally:
        shutil.rmtree(folder)


def _play(folder, steps):
    writer = SpoolWriter(folder, limit=MIN_LIMIT)
    reader = SpoolReader(folder)
    offsets = [0]  # output up to each seq
    for step, number in steps:
        if step == "output":
            writer.append(Kind.OUTPUT, b"o" * number, 0)
            offsets.append(offsets[-1] + number)
        elif step == "prompt":
            prompt = events.Prompted(text="p" * number, by="", command_id="")
            writer.append_detail(prompt, 0)
            offsets.append(offsets[-1])
        elif step == "trim":
            writer.trim()
        elif step == "ack":
            writer.acked(min(number, writer.last_seq))
        elif step == "die":
            writer.close()
            if found := segments(folder):
                with found[-1].path.open("ab") as file:
                    file.write(b"\0\0\1torn"[: number % 8])
            writer = SpoolWriter(folder, limit=MIN_LIMIT)
            assert (writer.last_seq, writer.output_bytes) == (len(offsets) - 1, offsets[-1])
        elif step == "seek":
            seq = min(number, writer.last_seq)
            reader.seek(seq, offsets[seq])
        else:
            _read(reader, number, offsets)
        assert writer.size == sum(s.path.stat().st_size for s in segments(folder))
    while _read(reader, 1 << 20, offsets):
        pass
    assert (reader.seq, reader.offset) == (writer.last_seq, writer.output_bytes)
    reader.close()
    writer.close()


def _read(reader, limit, offsets):
    before = reader.seq
    batch = reader.read(limit, 0)
    if batch is None:
        return False
    seq = before
    for body in batch.events:
        event = events.decode(bytes(body))
        first, last = events.span(event)
        assert first == seq + 1
        assert events.output_bytes(event) == offsets[last] - offsets[first - 1]
        seq = last
    assert (batch.last, reader.seq) == (seq, seq)
    return True


@given(st.binary(max_size=200), st.integers(0, 50))
def test_any_bytes_are_a_record_or_damage(data, position):
    try:
        found = parse(memoryview(data), position)
    except DamagedError:
        return
    assert found is None or found.end <= len(data)
