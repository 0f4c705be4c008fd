"""The holder's loop: PTY to spool, runner's commands to PTY.

One thread and one epoll, no asyncio: this process lives as long as the agent does and should be
small. Everything it keeps is bounded: the spool by its limit, input by `MAX_INPUT`, and to a runner
that does not read it owes one `Tail`.
"""

from __future__ import annotations

import errno
import math
import os
import selectors
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from earthshine.protocols import events
from earthshine.protocols.envelope import Attend, Input, Interrupt, Prompt, Resize, Stop
from earthshine.protocols.events import MAX_DATA, Kind
from earthshine.runner.holder.lines import RunnerLines
from earthshine.runner.holder.messages import (
    Acked,
    Condition,
    HolderSpec,
    ToHolder,
)
from earthshine.runner.holder.place import SOCKET, SPOOL
from earthshine.runner.holder.prompts import PromptQueue
from earthshine.runner.holder.pty import PtyProcess
from earthshine.runner.holder.redaction import Redactor
from earthshine.runner.holder.terminal import TerminalQueries
from earthshine.runner.holder.timers import Timers
from earthshine.runner.spool.writer import SpoolWriter

MAX_INPUT: Final = 4 * 1024 * 1024
"""Bytes of input that may wait for a program that does not read."""
STOP_GRACE: Final = 5.0
"""Seconds between asking the agent to end and SIGKILL."""
DRAIN: Final = 0.5
"""Seconds to wait for last output of processes that outlive the agent's first one."""
REOPEN: Final = 0.5
"""Seconds after which a terminal that nobody had open is read again."""
RETRY: Final = 1.0
"""Seconds between attempts to write to a full disk."""
PROMPT_QUIET: Final = 0.3
"""Seconds of silence after which a program counts as ready for its first prompt."""
PROMPT_LATEST: Final = 8.0
REMEMBERED_COMMANDS: Final = 1024
MAX_SHOWN: Final = 6 * 1024
"""Characters of the command that the log shows: an entry has room for them however escaped."""
_OK: Final = Condition(code="ok")
_ASKING: Final = Condition(
    code="asking",
    detail="the agent asks something in its terminal",
    remedy="answer there",
)
_HOLDING_BACK: Final = Condition(
    code="asking",
    detail="the agent asks something in its terminal; the prompt is typed after the answer",
    remedy="answer in the terminal, or interrupt to turn the question down",
)


class Holder:
    """Owns one agent until it has ended and its log is complete."""

    def __init__(self, folder: Path, spec: HolderSpec, listener: socket.socket, lock: int) -> None:
        self._spec = spec
        self._lock = lock
        self._socket_path = folder / SOCKET
        self._writer = SpoolWriter(folder / SPOOL, limit=spec.spool_limit)
        self._queries = TerminalQueries(spec.cols, spec.rows, _cursor)
        self._prompts = PromptQueue(self._queries)
        self._prompts_at = 0.0
        self._redactor = Redactor({name: spec.environment[name] for name in spec.redact})
        self._show_at = math.inf
        self._selector = selectors.DefaultSelector()
        self._lines = RunnerLines(self._selector, listener, self._obey, self._deserted)
        self._input = bytearray()
        self._unwritten: tuple[Kind, bytes] | None = None
        self._seen_commands: OrderedDict[str, None] = OrderedDict()
        self._timers = Timers()
        self._last_output = time.monotonic()
        self._closed = False
        self._ended_at: float | None = None
        self._exit: int | None = None
        self._done = False
        try:
            self._pty = PtyProcess(
                spec.argv,
                folder=spec.folder,
                environment=spec.environment,
                cols=spec.cols,
                rows=spec.rows,
            )
        except BaseException:
            self._writer.close()
            raise

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self._pty.pid

    def begin(self) -> None:
        """Write the first entries. Raises OSError when the disk is full: nothing has begun then."""
        spec = self._spec
        try:
            self._writer.append_detail(
                events.Started(
                    agent=spec.agent,
                    argv=_shown(spec.argv),
                    pid=self._pty.pid,
                    folder=spec.folder,
                    cols=spec.cols,
                    rows=spec.rows,
                    branch=spec.branch,
                ),
                _now(),
            )
            if spec.prompted is not None:
                self._note(_prompted(spec.prompted))
        except OSError:
            self._pty.kill()
            self._pty.close()
            raise
        if spec.prompt:
            latest = time.monotonic() + PROMPT_LATEST
            self._timers.after(PROMPT_QUIET, lambda: self._first_prompt(latest))

    def run(self) -> None:
        """Until the agent has ended and everything it printed is in the spool."""
        pidfd = os.pidfd_open(self._pty.pid)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda _: self._reap(pidfd))
        self._watch_terminal()
        try:
            while not self._done:
                for key, mask in self._selector.select(self._timers.wait()):
                    key.data(mask)
                self._timers.run()
                self._finish_if_ended()
                self._lines.tell(self._writer.last_seq)
            # The last `Tail` should arrive; a runner that does not read finds it on disk anyway.
            self._lines.tell(self._writer.last_seq)
            self._lines.close()
            self._pty.close()
        finally:
            self._socket_path.unlink(missing_ok=True)
            self._writer.close()

    # --- terminal to spool -----------------------------------------------------------------------

    def _watch_terminal(self) -> None:
        """Read from the terminal unless something holds it up; write while input waits."""
        mask = 0
        if self._unwritten is None and not self._closed and not self._held_up():
            mask |= selectors.EVENT_READ
        if self._input:
            mask |= selectors.EVENT_WRITE
        registered = self._selector.get_map().get(self._pty.master)
        if registered is None:
            if mask:
                self._selector.register(self._pty.master, mask, self._terminal)
        elif mask:
            if registered.events != mask:
                self._selector.modify(self._pty.master, mask, self._terminal)
        else:
            self._selector.unregister(self._pty.master)

    def _held_up(self) -> bool:
        return self._spec.overflow == "pause" and self._writer.full

    def _terminal(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush_input()
        if mask & selectors.EVENT_READ:
            self._read_terminal()
        self._watch_terminal()

    def _read_terminal(self) -> bool:
        """Take what the terminal has now, up to a limit; whether there was anything."""
        chunks: list[bytes] = []
        size = 0
        while size < MAX_DATA:
            try:
                data = os.read(self._pty.master, MAX_DATA - size)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                data = b""
            if not data:
                self._terminal_closed()
                break
            chunks.append(data)
            size += len(data)
        if chunks:
            self._last_output = time.monotonic()
            self._printed(self._redactor.feed(b"".join(chunks)))
            self._hold_back()
        return bool(chunks)

    def _printed(self, data: bytes) -> None:
        if not data:
            return
        self._append(Kind.OUTPUT, data)
        reply = self._queries.feed(data)
        if reply:
            self._type(reply)
        self._type_prompts()

    def _hold_back(self) -> None:
        """What may be the beginning of a secret goes out when nothing follows it."""
        quiet = self._redactor.quiet
        if quiet is None:
            return
        due = self._last_output + quiet
        if due < self._show_at:  # else one that comes before is set already
            self._show_at = due
            self._timers.after(max(due - time.monotonic(), 0.001), self._show_held_back)

    def _show_held_back(self) -> None:
        self._show_at = math.inf
        quiet = self._redactor.quiet
        if quiet is None or self._unwritten is not None:
            return  # what could not be written goes first; `_retry` asks again
        if time.monotonic() - self._last_output < quiet:
            self._hold_back()
        else:
            self._printed(self._redactor.give_up())

    def _append(self, kind: Kind, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            try:
                self._writer.append(kind, data[start : start + MAX_DATA], _now())
            except OSError as error:
                # The agent's terminal fills and the agent waits: nothing is lost.
                self._unwritten = (kind, data[start:])
                self._lines.announce(_disk(error))
                self._timers.after(RETRY, self._retry)
                return
        if self._spec.overflow == "gap":
            if self._writer.full:
                self._writer.trim()
        elif self._writer.full:
            self._lines.announce(
                Condition(
                    code="spool-full",
                    detail="the agent is paused: its log has reached the spool limit",
                    remedy="it goes on as soon as the control plane has taken some of it",
                )
            )

    def _retry(self) -> None:
        if self._unwritten is None:
            return
        kind, data = self._unwritten
        self._unwritten = None
        self._append(kind, data)
        if self._unwritten is None:
            self._lines.announce(_OK)
            self._watch_terminal()
            self._hold_back()

    def _note(self, detail: events.Detail) -> None:
        """Log something that is not output; a full disk must not stop what it tells of."""
        with suppress(OSError):
            self._writer.append_detail(detail, _now())

    # --- input -----------------------------------------------------------------------------------

    def _type(self, data: bytes) -> None:
        if len(self._input) + len(data) > MAX_INPUT:
            self._refuse_input()
            return
        self._input += data
        self._flush_input()
        self._watch_terminal()

    def _refuse_input(self) -> None:
        self._lines.announce(
            Condition(
                code="input-full",
                detail="the program does not read its input; what was typed last is dropped",
                remedy="interrupt or stop it",
            )
        )

    def _flush_input(self) -> None:
        while self._input:
            try:
                written = os.write(self._pty.master, self._input[:MAX_DATA])
            except BlockingIOError:
                return
            except OSError:
                self._input.clear()
                return
            del self._input[:written]
        if self._lines.condition.code == "input-full":
            self._lines.announce(_OK)

    def _paste(self, text: str) -> None:
        if self._prompts.add(text):
            self._type_prompts()
        else:
            self._refuse_input()

    def _type_prompts(self) -> None:
        """Type what is due, come back for the rest, and say what holds it up."""
        now = time.monotonic()
        if keys := self._prompts.take(now):
            self._type(keys)
        due = self._prompts.due(now)
        if due is not None and now + due > self._prompts_at:
            self._prompts_at = now + due
            self._timers.after(due, self._type_prompts)
        if self._lines.condition.code in {"ok", "asking"}:
            asking = _HOLDING_BACK if self._prompts.held_up else _ASKING
            self._lines.announce(asking if self._queries.asking else _OK)

    def _first_prompt(self, latest: float) -> None:
        now = time.monotonic()
        ready = self._writer.output_bytes > 0 and now - self._last_output >= PROMPT_QUIET
        if ready or now >= latest:
            self._paste(self._spec.prompt)
        else:
            self._timers.after(PROMPT_QUIET / 3, lambda: self._first_prompt(latest))

    # --- the agent's end -------------------------------------------------------------------------

    def _reap(self, pidfd: int) -> None:
        self._exit = self._pty.poll()
        if self._exit is None:
            return
        self._selector.unregister(pidfd)
        os.close(pidfd)
        self._ended_at = time.monotonic()
        self._timers.after(DRAIN, self._finish_if_ended)

    def _terminal_closed(self) -> None:
        """Nobody has the terminal open; a program that still runs may open it again."""
        self._closed = True
        self._timers.after(REOPEN, self._look_again)

    def _look_again(self) -> None:
        self._closed = False
        self._watch_terminal()

    def _finish_if_ended(self) -> None:
        """Write the last entry once everything before it is written."""
        if self._done or self._ended_at is None or self._exit is None:
            return
        if self._unwritten is not None:
            return  # the disk is full: `_retry` comes back here
        if not self._closed and time.monotonic() - self._ended_at < DRAIN:
            return
        code = self._exit
        try:
            if not self._drain():
                return
            self._writer.append_detail(
                events.Exited(
                    exit_code=code if code >= 0 else None, signal=-code if code < 0 else None
                ),
                _now(),
            )
        except OSError as error:
            self._lines.announce(_disk(error))
            self._timers.after(RETRY, self._finish_if_ended)
            return
        self._done = True

    def _drain(self) -> bool:
        """What the terminal still holds; processes left behind may print on, but not for ever.

        False when the disk is full: there is more to come.
        """
        for _ in range(0 if self._closed else 64):
            came = False
            with suppress(OSError):
                came = self._read_terminal()
            if self._unwritten is not None:
                return False
            if self._closed or not came:
                break
        self._printed(self._redactor.give_up())
        return self._unwritten is None

    # --- the runner ------------------------------------------------------------------------------

    def _obey(self, message: ToHolder) -> None:
        match message:
            case Input():
                self._type(message.data)
            case Resize():
                self._resize(message.cols, message.rows)
            case Attend():
                self._queries.attended = message.attended
            case Acked():
                self._writer.acked(message.seq)
                if self._lines.condition.code == "spool-full" and not self._writer.full:
                    self._lines.announce(_OK)
                self._watch_terminal()
            case Prompt() if self._is_new(message.command_id):
                self._note(_prompted(message))
                self._paste(message.text)
            case Interrupt() if self._is_new(message.command_id):
                self._note(events.Interrupted(by=message.by, command_id=message.command_id))
                self._type(self._spec.interrupt)
                self._prompts.pause(time.monotonic())
                self._queries.answered()
                self._type_prompts()
            case Stop() if self._is_new(message.command_id):
                self._stop(message)

    def _is_new(self, command_id: str) -> bool:
        if command_id in self._seen_commands:
            return False
        self._seen_commands[command_id] = None
        if len(self._seen_commands) > REMEMBERED_COMMANDS:
            self._seen_commands.popitem(last=False)
        return True

    def _resize(self, cols: int, rows: int) -> None:
        if (cols, rows) == (self._queries.cols, self._queries.rows):
            return
        self._queries.cols, self._queries.rows = cols, rows
        self._note(events.Resized(cols=cols, rows=rows))
        with suppress(OSError):
            self._pty.resize(cols, rows)

    def _stop(self, message: Stop) -> None:
        self._note(events.Stopping(by=message.by, how=message.how, command_id=message.command_id))
        if message.how == "kill":
            self._pty.kill()
        else:
            self._pty.hang_up()
            self._timers.after(STOP_GRACE, self._insist)

    def _insist(self) -> None:
        if self._exit is None:
            self._pty.kill()

    def _deserted(self) -> None:
        self._queries.attended = False


def _shown(argv: list[str]) -> list[str]:
    """The command, cut where it gets too long for an entry."""
    shown: list[str] = []
    room = MAX_SHOWN
    for argument in argv:
        if len(argument) > room:
            return [*shown, argument[:room] + "…"]
        shown.append(argument)
        room -= len(argument) + 1
    return shown


def _prompted(message: Prompt) -> events.Prompted:
    return events.Prompted(text=message.text, by=message.by, command_id=message.command_id)


def _disk(error: OSError) -> Condition:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Condition(
        code="disk-full" if full else "disk-error",
        detail=f"the agent is paused: its log cannot be written ({os.strerror(error.errno or 0)})",
        remedy="free some space on the runner; it goes on by itself" if full else None,
    )


def _cursor(output: bytes, cols: int, rows: int) -> tuple[int, int]:
    # A terminal emulator is large; most holders never need it.
    from earthshine.runner.holder.screen import cursor  # noqa: PLC0415

    return cursor(output, cols, rows)


def _now() -> int:
    return time.time_ns() // 1_000_000
