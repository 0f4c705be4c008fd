"""What a display has beside its server: D-Bus, sound, a window manager, the first programs.

The first three are started again when they end: under the same addresses, so that what the programs
were told stays true. A program that ends has ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from earthshine.runner.desktops import resize, x11
from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.holder.budget import RestartBudget
from earthshine.runner.desktops.messages import DesktopSpec
from earthshine.runner.desktops.programs import Programs, ProgramsSpec
from earthshine.runner.desktops.sound import SoundServer
from earthshine.runner.desktops.x11 import DisplayError

_BUS: Final = "D-Bus"
_SOUND: Final = "the sound server"
_MANAGER: Final = "the window manager"
_SHARED: Final = ("DBUS_SESSION_BUS_ADDRESS", "PULSE_SERVER", "XDG_SESSION_TYPE")
log = logging.getLogger(__name__)


class Furniture:
    """`place` it in a display, `mend` it when told that something ended, `remove` it with it."""

    def __init__(self, spec: DesktopSpec, runtime: Path, changed: Callable[[], None]) -> None:
        """`changed` is called when some part has ended."""
        self._spec = spec
        self._runtime = runtime
        self._changed = changed
        self._programs: Programs | None = None
        self._sound = SoundServer(runtime)
        self._environment: dict[str, str] = {}
        self._display: Display | None = None
        self._budgets: dict[str, RestartBudget] = {}
        self._given_up: dict[str, str] = {}

    @property
    def sound_environment(self) -> dict[str, str]:
        """Variables that lead to the sound server, once `prepare` has found one."""
        return self._sound.environment

    @property
    def shared(self) -> dict[str, str]:
        """Variables for the agent's programs, beside the display's own."""
        return {name: self._environment[name] for name in _SHARED if name in self._environment}

    @property
    def missing(self) -> list[str]:
        """What could not be had, and why."""
        programs = self._programs.missing if self._programs is not None else []
        return [*programs, *self._sound.missing, *self._given_up.values()]

    @property
    def pids(self) -> set[int]:
        """The processes that it waits for itself."""
        programs = self._programs.children if self._programs is not None else []
        own = {child.pid for child in programs if child.running}
        return own if self._sound.pid is None else own | {self._sound.pid}

    def prepare(self) -> None:
        """Find the sound server, for who starts before it."""
        self._budgets.clear()
        self._given_up.clear()
        if self._spec.audio:
            self._sound.prepare(self._spec.programs_path)

    async def place(self, display: Display, environment: dict[str, str]) -> None:
        """Start all parts, each told of the ones before it. Raises DisplayError."""
        spec = self._spec
        self._display = display
        programs = self._programs = Programs(
            ProgramsSpec(
                window_manager=spec.window_manager,
                programs=spec.programs,
                paths=spec.programs_path,
                folder=spec.folder,
                session_type=display.session_type,
            ),
            self._runtime,
        )
        environment = {**environment, **display.environment}
        environment |= {"XDG_SESSION_TYPE": display.session_type, **self._sound.environment}
        connection = self._connect() if display.session_type == "x11" else None
        try:
            if connection is not None:
                resize.set_size(connection, spec.width, spec.height)
            bus, _ = await asyncio.gather(
                programs.start_bus(environment), self._sound.start(environment)
            )
            environment |= bus
            self._environment = environment
            if connection is not None:
                await programs.start_window_manager(connection, environment)
            programs.start_programs(environment)
        except x11.connection_errors() as error:
            raise DisplayError(f"the display went away while it was furnished: {error}") from None
        finally:
            if connection is not None:
                x11.disconnect(connection)
        self._watch()

    def _connect(self) -> Any:
        assert self._display is not None
        authority = self._display.authority
        return x11.connect(self._display.name, None if authority is None else str(authority))

    def _watch(self) -> None:
        assert self._programs is not None
        for part in (self._programs.bus, self._programs.window_manager, self._sound.child):
            if part is not None:
                part.exited.add_done_callback(lambda _: self._changed())

    async def mend(self) -> bool:
        """Start again what has ended; True: there is something new to tell. Raises DisplayError."""
        programs = self._programs
        if programs is None:
            return False
        given_up = len(self._given_up)
        mended = False
        if self._sound.ended and await self._may(_SOUND):
            await self._sound.start(self._environment)
            mended = True
        if programs.bus is not None and not programs.bus.running and await self._may(_BUS):
            await programs.start_bus(self._environment)
            mended = True
        manager = programs.window_manager
        if manager is not None and not manager.running and await self._may(_MANAGER):
            connection = self._connect()
            try:
                await programs.start_window_manager(connection, self._environment)
            except x11.connection_errors() as error:
                raise DisplayError(f"the display went away: {error}") from None
            finally:
                x11.disconnect(connection)
            mended = True
        if mended:
            self._watch()
        return mended or len(self._given_up) > given_up

    async def _may(self, part: str) -> bool:
        """Whether it may be started once more; after its wait."""
        if part in self._given_up:
            return False
        budget = self._budgets.setdefault(part, RestartBudget())
        delay = budget.spend(time.monotonic())
        log.error("%s ended (%d times so far)", part, budget.total)
        if delay is None:
            self._given_up[part] = f"{part} ends again and again and is not started any more"
            return False
        await asyncio.sleep(delay)
        return True

    async def remove(self) -> None:
        """End all of it."""
        if self._programs is not None:
            await self._programs.end()
            self._programs = None
        await self._sound.stop()
        self._environment = {}
