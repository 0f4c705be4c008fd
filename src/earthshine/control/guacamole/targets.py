"""What guacd can be led to: a session's display by VNC or RDP, a machine by RDP or SSH."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from earthshine.control.access import Access, Actor, Permission
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.desktops.rdp import RdpService
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.vnc import VncService
from earthshine.control.desktops.watched import Watching
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import DomainError, RunnerUnavailableError
from earthshine.control.guacamole.wishes import Protocol
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.net.bridge import ByteStream
from earthshine.protocols.envelope import AdjustRdp, LendRdp, RdpLent

ENTRY_SECONDS: Final = 20.0
"""How long guacd has to connect to what it was told."""
LOGIN_SECONDS: Final = 110.0
"""The same where guacd first asks the person who they are; SSH servers wait two minutes."""
VNC: Final = {"color-depth": "24", "cursor": "local"}
RDP: Final = {
    # The runner's own certificate, made for this; the way to it is ours from end to end.
    "ignore-cert": "true",
    "security": "tls",
    "color-depth": "24",
    "resize-method": "",
}
SSH: Final = {"enable-sftp": "false", "server-alive-interval": "30"}


async def _nothing(_: bool) -> None:
    """For targets that do not care who steers: the tunnel's filter does."""


@dataclass(frozen=True, slots=True)
class Target:
    """What guacd shall show: how it is reached, and guacd's parameters beside the address."""

    dial: Callable[[], Awaitable[ByteStream]]
    parameters: Mapping[str, str] = field(repr=False)
    only_watch: bool = False
    """Whatever the person's role."""
    seconds: float = ENTRY_SECONDS
    adjust: Callable[[bool], Awaitable[None]] = _nothing
    """Hears whether its viewer may only watch, from now on."""


Lend = Callable[[Actor, str], AbstractAsyncContextManager[Target]]
"""Gives a target in a session, or on a runner, with a login that is good for one connection and at
most until the context is left. Raises DomainError, OSError."""


class Targets:
    """Lends them."""

    def __init__(
        self,
        access: Access,
        watching: Watching,
        vnc: VncService,
        rdp: RdpService,
        dialing: DialService,
        runners: RunnerDirectory,
        trail: Trail,
        ssh_port: int,
    ) -> None:
        self._access = access
        self._watching = watching
        self._vnc = vnc
        self._rdp = rdp
        self._dialing = dialing
        self._runners = runners
        self._trail = trail
        self._ssh_port = ssh_port
        self.in_session: Final[dict[Protocol, Lend]] = {
            "vnc": self._display_by_vnc,
            "rdp": self._display_by_rdp,
            "ssh": self._shell,
        }
        self.on_runner: Final[dict[Protocol, Lend]] = {
            "rdp": self._machine_by_rdp,
            "ssh": self._machine_by_ssh,
        }

    @contextlib.asynccontextmanager
    async def _display_by_vnc(self, actor: Actor, session_id: str) -> AsyncIterator[Target]:
        lent = await self._vnc.lend(actor, session_id)
        runner_id = (await self._watching.living(session_id)).record.runner_id

        async def dial() -> ByteStream:
            return await self._vnc.dial(runner_id, lent)

        # guacd's own read-only would outlive a change of role; the tunnel's filter does not.
        parameters = {**VNC, "password": lent.password}
        yield Target(dial, parameters, only_watch=bool(lent.refused))

    @contextlib.asynccontextmanager
    async def _display_by_rdp(self, actor: Actor, session_id: str) -> AsyncIterator[Target]:
        async with self._rdp.for_browser(actor, session_id) as lent:

            async def adjust(view_only: bool) -> None:
                # The tunnel holds input back as well.
                with contextlib.suppress(DomainError):
                    await lent.adjust(view_only)

            yield Target(lent.dial, _rdp_login(lent.lent), adjust=adjust)

    @contextlib.asynccontextmanager
    async def _shell(self, actor: Actor, session_id: str) -> AsyncIterator[Target]:
        """The runner's SSH server, for those who may type; it asks them who they are."""
        await self._access.require(actor, Permission.SESSION_CONTROL, session_id)
        record = (await self._watching.living(session_id)).record
        async with self._machine_by_ssh(actor, record.runner_id) as target:
            yield target

    @contextlib.asynccontextmanager
    async def _machine_by_ssh(
        self,
        actor: Actor,  # noqa: ARG002
        runner_id: str,
    ) -> AsyncIterator[Target]:
        """Dialled now: guacd would find out only after asking for a name and a password.

        The runner's policy says whether it may be reached.
        """
        destination = f"127.0.0.1:{self._ssh_port}"
        stream = await RunnerStream.dial(self._dialing, runner_id, destination)

        async def dial() -> ByteStream:
            return stream

        try:
            yield Target(dial, SSH, seconds=LOGIN_SECONDS)
        finally:
            stream.abort()

    @contextlib.asynccontextmanager
    async def _machine_by_rdp(self, actor: Actor, runner_id: str) -> AsyncIterator[Target]:
        connection = self._runners.connection(runner_id)
        await self._trail.record(
            AuditKind.RDP_OFFERED, actor, runner_id=runner_id, details={"of": "machine"}
        )
        wish = LendRdp(request_id="", by=actor.name, view_only=False, seconds=30)
        lent = _read(await connection.request(None, wish))

        async def dial() -> ByteStream:
            return await RunnerStream.dial(self._dialing, runner_id, lent.destination)

        try:
            yield Target(dial, _rdp_login(lent))
        finally:
            back = AdjustRdp(request_id="", offer_id=lent.offer_id, by=actor.name, withdrawn=True)
            with contextlib.suppress(DomainError, OSError):
                self._runners.connection(runner_id).tell("", back)


def _rdp_login(lent: RdpLent) -> dict[str, str]:
    return {**RDP, "username": lent.user, "password": lent.password}


def _read(answer: object) -> RdpLent:
    try:
        return msgspec.convert(answer, RdpLent)
    except msgspec.ValidationError:
        raise RunnerUnavailableError(
            "The runner's answer makes no sense.",
            remedy="Its version may be another than this server's.",
        ) from None
