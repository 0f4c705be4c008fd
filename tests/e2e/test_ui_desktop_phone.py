"""The desktop on a phone: fingers, keys that its keyboard lacks, one thing at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from earthshine.protocols.viewer import Key, Pointer, Text, Wheel
from tests.e2e.desktop_page import DesktopPage
from tests.e2e.desktop_world import DesktopWorld
from tests.e2e.fake_desktop import FakeDesktop
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[DesktopWorld]:
    it = DesktopWorld(tmp_path_factory.mktemp("plane"))
    with it.running():
        yield it


@pytest.fixture
def fake(world: DesktopWorld) -> FakeDesktop:
    return world.fresh()


@pytest.fixture
def desktop(phone: Page, world: DesktopWorld, fake: FakeDesktop) -> DesktopPage:
    app = EarthshinePages(phone, world.url)
    app.sign_in(world.code(world.here.member))
    shown = DesktopPage(app).open(world.session())
    shown.wait_current()
    return shown


class Fingers:
    """Touches as the browser gets them from a screen."""

    def __init__(self, desktop: DesktopPage) -> None:
        self._line = desktop.page.context.new_cdp_session(desktop.page)

    def send(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": at} for at, (x, y) in enumerate(places)]
        self._line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def places(fake: FakeDesktop) -> list[tuple[int, int, int]]:
    return [(it.x, it.y, it.buttons) for it in fake.input if isinstance(it, Pointer)]


def test_fingers_point(desktop: DesktopPage, fake: FakeDesktop, wait_until, shots: Path) -> None:
    fingers = Fingers(desktop)
    at = desktop.place(320, 200)
    fingers.send("touchStart", at)
    fingers.send("touchEnd")
    desktop.expect_control("You have control")
    wait_until(lambda: len(places(fake)) == 2)
    assert places(fake) == [(320, 200, 1), (320, 200, 0)], "the first place found nobody in control"
    desktop.page.screenshot(path=shots / "desktop-phone.png")

    fingers.send("touchStart", at)
    wait_until(lambda: (320, 200, 4) in places(fake))
    fingers.send("touchEnd")
    wait_until(lambda: places(fake)[-1] == (320, 200, 0))

    beside = (at[0] + 30, at[1])
    fingers.send("touchStart", at)
    fingers.send("touchStart", at, beside)
    for step in range(1, 8):
        up = -12 * step
        fingers.send("touchMove", (at[0], at[1] + up), (beside[0], beside[1] + up))
    fingers.send("touchEnd")
    wait_until(lambda: any(isinstance(it, Wheel) and it.dy > 0 for it in fake.input))


def test_fingers_on_a_trackpad(desktop: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    desktop.menu("Fingers as a trackpad")
    fingers = Fingers(desktop)
    fingers.send("touchStart", desktop.place(100, 100))
    fingers.send("touchEnd")
    wait_until(lambda: len(places(fake)) == 2)
    assert places(fake)[-1] == (320, 200, 0), "where the pointer was, not where the finger is"
    expect(desktop.page.locator("es-desktop-view .pointer")).to_be_visible()


def test_keys_for_phones(desktop: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    row = desktop.page.locator("es-desktop-keys")
    row.get_by_role("button", name="Escape").click()
    row.get_by_role("button", name="Ctrl").click()
    row.get_by_role("button", name="Tab").click()
    keys = lambda: [(it.down, it.keysym) for it in fake.input if isinstance(it, Key)]  # noqa: E731
    wanted = [
        *[(1, 0xFF1B), (0, 0xFF1B)],
        *[(1, 0xFFE3), (1, 0xFF09), (0, 0xFF09), (0, 0xFFE3)],
    ]
    wait_until(lambda: len(keys()) == len(wanted))
    assert keys() == wanted
    row.get_by_role("button", name="Keyboard").click()
    desktop.page.keyboard.insert_text("weiß")
    wait_until(lambda: Text("weiß".encode()) in fake.input)


def test_one_thing_at_a_time(desktop: DesktopPage, shots: Path) -> None:
    switch = desktop.page.locator("es-view-switch")
    expect(switch.get_by_role("button", name="Both")).to_have_count(0)
    desktop.show("Terminal")
    expect(desktop.page.locator("es-desktop-panel")).to_have_count(0)
    desktop.show("Desktop")
    desktop.wait_current()
    desktop.press_button("More of the desktop")
    desktop.page.screenshot(path=shots / "desktop-phone-menu.png")
    desktop.page.keyboard.press("Escape")
    desktop.page.emulate_media(color_scheme="light")
    desktop.page.screenshot(path=shots / "desktop-phone-light.png")
    wide = desktop.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide
