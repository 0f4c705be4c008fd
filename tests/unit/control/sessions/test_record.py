import pytest

from earthshine.control.sessions.record import MAX_LOG_BYTES
from earthshine.control.sessions.schemas import SessionState
from earthshine.protocols import events
from earthshine.protocols.events import Event
from tests.unit.control.sessions.test_journal import record
from tests.unit.control.world import exited, output, started


@pytest.fixture
def session():
    return record("s", "p")


def test_a_session_from_start_to_exit(session):
    assert not session.is_final
    assert session.apply(started(1))
    assert (session.state, session.folder, session.cols) == (
        SessionState.RUNNING,
        "/home/anna",
        100,
    )
    assert session.started_at is not None
    assert not session.apply(output(2, b"abc")), "output is no news for the lists"
    assert (session.log_bytes, session.last_seq) == (3, 2)
    assert session.apply(events.entry(3, 0, events.Resized(cols=9, rows=8)))
    assert (session.cols, session.rows) == (9, 8)
    assert session.apply(events.entry(4, 0, events.Stopping(by="a", how="stop", command_id="c")))
    assert session.state == SessionState.STOPPING
    assert session.apply(exited(5, None, 15))
    assert (session.state, session.exit_code, session.signal) == (SessionState.EXITED, None, 15)
    assert session.is_final
    assert session.last_seq == 5


def test_a_failure_keeps_its_words(session):
    session.apply(events.entry(1, 0, events.Failed(code="c", detail="d", remedy="r")))
    assert session.reason == {"code": "c", "detail": "d", "remedy": "r"}
    assert session.is_final


def test_a_gap_counts_what_is_missing(session):
    session.apply(events.entry(9, 0, events.Gap(first_seq=1, last_seq=9, bytes=50, reason="")))
    assert (session.log_bytes, session.last_seq) == (50, 9)
    for seq in range(10, 2000):
        gap = events.Gap(first_seq=seq, last_seq=seq, bytes=2**53, reason="")
        session.apply(events.entry(seq, 0, gap))
    assert session.log_bytes <= MAX_LOG_BYTES


@pytest.mark.parametrize("kind", [2, 3, 6, 7, 8, 9, 42])
def test_what_cannot_be_read_changes_nothing_but_the_cursor(session, kind):
    if kind not in (6, 42):
        assert not session.apply(Event(1, 2**63 - 1, kind, b"\xff"))
    else:
        session.apply(Event(1, 2**63 - 1, kind, b"\xff"))
    assert session.last_seq == 1


def test_prompts_are_no_change_of_state(session):
    prompt = events.Prompted(text="t", by="b", command_id="c")
    assert not session.apply(events.entry(1, 0, prompt))
    assert session.state == SessionState.QUEUED
