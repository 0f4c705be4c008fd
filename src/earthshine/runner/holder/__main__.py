"""`python -m earthshine.runner.holder FOLDER`: the specification comes on standard input."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import msgspec

from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import HolderSpec, Ready, Unable
from earthshine.runner.holder.place import listen, take_lock
from earthshine.runner.holder.process import Holder


def main() -> int:
    """Start the agent, say how that went, leave the runner behind and hold the agent."""
    # Whatever the runner had open is none of ours or the agent's, and would outlive it here.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    folder = Path(sys.argv[1])
    spec = messages.spec.decode(sys.stdin.buffer.read())
    # Leave the runner's process group and terminal; its parent waits for this first process only.
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    holder = _start(folder, spec)
    if isinstance(holder, Unable):
        _answer(holder)
        return 1
    _answer(Ready(pid=holder.pid))
    _detach(folder)
    holder.run()
    return 0


def _start(folder: Path, spec: HolderSpec) -> Holder | Unable:
    try:
        lock = take_lock(folder)
        listener = listen(folder)
        holder = Holder(folder, spec, listener, lock)
        holder.begin()
    except OSError as error:
        return _why(spec, error)
    except ValueError as error:  # a zero byte, of which no argument can hold one
        return Unable(code="spawn-failed", detail=f"the agent could not be started: {error}")
    return holder


def _why(spec: HolderSpec, error: OSError) -> Unable:
    """The failure in words."""
    program = spec.argv[0]
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unable(
            code="disk-full",
            detail="there is no space left on the runner's disk for the session's log",
            remedy="free some space on the runner and start again",
        )
    if not Path(spec.folder).is_dir():
        return Unable(
            code="folder-missing",
            detail=f"the working folder {spec.folder} does not exist on the runner",
            remedy="create it or choose another",
        )
    if isinstance(error, FileNotFoundError):
        return Unable(
            code="agent-missing",
            detail=f"the program {program} was not found on the runner",
            remedy="install it there, or give its full path",
        )
    if isinstance(error, PermissionError):
        return Unable(
            code="not-executable",
            detail=f"the runner may not execute {program}, or not enter {spec.folder}",
            remedy="check the permissions on the runner",
        )
    return Unable(
        code="spawn-failed",
        detail=f"{program} could not be started: {error.strerror or error}",
        remedy=None,
    )


def _answer(message: msgspec.Struct) -> None:
    sys.stdout.buffer.write(messages.pack(message))
    sys.stdout.buffer.flush()


def _detach(folder: Path) -> None:
    """Let go of the runner's pipes; complaints go to a file beside the spool."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(folder / "holder.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main())
