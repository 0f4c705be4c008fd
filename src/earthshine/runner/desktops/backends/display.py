"""What every display server is to the holder, and what those of Xorg's family have in common."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from earthshine.runner.desktops import children
from earthshine.runner.desktops.authority import COOKIE_BYTES, write_authority
from earthshine.runner.desktops.children import Child, read_line
from earthshine.runner.desktops.x11 import DisplayError

START_SECONDS: Final = 10.0
"""How long a server may take until it accepts connections."""
NUMBERS: Final = range(100, 10_000)
"""Displays' numbers; lower ones are those of people's own screens."""
MAX_NUMBER: Final = 64
"""Bytes in which a server says its number."""
LOG_TAIL: Final = 600
"""Bytes of a server's complaints that a failure quotes."""
LOCK: Final = "/tmp/.X{}-lock"  # noqa: S108 - where X servers keep it
SOCKET: Final = "/tmp/.X11-unix/X{}"  # noqa: S108


@dataclass(kw_only=True)
class DisplaySpec:
    """What a display is to be. `runtime`: a private folder with a short path, for its files."""

    backend: str
    runtime: Path
    width: int
    height: int
    environment: dict[str, str]
    """For its processes; the display adds its own variables."""
    number: int | None = None
    """The display number to prefer: that of the display before it, whose clients know it."""
    cookie: bytes = field(default_factory=lambda: secrets.token_bytes(COOKIE_BYTES), repr=False)
    rfb_port: bool = False
    attach_to: str = ""
    authority: Path | None = None
    programs: dict[str, str] = field(default_factory=dict)
    worker: list[str] = field(default_factory=list)
    """The worker's command line, for a display that lives in it."""
    worker_environment: dict[str, str] = field(default_factory=dict, repr=False)


class Display(ABC):
    """A display. `start` once, then `stop`; `crashed` is done when it ends by itself."""

    name: str
    """Such as `:3`, once started."""
    rfb_path: Path | None = None
    """The UNIX socket on which it serves RFB, if it does."""
    rfb_port: int | None = None
    number: int | None = None
    pid: int | None = None
    session_type = "x11"
    """As XDG_SESSION_TYPE has it."""

    def __init__(self, spec: DisplaySpec) -> None:
        self.spec = spec

    @abstractmethod
    async def start(self) -> None:
        """Until clients can connect. Raises DisplayError."""

    @property
    @abstractmethod
    def authority(self) -> Path | None:
        """The file that lets clients in."""

    @property
    @abstractmethod
    def crashed(self) -> asyncio.Future[int]:
        """Done with the exit code when the display has ended."""

    @property
    def worker(self) -> Child | None:
        """The display's own process, where that shows it too; None: a worker has to be started."""
        return None

    @abstractmethod
    async def stop(self) -> None:
        """End it and remove what it leaves in the system. May be called at any time."""

    def set_passwords(self, full: str, view_only: str) -> None:  # noqa: B027 - most have none
        """Set the RFB passwords for connections from now on, where it serves RFB."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a program's windows appear here."""
        variables = {"DISPLAY": self.name}
        if self.authority is not None:
            variables["XAUTHORITY"] = str(self.authority)
        return variables


class OwnServer(Display):
    """A display whose server is a child of the holder, and says on a pipe when it is there."""

    program_name: str

    def __init__(self, spec: DisplaySpec) -> None:
        super().__init__(spec)
        self._child: Child | None = None

    @property
    def crashed(self) -> asyncio.Future[int]:
        assert self._child is not None
        return self._child.exited

    async def _announced(
        self,
        arguments: Callable[[int], list[str]],
        environment: dict[str, str],
        seconds: float,
        limit: int,
    ) -> str:
        """Start the server; what it says about itself, at most `limit` bytes, maybe nothing.

        `arguments` gets the descriptor on which the server has to say it. Raises DisplayError.
        """
        reading, writing = os.pipe()
        try:
            with self._log.open("wb") as output:
                self._child = children.start(
                    self.program_name,
                    arguments(writing),
                    environment,
                    output=output,
                    pass_fds=[writing],
                    folder="/",
                )
        except OSError as error:
            os.close(reading)
            words = f"{self.program_name} could not be started: {error.strerror}"
            raise DisplayError(words) from None
        finally:
            os.close(writing)
        self.pid = self._child.pid
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return (await read_line(reading, limit)).decode(errors="replace").strip()
        return ""

    async def _give_up(self) -> DisplayError:
        """End a server that did not start; the error to raise."""
        await self.stop()
        return DisplayError(
            f"{self.program_name} did not start: {tail(self._log)}",
            "see the log of the desktop; `earthshine doctor` checks the machine",
        )

    @property
    def _log(self) -> Path:
        return self.spec.runtime / "display.log"


class XServer(OwnServer):
    """A server of Xorg's family, which is told its number or reports the one it chose."""

    program_name = "the X server"

    def __init__(self, spec: DisplaySpec, program: str) -> None:
        super().__init__(spec)
        self._program = program

    @property
    def authority(self) -> Path:
        return self.spec.runtime / "authority"

    def arguments(self) -> list[str]:
        """The server's own arguments."""
        raise NotImplementedError

    async def start(self) -> None:
        """The preferred number first, for the programs that know it; else any that is free."""
        with contextlib.suppress(DisplayError):
            await self._start(unused_number() if self.spec.number is None else self.spec.number)
            return
        await self._start(None)

    async def _start(self, number: int | None) -> None:
        write_authority(self.authority, self.spec.cookie, number)

        def command(descriptor: int) -> list[str]:
            return [
                self._program,
                *([f":{number}"] if number is not None else []),
                "-displayfd",
                str(descriptor),
                "-auth",
                str(self.authority),
                *self.arguments(),
                "-nolisten",
                "tcp",
                "-noreset",
            ]

        said = await self._announced(command, self.spec.environment, START_SECONDS, MAX_NUMBER)
        if not said.isdigit():
            raise await self._give_up()
        self.number = int(said)
        self.name = f":{self.number}"
        write_authority(self.authority, self.spec.cookie, self.number)

    async def stop(self) -> None:
        """A server that is asked removes its lock and socket; for one that was killed, we do."""
        if self._child is not None:
            await self._child.end()
        if self.number is not None and self.pid is not None:
            remove_traces(self.number, self.pid)
        self.number = None


def unused_number() -> int:
    """One that nobody else is likely to take while a display that crashed is started again.

    Servers that choose themselves take the lowest, and so does everybody who comes meanwhile.
    """
    while True:
        number = secrets.choice(NUMBERS)
        if not any(Path(place.format(number)).exists() for place in (LOCK, SOCKET)):
            return number


def remove_traces(number: int, pid: int) -> None:
    """Remove the lock and socket of a server with this pid, which has ended.

    A server that chose its number itself has no lock; its socket is told by that nobody answers.
    """
    lock, address = Path(LOCK.format(number)), Path(SOCKET.format(number))
    with contextlib.suppress(OSError, ValueError):
        if int(lock.read_text()) != pid:
            return  # it is another server's by now
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError):
        try:
            probe.connect(str(address))
        except ConnectionRefusedError:
            address.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def tail(log: Path) -> str:
    """The end of a server's complaints, for who has to know why it did not start."""
    with contextlib.suppress(OSError):
        return " ".join(log.read_bytes()[-LOG_TAIL:].decode(errors="replace").split())
    return "it said nothing"
