"""Opening a session's desktop, and what the control plane may then dial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from earthshine.protocols.revdial import UnixDestination, parse_destination
from earthshine.runner.desktops.keeper import DesktopError, DesktopKeeper
from earthshine.runner.desktops.opening import Desktops
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.viewers.server import ViewerServer
from tests.unit.runner.desktops.test_keeper import Runner, runner

__all__ = ["runner"]


@pytest.fixture
async def keeper(runner: Runner) -> AsyncIterator[DesktopKeeper]:
    async with runner.running(programs=[], window_manager="off") as keeper:
        yield keeper


@pytest.fixture
async def desktops(keeper: DesktopKeeper, tmp_path: Path) -> AsyncIterator[Desktops]:
    server = ViewerServer(tmp_path, DesktopSettings())
    assert keeper._tasks is not None
    server.begin(keeper._tasks)
    yield Desktops(keeper, server)
    await server.close()


async def test_what_was_opened_may_be_dialled_and_nothing_beside_it(
    runner: Runner, keeper: DesktopKeeper, desktops: Desktops
) -> None:
    await runner.start(keeper)
    places = await desktops.open("one")
    viewer = parse_destination(places.viewer)
    assert isinstance(viewer, UnixDestination)
    assert desktops.serves(viewer)
    assert places.rfb is not None
    rfb = parse_destination(places.rfb)
    assert isinstance(rfb, UnixDestination)
    assert desktops.serves(rfb)
    for other in (
        str(Path(viewer.path).with_name("other.sock")),
        str(Path(rfb.path).with_name("authority")),
        "/run/docker.sock",
    ):
        assert not desktops.serves(UnixDestination(other))
    assert await desktops.open("one") == places


async def test_one_that_was_stopped_is_started_again(
    runner: Runner, keeper: DesktopKeeper, desktops: Desktops
) -> None:
    desktop = await runner.start(keeper)
    await desktops.stop("one")
    await desktop.until(lambda status: status.phase == "stopped", 15)
    await desktops.open("one")
    assert desktop.status.phase == "running"


async def test_a_session_without_a_desktop(desktops: Desktops) -> None:
    with pytest.raises(DesktopError) as refused:
        await desktops.open("other")
    assert refused.value.code == "no-desktop"
    assert refused.value.remedy
