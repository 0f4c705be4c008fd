"""Opening a session's desktop, and what the control plane may then dial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from earthshine.net.relay import Relay
from earthshine.protocols.envelope import LendRfb
from earthshine.protocols.revdial import UnixDestination, parse_destination
from earthshine.protocols.rfb import RefusedError
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.keeper import DesktopError, DesktopKeeper
from earthshine.runner.desktops.opening import Desktops
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.viewers.server import ViewerServer
from tests.unit.runner.desktops.test_door import let_in
from tests.unit.runner.desktops.test_keeper import Runner, runner

__all__ = ["runner"]
REFUSED = "Otto must not type here."


@pytest.fixture
async def keeper(runner: Runner) -> AsyncIterator[DesktopKeeper]:
    async with runner.running(programs=[], window_manager="off") as keeper:
        yield keeper


@pytest.fixture
async def desktops(keeper: DesktopKeeper, tmp_path: Path) -> AsyncIterator[Desktops]:
    server = ViewerServer(tmp_path, DesktopSettings())
    relay = Relay()
    relay.start()
    doors = Doors(relay)
    assert keeper._tasks is not None
    server.begin(keeper._tasks)
    doors.begin(keeper._tasks)
    yield Desktops(keeper, server, doors, lambda by: REFUSED if by == "otto" else "")
    await server.close()
    relay.close()


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


async def test_rfb_is_lent_to_one_client_at_a_time(
    runner: Runner, keeper: DesktopKeeper, desktops: Desktops
) -> None:
    desktop = await runner.start(keeper)
    watched: list[int] = []
    desktop.watching = watched.append  # type: ignore[method-assign,assignment]
    wanted = LendRfb(request_id="7", by="mia")
    one, other = [await desktops.lend_rfb("one", wanted) for _ in range(2)]
    assert one.password != other.password
    assert one.refused == ""
    assert one.password not in repr(one)
    place = parse_destination(one.destination)
    assert isinstance(place, UnixDestination)
    assert desktops.serves(place)
    async with let_in(place.path, one.password), let_in(place.path, other.password):
        with pytest.raises(RefusedError):
            async with let_in(place.path, one.password):
                pass
    assert [viewers for viewers in watched if viewers][:2] == [1, 2]


async def test_whom_the_machine_lets_only_watch(
    runner: Runner, keeper: DesktopKeeper, desktops: Desktops
) -> None:
    await runner.start(keeper)
    lent = await desktops.lend_rfb("one", LendRfb(request_id="7", by="otto"))
    assert lent.refused == REFUSED


async def test_a_display_without_vnc_lends_none(runner: Runner) -> None:
    async with runner.running(programs=[], window_manager="off", backend="xvfb") as keeper:
        desktop = await runner.start(keeper)
        assert keeper._tasks is not None
        doors = Doors(Relay())
        doors.begin(keeper._tasks)
        with pytest.raises(DesktopError) as refused:
            await doors.of(desktop)
    assert refused.value.code == "no-vnc"
    assert "tigervnc" in str(refused.value.remedy)
