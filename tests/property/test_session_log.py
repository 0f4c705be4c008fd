"""The parsers around a session's log on anything at all, and replay over a line that breaks."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from earthshine.protocols import envelope, events, feed
from earthshine.protocols.envelope import Control, EnvelopeError
from earthshine.protocols.events import Event, EventError, Gap, Kind
from earthshine.protocols.feed import FeedError
from earthshine.protocols.link import Link, Role, refusal
from earthshine.protocols.replay import HoleError, Receiver, Sender
from tests.unit.protocols.test_envelope import FRAMES, HELLO

SEQ = st.integers(1, 2**63 - 1)
EVENTS = st.builds(
    Event, SEQ, st.integers(0, 2**63 - 1), st.integers(1, 255), st.binary(max_size=200)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def near_misses(draw):
    """A true frame with one member replaced by anything."""
    frame = json.loads(envelope.encode_text(draw(st.sampled_from(FRAMES))))
    place = frame
    while isinstance(place.get("payload"), dict) and draw(st.booleans()):
        place = place["payload"]
    place[draw(st.sampled_from([*place, "seq", "ts"]))] = draw(JSON)
    return json.dumps(frame)


# --- entries -------------------------------------------------------------------------------------


@given(EVENTS)
def test_an_entry_survives_and_every_truncation_is_refused(event):
    data = events.encode(event)
    assert events.decode(data) == event
    for cut in range(len(data)):
        try:
            events.decode(data[:cut])
        except EventError:
            continue
        raise AssertionError(f"the first {cut} bytes were taken for an entry")


@given(st.binary())
def test_any_bytes_are_an_entry_or_refused(data):
    try:
        event = events.decode(data)
    except EventError:
        return
    assert events.decode(events.encode(event)) == event


@given(EVENTS, st.sampled_from(list(events.DETAILS.values())), st.binary() | JSON)
def test_any_data_is_a_detail_or_refused(event, kind, data):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    event = msgspec.structs.replace(event, data=body)
    try:
        detail = events.detail(event, kind)
    except EventError:
        return
    assert events.detail(events.entry(event.seq, event.ts, detail), kind) == detail


# --- frames --------------------------------------------------------------------------------------


@given(st.binary() | st.text(alphabet=st.characters()) | near_misses())
def test_any_message_is_a_frame_that_can_be_sent_on_or_refused(message):
    try:
        frame = envelope.decode(message)
    except EnvelopeError as error:
        envelope.decode(envelope.encode(refusal(error)))
        return
    if not isinstance(frame, Control):  # the value of `Done` is anything JSON can say
        assert envelope.encode(frame)


@given(st.sampled_from(FRAMES))
def test_every_truncation_of_a_frame_is_refused(frame):
    for message in (envelope.encode(frame), envelope.encode_text(frame)):
        for cut in range(len(message)):
            try:
                envelope.decode(message[:cut])
            except EnvelopeError:
                continue
            raise AssertionError(f"{message[:cut]!r} was taken for a frame")


@given(
    st.sampled_from(Role),
    st.lists(
        st.binary(max_size=40)
        | near_misses()
        | st.sampled_from([envelope.encode(frame) for frame in FRAMES]),
        max_size=20,
    ),
)
def test_a_link_takes_any_conversation_or_refuses(role, messages):
    link = Link(role, 0)
    for now, message in enumerate([envelope.encode(HELLO), *messages]):
        try:
            link.receive(message, now)
        except EnvelopeError:
            continue
        assert link.heard == now


# --- feed ----------------------------------------------------------------------------------------


@given(st.lists(EVENTS))
def test_records_survive(entries):
    assert list(feed.records(b"".join(map(feed.record, entries)))) == entries


@given(st.binary())
def test_any_bytes_are_records_or_refused(message):
    try:
        found = list(feed.records(message))
    except FeedError:
        return
    assert b"".join(map(feed.record, found)) == message


CLIENT_MESSAGES = st.builds(
    lambda kind, members: json.dumps({"type": kind, **members}),
    st.sampled_from(["prompt", "interrupt", "resize", "lead", "ack", "ping"]),
    st.dictionaries(st.sampled_from(["commandId", "text", "cols", "rows", "seq", "ts"]), JSON),
)


@given(st.text(alphabet=st.characters()) | JSON.map(json.dumps) | CLIENT_MESSAGES)
def test_any_text_is_a_client_message_or_refused(text):
    try:
        message = feed.decode(text)
    except FeedError:
        return
    assert feed.decode(msgspec.json.encode(message).decode()) == message


# --- replay --------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 40))
def test_a_log_arrives_whole_in_order_and_once_over_any_line(data, length):
    """Batches are repeated, lost, and cut by reconnects; some of the log is given up meanwhile."""
    log = [Event(n, 0, Kind.OUTPUT, bytes([n]) * (n % 7)) for n in range(1, length + 1)]
    total = sum(len(event.data) for event in log)
    receiver, sender = Receiver(), Sender(window=60)
    oldest = 1  # what is before it, the spool has given up
    stored: list[Event] = []
    for _ in range(10_000):
        if receiver.seq == length:
            break
        step = data.draw(st.sampled_from(["send", "send", "lose", "repeat", "break", "give-up"]))
        if step == "break":
            sender.resume(receiver.seq)
        elif step == "give-up" and oldest < length:
            oldest = data.draw(st.integers(oldest, length))
        elif step == "repeat" and stored:
            back = data.draw(st.integers(1, len(stored)))
            assert receiver.take(stored[-back:]) == []
        elif step in ("send", "lose") and sender.sent < length and sender.room:
            batch = _next(log, sender.sent, oldest, data.draw(st.integers(1, 5)))
            sender.send(batch[-1].seq, sum(len(event.data) for event in batch))
            if step == "lose":
                continue
            try:
                fresh = receiver.take(batch)
            except HoleError:
                sender.resume(receiver.seq)
                continue
            stored += fresh
            assert sender.ack(receiver.seq)
        else:
            sender.resume(receiver.seq)
    assert receiver.seq == length
    assert receiver.bytes == total
    covered = [n for event in stored for n in range(*_range(event))]
    assert covered == list(range(1, length + 1))


def _next(log, sent, oldest, count):
    if oldest > sent + 1:
        lost = sum(len(event.data) for event in log[sent : oldest - 1])
        detail = Gap(first_seq=sent + 1, last_seq=oldest - 1, bytes=lost, reason="spool-limit")
        return [events.entry(oldest - 1, 0, detail)]
    return log[sent : sent + count]


def _range(event):
    first, last = events.span(event)
    return first, last + 1


@given(st.lists(EVENTS, max_size=8), st.integers(0, 2**40))
def test_a_receiver_takes_any_entries_or_refuses_all(entries, seq):
    receiver = Receiver(seq, 5)
    try:
        fresh = receiver.take(entries)
    except (HoleError, EventError):
        assert (receiver.seq, receiver.bytes) == (seq, 5)
        return
    assert receiver.seq == (fresh[-1].seq if fresh else seq)
