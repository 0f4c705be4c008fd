"""Opening a session's desktop for the control plane: where it is, and what may be dialled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from earthshine.protocols.envelope import (
    AdjustRdp,
    DesktopPlaces,
    LendRdp,
    LendRfb,
    RdpLent,
    RfbLent,
)
from earthshine.protocols.revdial import UnixDestination
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.keeper import RETRY, Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.rdp.lending import RdpLending
from earthshine.runner.desktops.viewers.server import ViewerServer

WAKE_SECONDS: Final = 10.0
"""How long opening waits for the display. Its viewers are told what comes after that."""
LINE_ATTEMPTS: Final = 25


class Desktops:
    """What commands about desktops do, and which sockets they open to the control plane."""

    def __init__(
        self,
        keeper: DesktopKeeper,
        viewers: ViewerServer,
        doors: Doors,
        typing_refused: Callable[[str], str] = lambda _: "",
        rdp: RdpLending | None = None,
    ) -> None:
        """`typing_refused` says why this machine lets nobody of this name type; empty: it does."""
        self._keeper = keeper
        self._rdp = rdp
        self._viewers = viewers
        self._doors = doors
        self._typing_refused = typing_refused

    async def open(self, session_id: str) -> DesktopPlaces:
        """Where it can be seen; started again where it was stopped. Raises DesktopError.

        One that does not start is no error here: viewers hear why on their stream, with what to do,
        and see it as soon as somebody has done it.
        """
        desktop = self._find(session_id)
        with contextlib.suppress(DesktopError, TimeoutError):
            async with asyncio.timeout(WAKE_SECONDS):
                await desktop.wake()
        try:
            path = await self._viewers.place(desktop)
        except OSError as error:
            raise DesktopError(
                "storage", f"no socket can be made for the desktop: {error.strerror}"
            ) from None
        rfb = desktop.status.rfb_path
        return DesktopPlaces(viewer=f"unix:{path}", rfb=f"unix:{rfb}" if rfb else None)

    async def lend_rfb(self, session_id: str, wanted: LendRfb) -> RfbLent:
        """A password for one RFB client. Raises DesktopError."""
        desktop = self._find(session_id)
        try:
            async with asyncio.timeout(WAKE_SECONDS):
                await desktop.wake()
        except TimeoutError:
            raise DesktopError(
                "desktop-slow", "the desktop did not start in time", "look at the runner's load"
            ) from None
        door = await self._doors.of(desktop)
        refused = self._typing_refused(wanted.by)
        offer = door.offer(view_only=wanted.view_only or bool(refused), seconds=wanted.seconds)
        return RfbLent(
            destination=f"unix:{self._doors.path(door)}", password=offer.password, refused=refused
        )

    async def lend_rdp(self, session_id: str, wish: LendRdp) -> RdpLent:
        """A password for one RDP connection; the desktop is started where it was stopped.

        Raises DesktopError.
        """
        desktop = self._find(session_id)
        await desktop.wake()
        return await self._lending().lend(desktop, wish)

    async def adjust_rdp(self, session_id: str, wish: AdjustRdp) -> None:
        """What an RDP client may do has changed. Raises DesktopError."""
        await self._lending().adjust(session_id, wish)

    def _lending(self) -> RdpLending:
        if self._rdp is None:
            raise DesktopError("rdp-missing", "this runner lends no desktops by RDP")
        return self._rdp

    async def stop(self, session_id: str) -> None:
        """Stop it and all that runs in it. Raises DesktopError."""
        desktop = self._find(session_id)
        for _ in range(LINE_ATTEMPTS):
            try:
                desktop.halt()
            except DesktopError:  # the line to a holder that was just found may need a moment
                if desktop.ended:
                    raise
                await asyncio.sleep(RETRY)
            else:
                return
        desktop.halt()

    def serves(self, destination: UnixDestination) -> bool:
        """Whether this is the socket of a desktop here, and nothing else of this machine."""
        path = destination.path
        return (
            self._viewers.serves(path)
            or self._doors.serves(path)
            or (self._rdp is not None and self._rdp.serves(path))
            or any(d.status.rfb_path == path for d in self._keeper)
        )

    def _find(self, session_id: str) -> Desktop:
        desktop = self._keeper.get(session_id)
        if desktop is None or desktop.ended:
            raise DesktopError(
                "no-desktop",
                "the session has no desktop, or none any more",
                "start a new session with a desktop",
            )
        return desktop
