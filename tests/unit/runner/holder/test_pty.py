import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from earthshine.runner.holder.pty import PtyProcess


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*argv):
        pty = PtyProcess(
            list(argv),
            folder=str(tmp_path),
            environment={"PATH": os.environ["PATH"]},
            cols=91,
            rows=17,
        )
        started.append(pty)
        return pty

    yield start
    for pty in started:
        pty.kill()
        pty._process.wait()
        pty.close()


def printed(pty, wait_until, words):
    got = bytearray()

    def look():
        with contextlib.suppress(OSError):
            got.extend(os.read(pty.master, 4096))
        return words in got

    wait_until(look)
    return bytes(got)


def test_the_program_has_a_terminal_of_the_given_size(start, wait_until):
    pty = start("stty", "size")
    printed(pty, wait_until, b"17 91")
    wait_until(lambda: pty.poll() is not None)
    assert pty.poll() == 0


def test_the_terminal_is_its_controlling_one(start, wait_until):
    pty = start("sh", "-c", "echo hello > /dev/tty; ps -o tpgid=,pgid= -p $$")
    printed(pty, wait_until, b"hello")


def test_a_resize_reaches_the_program(start, wait_until):
    pty = start(
        "sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
    )
    printed(pty, wait_until, b"ready")
    pty.resize(33, 44)
    printed(pty, wait_until, b"44 33")


def test_signals_that_the_runner_ignores_work_in_the_program(start, wait_until):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pty = start("sleep", "60")
    finally:
        signal.signal(signal.SIGINT, before)
    os.kill(pty.pid, signal.SIGINT)
    wait_until(lambda: pty.poll() is not None)
    assert pty.poll() == -signal.SIGINT


def test_hanging_up_ends_a_program_that_does_not_care(start, wait_until):
    pty = start("sleep", "60")
    pty.hang_up()
    wait_until(lambda: pty.poll() is not None)
    assert pty.poll() in (-signal.SIGHUP, -signal.SIGTERM)


def test_hanging_up_wakes_a_stopped_program(start, wait_until):
    pty = start("sleep", "60")
    os.kill(pty.pid, signal.SIGSTOP)
    pty.hang_up()
    wait_until(lambda: pty.poll() is not None)


def test_kill_reaches_everything_in_the_session(start, wait_until):
    code = "sleep 60 & echo first $!; set -m; sleep 60 & echo second $!; echo all; wait"
    pty = start("bash", "-c", code)
    words = printed(pty, wait_until, b"all").split()
    children = [int(words[words.index(name) + 1]) for name in (b"first", b"second")]
    pty.kill()
    wait_until(lambda: pty.poll() is not None)
    wait_until(lambda: not any(_runs(pid) for pid in children))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_foreground_job_hears_of_the_end_too(start, wait_until):
    pty = start("bash", "-i")
    os.write(pty.master, b"echo re''ady\r")
    printed(pty, wait_until, b"ready")
    os.write(pty.master, f"{sys.executable} -c 'print(6*7); input()'\r".encode())
    printed(pty, wait_until, b"42")
    pty.hang_up()
    wait_until(lambda: pty.poll() is not None)


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/etc/passwd"]])
def test_a_program_that_cannot_be_started_leaves_nothing_open(start, argv):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=argv[0]):
        start(*argv)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
