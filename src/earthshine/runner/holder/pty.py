"""A child process on a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path


class PtyProcess:
    """A started program: `master` is the terminal's far end, non-blocking.

    Raises OSError from the constructor when the program cannot be started.
    """

    def __init__(
        self, argv: list[str], *, folder: str, environment: dict[str, str], cols: int, rows: int
    ) -> None:
        master, slave = os.openpty()
        try:
            _set_size(slave, cols, rows)
            self._process = subprocess.Popen(
                argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=folder,
                env=environment,
                start_new_session=True,
                # This process has one thread, which makes preexec_fn safe.
                preexec_fn=_take_terminal,  # noqa: PLW1509
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        os.set_blocking(master, False)
        self.master = master
        self.pid = self._process.pid

    def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size; the program gets SIGWINCH."""
        _set_size(self.master, cols, rows)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the program runs."""
        return self._process.poll()

    def hang_up(self) -> None:
        """What closing a terminal's window does: SIGHUP, and SIGTERM for those that ignore it."""
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            self._signal_groups(number)

    def kill(self) -> None:
        """SIGKILL for everything in the terminal's session."""
        for pid in _members(self.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the terminal; whoever still has it open gets SIGHUP."""
        os.close(self.master)

    def _signal_groups(self, number: int) -> None:
        groups = {self.pid}
        with suppress(OSError):
            groups.add(os.tcgetpgrp(self.master))
        for group in groups - {0, 1}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)


def _take_terminal() -> None:
    # What the runner or whoever started it ignores must not be ignored by the agent.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _set_size(fd: int, cols: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _members(session: int) -> list[int]:
    """Processes of a terminal session; the leader last, so that it cannot start more meanwhile."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold anything, so count from its end.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    found.append(int(entry.name))
    return sorted(found, key=lambda pid: (pid == session, pid))
