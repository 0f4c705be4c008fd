"""Letting RDP clients in: an xrdp and a doorkeeper for each desktop that somebody wants by RDP.

They start with the first offer and end when nobody is in, nobody can come any more, and a while has
passed. An xrdp that crashes is started again; the connections it had are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from earthshine.protocols.envelope import AdjustRdp, LendRdp, RdpLent
from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.holder.budget import RestartBudget
from earthshine.runner.desktops.keeper import Desktop, DesktopError
from earthshine.runner.desktops.rdp import display, xrdp
from earthshine.runner.desktops.rdp.display import DisplayGoneError
from earthshine.runner.desktops.rdp.doorkeeper import Doorkeeper
from earthshine.runner.desktops.rdp.offers import Offers, TooManyOffersError
from earthshine.runner.desktops.rdp.xrdp import USER, Xrdp
from earthshine.runner.desktops.settings import DesktopSettings

IDLE_SECONDS: Final = 60.0
"""How long an xrdp stays that nobody uses and nobody can use."""
LOOK_SECONDS: Final = 5.0
READY_SECONDS: Final = 20.0
PREFIX: Final = "rdp-"
log = logging.getLogger(__name__)


class _Service:
    """xrdp and doorkeeper of one desktop. `run` once; `ready` before each offer."""

    def __init__(
        self, desktop: Desktop, doors: Doors, program: str, certificates: Path, idle: float
    ) -> None:
        self.desktop = desktop
        self.offers = Offers()
        self.doorkeeper = Doorkeeper(
            desktop.desktop_id, lambda: display.connect(doors, desktop), self.offers
        )
        self.socket: Path | None = None
        """Where its xrdp listens."""
        self.over = False
        """It ends, and lets nobody in any more."""
        self._program = program
        self._certificates = certificates
        self._idle = idle
        self._news = asyncio.Condition()
        self._listening = False
        self._failure: DesktopError | None = None

    async def ready(self) -> Path:
        """The socket, once xrdp listens on it. Raises DesktopError."""
        try:
            async with asyncio.timeout(READY_SECONDS), self._news:
                await self._news.wait_for(lambda: self._listening or self._failure is not None)
        except TimeoutError:
            raise DesktopError(
                "rdp-failed", "xrdp did not start in time", "look at the runner's load"
            ) from None
        if self._failure is not None:
            raise self._failure
        assert self.socket is not None
        return self.socket

    async def run(self) -> None:
        """Until it is idle, cannot go on, or the desktop has ended."""
        path = rfb_path(self.desktop)
        assert path is not None
        folder: Path | None = None
        try:
            folder = await asyncio.to_thread(_private_folder, Path(path).parent)
            async with asyncio.TaskGroup() as connections:
                door = await self.doorkeeper.open(connections)
                try:
                    await self._keep(folder, door)
                finally:
                    self.doorkeeper.close()
                raise _OverError
        except* _OverError:
            pass
        except* OSError as errors:
            detail = f"there is no place for xrdp: {errors.exceptions[0]}"
            await self._tell(failure=DesktopError("storage", detail))
        except* DesktopError as errors:
            log.warning("RDP ended: %s", errors.exceptions[0])
        finally:
            self.over = True
            if folder is not None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _keep(self, folder: Path, door: int) -> None:
        """An xrdp, again and again."""
        budget = RestartBudget()
        while True:
            server = Xrdp(self._program, folder, self._certificates, door)
            try:
                await server.start()
                self.socket = server.socket
                await self._tell(listening=True)
                if await self._until_idle(server):
                    return
            except DesktopError as error:
                await self._tell(failure=error)
                raise
            finally:
                await self._tell(listening=False)
                await server.end()
            delay = budget.spend(time.monotonic())
            log.error(
                "xrdp crashed (%d times so far)",
                budget.total,
                extra={"desktop": self.desktop.desktop_id},
            )
            if delay is None:
                failure = DesktopError(
                    "rdp-failed", "xrdp crashes again and again", "see the runner's log"
                )
                await self._tell(failure=failure)
                raise failure
            await asyncio.sleep(delay)

    async def _until_idle(self, server: Xrdp) -> bool:
        """False when it has ended by itself."""
        used = time.monotonic()
        while not server.exited.done():
            now = time.monotonic()
            if self.doorkeeper.inside or self.offers.waiting(now):
                used = now
            if self.desktop.ended or now - used >= self._idle:
                self.over = True
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_SECONDS, self._idle)):
                    await asyncio.shield(server.exited)
        return False

    async def _tell(self, *, listening: bool = False, failure: DesktopError | None = None) -> None:
        self._listening = listening
        self._failure = failure or self._failure
        self.over |= failure is not None
        async with self._news:
            self._news.notify_all()


class _OverError(Exception):
    """Ends the task group, and with it the connections."""


class RdpLending:
    """RDP of this runner's desktops. `begin` before anything else."""

    def __init__(
        self,
        state: Path,
        settings: DesktopSettings,
        doors: Doors,
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._certificates = state / "rdp"
        self._settings = settings
        self._doors = doors
        self._idle = idle_seconds
        self._tasks: asyncio.TaskGroup | None = None
        self._services: dict[str, _Service] = {}
        self._fingerprint = ""
        self._certifying = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._services)

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Everything runs in `tasks`, and ends with it."""
        self._tasks = tasks

    async def lend(self, desktop: Desktop, wish: LendRdp) -> RdpLent:
        """A password for one connection to a desktop that runs. Raises DesktopError."""
        if rfb_path(desktop) is None:
            raise DesktopError(
                "rdp-not-possible",
                "RDP shows displays of TigerVNC, and this desktop is none",
                "apt-get install tigervnc-standalone-server; start a new session",
            )
        size = await _look(self._doors, desktop)
        fingerprint = await self._certified()
        service = self._service(desktop)
        socket = await service.ready()
        try:
            offer = service.offers.issue(
                view_only=wish.view_only, seconds=wish.seconds, now=time.monotonic()
            )
        except TooManyOffersError:
            raise DesktopError(
                "too-many-offers", "too many RDP passwords wait to be used", "use one, or wait"
            ) from None
        return RdpLent(
            destination=f"unix:{socket}",
            user=USER,
            password=offer.password,
            offer_id=offer.offer_id,
            view_only=offer.view_only,
            fingerprint=fingerprint,
            width=size[0],
            height=size[1],
        )

    async def adjust(self, desktop_id: str, wish: AdjustRdp) -> None:
        """Change or withdraw an offer, also one in use."""
        service = self._services.get(desktop_id)
        if service is None:
            return
        if wish.withdrawn:
            service.doorkeeper.withdraw(wish.offer_id)
        else:
            await service.doorkeeper.adjust(wish.offer_id, view_only=wish.view_only)

    def serves(self, path: str) -> bool:
        """Whether this is the socket of an xrdp of ours."""
        return any(str(service.socket) == path for service in self._services.values())

    def _service(self, desktop: Desktop) -> _Service:
        assert self._tasks is not None
        known = self._services.get(desktop.desktop_id)
        if known is not None and not known.over and known.desktop is desktop:
            return known
        program = available(self._settings)
        service = _Service(desktop, self._doors, program, self._certificates, self._idle)
        self._services[desktop.desktop_id] = service
        self._tasks.create_task(self._run(service), name=f"rdp {desktop.desktop_id}")
        return service

    async def _run(self, service: _Service) -> None:
        try:
            await service.run()
        except Exception:  # one desktop's trouble must not end the runner
            log.exception("RDP failed", extra={"desktop": service.desktop.desktop_id})
        finally:
            if self._services.get(service.desktop.desktop_id) is service:
                del self._services[service.desktop.desktop_id]

    async def _certified(self) -> str:
        async with self._certifying:
            if not self._fingerprint:
                self._fingerprint = await asyncio.to_thread(
                    xrdp.certify, self._certificates, xrdp.utc_now()
                )
            return self._fingerprint


def available(settings: DesktopSettings) -> str:
    """The path of xrdp. Raises DesktopError where it or its module for VNC is missing."""
    for part in capabilities.rdp(settings.programs_path):
        if part.path is None:
            raise DesktopError("rdp-missing", part.detail, part.remedy)
    return str(capabilities.rdp(settings.programs_path)[0].path)


def rfb_path(desktop: Desktop) -> str | None:
    """TigerVNC's socket, while the desktop runs."""
    return desktop.status.rfb_path if desktop.status.phase == "running" else None


async def _look(doors: Doors, desktop: Desktop) -> tuple[int, int]:
    """The desktop's size, from TigerVNC itself. Raises DesktopError."""
    try:
        stream, shown, _ = await display.connect(doors, desktop)
    except DisplayGoneError as error:
        raise DesktopError("rdp-failed", str(error), "stop the desktop and open it again") from None
    stream.abort()
    return shown.width, shown.height


def _private_folder(runtime: Path) -> Path:
    """A fresh one in the display's own, which ends with the display; earlier ones are removed."""
    for left in runtime.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=runtime))
