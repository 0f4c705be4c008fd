"""Programs that show a desktop in a browser, each started with a display of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from earthshine.protocols.guacamole import NewConnection
from tests.e2e.desktop_page import DesktopPage
from tests.e2e.pages import EarthshinePages
from tests.peers import desktop_servers
from tests.peers.desktop_gateway import GatewayServer
from tests.world import free_port, running_world, wait_for

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "build" / "desktop-peers"
"""Where scripts/desktop-peers installs programs to compare with."""
CLIENTS = ROOT / "tests" / "peers" / "desktop_clients" / "node_modules"
MARK = "DESKTOP_BENCHMARK"
"""In the environment of everything a contender starts: the key to its CPU time."""
WIDTH, HEIGHT = 1280, 720


@dataclass
class Contender:
    """A desktop that is being served."""

    port: int
    """Whose outgoing bytes count."""
    environment: dict[str, str]
    """With which a program finds the display."""
    open: Callable[[Page], object]
    """Show the desktop in a fresh page."""
    folder: Path
    """Named in the command line or environment of all its processes."""


class MissingError(Exception):
    """A contender that is not on this machine."""


@contextlib.contextmanager
def _display(folder: Path) -> Iterator[tuple[dict[str, str], int]]:
    """TigerVNC without a password on loopback: its environment, and its RFB port."""
    port, shown = free_port(), folder / "display"
    command = (
        f"exec Xtigervnc -displayfd 3 -geometry {WIDTH}x{HEIGHT} -depth 24 -rfbport {port}"
        f" -localhost -SecurityTypes None -nolisten tcp 3>{shown}"
    )
    with _program(["sh", "-c", command], folder, {}):
        wait_for(lambda: shown.exists() and shown.read_text().endswith("\n"), 15, "a display")
        yield {"DISPLAY": f":{shown.read_text().strip()}"}, port


@contextlib.contextmanager
def _program(argv: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    marked = {**environment, MARK: str(folder)}
    with desktop_servers.program(argv, folder / f"{Path(argv[0]).name}.log", **marked):
        yield


def _wait_listening(port: int) -> None:
    wait_for(lambda: desktop_servers.is_listening(port), 30, f"somebody on port {port}")


@contextlib.contextmanager
def earthshine(folder: Path) -> Iterator[Contender]:
    """Control plane, runner behind it, and a session with a desktop: the native stream."""
    runtime = tempfile.mkdtemp(prefix="earthshine-bench-", dir="/tmp")
    runner = {
        MARK: str(folder),
        "XDG_RUNTIME_DIR": runtime,
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__WINDOW_MANAGER": "off",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
    }
    where = folder / "display"
    with running_world(folder, runner=runner, control={MARK: str(folder)}) as world:
        tell = f'echo "$DISPLAY $XAUTHORITY" >{where}; sleep 100000'
        session = world.api(
            "POST",
            "/sessions",
            {
                "agent": "command",
                "command": ["sh", "-c", tell],
                "desktop": {"width": WIDTH, "height": HEIGHT},
            },
        )
        wait_for(lambda: where.exists() and where.read_text().endswith("\n"), 20, "a display")
        shown, authority = where.read_text().split()

        def show(page: Page) -> None:
            app = EarthshinePages(page, world.url)
            app.sign_in(world.sign_in_code())
            DesktopPage(app).open(session["id"]).show("Desktop")

        yield Contender(world.port, {"DISPLAY": shown, "XAUTHORITY": authority}, show, folder)
    shutil.rmtree(runtime, ignore_errors=True)


@contextlib.contextmanager
def novnc(folder: Path) -> Iterator[Contender]:
    """noVNC behind websockify, as its own documentation starts it."""
    websockify = PEERS / "bin" / "websockify"
    if not websockify.exists() or not (CLIENTS / "@novnc").exists():
        raise MissingError("scripts/desktop-peers and scripts/desktop-clients install it")
    web = folder / "web"
    web.mkdir()
    (web / "novnc").symlink_to(CLIENTS / "@novnc" / "novnc")
    shutil.copy(Path(__file__).with_name("novnc.html"), web / "index.html")
    with _display(folder) as (environment, rfb):
        port = free_port()
        serve = [str(websockify), "--web", str(web), f"127.0.0.1:{port}", f"127.0.0.1:{rfb}"]
        with _program(serve, folder, {}):
            _wait_listening(port)
            url = f"http://127.0.0.1:{port}/index.html"
            yield Contender(port, environment, lambda page: page.goto(url), folder)


def _selkies(*options: str) -> Callable[[Path], contextlib.AbstractContextManager[Contender]]:
    @contextlib.contextmanager
    def selkies(folder: Path) -> Iterator[Contender]:
        program = PEERS / "bin" / "selkies"
        if not program.exists():
            raise MissingError("scripts/desktop-peers installs it")
        with _display(folder) as (environment, _):
            port = free_port()
            serve = [
                str(program), "--addr", "127.0.0.1", "--port", str(port), "--mode", "websockets",
                "--enable-basic-auth", "false", "--enable-https", "false",
                "--audio-enabled", "false", "--enable-resize", "false",
                *options,
            ]  # fmt: skip
            with _program(serve, folder, environment):
                _wait_listening(port)
                url = f"http://127.0.0.1:{port}/"
                yield Contender(port, environment, lambda page: page.goto(url), folder)

    return selkies


@contextlib.contextmanager
def guacamole(folder: Path) -> Iterator[Contender]:
    """guacd in front of TigerVNC; the tunnel to it is Earthshine's, in this process."""
    root, reason = desktop_servers.guacd_root()
    if root is None or not (CLIENTS / "guacamole-common-js").exists():
        raise MissingError(reason or "scripts/desktop-clients installs its browser side")
    with (
        _display(folder) as (environment, rfb),
        _marked(folder),
        desktop_servers.guacd(root, folder) as daemon,
        GatewayServer().running() as gateways,
    ):
        gateways.guacd_port = daemon
        gateways.guacamole = NewConnection("vnc", {"hostname": "127.0.0.1", "port": str(rfb)})
        url = f"{gateways.url}/guacamole.html"
        yield Contender(gateways.port, environment, lambda page: page.goto(url), folder)


@contextlib.contextmanager
def _marked(folder: Path) -> Iterator[None]:
    os.environ[MARK] = str(folder)
    try:
        yield
    finally:
        del os.environ[MARK]


CONTENDERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Contender]]] = {
    "Earthshine": earthshine,
    "noVNC + TigerVNC": novnc,
    "Selkies": _selkies(),
    "Selkies, constant quality": _selkies("--rate-control-mode", "crf"),
    "guacd + TigerVNC": guacamole,
}
