"""A real holder process with a real program on a real PTY, and a runner's end of its socket."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from earthshine.protocols import events
from earthshine.protocols.envelope import Interrupt, Prompt, Stop
from earthshine.protocols.events import Event, Kind
from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import HolderSpec, Ready, Unable, Unpacker, pack
from earthshine.runner.holder.place import SOCKET, SPOOL
from earthshine.runner.spool.reader import SpoolReader
from earthshine.runner.spool.writer import MIN_LIMIT

PATIENCE = 20.0
RAW = "import os, sys, tty; tty.setraw(0); "
"""Python's own words for a program that reads and prints bytes as they are."""


def python(code: str) -> list[str]:
    """Arguments that run `code` in a raw terminal."""
    return [sys.executable, "-S", "-E", "-c", RAW + code]


class Line:
    """What a runner has: a connection to the holder."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(folder / SOCKET))
        self._unpacker = Unpacker()
        self._heard: list[messages.FromHolder] = []

    def say(self, message: msgspec.Struct) -> None:
        self.socket.sendall(pack(message))

    def hear(self, kind: type | None = None) -> messages.FromHolder | None:
        """The next message (of a kind); None when the holder has gone."""
        while True:
            while self._heard:
                message = self._heard.pop(0)
                if kind is None or isinstance(message, kind):
                    return message
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            bodies = self._unpacker.feed(data)
            self._heard += [messages.from_holder.decode(body) for body in bodies]

    def close(self) -> None:
        self.socket.close()


class HeldAgent:
    """Starts holders; `close` ends what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "session"
        self.folder.mkdir()
        self.work = folder / "work"
        self.work.mkdir()
        self.pid = 0
        self.holder_pid = 0
        self._lines: list[Line] = []

    def spec(self, argv: list[str], **other: object) -> HolderSpec:
        values: dict[str, object] = {
            "session_id": "s1",
            "agent": "command",
            "argv": argv,
            "folder": str(self.work),
            "environment": {"PATH": os.environ["PATH"], "TERM": "xterm-256color"},
            "cols": 80,
            "rows": 24,
            "interrupt": b"\x03",
            "spool_limit": MIN_LIMIT * 64,
            "overflow": "gap",
        }
        return HolderSpec(**(values | other))  # type: ignore[arg-type]

    def start(
        self, argv: list[str], *, largest_file: int | None = None, **other: object
    ) -> Ready | Unable:
        """Start a holder as the runner does; its first words."""

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        process = subprocess.run(
            [sys.executable, "-m", "earthshine.runner.holder", str(self.folder)],
            input=msgspec.msgpack.encode(self.spec(argv, **other)),
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            start_new_session=True,
            preexec_fn=limit,
            env=_unmeasured() if largest_file is not None else None,
            check=False,
        )
        answer = messages.startup.decode(Unpacker().feed(process.stdout)[0])
        if isinstance(answer, Ready):
            self.pid = answer.pid
            with contextlib.suppress(OSError):  # it may have ended already
                stat = Path(f"/proc/{self.pid}/stat").read_text()
                self.holder_pid = int(stat.rpartition(")")[2].split()[1])
        return answer

    def line(self) -> Line:
        line = Line(self.folder)
        self._lines.append(line)
        return line

    def log(self) -> list[Event]:
        """Everything in the spool now."""
        reader = SpoolReader(self.folder / SPOOL)
        found = []
        while (batch := reader.read(1 << 20, 0)) is not None:
            found += [events.decode(bytes(body)) for body in batch.events]
        reader.close()
        return found

    def output(self) -> bytes:
        return b"".join(event.data for event in self.log() if event.kind == Kind.OUTPUT)

    def kinds(self) -> list[int]:
        """Of all entries but output."""
        return [event.kind for event in self.log() if event.kind != Kind.OUTPUT]

    def until_printed(self, words: bytes) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while words not in (output := self.output()):
            assert time.monotonic() < deadline, f"{words!r} never came; got {output[-500:]!r}"
            time.sleep(0.01)
        return output

    def end(self) -> events.Exited:
        """Wait for the last entry."""
        deadline = time.monotonic() + PATIENCE
        while not (log := self.log()) or log[-1].kind != Kind.EXITED:
            complaints = (self.folder / "holder.log").read_text()
            assert time.monotonic() < deadline, f"never ended: {log[-3:]} {complaints}"
            time.sleep(0.01)
        assert [event.kind for event in log].count(Kind.EXITED) == 1
        return events.detail(log[-1], events.Exited)

    def close(self) -> None:
        for line in self._lines:
            line.close()
        if self.pid:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while self.holder_pid and _is_holder(self.holder_pid):
            if time.monotonic() > deadline:
                os.kill(self.holder_pid, signal.SIGKILL)
                raise AssertionError("the holder outlived its agent")
            time.sleep(0.01)


def _unmeasured() -> dict[str, str]:
    """Coverage could not write its own file where none may be large."""
    return {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}


def _is_holder(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"earthshine.runner.holder" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def prompt(text: str, command_id: str = "c1") -> Prompt:
    return Prompt(request_id="", text=text, by="anna", command_id=command_id)


def stop(how: Any, command_id: str = "c1") -> Stop:
    return Stop(request_id="", by="anna", how=how, command_id=command_id)


def interrupt(command_id: str = "c1") -> Interrupt:
    return Interrupt(request_id="", by="anna", command_id=command_id)


def stream(blocks: int) -> bytes:
    rng = random.Random(3)
    return b"".join(rng.randbytes(4096) for _ in range(blocks))


WAIT = "os.write(1, b'ready'); os.read(0, 1)\n"

# A PTY may take less than was offered.
WRITE_ALL = (
    "\ndef out(d):\n while d:\n  d = d[os.write(1, d):]\n"
    "import random\nr = random.Random(3)\nfor _ in range({}): out(r.randbytes(4096))\n"
)
