"""One desktop by every way that the page knows: seen, typed into, read back from inside it.

Nothing is fake: server, runner, TigerVNC, xrdp, guacd, agent and browser are processes.
One world and one desktop serve all ways, one after another and two at once.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from earthshine.runner.desktops import capabilities
from tests.e2e.conftest import PATIENCE_MS, SHOTS, WIDE
from tests.e2e.desktop_page import VIEW
from tests.e2e.pages import EarthshinePages
from tests.e2e.ways_page import WaysPage
from tests.peers import desktop_servers
from tests.world import World, running_world, wait_for

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
] + [why for why in [desktop_servers.missing("Xvnc", "xterm")] if why]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
WIDTH, HEIGHT = 1024, 700
XTERM = (300, 300)
"""A place inside the xterm."""
SHOWN_SECONDS = 60.0


@pytest.fixture(scope="module")
def guacd_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """0 where there is none."""
    root, why = desktop_servers.guacd_root()
    if root is None:
        print(f"without guacd: {why}")
        yield 0
        return
    with desktop_servers.guacd(root, tmp_path_factory.mktemp("guacd")) as port:
        yield port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, guacd_port: int) -> Iterator[World]:
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    runner = {
        "XDG_RUNTIME_DIR": runtime,
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
        "EARTHSHINE_RUNNER_DESKTOP__BACKEND": "tigervnc",
    }
    control = {"EARTHSHINE_DESKTOP__ENTRY_PORTS": "[0, 0]"}
    if guacd_port:
        control |= {"EARTHSHINE_GUACD__PORT": str(guacd_port)}
    with running_world(tmp_path_factory.mktemp("world"), runner=runner, control=control) as running:
        yield running
    shutil.rmtree(runtime)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that gets what is typed into the xterm."""
    return tmp_path_factory.mktemp("typed") / "typed"


@pytest.fixture(scope="module")
def session(world: World, typed: Path) -> str:
    """A session whose desktop shows one xterm, into which everything is typed."""
    xterm = f"xterm -geometry 100x24+60+120 -e 'cat > {typed}'"
    runner = world.wait_runner()
    started = world.api(
        "POST",
        "/sessions",
        {
            "runnerId": runner["id"],
            "agent": "command",
            "command": ["bash", "-c", f"{xterm} & sleep 100000"],
            "folder": str(world.root),
            "title": "Every way",
            "cols": 80,
            "rows": 24,
            "desktop": {"width": WIDTH, "height": HEIGHT},
        },
    )
    wait_for(typed.exists, 30, "the xterm")
    session_id: str = started["id"]
    return session_id


@pytest.fixture
def desktop(page: Page, world: World, session: str) -> WaysPage:
    return opened(page, world, session)


def opened(page: Page, world: World, session: str) -> WaysPage:
    app = EarthshinePages(page, world.url)
    link = world.api("POST", "/sign-in-codes", {})["url"]
    app.sign_in(link.rpartition("=")[2])
    shown = WaysPage(app)
    shown.open(session)
    shown.show("Desktop")
    shown.wait_shown()
    return shown


def keep(desktop: WaysPage, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        desktop.page.screenshot(path=f"{SHOTS}/method-{name}.png")


def type_line(desktop: WaysPage, typed: Path, text: str) -> None:
    """Into the xterm, until it has arrived there."""
    # Whoever had control before may have left a moment ago.
    expect(desktop.control).to_have_text(re.compile("Type or click|You have control"))
    box = desktop.sheet.bounding_box()
    assert box is not None
    x, y = XTERM
    desktop.page.mouse.click(
        box["x"] + x * box["width"] / WIDTH, box["y"] + y * box["height"] / HEIGHT
    )
    for sign in text:
        desktop.page.keyboard.press(f"Shift+{sign}" if sign.isupper() else sign)
    desktop.page.keyboard.press("Enter")
    wait_for(lambda: text in typed.read_text().splitlines(), 15, typed.read_text)


def need(label: str, world: World, session: str) -> None:
    """Skip what this machine has no parts for, with the server's own words."""
    methods = world.api("GET", f"/sessions/{session}/connection-methods")["methods"]
    method = next(method for method in methods if method["label"] == label)
    if not method["available"]:
        pytest.skip(f"{label}: {method['detail']}")


@pytest.mark.parametrize("label", ["Built in", "VNC", "RDP", "Guacamole"])
def test_typed_by_every_way(
    desktop: WaysPage, world: World, session: str, typed: Path, label: str
) -> None:
    need(label, world, session)
    if label != "Built in":
        desktop.see_by(label)
        desktop.expect_way(label)
        desktop.page.wait_for_function(
            f"() => {VIEW}?.method?.label === '{label}' && {VIEW}.viewer?.current",
            timeout=SHOWN_SECONDS * 1000,
        )
    type_line(desktop, typed, f"Typed by {label.lower()}, in Full: (1+2)/3 = ok?")
    keep(desktop, label.lower().replace(" ", "-"))
    desktop.expect_control("You have control")
    expect(desktop.said).to_have_count(0)


def test_text_that_no_key_makes(desktop: WaysPage, world: World, session: str, typed: Path) -> None:
    need("VNC", world, session)
    desktop.see_by("VNC")
    desktop.page.wait_for_function(
        f"() => {VIEW}?.method?.name === 'vnc' && {VIEW}.viewer?.current"
    )
    type_line(desktop, typed, "before")
    desktop.page.keyboard.insert_text("grüße ")
    desktop.page.keyboard.press("Enter")
    wait_for(lambda: "grüße " in typed.read_text(), 15, typed.read_text)


def test_two_ways_at_once_show_one_desktop(
    desktop: WaysPage, chromium: Browser, world: World, session: str, typed: Path
) -> None:
    need("VNC", world, session)
    context = chromium.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    try:
        other = opened(context.new_page(), world, session)
        other.see_by("VNC")
        other.page.wait_for_function(
            f"() => {VIEW}?.method?.name === 'vnc' && {VIEW}.viewer?.current"
        )
        type_line(desktop, typed, "from the built-in way")
        other.press_button("Take control")
        desktop.expect_control("owner has control")
        type_line(other, typed, "and by vnc")
        keep(other, "two-ways")
    finally:
        context.close()
