"""Prompts are typed one by one, and never into a question."""

import pytest

from earthshine.runner.holder.prompts import (
    MAX_WAITING,
    MAX_WAITING_BYTES,
    READ_RATE,
    STEP,
    PromptQueue,
)
from earthshine.runner.holder.terminal import MAX_ASKING, PENDING, TerminalQueries

BLOCKED = b"\x1b]7501;state=blocked:app=agent:kind=permission\x1b\\"
WORKING = b"\x1b]7501;state=working:app=agent\x07"


@pytest.fixture
def terminal():
    return TerminalQueries(80, 24, lambda output, cols, rows: (1, 1))


@pytest.fixture
def queue(terminal):
    return PromptQueue(terminal)


def typed(queue, start, end):
    """What is typed from `start` on, each with its time."""
    found, now = [], start
    while (due := queue.due(now)) is not None and (now := now + due) <= end:
        found.append((round(now - start, 3), queue.take(now)))
    return found


def test_a_prompt_is_a_paste_and_a_moment_later_enter(queue):
    queue.add("one\r\ntwo")
    assert typed(queue, 10.0, 20.0) == [(0.0, b"one\rtwo"), (STEP, b"\r")]
    assert queue.due(20.0) is None
    assert queue.take(20.0) == b""


def test_the_enter_of_a_long_prompt_waits_until_it_is_read(queue):
    queue.add("x" * READ_RATE)
    queue.take(0.0)
    assert queue.due(0.0) == pytest.approx(1.0 + STEP)


def test_prompts_that_come_together_stay_apart(queue):
    queue.add("one")
    queue.add("two")
    assert [keys for _, keys in typed(queue, 0.0, 9.0)] == [b"one", b"\r", b"two", b"\r"]


def test_a_marked_paste_cannot_be_ended_from_inside(queue, terminal):
    terminal.feed(b"\x1b[?2004h")
    queue.add("a\nb\x1b[201~c")
    assert queue.take(0.0) == b"\x1b[200~a\nbc\x1b[201~"


def test_nothing_follows_other_keys_at_once(queue):
    queue.add("one")
    queue.pause(5.0)
    assert queue.take(5.0) == b""
    assert queue.due(5.0) == pytest.approx(STEP)
    assert queue.take(5.0 + STEP) == b"one"


def test_a_question_holds_prompts_up_until_it_is_answered(queue, terminal):
    terminal.feed(BLOCKED)
    queue.add("one")
    assert queue.held_up
    assert queue.due(0.0) is None
    assert queue.take(0.0) == b""
    terminal.feed(WORKING)
    assert not queue.held_up
    assert queue.take(0.0) == b"one"


def test_a_question_that_comes_between_paste_and_enter_gets_no_enter(queue, terminal):
    queue.add("one")
    assert queue.take(0.0) == b"one"
    terminal.feed(BLOCKED)
    assert queue.take(1.0) == b""
    terminal.answered()
    assert queue.take(1.0) == b"\r"


def test_what_waits_is_bounded(queue):
    assert all(queue.add("x") for _ in range(MAX_WAITING))
    assert not queue.add("x")


def test_the_bytes_that_wait_are_bounded(queue):
    half = "x" * (MAX_WAITING_BYTES // 2)
    assert queue.add(half)
    assert queue.add(half)
    assert not queue.add("x")
    queue.take(0.0)
    assert queue.add("x")


def test_a_program_is_told_that_its_reports_are_read_before_the_device_attributes(terminal):
    assert terminal.feed(b"\x1b]7501;?\x07\x1b[c").startswith(b"\x1b]7501;?\x1b\\\x1b[?")


def test_a_report_may_come_byte_by_byte(terminal):
    long = b"\x1b]7501;state=blocked:msg=" + b"QQ==" * 1000 + b"\x1b\\"
    assert len(long) < PENDING
    for position in range(len(long)):
        assert not terminal.asking
        terminal.feed(long[position : position + 1])
    assert terminal.asking


def test_each_task_of_a_program_asks_for_itself(terminal):
    terminal.feed(b"\x1b]7501;state=blocked:id=build/test\x07\x1b]7501;state=blocked:id=docs\x07")
    terminal.feed(b"\x1b]7501;state=done\x07")
    assert terminal.asking
    terminal.feed(b"\x1b]7501;state=clear:id=build\x07")
    assert terminal.asking
    terminal.feed(b"\x1b]7501;state=idle:id=docs\x07")
    assert not terminal.asking


@pytest.mark.parametrize("end", [b"\x1b]7501;state=clear\x07", b"\x1bc"])
def test_clearing_everything(terminal, end):
    terminal.feed(BLOCKED + b"\x1b]7501;state=blocked:id=a\x07")
    terminal.feed(end)
    assert not terminal.asking


def test_a_flood_of_tasks_is_bounded(terminal):
    for number in range(2 * MAX_ASKING):
        terminal.feed(b"\x1b]7501;state=blocked:id=%d\x07" % number)
    for number in range(MAX_ASKING):
        terminal.feed(b"\x1b]7501;state=done:id=%d\x07" % number)
    assert not terminal.asking


@pytest.mark.parametrize("nonsense", [b"", b"state", b"=", b"blocked", b"state=:id", b"::=::"])
def test_nonsense_is_no_question(terminal, nonsense):
    assert terminal.feed(b"\x1b]7501;" + nonsense + b"\x07") == b""
    assert not terminal.asking


def test_a_raised_hand_in_the_title_asks_too(terminal):
    terminal.feed("\x1b]0;✋  Action Required (moon)\x07".encode())
    assert terminal.asking
    terminal.feed("\x1b]0;✦  Working… (moon)\x07".encode())
    assert not terminal.asking
