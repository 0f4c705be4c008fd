"""What runs in a display: D-Bus first, then the window manager, then the programs.

Each step waits until the one before it is ready; a program that comes up together with the window
manager can lose its window.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from earthshine.runner.desktops import capabilities, children
from earthshine.runner.desktops.capabilities import Capability
from earthshine.runner.desktops.children import Child, read_line
from earthshine.runner.desktops.x11 import X

READY_SECONDS: Final = 5.0
"""How long D-Bus or a window manager may take; then the next step begins without it."""
MAX_ADDRESS: Final = 1024
_MANAGED: Final = ("_NET_SUPPORTING_WM_CHECK", "_NET_CLIENT_LIST")
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ProgramsSpec:
    """What to start; see `DesktopSettings`."""

    window_manager: str
    programs: list[str]
    paths: dict[str, str]
    folder: str
    """Where programs start: the session's working folder."""
    session_type: str = "x11"


@dataclass
class Programs:
    """The programs of a display. `missing` collects what could not be started, and why."""

    spec: ProgramsSpec
    runtime: Path
    children: list[Child] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    bus: Child | None = None
    window_manager: Child | None = None

    def __post_init__(self) -> None:
        self._found = capabilities.programs(self.spec.paths)

    async def start_bus(self, environment: dict[str, str]) -> dict[str, str]:
        """A session bus of the display's own; returns the variables that point to it."""
        bus = capabilities.first(self._found, capabilities.BUS)
        if bus.path is None:
            self._lacks(bus)
            return {}
        address = f"unix:path={self.runtime / 'bus'}"
        reading, writing = os.pipe()
        try:
            argv = [bus.path, "--session", "--nofork", "--nopidfile"]
            argv += [f"--address={address}", f"--print-address={writing}"]
            self.bus = self._start("D-Bus", argv, environment, pass_fds=[writing])
            if self.bus is None:
                return {}
        finally:
            os.close(writing)
            said = b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_SECONDS):
                    said = await read_line(reading, MAX_ADDRESS)
        if not said.strip():
            self.missing.append("D-Bus did not start")
            return {}
        # Without the server's id, which it says too: a bus that is started again has another.
        return {"DBUS_SESSION_BUS_ADDRESS": address}

    async def start_window_manager(self, connection: Any, environment: dict[str, str]) -> None:
        """Until it has taken charge of the display; of one that another has left, too."""
        wanted = self.spec.window_manager
        if wanted == "off":
            return
        found = capabilities.first(
            self._found, capabilities.WINDOW_MANAGER, "" if wanted == "auto" else wanted
        )
        if wanted != "auto" and found.detail.endswith(f"a known {capabilities.WINDOW_MANAGER}"):
            found = Capability(capabilities.WINDOW_MANAGER, wanted, wanted)
        if found.path is None:
            self._lacks(found)
            return
        root = connection.screen().root
        for name in _MANAGED:  # a manager that crashed has left them
            root.delete_property(connection.intern_atom(name))
        connection.sync()
        self.window_manager = self._start(
            f"the window manager {found.name}", [found.path, *found.arguments], environment
        )
        if self.window_manager is not None:
            await self._until_managed(connection, self.window_manager)

    async def _until_managed(self, connection: Any, manager: Child) -> None:
        """`_NET_SUPPORTING_WM_CHECK` on the root window says so (EWMH 1.5).

        It is set early; the list of clients comes once the manager answers programs.
        """
        root = connection.screen().root
        root.change_attributes(event_mask=X.PropertyChangeMask)
        wanted = [connection.intern_atom(name) for name in _MANAGED]
        try:
            async with asyncio.timeout(READY_SECONDS):
                while any(root.get_full_property(a, X.AnyPropertyType) is None for a in wanted):
                    if not manager.running:
                        self.missing.append(f"{manager.name} ended at once")
                        return
                    await _readable(connection, manager)
        except TimeoutError:
            self.missing.append(f"{manager.name} did not take charge of the display in time")
        finally:
            root.change_attributes(event_mask=X.NoEventMask)
            while connection.pending_events():
                connection.next_event()

    def start_programs(self, environment: dict[str, str]) -> None:
        """The terminal, the browser and whatever else is configured, in this order."""
        for wanted in self.spec.programs:
            if wanted in (capabilities.TERMINAL, capabilities.BROWSER):
                found = self._for_session(wanted)
                if found.path is None:
                    self._lacks(found)
                    continue
                argv = [found.path, *found.arguments]
                if found.name == "chromium" and self.spec.session_type == "wayland":
                    argv.append("--ozone-platform=wayland")
                if found.name == "chromium" and os.geteuid() == 0:
                    argv.append("--no-sandbox")  # which refuses root
            else:
                argv = shlex.split(wanted)
            if argv:
                self._start(wanted, argv, environment)

    def _for_session(self, role: str) -> Capability:
        """A terminal that this kind of display can show; browsers know both kinds."""
        wayland = self.spec.session_type == "wayland"
        fitting = [c for c in self._found if (c.name == "foot") == wayland]
        return capabilities.first(fitting if role == capabilities.TERMINAL else self._found, role)

    def _start(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        pass_fds: list[int] | None = None,
    ) -> Child | None:
        try:
            child = children.start(
                name, argv, environment, pass_fds=pass_fds or [], folder=self.spec.folder
            )
        except OSError as error:
            self.missing.append(f"{name} could not be started: {error.strerror}")
            return None
        self.children = [*(one for one in self.children if one.running), child]
        return child

    def _lacks(self, part: Capability) -> None:
        self.missing.append(f"no {part.role}: {part.detail}; {part.remedy}")

    async def end(self) -> None:
        """End all of them, the last started first."""
        running = [child for child in reversed(self.children) if child.running]
        await asyncio.gather(*(child.end() for child in running))
        self.children.clear()
        self.bus = self.window_manager = None


async def _readable(connection: Any, child: Child) -> None:
    """Until the server has sent something, or the child has ended."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake(_: object = None) -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection.fileno(), wake)
    child.exited.add_done_callback(wake)
    try:
        while not connection.pending_events():
            await ready
            if not child.running:
                return
            ready = loop.create_future()
        while connection.pending_events():
            connection.next_event()
    finally:
        child.exited.remove_done_callback(wake)
        loop.remove_reader(connection.fileno())
