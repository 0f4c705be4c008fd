import errno
import hashlib
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from earthshine.protocols import events
from earthshine.protocols.envelope import Attend, Input, Interrupt, Prompt, Resize, Stop
from earthshine.protocols.events import Kind
from earthshine.runner.holder import place
from earthshine.runner.holder import process as holder
from earthshine.runner.holder.__main__ import _why
from earthshine.runner.holder.lines import MAX_LINES
from earthshine.runner.holder.messages import Acked, Condition, Ready, Tail, Unable
from earthshine.runner.spool.segments import segments
from earthshine.runner.spool.writer import MIN_LIMIT
from tests.unit.runner.holder.held_agent import python


def prompt(text, command_id="c1"):
    return Prompt(request_id="", text=text, by="anna", command_id=command_id)


def stop(how, command_id="c1"):
    return Stop(request_id="", by="anna", how=how, command_id=command_id)


def interrupt(command_id="c1"):
    return Interrupt(request_id="", by="anna", command_id=command_id)


def stream(blocks):
    import random

    rng = random.Random(3)
    return b"".join(rng.randbytes(4096) for _ in range(blocks))


WAIT = "os.write(1, b'ready'); os.read(0, 1)\n"

# A PTY may take less than was offered.
WRITE_ALL = (
    "\ndef out(d):\n while d:\n  d = d[os.write(1, d):]\n"
    "import random\nr = random.Random(3)\nfor _ in range({}): out(r.randbytes(4096))\n"
)


# --- life ----------------------------------------------------------------------------------------


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


# --- commands ------------------------------------------------------------------------------------


READ_KEYS = "\nout = b''\nwhile out[-1:] != b'!': out += os.read(0, 99)\nprint(out.hex())"


def test_key_strokes_reach_the_program_in_order(held):
    held.start(python(WAIT + READ_KEYS))
    held.until_printed(b"ready")
    line = held.line()
    typed = bytes(range(32)) + "grüße".encode()
    for position in range(len(typed)):
        line.say(Input(data=typed[position : position + 1]))
    line.say(Input(data=b"!"))
    held.until_printed((typed[1:] + b"!").hex().encode())


def test_a_large_paste_arrives_whole(held):
    code = (
        "n = 0\nprint('ready', end='', flush=True)\n"
        "while n < 2_000_000: n += len(os.read(0, 65536))\nprint(n)"
    )
    held.start(python(code))
    held.until_printed(b"ready")
    line = held.line()
    for _ in range(40):
        line.say(Input(data=b"v" * 50_000))
    held.until_printed(b"2000000")


def test_input_that_nobody_reads_is_bounded_and_said(held):
    held.start(python("print('ready', end='', flush=True); import time; time.sleep(60)"))
    held.until_printed(b"ready")
    line = held.line()
    for _ in range(6):
        line.say(Input(data=b"v" * 1024 * 1024))
    while (condition := line.hear(Condition)) == Condition(code="ok"):
        pass
    assert isinstance(condition, Condition)
    assert condition.code == "input-full"


def test_a_program_that_reads_again_is_no_longer_held_up(held):
    code = (
        "print('ready', end='', flush=True)\nimport time; time.sleep(1)\n"
        "while True: os.read(0, 65536)"
    )
    held.start(python(code))
    held.until_printed(b"ready")
    line = held.line()
    for _ in range(6):
        line.say(Input(data=b"v" * 1024 * 1024))
    while line.hear(Condition).code != "input-full":
        pass
    assert line.hear(Condition) == Condition(code="ok")
    line.say(stop("kill"))
    held.end()


def test_a_resize_is_logged_once_and_reaches_the_program(held):
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    held.start(["sh", "-c", script])
    held.until_printed(b"ready")
    line = held.line()
    line.say(Resize(cols=80, rows=24))
    line.say(Resize(cols=132, rows=50))
    line.say(Resize(cols=132, rows=50))
    held.until_printed(b"50 132")
    line.say(stop("kill"))
    held.end()
    assert held.kinds() == [Kind.STARTED, Kind.RESIZED, Kind.STOPPING, Kind.EXITED]


def test_an_interrupt_is_a_key_stroke_of_the_agents_own(held):
    held.start(python("os.write(1, b'ready'); print(os.read(0, 9).hex())"), interrupt=b"\x1b")
    held.until_printed(b"ready")
    held.line().say(interrupt())
    held.until_printed(b"ready1b")
    held.end()
    interrupted = next(event for event in held.log() if event.kind == Kind.INTERRUPTED)
    assert events.detail(interrupted, events.Interrupted) == events.Interrupted(
        by="anna", command_id="c1"
    )


def test_ctrl_c_interrupts_a_program(held):
    code = "import signal, time; signal.signal(2, signal.SIG_DFL); print('ready'); time.sleep(60)"
    held.start([sys.executable, "-u", "-c", code])
    held.until_printed(b"ready")
    held.line().say(interrupt())
    assert held.end().signal == signal.SIGINT


def test_stopping_hangs_up(held):
    held.start(["sleep", "60"])
    held.line().say(stop("stop"))
    assert held.end().signal in (signal.SIGHUP, signal.SIGTERM)
    stopping = next(event for event in held.log() if event.kind == Kind.STOPPING)
    assert events.detail(stopping, events.Stopping).how == "stop"


def test_an_agent_that_does_not_stop_is_killed_after_the_grace(held):
    held.start(["sh", "-c", "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done"])
    held.until_printed(b"ready")
    held.line().say(stop("stop"))
    assert held.end().signal == signal.SIGKILL
    log = held.log()
    stopping = next(event for event in log if event.kind == Kind.STOPPING)
    assert 4900 <= log[-1].ts - stopping.ts <= 9000


def test_killing_is_at_once(held):
    held.start(["sh", "-c", "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done"])
    held.until_printed(b"ready")
    held.line().say(stop("kill"))
    assert held.end().signal == signal.SIGKILL


READ_PASTE = (
    "print({mode!r}, end='', flush=True)\nout = b''\n"
    "while out[-1:] != b'\\r' or len(out) < {length}: out += os.read(0, 999)\n"
    "print('got', out.hex())"
)


def test_a_prompt_is_a_bracketed_paste_where_the_program_wants_that(held):
    text = "first line\r\nsecond \x1b[201~line"
    expected = b"\x1b[200~first line\nsecond line\x1b[201~\r"
    held.start(python(READ_PASTE.format(mode="\x1b[?2004hready", length=len(expected))))
    held.until_printed(b"ready")
    held.line().say(prompt(text))
    held.until_printed(b"got " + expected.hex().encode())
    prompted = next(event for event in held.log() if event.kind == Kind.PROMPTED)
    assert events.detail(prompted, events.Prompted).text == text, "the log has it as it was given"


def test_elsewhere_its_lines_are_typed(held):
    expected = b"one\rtwo\r"
    held.start(python(READ_PASTE.format(mode="ready", length=len(expected))))
    held.until_printed(b"ready")
    held.line().say(prompt("one\ntwo"))
    held.until_printed(b"got " + expected.hex().encode())


def test_the_first_prompt_waits_until_the_program_is_ready(held):
    expected = b"\x1b[200~do it\x1b[201~\r"
    loading = (
        "import termios, time\nfor _ in range(6): print('loading', flush=True); time.sleep(0.1)\n"
        "termios.tcflush(0, termios.TCIFLUSH)\n"
    )
    held.start(
        python(loading + READ_PASTE.format(mode="\x1b[?2004hready", length=len(expected))),
        prompt="do it",
        prompted=prompt("do it", "start-s1"),
    )
    assert held.kinds() == [Kind.STARTED, Kind.PROMPTED]
    held.until_printed(b"got " + expected.hex().encode())
    held.end()
    assert held.kinds() == [Kind.STARTED, Kind.PROMPTED, Kind.EXITED]


def test_a_program_that_reads_when_it_is_ready_gets_its_first_prompt(held):
    expected = b"\x1b[200~do it\x1b[201~\r"
    held.start(
        python(READ_PASTE.format(mode="\x1b[?2004hready", length=len(expected))), prompt="do it"
    )
    held.until_printed(b"got " + expected.hex().encode())


def test_repeated_commands_have_no_second_effect(held):
    echo = "os.write(1, b'ready')\nwhile True: os.write(1, os.read(0, 999).hex().encode())"
    held.start(python(echo))
    held.until_printed(b"ready")
    line = held.line()
    for _ in range(3):
        line.say(prompt("hello", "p1"))
    line.say(prompt("world", "p2"))
    held.until_printed(b"world".hex().encode() + b"0d")
    for _ in range(3):
        line.say(interrupt("i1"))
    for _ in range(2):
        line.say(stop("kill", "k1"))
    held.end()
    assert held.output().count(b"hello".hex().encode()) == 1
    assert held.kinds() == [
        Kind.STARTED,
        Kind.PROMPTED,
        Kind.PROMPTED,
        Kind.INTERRUPTED,
        Kind.STOPPING,
        Kind.EXITED,
    ]


def test_the_longest_prompt_is_taken(held):
    held.start(python("\nwhile True: os.read(0, 65536)"))
    line = held.line()
    line.say(prompt("\0" * 256 * 1024))
    line.say(stop("kill", "c2"))
    held.end()
    assert Kind.PROMPTED in held.kinds()


def test_queries_are_answered_while_nobody_watches(held):
    held.start(
        python("os.write(1, b'\\x1b[5n\\x1b[18t'); a = os.read(0, 99)\nprint('got', a.hex())")
    )
    held.until_printed(b"got " + b"\x1b[0n\x1b[8;24;80t".hex().encode())


ASK_CURSOR = (
    "os.write(1, b'ready'); os.read(0, 1); os.write(1, b'\\x1b[6n')\n"
    "print('got', os.read(0, 99).hex())"
)


def test_the_cursor_is_left_to_a_leading_viewer(held):
    held.start(python(ASK_CURSOR))
    held.until_printed(b"ready")
    line = held.line()
    line.say(Attend(attended=True))
    line.say(Input(data=b"x"))
    line.say(Input(data=b"the viewer's answer"))
    held.until_printed(b"got " + b"the viewer's answer".hex().encode())


def test_a_leader_that_went_with_the_runner_does_not_leave_the_program_waiting(held):
    held.start(python(ASK_CURSOR))
    held.until_printed(b"ready")
    line = held.line()
    line.say(Attend(attended=True))
    line.say(Resize(cols=81, rows=24))
    line.close()
    again = held.line()
    again.say(Input(data=b"x"))
    held.until_printed(b"got " + b"\x1b[1;6R".hex().encode())


# --- the runner's line ---------------------------------------------------------------------------


def test_a_runner_hears_the_condition_and_how_far_the_log_is(held):
    held.start(["cat"])
    line = held.line()
    assert line.hear() == Condition(code="ok")
    assert line.hear() == Tail(seq=1)
    line.say(Input(data=b"x"))
    tail = line.hear()
    assert isinstance(tail, Tail)
    assert tail.seq >= 2


def test_the_line_ends_with_the_session(held):
    held.start(["sh", "-c", "read x"])
    line = held.line()
    line.say(Input(data=b"\r"))
    last = None
    while (message := line.hear()) is not None:
        last = message
    assert last == Tail(seq=held.log()[-1].seq)


def test_the_agent_goes_on_while_the_runner_is_away_and_when_it_is_back(held):
    held.start(["sh", "-c", "while read line; do echo heard $line; done"])
    for number in range(5):
        line = held.line()
        line.say(Input(data=f"{number}\r".encode()))
        held.until_printed(f"heard {number}".encode())
        line.close()
    line = held.line()
    assert line.hear() == Condition(code="ok")
    assert line.hear() == Tail(seq=held.log()[-1].seq)


def test_a_runner_that_does_not_read_does_not_hold_the_agent_up(held):
    held.start(python(f"{WAIT}{WRITE_ALL.format(1500)}"))
    held.until_printed(b"ready")
    line = held.line()
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    line.say(Input(data=b"x"))
    assert held.end().exit_code == 0
    assert held.output() == b"ready" + stream(1500)


def test_nonsense_ends_the_line_and_nothing_else(held):
    held.start(["cat"])
    for nonsense in (b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x81\xa0"):
        line = held.line()
        line.socket.sendall(nonsense)
        while line.hear() is not None:
            pass
    line = held.line()
    line.say(Input(data=b"alive\r"))
    held.until_printed(b"alive")


def test_only_so_many_lines_at_once(held):
    held.start(["cat"])
    lines = [held.line() for _ in range(MAX_LINES)]
    for line in lines:
        assert line.hear() == Condition(code="ok")
    assert held.line().hear() is None
    lines[0].close()
    lines[1].say(Input(data=b"x"))
    held.until_printed(b"x")
    assert held.line().hear() == Condition(code="ok")


def test_the_socket_is_for_this_user_only(held):
    held.start(["cat"])
    assert (held.folder / place.SOCKET).stat().st_mode & 0o777 == 0o600


# --- limits --------------------------------------------------------------------------------------


def test_at_the_limit_the_oldest_becomes_one_gap(held):
    held.start(python(WRITE_ALL.format(1500)), spool_limit=MIN_LIMIT)
    assert held.end().exit_code == 0
    size = sum(segment.path.stat().st_size for segment in segments(held.folder / place.SPOOL))
    assert size <= MIN_LIMIT
    gap, *rest = held.log()
    detail = events.detail(gap, events.Gap)
    assert (detail.first_seq, detail.reason) == (1, "spool-limit")
    printed = stream(1500)
    kept = b"".join(event.data for event in rest if event.kind == Kind.OUTPUT)
    assert detail.bytes + len(kept) == len(printed)
    assert printed.endswith(kept)
    assert len(kept) > MIN_LIMIT // 2


def test_an_agent_can_be_paused_at_the_limit_instead(held, wait_until):
    held.start(python(WRITE_ALL.format(600)), spool_limit=MIN_LIMIT, overflow="pause")
    line = held.line()
    while (condition := line.hear(Condition)) == Condition(code="ok"):
        pass
    assert isinstance(condition, Condition)
    assert condition.code == "spool-full"
    assert condition.remedy
    received, seq = bytearray(), 0
    while True:
        fresh = [event for event in held.log() if event.seq > seq]
        assert all(event.kind != Kind.GAP for event in fresh)
        received += b"".join(event.data for event in fresh if event.kind == Kind.OUTPUT)
        if fresh:
            seq = fresh[-1].seq
            if fresh[-1].kind == Kind.EXITED:
                break
            line.say(Acked(seq=seq))
    assert bytes(received) == stream(600)


def test_a_full_disk_pauses_the_agent_and_loses_nothing(held):
    held.start(python(f"{WAIT}{WRITE_ALL.format(300)}sys.exit(6)"))
    held.until_printed(b"ready")
    line = held.line()
    assert line.hear() == Condition(code="ok")
    # No byte of a file beyond this can be written: the kernel's stand-in for a full disk.
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    line.say(Input(data=b"x"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    assert "paused" in condition.detail
    assert len(held.output()) < 200_000
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    assert line.hear(Condition) == Condition(code="ok")
    assert held.end().exit_code == 6
    assert held.output() == b"ready" + stream(300)


def test_a_disk_that_is_full_at_the_end_delays_the_end(held):
    held.start(["sh", "-c", "read x; exit 6"])
    size = segments(held.folder / place.SPOOL)[0].path.stat().st_size
    line = held.line()
    assert line.hear() == Condition(code="ok")
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    line.say(Input(data=b"\r"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    assert held.end().exit_code == 6
    assert held.output() == b"\r\n"


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk-full"), (errno.EDQUOT, "disk-full"), (errno.EIO, "disk-error")],
)
def test_what_is_wrong_with_the_disk_is_said_in_words(number, code):
    condition = holder._disk(OSError(number, ""))
    assert condition.code == code
    assert os.strerror(number) in condition.detail


# --- secrets -------------------------------------------------------------------------------------

SECRET = "sk-test-0123456789"


def with_secret(held, argv, **other):
    """Start an agent whose environment holds a secret."""
    environment = held.spec(argv).environment | {"API_KEY": SECRET}
    return held.start(argv, environment=environment, redact=["API_KEY"], **other)


def test_a_secret_that_the_agent_prints_is_redacted(held):
    code = f"os.write(1, b'<{SECRET}>'); os.write(1, os.environ['API_KEY'].encode()[:5])\n"
    with_secret(held, python(code))
    held.end()
    assert held.output() == b"<[redacted API_KEY]>sk-te", "and what only began like one is not lost"


def test_the_beginning_of_a_secret_is_shown_when_nothing_follows(held):
    with_secret(held, python("os.write(1, b'key: sk-test'); os.read(0, 1)\n"))
    assert held.until_printed(b"sk-test") == b"key: sk-test"


def test_a_short_beginning_does_not_wait_for_a_longer_ones_time(held):
    code = "os.write(1, b'sk-test-0'); time.sleep(0.05); os.write(1, b'<s'); os.read(0, 1)\n"
    with_secret(held, python(f"{WAIT}import time; {code}"))
    held.until_printed(b"ready")
    begun = time.monotonic()
    held.line().say(Input(data=b"x"))
    assert held.until_printed(b"<s") == b"readysk-test-0<s"
    assert time.monotonic() - begun < 0.9, "a second is for the longer one"


def test_much_output_with_secrets_in_it_is_whole(held):
    """Their replacements make it longer than one entry may be."""
    with_secret(held, python(f"d = b'{SECRET}' * 20000\nwhile d: d = d[os.write(1, d):]\n"))
    held.end()
    between = held.output().split(b"[redacted API_KEY]")
    assert len(between) == 20_001
    # Where this machine let the agent pause within one, its first few bytes went out.
    assert all(len(part) < 8 and SECRET.encode().startswith(part) for part in between)


def test_a_secret_is_redacted_on_a_full_disk_too(held):
    code = f"{WAIT}d = b'x' * 400000 + b'{SECRET}'\nwhile d: d = d[os.write(1, d):]\n"
    with_secret(held, python(code))
    held.until_printed(b"ready")
    line = held.line()
    assert line.hear() == Condition(code="ok")
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    line.say(Input(data=b"\r"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    held.end()
    assert held.output() == b"ready" + b"x" * 400_000 + b"[redacted API_KEY]"


def test_what_describes_a_holder_holds_no_secret(held):
    spec = held.spec(["x"], environment={"API_KEY": SECRET}, redact=["API_KEY"])
    assert SECRET not in repr(spec)
