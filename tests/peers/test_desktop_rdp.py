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
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest
from playwright.async_api import Page, Route, WebSocket, async_playwright

from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.rdp.xrdp import MARKER
from tests.peers import netns
from tests.peers.desktop_servers import SCRIPTS
from tests.peers.rdp_client import FreeRdp, Screen, screen, xfreerdp
from tests.unit.runner.desktops import barcode
from tests.world import World, free_port, running_world, wait_for

WIDTH, HEIGHT = 640, 480
XTERM = (200, 200)
"""A place inside the xterm."""
SCRIPT = f"""
{sys.executable} {barcode.__file__} 4 1000000 &
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


async def test_a_used_password_and_an_old_one_are_refused(
    session: Session, freerdp: Connector
) -> None:
    first, second = session.rdp(), session.rdp()
    assert first["port"] != second["port"]
    async with freerdp.to(first) as client:
        await freerdp.shows_the_desktop(client)
    before = log_of(session.world).count("an RDP password was refused: it has been used")
    async with freerdp.to(second, first["password"]):
        await until(
            lambda: log_of(session.world).count("it has been used") > before,
            lambda: log_of(session.world)[-2000:],
        )
    async with freerdp.to(second, "guessed1"):
        await until(
            lambda: "it is none of this desktop's" in log_of(session.world),
            lambda: log_of(session.world)[-2000:],
        )
    async with freerdp.to(second) as client:  # still good: nobody has used it
        await freerdp.shows_the_desktop(client)
    assert is_closed(second), "it takes three connections"


async def test_a_viewer_sees_and_cannot_type_until_given_control(
    session: Session, freerdp: Connector, visitor: tuple[str, dict[str, str]]
) -> None:
    person, headers = visitor
    share(session, person, "viewer")
    connection = session.rdp(headers)
    assert connection["viewOnly"] is True
    async with freerdp.to(connection) as client:
        await freerdp.shows_the_desktop(client)
        await freerdp.type("only watching\n")
        share(session, person, "controller")
        await until(lambda: "steers from now on" in log_of(session.world), "control at the door")
        await freerdp.type("given control\n")
        await until(lambda: "given control\n" in session.typed, lambda: session.typed)
        share(session, person, "viewer")
        await until(lambda: "watches from now on" in log_of(session.world), "no control any more")
        await freerdp.type("taken again\n")
        session.world.api("DELETE", f"{session.path}/shares/{person}")
        await until(lambda: not client.is_running, "who was put out is disconnected")
    assert "watching" not in session.typed
    assert "taken" not in session.typed


async def test_xrdp_is_killed_and_the_next_connection_works(
    session: Session, freerdp: Connector
) -> None:
    async with freerdp.to(session.rdp()) as client:
        await freerdp.shows_the_desktop(client)
        for process in servers(session.world):
            process.kill()
        await until(lambda: not client.is_running, "the client notices")
    await until(lambda: "xrdp crashed" in log_of(session.world), "the runner notices")
    async with freerdp.to(session.rdp()) as client:
        await freerdp.shows_the_desktop(client)


async def test_a_port_is_gone_with_its_session(
    world: World, freerdp: Connector, tmp_path: Path
) -> None:
    session = await asyncio.to_thread(start, world, tmp_path)
    waiting, used = session.rdp(), session.rdp()
    async with freerdp.to(used) as client:
        await freerdp.shows_the_desktop(client)
        session.end()
        await until(lambda: not client.is_running, "the client is disconnected")
    await until(lambda: is_closed(waiting) and is_closed(used), "ports are closed")
    answer = httpx.get(
        f"{world.url}/api/v1{session.path}/rdp-connection", headers=world.headers, timeout=20
    )
    assert answer.status_code == 409


# --- in a browser ---------------------------------------------------------------------------------

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # Pages that a test puts in place count as coming from the internet.
    "--disable-features=LocalNetworkAccessChecks",
]
CLIENTS = Path(__file__).parent / "desktop_clients"
BARCODE = """([width, height]) => {
  const element = document.querySelector("iron-remote-desktop");
  const shown = (element.shadowRoot ?? element).querySelector("canvas");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(shown, 0, 0, width, height, 0, 0, width, height);
  return [...context.getImageData(0, 0, width, height).data].filter((_, i) => i % 4 === 1);
}"""
TYPES = {".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm"}
SHOTS = os.environ.get("EARTHSHINE_TEST_SCREENSHOTS")


@pytest.fixture(scope="module")
def ironrdp() -> None:
    """The client, installed as the gateways' tests do it."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(SCRIPTS / "desktop-clients")],
        env={**os.environ, "PATH": own},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if done.returncode:
        pytest.skip(f"browser clients: {done.stderr.strip().splitlines()[-1]}")


class Browser:
    """IronRDP in a page of the control plane's own origin, signed in with cookies."""

    def __init__(self, page: Page, session: Session) -> None:
        self.page = page
        self.traffic: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self._session = session

    async def open(self) -> None:
        url = self._session.world.url
        await self.page.route(f"{url}/rdp-page/**", self._serve)
        self.page.on("websocket", self._listen)
        path = f"/api/v1{self._session.path}/desktop/rdp"
        query = f"path={path}&width={WIDTH}&height={HEIGHT}"
        await self.page.goto(f"{url}/rdp-page/rdp.html?{query}")

    async def _serve(self, route: Route) -> None:
        file = CLIENTS / urlsplit(route.request.url).path.removeprefix("/rdp-page/")
        await route.fulfill(body=file.read_bytes(), content_type=TYPES[file.suffix])

    def _listen(self, websocket: WebSocket) -> None:
        for event in ("framesent", "framereceived"):
            websocket.on(event, self._keep)

    def _keep(self, payload: str | bytes) -> None:
        self.traffic.append(payload.encode() if isinstance(payload, str) else payload)

    async def shows_the_desktop(self) -> None:
        """The barcode of the time is on the canvas, and goes on."""
        await self.page.wait_for_function("desk.pixels !== null || desk.ended !== null")
        assert await self.page.evaluate("desk.ended") is None
        before = await self._time()
        while await self._time() == before:
            await self.page.wait_for_timeout(50)

    async def _time(self) -> int:
        """From the canvas itself: a screenshot of every picture is too much for a busy machine."""
        async with asyncio.timeout(30):
            while True:
                green = await self.page.evaluate(BARCODE, [barcode.WIDTH, barcode.HEIGHT])
                luma = np.array(green).reshape(barcode.HEIGHT, barcode.WIDTH)
                if (shown := barcode.read(luma)) is not None:
                    return shown
                await self.page.wait_for_timeout(50)

    async def type(self, text: str) -> None:
        await self.page.mouse.click(*XTERM)
        for sign in text:  # Playwright types capitals without Shift, which no keyboard does
            await self.page.keyboard.press(f"Shift+{sign}" if sign.isupper() else sign)
        await self.page.keyboard.press("Enter")

    async def says(self) -> str:
        """Why there is no desktop any more."""
        await self.page.wait_for_function("desk.ended !== null")
        return str(await self.page.evaluate("desk.ended"))

    async def keep_picture(self) -> None:
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=str(Path(SHOTS) / "desktop-session-rdp.png"))


@pytest.fixture
async def browse(
    ironrdp: None, session: Session, visitor: tuple[str, dict[str, str]]
) -> AsyncIterator[Callable[[], Awaitable[Browser]]]:
    """`await browse()`: a browser of the visitor's that has opened the desktop."""
    cookies = [
        {"name": name, "value": value, "url": session.world.url}
        for name, value in (one.split("=", 1) for one in visitor[1]["Cookie"].split("; "))
    ]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)

        async def browse() -> Browser:
            context = await chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
            await context.add_cookies(cookies)  # type: ignore[arg-type]
            opened = Browser(await context.new_page(), session)
            await opened.open()
            return opened

        yield browse
        await chromium.close()


@pytest.mark.browser
async def test_ironrdp_shows_the_desktop_and_types(
    session: Session,
    visitor: tuple[str, dict[str, str]],
    browse: Callable[[], Awaitable[Browser]],
) -> None:
    share(session, visitor[0], "controller")
    browser = await browse()
    await browser.shows_the_desktop()
    await browser.type("Typed through IronRDP")
    await until(
        lambda: "Typed through IronRDP\n" in session.typed,
        lambda: f"{session.typed}\n{log_of(session.world)[-1500:]}",
    )
    await browser.keep_picture()
    before = log_of(session.world).count("watches from now on")
    share(session, visitor[0], "viewer")
    await until(lambda: log_of(session.world).count("watches from now on") > before, "the door")
    await browser.type("only watching it")
    session.world.api("DELETE", f"{session.path}/shares/{visitor[0]}")
    assert await browser.says()
    assert "watching it" not in session.typed
    kinds = [
        record["kind"] for record in session.world.api("GET", f"{session.path}/audit")["records"]
    ]
    assert "desktop-controlled" in kinds


@pytest.mark.browser
async def test_ironrdp_comes_back_after_xrdp_was_killed(
    session: Session,
    visitor: tuple[str, dict[str, str]],
    browse: Callable[[], Awaitable[Browser]],
) -> None:
    share(session, visitor[0], "viewer")
    browser = await browse()
    await browser.shows_the_desktop()
    for process in servers(session.world):
        process.kill()
    assert await browser.says()
    await (again := await browse()).shows_the_desktop()
    await again.page.close()


async def test_opening_and_closing_leaves_nothing(session: Session, freerdp: Connector) -> None:
    """Processes, sockets of runner and control plane, files: as many after as before."""
    cycles = 20 if LONG else 5
    if not LONG:
        print("\n5 cycles; 20 with EARTHSHINE_TEST_LONG=1")

    async def cycle() -> None:
        connection = session.rdp()
        async with freerdp.to(connection) as client:
            await freerdp.shows_the_desktop(client)
        await until(lambda: is_closed(connection), "a port whose password was used is closed")

    await cycle()
    await until(lambda: len(servers(session.world)) == 1, "one xrdp, which listens")
    before = await settled(session.world)
    for _ in range(cycles):
        await cycle()
    await until(lambda: len(servers(session.world)) == 1, "one xrdp, which listens")

    def now() -> list[int]:
        return held(session.world)

    # Some may be more: a database connection, dials made ahead. Not one for each cycle.
    await until(
        lambda: all(new < old + cycles for old, new in zip(before, now(), strict=True)),
        lambda: f"descriptors of control plane and runner: {before}, then {now()}",
    )
    print(f"\ndescriptors of control plane and runner before and after: {before}, {now()}")


def held(world: World) -> list[int]:
    """Open descriptors of the control plane and the runner."""
    return [psutil.Process(one.pid).num_fds() for one in (world.control, world.runners[0])]


async def settled(world: World) -> list[int]:
    """The same, once it stays the same for a second."""
    known, since = held(world), asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - since < 1:
        await asyncio.sleep(0.1)
        if (now := held(world)) != known:
            known, since = now, asyncio.get_running_loop().time()
    return known
