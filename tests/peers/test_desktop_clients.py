"""Sessions' desktops in browser clients, with nothing fake in between.

noVNC and guacamole-common-js in Chromium, a control plane, a runner, TigerVNC and guacd, each a
process of its own. What is typed into a page is read back from inside the desktop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from playwright.sync_api import Browser, BrowserContext, Route, sync_playwright

from earthshine.protocols.rfb import RefusedError
from earthshine.runner.desktops import capabilities, vncpassword
from tests.peers import desktop_servers
from tests.peers.desktop_gateway import PAGES
from tests.peers.desktop_servers import HEIGHT, WIDTH
from tests.peers.test_desktop_gateways import CHROMIUM, Viewer, clients
from tests.unit.runner.desktops.test_door import let_in
from tests.world import World, free_port, running_world, wait_for

__all__ = ["clients"]

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
SCRIPT = "xterm -geometry 200x80+0+0 -e 'cat > typed' & sleep 1000000"
TEXT = """() => [...document.querySelectorAll("canvas")].some((canvas) => {
  if (!canvas.width) return false;
  const part = document.createElement("canvas");
  [part.width, part.height] = [200, 40];
  const context = part.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const data = context.getImageData(0, 0, 200, 40).data;
  let dark = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] && data[at] + data[at + 1] + data[at + 2] < 200) dark += 1;
  return dark > 100 && dark < 4000;
})"""
"""Whether there is dark text on a light ground, where the terminal has its first line."""
FAILED = "AuthFailureException"
"""What TigerVNC logs about a password that is wrong."""


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    yield folder
    left = [one.name for one in folder.iterdir() if one.name.startswith("earthshine-")]
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture(scope="module")
def chromium(clients: None) -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    options = [
        "--no-sandbox",
        "--disable-dev-shm-usage",
        # Pages that a test puts in place count as coming from the internet.
        "--disable-features=LocalNetworkAccessChecks",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@dataclass
class Guacd:
    """A guacd that can be stopped and started; `why` there is none."""

    port: int
    root: Path | None
    why: str
    folder: Path
    _running: contextlib.ExitStack

    def start(self) -> None:
        if self.root is None:
            pytest.skip(f"guacd: {self.why}")
        if not desktop_servers.is_listening(self.port):
            self._running.enter_context(
                desktop_servers.guacd(self.root, self.folder, port=self.port)
            )

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def guacd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guacd]:
    root, why = desktop_servers.guacd_root()
    with contextlib.ExitStack() as running:
        folder = tmp_path_factory.mktemp("guacd")
        yield Guacd(free_port(), root, why, folder, running)


@pytest.fixture(scope="module")
def ssh_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, runtime: Path, guacd: Guacd, ssh_port: int
) -> Iterator[World]:
    runner = {
        "XDG_RUNTIME_DIR": str(runtime),
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
    }
    control = {
        "EARTHSHINE_GUACD__HOST": "127.0.0.1",
        "EARTHSHINE_GUACD__PORT": str(guacd.port),
        "EARTHSHINE_GUACD__SSH_PORT": str(ssh_port),
        "EARTHSHINE_DESKTOP__ENTRY_PORTS": "[0, 0]",
    }
    root = tmp_path_factory.mktemp("clients")
    with running_world(root, runner=runner, control=control) as it:
        yield it
        it.runners[0].stop(signal.SIGTERM)


@dataclass
class Person:
    person_id: str
    cookies: dict[str, str]


def sign_in(world: World, code: str) -> dict[str, str]:
    with httpx.Client(base_url=world.url, headers={"Origin": world.url}) as client:
        assert client.post("/api/v1/sign-in", json={"code": code}).is_success
        return dict(client.cookies)


@pytest.fixture(scope="module")
def owner(world: World) -> Person:
    return Person("", sign_in(world, world.sign_in_code()))


@pytest.fixture(scope="module")
def visitor(world: World) -> Person:
    added = world.api("POST", "/people", {"name": "otto"})
    code = added["link"]["url"].rpartition("=")[2]
    return Person(added["person"]["id"], sign_in(world, code))


@dataclass
class Session:
    """A running session whose desktop shows one terminal."""

    world: World
    session_id: str
    folder: Path
    runtime: Path

    @property
    def path(self) -> str:
        return f"/api/v1/sessions/{self.session_id}"

    @property
    def lines(self) -> list[str]:
        return (self.folder / "typed").read_text().splitlines()

    def wait_typed(self, text: str) -> None:
        wait_for(lambda: text in self.lines, 10, lambda: f"{text}, and there is {self.lines}")

    def share(self, person: Person, role: str) -> None:
        self.world.api(
            "PUT", f"/sessions/{self.session_id}/shares/{person.person_id}", {"role": role}
        )

    @property
    def place(self) -> Path:
        """Where TigerVNC has its files."""
        [socket] = self.runtime.glob("earthshine-desktop-*/rfb.sock")
        return socket.parent

    def vnc_log(self) -> str:
        return (self.place / "display.log").read_text()

    def password_in_force(self) -> str:
        """What lets somebody in past the door, if they are quick."""
        mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in vncpassword._KEY)
        cipher = Cipher(TripleDES(mirrored * 3), modes.ECB()).decryptor()
        return cipher.update((self.place / "vnc-passwords").read_bytes()[:8]).decode()


@pytest.fixture
def session(world: World, tmp_path: Path, runtime: Path) -> Iterator[Session]:
    desktop = {"width": WIDTH, "height": HEIGHT}
    command = ["bash", "-c", SCRIPT]
    request = {"agent": "command", "command": command, "folder": str(tmp_path), "desktop": desktop}
    session_id = world.api("POST", "/sessions", request)["id"]
    world.wait_state(session_id, "running")
    wait_for((tmp_path / "typed").exists, 20, "the xterm")
    yield Session(world, session_id, tmp_path, runtime)
    if world.session(session_id)["state"] == "running":
        world.api("POST", f"/sessions/{session_id}/kill", {})
    wait_for(lambda: not list(runtime.glob("earthshine-desktop-*")), 20, "the desktop's end")


@pytest.fixture
def look(chromium: Browser, world: World) -> Iterator[Any]:
    """`look(person, "vnc.html", path)`: a viewer, whose page comes from the server's own origin."""

    def page(route: Route) -> None:
        name = route.request.url.removeprefix(f"{world.url}/clients/").partition("?")[0]
        route.fulfill(path=PAGES / name.partition("#")[0])

    with contextlib.ExitStack() as stack:

        def look(person: Person, client: str, path: str) -> Viewer:
            context: BrowserContext = chromium.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}
            )
            stack.callback(context.close)
            context.add_cookies(
                [{"name": n, "value": v, "url": world.url} for n, v in person.cookies.items()]
            )
            context.route(f"{world.url}/clients/**", page)
            return Viewer(context.new_page(), f"{world.url}/clients/{client}#{path}")

        yield look


def novnc(look: Any, person: Person, session: Session) -> Viewer:
    return look(person, "vnc.html", f"{session.path}/desktop/vnc")  # type: ignore[no-any-return]


def guacamole(look: Any, person: Person, session: Session, query: str = "protocol=vnc") -> Viewer:
    path = f"?{query}#{session.path}/guac/proxy"
    return look(person, f"guacamole.html{path.partition('#')[0]}", path.partition("#")[2])  # type: ignore[no-any-return]


# --- noVNC ---------------------------------------------------------------------------------------


def test_novnc_shows_the_sessions_desktop_and_types(session: Session, owner: Person, look: Any):
    viewer = novnc(look, owner, session).shows_a_desktop()
    print(f"\nnoVNC: first picture {viewer.page.evaluate('desk.pixels'):.0f} ms after opening")
    viewer.type("typed through noVNC")
    session.wait_typed("typed through noVNC")
    viewer.page.wait_for_function(TEXT)
    viewer.keep_picture("session-novnc")
    assert b"\x01\x01" in viewer.traffic, "security types: one, None"
    assert "deviceConnections" not in session.vnc_log()


def test_several_at_once_and_control_changes_hands(
    session: Session, owner: Person, visitor: Person, look: Any
):
    session.share(visitor, "viewer")
    first, second = novnc(look, owner, session), novnc(look, visitor, session)
    for viewer in (first, second):
        viewer.shows_a_desktop()
    second.type("only watching")
    session.share(visitor, "controller")
    second.type("given control")
    session.wait_typed("given control")
    first.type("and the owner")
    session.wait_typed("and the owner")
    session.share(visitor, "viewer")
    second.type("not any more")
    first.type("the end")
    session.wait_typed("the end")
    assert session.lines == ["given control", "and the owner", "the end"]


def test_old_and_wrong_passwords_are_refused_by_the_server_itself(
    session: Session, owner: Person, look: Any
):
    novnc(look, owner, session).shows_a_desktop()
    old = session.password_in_force()
    novnc(look, owner, session).shows_a_desktop()
    assert session.password_in_force() != old
    before = session.vnc_log().count(FAILED)

    async def knock(socket: str, password: str) -> None:
        with pytest.raises(RefusedError):
            async with let_in(str(session.place / socket), password):
                pass

    for socket, password in (("rfb.sock", old), ("rfb.sock", "wrongone"), ("door.sock", old)):
        in_thread(knock(socket, password))
    assert session.vnc_log().count(FAILED) == before + 3, session.vnc_log()


def in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Playwright has taken this thread's event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result(20)


def test_a_server_that_is_killed_is_told_and_comes_back(session: Session, owner: Person, look: Any):
    viewer = novnc(look, owner, session).shows_a_desktop()
    log = session.vnc_log()
    socket = session.place / "rfb.sock"
    os.kill(_listener(socket), signal.SIGKILL)
    viewer.page.wait_for_function("desk.closed")
    code, reason = viewer.page.evaluate("desk.closed")
    assert code == 4011, (reason, log)
    assert "VNC server" in reason or "come again" in reason
    wait_for(socket.exists, 20, "the display")
    again = novnc(look, owner, session)
    # Programs went with the display: a plain picture is still one.
    again.page.wait_for_function("desk.rfb._rfbConnectionState === 'connected'")


def _listener(socket: Path) -> int:
    """The process that serves a display's socket."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if str(socket).encode() in command:
                    return int(entry.name)
    raise AssertionError("no process serves the display")


# --- Guacamole -----------------------------------------------------------------------------------


def test_guacamole_shows_the_sessions_desktop_types_and_is_shared(
    session: Session, owner: Person, visitor: Person, look: Any, guacd: Guacd
):
    guacd.start()
    viewer = guacamole(look, owner, session, f"protocol=vnc&width={WIDTH}&height={HEIGHT}")
    viewer.shows_a_desktop()
    print(f"\nGuacamole: first picture {viewer.page.evaluate('desk.pixels'):.0f} ms after opening")
    viewer.type("typed through Guacamole")
    session.wait_typed("typed through Guacamole")
    viewer.page.wait_for_function(TEXT)
    viewer.keep_picture("session-guacamole")
    path = f"/sessions/{session.session_id}/guac/connections"
    [running] = session.world.api("GET", path)["connections"]
    assert (running["protocol"], running["name"]) == ("vnc", "owner")

    session.share(visitor, "viewer")
    joined = guacamole(look, visitor, session, f"join={running['id']}").shows_a_desktop()
    joined.type("only watching")
    session.share(visitor, "controller")
    joined.type("given control")
    session.wait_typed("given control")
    assert session.lines == ["typed through Guacamole", "given control"]
    assert len(session.world.api("GET", path)["connections"]) == 1
    viewer.page.close()
    assert joined.says(), "who opened it has left"
    wait_for(lambda: not session.world.api("GET", path)["connections"], 10, "the book is empty")


def test_guacamole_shows_the_sessions_display_by_rdp_too(
    session: Session, owner: Person, look: Any, guacd: Guacd
):
    if why := desktop_servers.missing("xrdp", "xrdp-sesman"):
        pytest.skip(why)
    guacd.start()
    query = f"protocol=rdp&width={WIDTH}&height={HEIGHT}"
    viewer = guacamole(look, owner, session, query).shows_a_desktop()
    viewer.type("typed through RDP")
    session.wait_typed("typed through RDP")
    viewer.page.wait_for_function(TEXT)
    viewer.keep_picture("session-guacamole-rdp")


def test_a_guacd_that_is_not_there_has_words(
    session: Session, owner: Person, look: Any, guacd: Guacd
):
    guacd.stop()
    said = guacamole(look, owner, session).says()
    assert said.startswith("520")
    assert f"guacd is not there at 127.0.0.1 port {guacd.port}. Start it" in said


def test_guacamole_leads_to_the_runners_ssh_server(
    session: Session, owner: Person, look: Any, guacd: Guacd, ssh_port: int
):
    guacd.start()
    said = guacamole(look, owner, session, "protocol=ssh").says()
    assert said.startswith("519"), "nobody listens there yet"
    assert "Start the program" in said
    with ssh_server(session.folder, ssh_port) as log:
        viewer = guacamole(look, owner, session, "protocol=ssh").shows_a_desktop()
        for text in ("mallory", "not the password"):
            viewer.page.keyboard.type(text)
            viewer.page.keyboard.press("Enter")
        wait_for(
            lambda: "Invalid user mallory from 127.0.0.1" in log.read_text(), 10, log.read_text
        )
        viewer.keep_picture("session-ssh")


def test_who_only_watches_gets_no_ssh(session: Session, visitor: Person, look: Any, guacd: Guacd):
    guacd.start()
    session.share(visitor, "viewer")
    assert guacamole(look, visitor, session, "protocol=ssh").says().startswith("771")


@contextlib.contextmanager
def ssh_server(folder: Path, port: int) -> Iterator[Path]:
    """An SSH server that knows nobody; its log. Nothing of the machine is changed."""
    if why := desktop_servers.missing("sshd", "ssh-keygen", "unshare"):
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("sshd with a folder of its own needs root")
    key, log = folder / "host-key", folder / "sshd.log"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    script = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$@"'
    sshd = [shutil.which("sshd") or "", "-D", "-e", "-f", "/dev/null", "-h", str(key)]
    where = ["-p", str(port), "-o", "ListenAddress=127.0.0.1", "-o", "UsePAM=no"]
    argv = ["unshare", "--mount", "sh", "-c", script, "sshd", *sshd, *where]
    with desktop_servers.program(argv, log) as server:
        wait_for(
            lambda: server.poll() is None and desktop_servers.is_listening(port), 10, log.read_text
        )
        yield log


def test_a_runner_that_has_gone_has_words(
    session: Session, owner: Person, look: Any, guacd: Guacd, world: World
):
    guacd.start()
    viewer = novnc(look, owner, session).shows_a_desktop()
    runner = world.runners[0]
    runner.stop(signal.SIGKILL)
    viewer.page.wait_for_function("desk.closed")
    assert viewer.page.evaluate("desk.closed")[0] == 4011
    wait_for(
        lambda: world.api("GET", "/runners")["runners"][0]["state"] != "connected", 40, "its end"
    )
    said = guacamole(look, owner, session).says()
    assert said.startswith("519")
    assert "not connected" in said
    runner.start()
    world.wait_runner()
    wait_for(
        lambda: novnc_works(look, owner, session), 20, "the desktop of a runner that came back"
    )


def novnc_works(look: Any, owner: Person, session: Session) -> bool:
    viewer = novnc(look, owner, session)
    viewer.page.wait_for_function("desk.pixels !== null || desk.ended !== null")
    return viewer.page.evaluate("desk.ended") is None
