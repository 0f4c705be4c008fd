"""The UI on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.pages import EarthshinePages, SessionPage

pytestmark = pytest.mark.browser


@pytest.fixture
def session(mobile: EarthshinePages, plane: FakeControlPlane) -> SessionPage:
    scenes.sessions(plane)
    mobile.sign_in(CODE)
    return mobile.sessions().open("Keep rate limits").wait_live()


def test_nothing_is_wider_than_the_window(
    mobile: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    scenes.sessions(plane)
    mobile.sign_in(CODE)
    for path in ("", "runners", "settings", "sessions/limiter", "sessions/s9"):
        mobile.page.goto(f"{mobile.url}/{path}")
        expect(mobile.page.locator("main > *")).to_be_visible()
        mobile.page.wait_for_load_state("networkidle")
        width = mobile.page.evaluate(
            "Math.max(...[...document.querySelectorAll('main, main *')]"
            ".filter(e => !e.closest('.terminal')).map(e => e.scrollWidth))"
        )
        assert width <= 390, path
        mobile.page.screenshot(path=shots / f"phone-{path.replace('/', '-') or 'sessions'}.png")


def test_fields_do_not_make_ios_zoom(session: SessionPage) -> None:
    assert session.prompt.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 16


def test_extra_keys(session: SessionPage, plane: FakeControlPlane, wait_until) -> None:
    work = plane.sessions["limiter"]
    session.wait_leading()
    keys = session.page.locator("es-key-row")
    for name in ("Esc", "Tab", "Up", "Ctrl-C"):
        keys.get_by_role("button", name=name, exact=True).tap()
    wait_until(lambda: bytes(work.typed) == b"\x1b\t\x1b[A\x03")
    keys.get_by_role("button", name="Ctrl", exact=True).tap()
    expect(keys.get_by_role("button", name="Ctrl", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    session.page.keyboard.type("d")
    wait_until(lambda: bytes(work.typed).endswith(b"\x04"))
    expect(keys.get_by_role("button", name="Ctrl", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )


def test_enter_makes_a_line_and_the_button_sends(
    session: SessionPage, plane: FakeControlPlane, wait_until
) -> None:
    session.prompt.tap()
    session.page.keyboard.type("one")
    session.page.keyboard.press("Enter")
    session.page.keyboard.type("two")
    session.page.get_by_role("button", name="Send").tap()
    expect(session.prompt).to_have_value("")
    wait_until(lambda: plane.sessions["limiter"].prompts == ["one\ntwo"])


def test_the_prompt_stays_above_the_keyboard(session: SessionPage, shots: Path) -> None:
    """Chromium resizes the window for its keyboard as the page asks; this is that resize."""
    session.prompt.tap()
    session.page.set_viewport_size({"width": 390, "height": 420})
    expect(session.prompt).to_be_in_viewport(ratio=1)
    session.page.wait_for_function(
        "() => document.querySelector('es-session-page')?.viewing?.terminal.term.rows < 20"
    )
    session.page.screenshot(path=shots / "phone-keyboard.png")


def test_touch_scrolls_back(session: SessionPage, plane: FakeControlPlane) -> None:
    session.wait_leading()
    work = plane.sessions["limiter"]
    plane.append(
        work, "output", b"\x1b[2J\x1b[H" + b"".join(b"line %d\r\n" % n for n in range(300))
    )
    session.wait_text("line 299")
    at = "document.querySelector('es-session-page')?.viewing?.terminal.term.buffer.active.viewportY"
    before = session.page.evaluate(at)
    touch = session.page.context.new_cdp_session(session.page)
    touch.send(
        "Input.synthesizeScrollGesture",
        {"x": 180, "y": 300, "yDistance": 400, "speed": 1500, "gestureSourceType": "touch"},
    )
    assert session.page.evaluate(at) < before


def test_text_to_select_with_a_finger(session: SessionPage) -> None:
    session.wait_text("18 passed")
    session.menu("Terminal text")
    expect(session.page.get_by_role("dialog", name="Terminal text")).to_contain_text("18 passed")


def test_anothers_terminal_is_shown_whole(mobile: EarthshinePages, plane: FakeControlPlane) -> None:
    work = scenes.at_work(plane)
    plane.role = "viewer"
    mobile.sign_in(CODE)
    session = mobile.open_session(work.view["id"]).wait_live()
    width = session.page.evaluate(
        "document.querySelector('.xterm-screen').getBoundingClientRect().width"
    )
    assert width <= 390 or session.page.evaluate(
        "document.querySelector('es-session-page')?.viewing?.terminal.term.options.fontSize"
    ) == pytest.approx(5)
