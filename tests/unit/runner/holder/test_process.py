"""A holder and its agent: how they begin and end."""

import errno
import hashlib
import os
import signal
from pathlib import Path

import pytest

from earthshine.protocols import events
from earthshine.protocols.envelope import Input
from earthshine.protocols.events import Kind
from earthshine.runner.holder import place
from earthshine.runner.holder.__main__ import _why
from earthshine.runner.holder.messages import Condition, Ready, Unable
from tests.unit.runner.holder.held_agent import (
    WRITE_ALL,
    python,
    stream,
)


def test_the_log_begins_with_started(held):
    answer = held.start(["sleep", "60"], agent="shell", branch="topic")
    assert isinstance(answer, Ready)
    started = held.log()[0]
    assert started.kind == Kind.STARTED
    assert events.detail(started, events.Started) == events.Started(
        agent="shell",
        argv=["sleep", "60"],
        pid=answer.pid,
        folder=str(held.work),
        cols=80,
        rows=24,
        branch="topic",
    )


def test_every_byte_the_agent_prints_is_in_the_log(held):
    held.start(python(WRITE_ALL.format(1000)))
    assert held.end() == events.Exited(exit_code=0, signal=None)
    assert hashlib.sha256(held.output()).digest() == hashlib.sha256(stream(1000)).digest()
    seqs = [event.seq for event in held.log()]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("exit 0", 0, None),
        ("exit 7", 7, None),
        ("exit 255", 255, None),
        ("kill -TERM $$", None, 15),
        ("kill -KILL $$", None, 9),
    ],
)
def test_how_the_agent_ended_is_kept(held, script, code, number):
    held.start(["sh", "-c", f"echo last words; {script}"])
    assert held.end() == events.Exited(exit_code=code, signal=number)
    assert held.output() == b"last words\r\n"


def test_the_agent_works_in_its_folder_with_its_environment_and_nothing_else(held):
    code = (
        "print(os.getcwd(), open('/proc/self/environ').read(), os.getsid(0) == os.getpid(),"
        " os.listdir('/proc/self/fd'), end='\\r\\n')"
    )
    held.start(python(code), environment={"SECRET": "s3cret"})
    held.end()
    # The listing of open files itself opens one.
    expected = f"{held.work} SECRET=s3cret\0 True ['0', '1', '2', '3']\r\n"
    assert held.output() == expected.encode()


def test_the_environment_is_nowhere_in_the_holders_arguments(held):
    held.start(["sleep", "60"], environment={"PATH": os.environ["PATH"], "TOKEN": "s3cret"})
    assert b"s3cret" not in Path(f"/proc/{held.holder_pid}/cmdline").read_bytes()


def test_the_holder_outlives_signals_meant_for_the_runner(held):
    held.start(["sh", "-c", "read line; echo got $line"])
    for number in (signal.SIGHUP, signal.SIGINT):
        os.kill(held.holder_pid, number)
    held.line().say(Input(data=b"it\r"))
    held.until_printed(b"got it")
    assert held.end().exit_code == 0


def test_a_background_process_does_not_keep_the_session_open(held):
    held.start(["sh", "-c", "sleep 30 & echo started; exit 3"])
    assert held.end().exit_code == 3
    assert held.output() == b"started\r\n"


def test_a_background_process_that_prints_on_does_not_either(held):
    held.start(["sh", "-c", "(trap '' HUP; while :; do echo on; done) & exit 4"])
    assert held.end().exit_code == 4


def test_an_agent_that_lets_go_of_its_terminal_is_still_waited_for(held):
    held.start(["sh", "-c", "echo bye; exec >/dev/null 2>&1 </dev/null; sleep 0.9; exit 5"])
    assert held.end().exit_code == 5
    assert held.output() == b"bye\r\n"


def test_an_agent_that_opens_its_terminal_again_is_heard(held):
    script = "t=$(tty); exec >/dev/null 2>&1 </dev/null; sleep 0.8; echo back > $t; sleep 0.8"
    held.start(["sh", "-c", script])
    held.end()
    assert held.output() == b"back\r\n"


def test_nothing_is_left_when_all_is_written(held):
    held.start(["sh", "-c", "read line"])
    held.line().say(Input(data=b"\r"))
    held.end()
    held.close()
    assert not (held.folder / place.SOCKET).exists()
    assert (held.folder / "holder.log").read_bytes() == b""


# --- what keeps an agent from starting -----------------------------------------------------------


def test_an_agent_that_is_missing(held):
    answer = held.start(["/no/such/program"])
    assert isinstance(answer, Unable)
    assert answer.code == "agent-missing"
    assert "/no/such/program" in answer.detail


def test_a_folder_that_is_missing(held):
    answer = held.start(["true"], folder="/no/such/folder")
    assert isinstance(answer, Unable)
    assert answer.code == "folder-missing"


def test_a_file_that_is_no_program(held):
    answer = held.start(["/etc/passwd"])
    assert isinstance(answer, Unable)
    assert answer.code == "not-executable"


def test_arguments_that_the_system_does_not_take(held):
    answer = held.start(["echo", "x" * 200_000])
    assert isinstance(answer, Unable)
    assert answer.code == "spawn-failed"
    assert "too long" in answer.detail


def test_a_zero_byte_in_the_arguments(held):
    answer = held.start(["echo", "a\0b"])
    assert isinstance(answer, Unable)
    assert answer.code == "spawn-failed"


def test_long_arguments_do_not_break_the_log(held):
    held.start(["echo", *["\1" * 1000] * 100])
    assert held.end().exit_code == 0
    started = events.detail(held.log()[0], events.Started)
    assert started.argv[0] == "echo"
    assert len(held.output()) > 100_000


def test_a_second_holder_for_the_same_session_is_refused(held):
    held.start(["sleep", "60"])
    first = held.pid
    assert isinstance(held.start(["sleep", "60"]), Unable)
    os.kill(first, 0)
    assert held.line().hear() == Condition(code="ok"), "the first one's socket is untouched"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_the_start(held, number):
    answer = _why(held.spec(["true"]), OSError(number, os.strerror(number)))
    assert answer.code == "disk-full"
    assert answer.remedy


def test_a_disk_that_is_full_before_the_first_entry_starts_nothing(held, tmp_path):
    script = f"sleep 0.3; touch {tmp_path}/ran"
    answer = held.start(["sh", "-c", script], largest_file=10)
    assert isinstance(answer, Unable)
    assert answer.code == "spawn-failed"
    assert "too large" in answer.detail
    assert held.log() == []
    assert not (tmp_path / "ran").exists()
