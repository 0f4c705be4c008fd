"""A real xrdp before a real desktop: offered, looked at by its certificate, crashed, ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.net.relay import Relay
from earthshine.protocols.envelope import AdjustRdp, LendRdp
from earthshine.protocols.rdp import check_confirm, connection_request
from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.door import Doors
from earthshine.runner.desktops.keeper import Desktop, DesktopError, DesktopKeeper
from earthshine.runner.desktops.rdp.lending import RdpLending
from earthshine.runner.desktops.settings import DesktopSettings
from tests.unit.runner.desktops.test_keeper import Runner, runner

__all__ = ["runner"]
Eventually = Callable[..., Awaitable[Any]]
MISSING = [part.detail for part in capabilities.rdp() if not part.available]
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
WISH = LendRdp(request_id="", by="Ada", view_only=False)


@pytest.fixture
async def keeper(runner: Runner) -> AsyncIterator[DesktopKeeper]:
    async with runner.running(programs=[], window_manager="off") as keeper:
        yield keeper


@pytest.fixture
async def desktop(runner: Runner, keeper: DesktopKeeper) -> Desktop:
    return await runner.start(keeper)


@pytest.fixture
def doors(keeper: DesktopKeeper) -> Iterator[Doors]:
    relay = Relay()
    relay.start()
    doors = Doors(relay)
    assert keeper._tasks is not None
    doors.begin(keeper._tasks)
    yield doors
    relay.close()


@pytest.fixture
def lending(keeper: DesktopKeeper, doors: Doors, tmp_path: Path) -> RdpLending:
    lending = RdpLending(tmp_path, DesktopSettings(), doors, idle_seconds=0.5)
    assert keeper._tasks is not None
    lending.begin(keeper._tasks)
    return lending


def servers() -> list[psutil.Process]:
    """This process' xrdp, without those of connections."""
    return [p for p in psutil.Process().children() if p.name() == "xrdp"]


async def certificate(path: str) -> str:
    """What an RDP client sees there, as a fingerprint in hex."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(connection_request())
        check_confirm(await reader.readexactly(19))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await writer.start_tls(context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return hashlib.sha256(shown).hexdigest()
    finally:
        writer.close()


async def test_an_offer_leads_to_an_xrdp_with_our_certificate(lending, desktop, tmp_path):
    lent = await lending.lend(desktop, WISH)
    path = lent.destination.removeprefix("unix:")
    assert lending.serves(path)
    assert not lending.serves(str(Path(path).with_name("other.sock")))
    assert await certificate(path) == lent.fingerprint
    assert (lent.width, lent.height) == (640, 480)
    assert lent.password not in repr(lent)
    folder = Path(path).parent
    assert folder.stat().st_mode & 0o77 == 0
    assert (tmp_path / "rdp" / "key.pem").stat().st_mode & 0o77 == 0
    for process in servers():
        told = [*process.cmdline(), *process.environ().values(), (folder / "xrdp.ini").read_text()]
        assert not any(lent.password in text for text in told)
    again = await lending.lend(desktop, WISH)
    assert again.destination == lent.destination
    assert again.password != lent.password
    assert len(servers()) == 1


async def test_it_ends_when_nobody_needs_it_and_comes_back(lending, desktop, eventually):
    for _ in range(3):
        lent = await lending.lend(desktop, WISH)
        folder = Path(lent.destination.removeprefix("unix:")).parent
        withdrawn = AdjustRdp(request_id="", offer_id=lent.offer_id, by="Ada", withdrawn=True)
        await lending.adjust(desktop.desktop_id, withdrawn)
        assert await eventually(lambda: len(lending) == 0)
        assert servers() == []
        assert not folder.exists()


async def test_an_xrdp_that_crashes_is_started_again(lending, desktop, eventually):
    lent = await lending.lend(desktop, WISH)
    [server] = servers()
    os.kill(server.pid, signal.SIGKILL)
    assert await eventually(lambda: [s.pid for s in servers()] not in ([], [server.pid]))
    again = await lending.lend(desktop, WISH)
    assert await certificate(again.destination.removeprefix("unix:")) == lent.fingerprint


async def test_it_ends_with_the_desktop(lending, desktop, eventually):
    await lending.lend(desktop, LendRdp(request_id="", by="Ada", seconds=600))
    await desktop.end()
    assert await eventually(lambda: len(lending) == 0, 15)
    assert servers() == []


async def test_without_xrdp_it_says_what_to_install(keeper, desktop, doors, tmp_path):
    settings = DesktopSettings(programs_path={"xrdp": "/nowhere/xrdp"})
    lending = RdpLending(tmp_path, settings, doors)
    lending.begin(keeper._tasks)
    with pytest.raises(DesktopError) as refused:
        await lending.lend(desktop, WISH)
    assert refused.value.code == "rdp-missing"
    assert "programs_path.xrdp" in str(refused.value.remedy)


async def test_an_xrdp_that_does_not_start_says_why(keeper, desktop, doors, tmp_path, eventually):
    broken = tmp_path / "xrdp"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    lending = RdpLending(tmp_path, DesktopSettings(programs_path={"xrdp": str(broken)}), doors)
    lending.begin(keeper._tasks)
    with pytest.raises(DesktopError, match="it is broken"):
        await lending.lend(desktop, WISH)
    assert await eventually(lambda: len(lending) == 0)
