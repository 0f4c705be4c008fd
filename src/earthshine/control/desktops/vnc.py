"""RFB for noVNC: from a browser's WebSocket to the session's TigerVNC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.watched import Watched, Watching, run_watched
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import RunnerUnavailableError
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.net.desktop_gateways import BinaryBrowser, Ending, VncGateway
from earthshine.protocols.envelope import LendRfb, RfbLent


@dataclass(frozen=True, slots=True)
class OpenVnc:
    """A connection to TigerVNC for one viewer, not authenticated yet."""

    stream: RunnerStream
    lent: RfbLent = field(repr=False)
    watched: Watched

    async def serve(self, browser: BinaryBrowser) -> Ending:
        """Until either side ends. Raises GatewayError, PutOutError."""
        only_watch = bool(self.lent.refused)
        gateway = VncGateway(
            self.stream,
            browser,
            password=self.lent.password,
            view_only=only_watch or not self.watched.may_control,
            extended_clipboard=True,  # TigerVNC speaks it
            steering=self.watched.may_steer,
        )
        return await run_watched(gateway, self.watched, only_watch=only_watch)


class VncService:
    """VNC connections to sessions' desktops."""

    def __init__(
        self, access: Access, runners: RunnerDirectory, dialing: DialService, watching: Watching
    ) -> None:
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._watching = watching

    @permits(Permission.SESSION_VIEW)
    async def lend(
        self, actor: Actor, session_id: str, *, view_only: bool = False, seconds: float = 30.0
    ) -> RfbLent:
        """A fresh password for one connection, which must come within `seconds`.

        The desktop is started where it was stopped. Raises DomainError.
        """
        record = (await self._watching.living(session_id)).record
        command = LendRfb(request_id="", by=actor.name, view_only=view_only, seconds=seconds)
        answer = await self._runners.request(record.runner_id, session_id, command)
        try:
            return msgspec.convert(answer, RfbLent)
        except msgspec.ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None

    async def dial(self, runner_id: str, lent: RfbLent) -> RunnerStream:
        """A connection to what was lent. Raises DomainError, OSError."""
        return await RunnerStream.dial(self._dialing, runner_id, lent.destination)

    @contextlib.asynccontextmanager
    async def opened(self, actor: Actor, session_id: str) -> AsyncIterator[OpenVnc]:
        """A connection of one's own, for as long as the context lasts. Raises DomainError."""
        lent = await self.lend(actor, session_id)
        async with self._watching.watched(actor, session_id) as watched:
            stream = await self.dial(watched.runner_id, lent)
            try:
                yield OpenVnc(stream, lent, watched)
            finally:
                stream.abort()
