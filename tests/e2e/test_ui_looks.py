"""Every page and dialog about trust, wide and on a phone, dark and light: nothing sticks out."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_trust import SHARE_CODE
from tests.e2e.looks import look_at
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


def _page(path: str) -> Callable[[EarthshinePages], object]:
    return lambda app: app.page.goto(f"{app.url}/{path}")


def _signed_out(app: EarthshinePages) -> None:
    app.page.goto(app.url)
    expect(app.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    app.page.get_by_text("Nothing works?").click()


def _invited(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/#share={SHARE_CODE}")
    expect(app.page.get_by_label("Your name")).to_be_visible()


def _token(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/account")
    app.page.get_by_role("button", name="Make a token").click()
    app.page.get_by_label("What it is for").fill("Nightly script")
    app.page.get_by_role("button", name="Make the token").click()
    expect(app.page.get_by_text("it will not be shown again")).to_be_visible()
    app.page.get_by_role("button", name="Make a token").click()
    app.page.get_by_role("group", name="What it may do").scroll_into_view_if_needed()


def _pairing(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/runners")
    app.page.get_by_role("button", name="Add a machine").click()
    expect(app.page.get_by_text("Waiting for the machine")).to_be_visible()


def _share(app: EarthshinePages) -> None:
    app.open_session("limiter").wait_live()
    app.page.keyboard.press("Control+Shift+L")
    dialog = app.page.get_by_role("dialog", name="Share this session")
    dialog.get_by_role("button", name="Make a link").click()
    dialog.get_by_text("What each role may do").click()
    expect(dialog.get_by_label("Link to this session")).to_be_visible()


def _audit_dialog(app: EarthshinePages) -> None:
    session = app.open_session("limiter").wait_live()
    session.menu("Audit")
    expect(app.page.get_by_role("dialog", name="What was done here")).to_contain_text("prompted")


def _audit(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/audit")
    app.page.get_by_role("button", name="Verify").click()
    app.page.get_by_role("button", name="signed in").first.click()
    expect(app.page.get_by_text("Hash", exact=True)).to_be_visible()


def _people(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/people")
    app.page.get_by_role("button", name="Add somebody").click()
    app.page.get_by_label("Name").fill("Noor")
    app.page.get_by_role("button", name="Add, and make a link").click()
    expect(app.page.get_by_label("One-time link for Noor")).to_be_visible()


def _watching(app: EarthshinePages) -> None:
    app.open_session("limiter").wait_live()
    expect(app.page.locator("es-watching")).to_be_visible()


PLACES: dict[str, tuple[Callable[[EarthshinePages], object], bool]] = {
    "sign-in": (_signed_out, False),
    "invited": (_invited, False),
    "account": (_page("account"), True),
    "token": (_token, True),
    "device": (_page("device?code=BCDF-GHJK"), True),
    "device-entry": (_page("device"), True),
    "people": (_people, True),
    "runners-trust": (_page("runners"), True),
    "pairing": (_pairing, True),
    "share": (_share, True),
    "audit": (_audit, True),
    "session-audit": (_audit_dialog, True),
    "watching": (_watching, True),
    "settings-trust": (_page("settings"), True),
}


@pytest.mark.parametrize(
    ("look", "place"),
    [*(("phone", place) for place in PLACES), ("wide", "audit"), ("wide", "account")],
    indirect=["look"],
)
def test_nothing_sticks_out(
    look: tuple[str, Page], plane: FakeControlPlane, place: str, shots: Path
) -> None:
    size, page = look
    scenes.sessions(plane)
    scenes.trust(plane)
    if place == "watching":
        plane.role = "viewer"
    app = EarthshinePages(page, plane.url)
    go, inside = PLACES[place]
    if inside:
        app.sign_in(CODE)
    go(app)
    page.wait_for_load_state("networkidle")
    expect(page.locator("[role=status]", has_text="Loading…")).to_have_count(0)
    look_at(page, shots / f"trust-{place}-{size}.png")
