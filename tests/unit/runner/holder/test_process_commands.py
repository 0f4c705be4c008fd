"""What a holder is told, and what the runner hears on its line."""

import signal
import socket
import sys

from earthshine.protocols import events
from earthshine.protocols.envelope import Attend, Input, Resize
from earthshine.protocols.events import Kind
from earthshine.runner.holder import place
from earthshine.runner.holder.lines import MAX_LINES
from earthshine.runner.holder.messages import Condition, Tail
from tests.unit.runner.holder.held_agent import (
    WAIT,
    WRITE_ALL,
    interrupt,
    prompt,
    python,
    stop,
    stream,
)

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
