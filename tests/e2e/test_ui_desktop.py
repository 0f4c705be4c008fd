"""The desktop in the browser: pixels on the canvas, input at the desktop, breaks without black."""

import random
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from earthshine.protocols import viewer
from earthshine.protocols.viewer import Key, Pointer, ReleaseAll, Text, Wheel
from tests.e2e.desktop_page import DesktopPage
from tests.e2e.desktop_world import DesktopWorld
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def there(tmp_path: Path):
    world = DesktopWorld(tmp_path)
    with world.running():
        yield world


@pytest.fixture
def session(there: DesktopWorld) -> str:
    return there.session()


@pytest.fixture
def desktop(page: Page, there: DesktopWorld, session: str) -> DesktopPage:
    """Mia's view of her session's desktop."""
    app = EarthshinePages(page, there.url)
    app.sign_in(there.code(there.here.member))
    shown = DesktopPage(app).open(session)
    shown.wait_current()
    return shown


def test_the_picture_is_the_current_one(desktop: DesktopPage, shots: Path) -> None:
    first = desktop.wait_picture()
    assert desktop.wait_picture(newer_than=first) > first
    desktop.page.screenshot(path=shots / "desktop.png")
