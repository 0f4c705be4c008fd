import pytest

from earthshine.protocols import events
from earthshine.protocols.events import Event, EventError, Gap, Kind


def test_an_entry_survives_encoding():
    event = Event(7, 1_700_000_000_000, Kind.OUTPUT, b"\x1b[1mhello\x00\xff")
    assert events.decode(events.encode(event)) == event


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        (
            events.Started(agent="shell", argv=["sh"], pid=1, folder="/", cols=80, rows=24),
            Kind.STARTED,
        ),
        (events.Resized(cols=80, rows=24), Kind.RESIZED),
        (events.Prompted(text="hi", by="anna", command_id="c1"), Kind.PROMPTED),
        (events.Interrupted(by="anna", command_id="c1"), Kind.INTERRUPTED),
        (events.Stopping(by="anna", how="kill", command_id="c1"), Kind.STOPPING),
        (events.Exited(exit_code=3, signal=None), Kind.EXITED),
        (events.Failed(code="lost", detail="gone"), Kind.FAILED),
        (Gap(first_seq=2, last_seq=5, bytes=10, reason="spool-limit"), Kind.GAP),
    ],
)
def test_each_kind_carries_its_own_detail(detail, kind):
    entry = events.entry(5, 0, detail)
    assert entry.kind == kind
    assert events.detail(entry, type(detail)) == detail


def test_every_kind_but_output_has_a_detail():
    assert set(events.DETAILS) == set(Kind) - {Kind.OUTPUT}


def test_details_are_camel_case_json():
    entry = events.entry(1, 0, events.Exited(exit_code=0, signal=None))
    assert entry.data == b'{"exitCode":0,"signal":null}'


@pytest.mark.parametrize(
    "event",
    [
        Event(0, 0, 1, b""),
        Event(-1, 0, 1, b""),
        Event(2**63, 0, 1, b""),
        Event(1, -1, 1, b""),
        Event(1, 2**63, 1, b""),
        Event(1, 0, 0, b""),
        Event(1, 0, 256, b""),
        Event(1, 0, Kind.OUTPUT, bytes(events.MAX_DATA + 1)),
        Event(1, 0, Kind.PROMPTED, bytes(events.MAX_PROMPT_DATA + 1)),
    ],
)
def test_entries_beyond_a_limit_are_refused(event):
    with pytest.raises(EventError):
        events.validate(event)


@pytest.mark.parametrize(
    "event",
    [
        Event(1, 0, Kind.OUTPUT, bytes(events.MAX_DATA)),
        Event(2**63 - 1, 2**63 - 1, 255, b""),
        Event(1, 0, Kind.PROMPTED, bytes(events.MAX_PROMPT_DATA)),
    ],
)
def test_entries_at_a_limit_are_taken(event):
    events.validate(event)


def test_the_longest_prompt_the_api_takes_fits_however_it_is_escaped():
    text = "\0" * (256 * 1024)
    prompt = events.Prompted(text=text, by="n" * 64, command_id="c" * 64)
    events.validate(events.entry(1, 0, prompt))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x94\x01", b"\x90", b'{"seq": 1}'])
def test_what_is_no_entry_is_refused(data):
    with pytest.raises(EventError):
        events.decode(data)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"cols":"x","rows":1}', b"\xff"])
def test_a_detail_of_another_shape_is_refused(data):
    with pytest.raises(EventError):
        events.detail(Event(1, 0, Kind.RESIZED, data), events.Resized)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_numbers_that_no_database_can_keep_are_refused(number):
    resized = Event(1, 0, Kind.RESIZED, b'{"cols":%d,"rows":1}' % number)
    with pytest.raises(EventError):
        events.detail(resized, events.Resized)


def test_a_gap_spans_what_is_missing_and_counts_its_output():
    gap = events.entry(9, 0, Gap(first_seq=4, last_seq=9, bytes=1234, reason="spool-limit"))
    assert events.span(gap) == (4, 9)
    assert events.output_bytes(gap) == 1234


def test_other_entries_span_themselves():
    assert events.span(Event(3, 0, Kind.OUTPUT, b"abc")) == (3, 3)
    assert events.output_bytes(Event(3, 0, Kind.OUTPUT, b"abc")) == 3
    assert events.output_bytes(events.entry(3, 0, events.Resized(cols=1, rows=1))) == 0


@pytest.mark.parametrize(
    "gap",
    [
        Gap(first_seq=4, last_seq=8, bytes=0, reason=""),
        Gap(first_seq=10, last_seq=9, bytes=0, reason=""),
        Gap(first_seq=0, last_seq=9, bytes=0, reason=""),
        Gap(first_seq=4, last_seq=9, bytes=-1, reason=""),
    ],
)
def test_a_gap_that_makes_no_sense_is_refused(gap):
    with pytest.raises(EventError):
        events.span(events.entry(9, 0, gap))
