"""Real desktops in a real browser, through the gateways: seen, typed into, and only watched.

TigerVNC under noVNC, xrdp under IronRDP, and both behind guacd under guacamole-common-js. What is
typed into the page is read back from inside the desktop.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocket, sync_playwright

from earthshine.net.desktop_gateways import Part, guacd
from earthshine.protocols.guacamole import NewConnection, RunningConnection
from earthshine.protocols.rdp import Login
from tests.peers import desktop_servers
from tests.peers.desktop_gateway import TOKEN, GatewayServer
from tests.peers.desktop_servers import HEIGHT, PASSWORD, USER, VNC_PASSWORD, WIDTH, Desktop
from tests.world import wait_for

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        "EARTHSHINE_TEST_LONG" not in os.environ,
        reason="test_desktop_clients and test_desktop_rdp drive these gateways through the whole"
        " system; alone they run with EARTHSHINE_TEST_LONG=1",
    ),
]

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 30_000
SHOTS = os.environ.get("EARTHSHINE_TEST_SCREENSHOTS")
INSTALL_SECONDS = 100.0


@pytest.fixture(scope="module")
def clients() -> None:
    """The browser clients, installed."""
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        done = subprocess.run(
            [str(desktop_servers.SCRIPTS / "desktop-clients")],
            env={**os.environ, "PATH": own},
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"browser clients: npm did not finish within {INSTALL_SECONDS:.0f} s")
    if done.returncode:
        pytest.skip(f"browser clients: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def chromium(clients: None) -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def gateways() -> Iterator[GatewayServer]:
    with GatewayServer().running() as server:
        yield server


class Viewer:
    """A page that shows a desktop; keeps what went over its WebSocket."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.traffic: list[bytes] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._listen)
        page.goto(url)

    def _listen(self, socket: WebSocket) -> None:
        for event in ("framesent", "framereceived"):
            socket.on(event, self._keep)

    def _keep(self, payload: str | bytes) -> None:
        self.traffic.append(payload.encode() if isinstance(payload, str) else payload)

    def shows_a_desktop(self) -> Viewer:
        self.page.wait_for_function("desk.pixels !== null || desk.ended !== null")
        ended = self.page.evaluate("desk.ended")
        assert ended is None, ended
        return self

    def says(self) -> str:
        """Why there is no desktop."""
        self.page.wait_for_function("desk.ended !== null")
        return str(self.page.evaluate("desk.ended"))

    def type(self, text: str) -> None:
        """Into the middle of the desktop, and Enter."""
        self.page.mouse.click(WIDTH // 2, HEIGHT // 2)
        for sign in text:  # Playwright types capitals without Shift, which no keyboard does
            self.page.keyboard.press(f"Shift+{sign}" if sign.isupper() else sign)
        self.page.keyboard.press("Enter")

    def keep_picture(self, name: str) -> bytes:
        picture = self.page.screenshot()
        if SHOTS:
            folder = Path(SHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"desktop-{name}.png").write_bytes(picture)
        return picture

    def never_saw(self, secret: str) -> bool:
        """Neither the page nor its traffic, in any of the usual encodings."""
        traffic = b"\n".join(self.traffic)
        assert traffic
        spelt = (secret.encode(), secret.encode("utf-16-le"))
        return not any(one in traffic for one in spelt) and secret not in self.page.content()


@pytest.fixture
def look(chromium: Browser, gateways: GatewayServer) -> Iterator[type[Viewer]]:
    """`look("vnc.html")` opens a viewer."""
    viewers: list[Viewer] = []
    with contextlib.ExitStack() as stack:

        def look(path: str) -> Viewer:
            context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
            stack.callback(context.close)
            viewers.append(Viewer(context.new_page(), f"{gateways.url}/{path}"))
            return viewers[-1]

        yield look  # type: ignore[misc]
    assert [error for viewer in viewers for error in viewer.errors] == []


@pytest.fixture(scope="module")
def vnc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    if why := desktop_servers.missing("Xvnc", "vncpasswd", "xterm"):
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("vnc")
    with desktop_servers.vnc_desktop(folder, "<b>Build & test</b>") as desktop:
        yield desktop


@pytest.fixture(scope="module")
def rdp() -> Iterator[Desktop]:
    needed = ("xrdp", "xrdp-sesman", "Xorg", "openbox", "xterm", "xprop", "unshare", "openssl")
    if why := desktop_servers.missing(*needed):
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("xrdp with a user of its own needs root")
    with desktop_servers.rdp_desktop() as desktop:
        yield desktop


@pytest.fixture(scope="module")
def guacd_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root, why = desktop_servers.guacd_root()
    if root is None:
        pytest.skip(f"guacd: {why}")
    with desktop_servers.guacd(root, tmp_path_factory.mktemp("guacd")) as port:
        yield port


# --- VNC --------------------------------------------------------------------------------------


@pytest.fixture
def vnc_gateway(gateways: GatewayServer, vnc: Desktop) -> GatewayServer:
    gateways.vnc_port, gateways.vnc_password = vnc.port, VNC_PASSWORD
    return gateways


def test_vnc_is_shown_and_typed_into(vnc_gateway, vnc, look):
    viewer = look("vnc.html").shows_a_desktop()
    viewer.type("typed through noVNC")
    vnc.wait_typed("typed through noVNC")
    viewer.keep_picture("vnc")
    assert viewer.page.evaluate("desk.name") == "\u2039b\u203aBuild & test\u2039/b\u203a"
    assert viewer.never_saw(VNC_PASSWORD)
    assert b"\x01\x01" in viewer.traffic  # security types: one, None


def test_vnc_can_be_watched_and_control_changes_hands(vnc_gateway, vnc, look):
    viewer = look("vnc.html?view").shows_a_desktop()
    viewer.type("only watching")
    [gateway] = vnc_gateway.gateways
    vnc_gateway.set_view_only(gateway, False)
    viewer.type("given control")
    vnc.wait_typed("given control")
    vnc_gateway.set_view_only(gateway, True)
    viewer.type("control is gone")
    other = look("vnc.html").shows_a_desktop()
    other.type("somebody else")
    vnc.wait_typed("somebody else")
    lines = vnc.text().splitlines()
    assert lines[lines.index("given control") :] == ["given control", "somebody else"]
    assert "only watching" not in lines


@pytest.mark.parametrize(("query", "text"), [("", "Grüße"), ("?clipboard", "żółw 🛰")])
def test_vnc_takes_the_clipboard(vnc_gateway, vnc, look, query, text):
    viewer = look(f"vnc.html{query}").shows_a_desktop()
    viewer.type("to be pasted:")
    vnc.wait_typed("to be pasted:")
    viewer.page.evaluate("text => desk.rfb.clipboardPasteFrom(text)", text)
    viewer.page.mouse.click(WIDTH // 2, HEIGHT // 2, button="middle")

    def arrived():  # the server asks for the text when the terminal does, so Enter may overtake it
        viewer.page.keyboard.press("Enter")
        return text in vnc.text().splitlines()

    wait_for(arrived, 10, vnc.text)


def test_vnc_with_a_wrong_password_says_so(vnc_gateway, look):
    vnc_gateway.vnc_password = "wrong"
    assert "The VNC server refused the password" in look("vnc.html").says()
    error = vnc_gateway.last_error()
    assert (error.part, error.close[0]) == (Part.VNC_SERVER, 1011)


# --- RDP --------------------------------------------------------------------------------------


@pytest.fixture
def rdp_gateway(gateways: GatewayServer, rdp: Desktop) -> GatewayServer:
    gateways.rdp_port, gateways.login = rdp.port, Login(USER, PASSWORD)
    gateways.fingerprint = hashlib.sha256(rdp.certificate).digest()
    return gateways


def test_rdp_is_shown_and_typed_into(rdp_gateway, rdp, look):
    viewer = look(f"rdp.html?token={TOKEN}").shows_a_desktop()
    rdp.wait_focus()
    viewer.type("typed through IronRDP")
    rdp.wait_typed("typed through IronRDP")
    viewer.keep_picture("rdp")
    assert viewer.never_saw(PASSWORD)


def test_rdp_can_be_watched_and_control_changes_hands(rdp_gateway, rdp, look):
    viewer = look(f"rdp.html?token={TOKEN}-view").shows_a_desktop()
    rdp.wait_focus()
    viewer.type("only watching")
    [gateway] = rdp_gateway.gateways
    rdp_gateway.set_view_only(gateway, False)
    viewer.type("given control")
    rdp.wait_typed("given control")
    assert "only watching" not in rdp.text().splitlines()


def test_rdp_with_a_used_link_says_so(rdp_gateway, look):
    assert "403" in look("rdp.html?token=another").says()
    assert rdp_gateway.last_error().detail == "This link has been used. Open the desktop again."


def test_rdp_with_another_certificate_is_not_shown(rdp_gateway, look):
    rdp_gateway.fingerprint = bytes(32)
    assert "502" in look(f"rdp.html?token={TOKEN}").says()
    assert "another certificate" in rdp_gateway.last_error().detail


def test_rdp_with_a_wrong_password_is_told_by_the_server_itself(rdp_gateway, rdp, look):
    rdp_gateway.login = Login(USER, "wrong")
    viewer = look(f"rdp.html?token={TOKEN}").shows_a_desktop()
    log = rdp.typed.parents[1] / "xrdp.log"
    wait_for(lambda: f"login failed for user {USER}" in log.read_text(), 20, log.read_text)
    viewer.keep_picture("rdp-wrong-password")


def test_rdp_where_nothing_but_vnc_listens(rdp_gateway, vnc, look):
    rdp_gateway.rdp_port = vnc.port
    assert "502" in look(f"rdp.html?token={TOKEN}").says()
    assert rdp_gateway.last_error().part is Part.RDP_SERVER


# --- Guacamole --------------------------------------------------------------------------------


@pytest.fixture
def guacamole(gateways: GatewayServer, guacd_port: int) -> GatewayServer:
    gateways.guacd_port = guacd_port
    return gateways


def vnc_connection(vnc, password=VNC_PASSWORD):
    parameters = {"hostname": "127.0.0.1", "port": str(vnc.port), "password": password}
    return NewConnection("vnc", parameters)


def rdp_connection(rdp, **changes):
    address = {"hostname": "127.0.0.1", "port": str(rdp.port), "security": "tls"}
    login = {"username": USER, "password": PASSWORD, "ignore-cert": "true"}
    return NewConnection("rdp", {**address, **login, **changes})


def test_vnc_behind_guacd_is_shown_and_typed_into(guacamole, vnc, look):
    guacamole.guacamole = vnc_connection(vnc)
    viewer = look("guacamole.html").shows_a_desktop()
    viewer.type("typed through Guacamole")
    vnc.wait_typed("typed through Guacamole")
    viewer.keep_picture("guacamole-vnc")
    assert viewer.page.evaluate("desk.uuid") == "5ce5cd9c-4f2c-4b0a-8c6c-0f4f6b5ad0a1"
    assert viewer.never_saw(VNC_PASSWORD)


def test_a_connection_of_guacd_is_shared_with_a_viewer(guacamole, vnc, look):
    guacamole.guacamole = vnc_connection(vnc)
    owner = look("guacamole.html").shows_a_desktop()
    [connection_id] = guacamole.connection_ids
    guacamole.guacamole = RunningConnection(connection_id)
    viewer = look("guacamole.html?view").shows_a_desktop()
    viewer.type("only watching")
    # The owner's keys follow the viewer's by what the viewer's own tunnel has answered since.
    answered = len(viewer.traffic)
    wait_for_ping(viewer, answered)
    owner.type("typed by the owner")
    vnc.wait_typed("typed by the owner")
    assert "only watching" not in vnc.text().splitlines()


def wait_for_ping(viewer, since):
    """Until the gateway has echoed a ping that the page sent behind its keys."""

    def echoed():
        viewer.page.wait_for_timeout(20)  # lets Playwright deliver what it saw
        pings = [one for one in viewer.traffic[since:] if one.startswith(b"0.,4.ping")]
        return any(pings.count(one) > 1 for one in pings)

    wait_for(echoed, 10, "no ping came back")


def test_rdp_behind_guacd_is_shown_and_typed_into(guacamole, rdp, look):
    guacamole.guacamole = rdp_connection(rdp, width=str(WIDTH), height=str(HEIGHT))
    viewer = look("guacamole.html").shows_a_desktop()
    rdp.wait_focus()
    viewer.type("typed through Guacamole")
    rdp.wait_typed("typed through Guacamole")
    viewer.keep_picture("guacamole-rdp")
    assert viewer.never_saw(PASSWORD)


@pytest.mark.parametrize("what", ["wrong password", "untrusted certificate"])
def test_what_guacd_cannot_show_has_words(guacamole, vnc, rdp, look, what):
    guacamole.guacamole = {
        "wrong password": vnc_connection(vnc, "wrong"),
        "untrusted certificate": rdp_connection(rdp, **{"ignore-cert": "false"}),
    }[what]
    assert look("guacamole.html").says().startswith("519")
    error = guacamole.last_error()
    assert error.part is Part.DESKTOP
    assert "could not be reached or refused the connection" in error.detail
    assert error.close == (1011, "519")


def test_a_desktop_that_is_not_there_has_words(guacamole, look, monkeypatch):
    monkeypatch.setattr(guacd, "SHOW_SECONDS", 2.0)
    guacamole.guacamole = NewConnection("vnc", {"hostname": "127.0.0.1", "port": "1"})
    # guacd 1.3 says so, or hangs up, or says nothing: as its threads happen to meet.
    assert look("guacamole.html").says()[:3] in {"519", "514"}
    assert guacamole.last_error().part is Part.DESKTOP


def test_a_protocol_that_guacd_lacks_has_words(guacamole, look, monkeypatch):
    monkeypatch.setattr(guacd, "HANDSHAKE_SECONDS", 1.0)
    guacamole.guacamole = NewConnection("kubernetes")
    assert look("guacamole.html").says().startswith("514")
    assert "plugin for kubernetes" in str(guacamole.last_error().remedy)


def test_a_connection_that_is_gone_has_words(guacamole, look, monkeypatch):
    monkeypatch.setattr(guacd, "HANDSHAKE_SECONDS", 2.0)
    guacamole.guacamole = RunningConnection("$00000000-0000-0000-0000-000000000000")
    assert look("guacamole.html").says()
    assert guacamole.last_error().part in {Part.DESKTOP, Part.GUACD}
