"""A desktop as somebody meets it: started in the browser, seen, typed into, refreshed.

Nothing is fake: server, runner, display, encoder, agent and browser are processes of their own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from earthshine.runner.desktops import capabilities
from tests.e2e.barcode import PERIOD, now
from tests.e2e.conftest import SHOTS
from tests.e2e.desktop_page import DesktopPage
from tests.e2e.pages import EarthshinePages
from tests.world import World, running_world, wait_for

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
ROOT = Path(__file__).parents[2]
AFTER_REFRESH = 3.0
"""Seconds; well under one where the machine has nothing else to do."""
LETTERS = (64, 144, 80, 10)
"""A part of the line that is typed: x, y, width, height. Its font has no shades of grey."""
XTERM = (300, 300)
"""A place inside the xterm."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    runner = {
        "XDG_RUNTIME_DIR": runtime,
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
    }
    with running_world(tmp_path, runner=runner) as world:
        yield world
    shutil.rmtree(runtime)


def age(shown: int) -> int:
    """Milliseconds since a barcode was drawn."""
    return (now() - shown) % PERIOD


def colours(desktop: DesktopPage) -> set[tuple[int, ...]]:
    """What the letters are made of on the canvas: in video, of many greys."""
    pixels = desktop.pixels(*LETTERS)
    return {tuple(pixels[at : at + 3]) for at in range(0, len(pixels), 4)}


def test_start_see_type_and_refresh(page: Page, world: World, tmp_path: Path) -> None:
    app = EarthshinePages(page, world.url)
    dialog = app.sign_in(world.sign_in_code()).new_session()
    dialog.choose_agent("Any command")
    scene = f"{sys.executable} -m tests.e2e.barcode_scene 30"
    xterm = f"xterm -geometry 100x24+60+120 -e 'cat > {tmp_path}/typed'"
    dialog.fill("Command", f'bash -c "{scene} & {xterm} & sleep 100000"')
    dialog.dialog.get_by_label("With a desktop").check()
    dialog.start()
    desktop = DesktopPage(app)
    desktop.show("Desktop")
    desktop.wait_picture()
    desktop.wait_current()
    wait_for((tmp_path / "typed").exists, 20, "the xterm")
    ages = [age(shown) for _ in range(30) if (shown := desktop.time()) is not None]
    assert ages, "the barcode is on the canvas"

    desktop.click(*XTERM)
    desktop.expect_control("You have control")
    page.keyboard.type("Hello, grüße!")
    page.keyboard.press("Enter")
    typed = tmp_path / "typed"
    wait_for(lambda: typed.read_text() == "Hello, grüße!\n", 10, typed.read_text)
    wait_for(lambda: colours(desktop) == {(0, 0, 0), (255, 255, 255)}, 10, "exact letters")
    page.screenshot(path=str(Path(SHOTS or tmp_path) / "desktop-walk.png"))

    began = time.monotonic()
    page.reload()
    desktop.wait_current()
    refreshed = time.monotonic() - began
    print(
        f"\npictures on the canvas are {sorted(ages)[len(ages) // 2]} ms old; "
        f"after a refresh a current picture came in {refreshed:.2f} s"
    )
    expect(desktop.said).to_have_count(0)
    assert refreshed < AFTER_REFRESH
