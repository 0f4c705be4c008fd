"""A session's desktop by RDP, from end to end: real programs, and a client in another network.

xfreerdp connects through a port of the control plane, which leads by reverse dial to an xrdp of the
runner, which shows the session's TigerVNC. IronRDP does the same from a browser. The desktop shows
a barcode of the time, and an xterm that keeps what is typed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.rdp.xrdp import MARKER
from tests.peers import netns
from tests.peers.rdp_client import FreeRdp, Screen, screen, xfreerdp
from tests.unit.runner.desktops import barcode
from tests.world import World, free_port, running_world, wait_for

WIDTH, HEIGHT = 640, 480
XTERM = (200, 300)
"""A place inside the xterm."""
SCRIPT = f"""
{sys.executable} {barcode.__file__} 10 1000000 &
xterm -geometry 60x12+20+120 -e 'cat > typed' &
sleep 1000000
"""
LONG = bool(os.environ.get("EARTHSHINE_TEST_LONG"))
MISSING = [
    part.detail
    for part in (
        capabilities.first(capabilities.programs(), capabilities.DISPLAY, "tigervnc"),
        capabilities.first(capabilities.programs(), capabilities.DISPLAY, "xvfb"),
        *capabilities.rdp(),
    )
    if not part.available
]
if shutil.which("xfreerdp") is None:
    MISSING.append("xfreerdp is not installed (Debian package freerdp2-x11)")
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
NO_NETWORK = netns.why_not()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[netns.NatWorld | None]:
    """Another network, from which the control plane can be reached; None where none can be made."""
    if NO_NETWORK is not None:
        yield None
        return
    with netns.nat_world() as net:
        yield net


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, elsewhere: netns.NatWorld | None
) -> Iterator[World]:
    runtime = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    first = free_port()
    host = "127.0.0.1" if elsewhere is None else elsewhere.control_address
    control = {
        "EARTHSHINE_DESKTOP__ENTRY_HOST": host,
        "EARTHSHINE_DESKTOP__ENTRY_PORTS": f"[{first}, {first + 20}]",
    }
    runner = {
        "XDG_RUNTIME_DIR": str(runtime),
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
    }
    root = tmp_path_factory.mktemp("rdp")
    try:
        with running_world(root, runner=runner, control=control) as it:
            yield it
            it.runners[0].stop(signal.SIGTERM)
            assert servers(it) == []
            left = {p.name for p in psutil.process_iter() if MARKER in _environment(p, root)}
            assert left == set()
    finally:
        shutil.rmtree(runtime)


def _environment(process: psutil.Process, root: Path) -> dict[str, str]:
    with contextlib.suppress(psutil.Error, OSError):
        if str(root) in process.cwd():
            return process.environ()
    return {}


def servers(world: World) -> list[psutil.Process]:
    """The runner's xrdp processes: the one that listens, and one for each connection."""
    with contextlib.suppress(psutil.Error):
        runner = psutil.Process(world.runners[0].pid)
        return [p for p in runner.children(recursive=True) if p.name() == "xrdp"]
    return []


@dataclass
class Session:
    """A running session with a desktop."""

    world: World
    session_id: str
    folder: Path

    @property
    def path(self) -> str:
        return f"/sessions/{self.session_id}"

    @property
    def typed(self) -> str:
        file = self.folder / "typed"
        return file.read_text() if file.exists() else ""

    def rdp(self, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """A login for an RDP client."""
        answer = httpx.get(
            f"{self.world.url}/api/v1{self.path}/rdp-connection",
            headers=headers or self.world.headers,
            timeout=40,
        )
        assert answer.is_success, answer.text
        assert answer.headers["cache-control"] == "no-store"
        found: dict[str, Any] = answer.json()
        return found

    def end(self) -> None:
        if self.world.session(self.session_id)["state"] == "running":
            self.world.api("POST", f"{self.path}/kill", {})


@pytest.fixture(scope="module")
def session(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = start(world, tmp_path_factory.mktemp("session"))
    yield session
    session.end()


def start(world: World, folder: Path) -> Session:
    answer = world.api(
        "POST",
        "/sessions",
        {
            "agent": "command",
            "command": ["bash", "-c", SCRIPT],
            "folder": str(folder),
            "desktop": {"width": WIDTH, "height": HEIGHT},
        },
    )
    world.wait_state(answer["id"], "running")
    wait_for((folder / "typed").exists, 20, "the xterm")
    return Session(world, answer["id"], folder)


@pytest.fixture(scope="module")
def visitor(world: World) -> tuple[str, dict[str, str]]:
    """Somebody else: their id, and the headers that they come with."""
    added = world.api("POST", "/people", {"name": "otto"})
    code = added["link"]["url"].rpartition("=")[2]
    with httpx.Client(base_url=world.url, headers={"Origin": world.url}) as client:
        assert client.post("/api/v1/sign-in", json={"code": code}).is_success
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return added["person"]["id"], {"Cookie": cookies, "Origin": world.url}


def share(session: Session, person: str, role: str) -> None:
    session.world.api("PUT", f"{session.path}/shares/{person}", {"role": role})


@pytest.fixture
async def client_screen() -> AsyncIterator[Screen]:
    async with screen(WIDTH, HEIGHT) as shown:
        yield shown


@dataclass
class Connector:
    """Starts xfreerdp, in another network where there is one."""

    screen: Screen
    folder: Path
    prefix: tuple[str, ...]

    def to(
        self, connection: dict[str, Any], password: str | None = None
    ) -> contextlib.AbstractAsyncContextManager[FreeRdp]:
        return xfreerdp(self.screen, connection, self.folder, prefix=self.prefix, password=password)

    async def shows_the_desktop(self, client: FreeRdp) -> None:
        """The barcode of the time is on the screen, and goes on."""
        before = await until(self._time, lambda: f"a barcode: {client.output()[-1500:]}")
        await until(lambda: (now := self._time()) and now != before, "a barcode that goes on")
        age = barcode.age(self._time() or 0, barcode.now())
        assert age < 5_000, "what it shows is of now"

    def _time(self) -> int | None:
        return barcode.read(self.screen.grabbed()[:, :, 1])

    async def type(self, text: str) -> None:
        await asyncio.to_thread(self.screen.click, *XTERM)
        await asyncio.to_thread(self.screen.type, text)


@pytest.fixture
def freerdp(client_screen: Screen, tmp_path: Path, elsewhere: netns.NatWorld | None) -> Connector:
    prefix = () if elsewhere is None else tuple(elsewhere.runner_ns.argv([]))
    return Connector(client_screen, tmp_path, prefix)


async def until(condition: Callable[[], Any], what: str | Callable[[], str]) -> Any:
    return await asyncio.to_thread(wait_for, condition, 20, what)


def log_of(world: World) -> str:
    return world.runners[0].output()


def is_closed(connection: dict[str, Any]) -> bool:
    """Whether nobody can connect to the port any more."""
    try:
        socket.create_connection((connection["address"], connection["port"]), 2).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_xfreerdp_from_another_network_shows_the_sessions_desktop(
    session: Session, freerdp: Connector
) -> None:
    connection = session.rdp()
    assert connection["viewOnly"] is False
    assert connection["password"] not in connection["file"]
    async with freerdp.to(connection) as client:
        await freerdp.shows_the_desktop(client)
        await freerdp.type("Typed through RDP\n")
        await until(lambda: "Typed through RDP\n" in session.typed, lambda: session.typed)
    print(f"\nfrom another network: {'yes' if freerdp.prefix else f'no, {NO_NETWORK}'}")
    assert connection["password"] not in log_of(session.world)
    assert connection["password"] not in session.world.control.output()
    records = session.world.api("GET", f"{session.path}/audit")["records"]
    kinds = [record["kind"] for record in records]
    assert "rdp-offered" in kinds
    assert connection["password"] not in str(records)
