"""What people can do with a session's desktop."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.desktops.schemas import ConnectionMethod, ConnectionMethods, Method
from earthshine.control.desktops.watched import Watching
from earthshine.control.dialing.service import DialService
from earthshine.control.errors import RunnerUnavailableError
from earthshine.control.runners.directory import RunnerDirectory
from earthshine.control.sessions.watching import Watcher
from earthshine.net.bridge import TransportStream
from earthshine.protocols.envelope import CloseDesktop, DesktopPlaces, OpenDesktop

_LABELS: Final[dict[Method, str]] = {
    "native": "Built in",
    "vnc": "VNC",
    "rdp": "RDP",
    "guacamole": "Guacamole",
    "moonlight": "Moonlight",
    "webrtc": "WebRTC",
}
_CAPABILITY: Final[dict[Method, str]] = {"native": "desktop"}
"""What the runner has to be capable of; others are not there yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream to a desktop, for one watcher."""

    stream: TransportStream
    watcher: Watcher
    viewer_id: str
    steered: Callable[[int], None]


class DesktopService:
    """Opening, stopping, and by which ways."""

    def __init__(
        self,
        access: Access,
        runners: RunnerDirectory,
        dialing: DialService,
        watching: Watching,
    ) -> None:
        self.access = access
        self._runners = runners
        self._dialing = dialing
        self._watching = watching

    @permits(Permission.SESSION_VIEW)
    async def methods(self, actor: Actor, session_id: str) -> ConnectionMethods:  # noqa: ARG002
        """By which ways this session's desktop can be seen, each with a reason where not."""
        record = (await self._watching.channel(session_id)).record
        runner = self._runners.known(record.runner_id)
        if record.is_final:
            missing = "The session has ended."
        elif runner is None or not runner.is_connected:
            missing = "The runner is not connected. Its agents go on working."
        else:
            missing = None
        can = runner.capabilities if runner is not None else {}
        return ConnectionMethods(
            methods=[_method(name, label, missing, can) for name, label in _LABELS.items()]
        )

    @permits(Permission.SESSION_VIEW)
    async def places(self, actor: Actor, session_id: str) -> DesktopPlaces:  # noqa: ARG002
        """Where the desktop is on its runner; started again where it was stopped."""
        record = await self._watching.living(session_id)
        answer = await self._runners.request(record.record.runner_id, session_id, _OPEN)
        try:
            return msgspec.convert(answer, DesktopPlaces)
        except msgspec.ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None

    @contextlib.asynccontextmanager
    async def opened(self, actor: Actor, session_id: str) -> AsyncIterator[Opened]:
        """A stream of one's own to the desktop, for as long as the context lasts."""
        places = await self.places(actor, session_id)
        async with self._watching.watched(actor, session_id) as watched:
            stream = await RunnerStream.dial(self._dialing, watched.runner_id, places.viewer)
            try:
                viewer_id = _viewer_id(actor, session_id)
                yield Opened(stream, watched.watcher, viewer_id, watched.steered)
            finally:
                stream.abort()

    @permits(Permission.SESSION_OWN)
    async def stop(self, actor: Actor, session_id: str) -> None:  # noqa: ARG002
        """Stop the desktop and what runs in it; the agent goes on."""
        channel = await self._watching.living(session_id)
        await self._runners.request(channel.record.runner_id, session_id, _CLOSE)


_OPEN: Final = OpenDesktop(request_id="")
_CLOSE: Final = CloseDesktop(request_id="")


def _method(
    name: Method, label: str, missing: str | None, capabilities: dict[str, str]
) -> ConnectionMethod:
    needed = _CAPABILITY.get(name)
    detail = missing
    if needed is None:
        detail = "Not built yet."
    elif detail is None:
        detail = capabilities.get(needed, "The runner does not say that it can.") or None
    return ConnectionMethod(name=name, label=label, available=detail is None, detail=detail)


def _viewer_id(actor: Actor, session_id: str) -> str:
    """Stays the same when the same sign-in comes back, and says nothing about it."""
    return hashlib.sha256(f"{session_id} {actor.sign_in_id}".encode()).hexdigest()[:16]
