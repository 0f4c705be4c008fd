"""What guacd can be led to: a session's display by VNC, a machine by SSH; others add RDP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from earthshine.control.access import Access, Actor, Permission
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.vnc import VncService
from earthshine.control.desktops.watched import Watching
from earthshine.control.dialing.service import DialService
from earthshine.control.guacamole.wishes import Protocol
from earthshine.net.bridge import ByteStream

ENTRY_SECONDS: Final = 20.0
"""How long guacd has to connect to what it was told."""
LOGIN_SECONDS: Final = 110.0
"""The same where guacd first asks the person who they are; SSH servers wait two minutes."""
VNC: Final = {"color-depth": "24", "cursor": "local"}
SSH: Final = {"enable-sftp": "false", "server-alive-interval": "30"}


@dataclass(frozen=True, slots=True)
class Target:
    """What guacd shall show: how it is reached, and guacd's parameters beside the address."""

    dial: Callable[[], Awaitable[ByteStream]]
    parameters: Mapping[str, str] = field(repr=False)
    only_watch: bool = False
    """Whatever the person's role."""
    seconds: float = ENTRY_SECONDS
    abandon: Callable[[], None] = lambda: None
    """Called at the end, whatever came of it."""


Lend = Callable[[Actor, str], Awaitable[Target]]
"""Gives a target in a session, or on a runner, with a login that is good for one connection.

Raises DomainError, OSError. Who may do what is for the tunnel: a target takes all input, unless the
runner's policy lets this person only watch.
"""


class Targets:
    """Lends them: by protocol, in a session and on a runner."""

    def __init__(
        self,
        access: Access,
        watching: Watching,
        vnc: VncService,
        dialing: DialService,
        ssh_port: int,
    ) -> None:
        self._access = access
        self._watching = watching
        self._vnc = vnc
        self._dialing = dialing
        self._ssh_port = ssh_port
        self.in_session: Final[dict[Protocol, Lend]] = {"vnc": self._display, "ssh": self._shell}
        self.on_runner: Final[dict[Protocol, Lend]] = {"ssh": self._machines_shell}

    async def _display(self, actor: Actor, session_id: str) -> Target:
        lent = await self._vnc.lend(actor, session_id)
        runner_id = (await self._watching.living(session_id)).record.runner_id

        async def dial() -> ByteStream:
            return await self._vnc.dial(runner_id, lent)

        # guacd's own read-only would outlive a change of role; the tunnel's filter does not.
        parameters = {**VNC, "password": lent.password}
        return Target(dial, parameters, only_watch=bool(lent.refused))

    async def _shell(self, actor: Actor, session_id: str) -> Target:
        """The runner's SSH server, for those who may type; it asks them who they are."""
        await self._access.require(actor, Permission.SESSION_CONTROL, session_id)
        record = (await self._watching.living(session_id)).record
        return await self._machines_shell(actor, record.runner_id)

    async def _machines_shell(self, actor: Actor, runner_id: str) -> Target:
        """Dialled now: guacd would find out only after asking for a name and a password.

        The runner's policy says whether it may be reached.
        """
        destination = f"127.0.0.1:{self._ssh_port}"
        stream = await RunnerStream.dial(self._dialing, runner_id, destination)

        async def dial() -> ByteStream:
            return stream

        return Target(dial, SSH, seconds=LOGIN_SECONDS, abandon=stream.abort)
