"""A host over real sockets on loopback, with a synthetic desktop and clients of our own."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from tests.moonlight_guests import Guest
from tests.moonlight_world import PatternProvider
from tests.world import free_port

VANISHED = 0.5
"""Seconds without acknowledgement after which a client counts as gone, in tests."""
APPS = [HostApp("7", "Pattern", "pattern"), HostApp("8", "Other", "other")]


@pytest.fixture
def provider() -> PatternProvider:
    return PatternProvider(sound=False)


@pytest.fixture
async def host(tmp_path: Path, provider: PatternProvider) -> AsyncIterator[MoonlightHost]:
    settings = HostSettings(
        state_dir=tmp_path / "host", base_port=free_port(), control_timeout=VANISHED
    )
    async with MoonlightHost(settings, provider, APPS) as host:
        yield host
    assert provider.stages == []
    assert not [t for t in threading.enumerate() if t.name.startswith("moonlight-video")]


@pytest.fixture
def guest(host: MoonlightHost) -> Guest:
    """A paired client."""
    guest = Guest(host)
    guest.trust()
    return guest


Eventually = Callable[..., Awaitable[object]]
