"""The runner's GameStream host, composed from its settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from earthshine.net.moonlight.discovery import DiscoveryError, announced
from earthshine.net.moonlight.identities import IdentityError
from earthshine.runner.desktops.keeper import Desktop
from earthshine.runner.desktops.moonlight_host.apps import AppError, HostApp
from earthshine.runner.desktops.moonlight_host.configuration import WOLF_SOCKET, MoonlightSettings
from earthshine.runner.desktops.moonlight_host.desktop_stage import DesktopProvider
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.pairings import PairingsError
from earthshine.runner.desktops.moonlight_host.ports import PortsTakenError
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.wolf.server import WolfServer, WolfSocketError

log = logging.getLogger(__name__)


class MoonlightConfigurationError(Exception):
    """The host cannot start as it is configured; the message says what to do."""


@contextlib.asynccontextmanager
async def serving(
    settings: MoonlightSettings,
    state: Path,
    desktops: DesktopSettings,
    shown: Callable[[str], Desktop | None],
    tasks: asyncio.TaskGroup,
) -> AsyncIterator[MoonlightHost]:
    """A host on this runner's desktops, and Wolf's API for it.

    ``shown`` finds the desktop of a session. Raises MoonlightConfigurationError.
    """
    folder = state / "moonlight"
    provider = DesktopProvider(state, desktops, shown, tasks, settings.codecs)
    base = HostSettings(
        state_dir=folder,
        name=settings.name or socket.gethostname(),
        bind=settings.bind,
        base_port=settings.base_port,
        max_hosts=settings.max_hosts,
        fec_percent=settings.fec_percent,
        max_sessions=settings.max_sessions,
        require_encryption=settings.require_encryption,
    )
    apps = [
        HostApp(app.id or app.title, app.title, app.command, str(app.icon) if app.icon else None)
        for app in settings.apps
    ]
    try:
        async with contextlib.AsyncExitStack() as stack:
            await provider.load()
            stack.callback(provider.close)
            host = await stack.enter_async_context(MoonlightHost(base, provider, apps))
            path = settings.wolf_socket or folder / WOLF_SOCKET
            await stack.enter_async_context(WolfServer(host, path))
            log.info("Wolf's API listens", extra={"path": str(path)})
            if settings.discoverable:
                await _announce(stack, host, settings.bind)
            yield host
    except (
        AppError,
        IdentityError,
        PairingsError,
        PortsTakenError,
        WolfSocketError,
    ) as error:
        raise MoonlightConfigurationError(str(error)) from None


async def _announce(stack: contextlib.AsyncExitStack, host: MoonlightHost, bind: str) -> None:
    """Clients can be told the address by hand, so it is no fault if this does not work."""
    try:
        await stack.enter_async_context(announced(host.name, host.base_port, bind))
    except DiscoveryError as error:
        log.warning("clients will not find this host by themselves: %s", error)
