"""Sharing a session, watching one, and coming by a link."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_session import FakeSession
from tests.e2e.fake_trust import SHARE_CODE
from tests.e2e.pages import EarthshinePages, SessionPage

pytestmark = pytest.mark.browser


@pytest.fixture
def work(plane: FakeControlPlane) -> FakeSession:
    session = scenes.at_work(plane)
    session.on_resized = lambda _session: b""
    return session


@pytest.fixture
def session(app: EarthshinePages, work: FakeSession) -> SessionPage:
    app.sign_in(CODE)
    return app.open_session(work.view["id"]).wait_live()


@pytest.fixture
def dialog(session: SessionPage) -> Locator:
    session.press_button("Share")
    return session.page.get_by_role("dialog", name="Share this session")


def test_it_is_shared_by_name(dialog: Locator, plane: FakeControlPlane) -> None:
    dialog.get_by_label("Name").fill("nobody at all")
    dialog.get_by_role("button", name="Share", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("For somebody without an account")
    dialog.get_by_label("Name").fill("tomasz")
    dialog.get_by_label("Role", exact=True).select_option("May steer")
    dialog.get_by_label("How long", exact=True).select_option("for a day")
    dialog.get_by_role("button", name="Share", exact=True).click()
    tomasz = dialog.get_by_role("listitem", name="tomasz")
    expect(tomasz).to_contain_text("until")
    assert plane.trust.shares["people"][0]["role"] == "controller"

    dialog.get_by_label("Role of tomasz").select_option("May approve")
    expect(dialog.get_by_label("Role of tomasz")).to_have_value("approver")
    expect(tomasz).to_contain_text("until")
    assert plane.trust.shares["people"][0]["role"] == "approver"
    assert plane.trust.shares["people"][0]["expiresAt"] is not None
    dialog.get_by_role("button", name="Take back from tomasz").click()
    expect(tomasz).to_have_count(0)


def test_a_link_is_shown_once(
    dialog: Locator, session: SessionPage, plane: FakeControlPlane
) -> None:
    dialog.get_by_label("Role of whoever has the link").select_option("May approve")
    dialog.get_by_label("How long the link works").select_option("an hour")
    dialog.get_by_role("button", name="Make a link").click()
    link = dialog.get_by_label("Link to this session")
    expect(link).to_have_value(f"{plane.url}/#share={SHARE_CODE}")
    expect(dialog).to_contain_text("it will not be shown again")
    dialog.get_by_role("button", name="Copy").click()
    copied = session.page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"#share={SHARE_CODE}")
    assert plane.trust.shares["links"][0]["role"] == "approver"
    plane.trust.shares["links"][0]["uses"] = 2
    dialog.get_by_role("button", name="Close").click()
    session.press_button("Share")
    links = dialog.get_by_role("list", name="Links")
    expect(links).to_contain_text("used 2 times")
    dialog.get_by_role("button", name="End this link").click()
    session.confirm("End it")
    expect(links).to_have_count(0)
    expect(link).to_have_count(0)


def test_by_key_and_palette(session: SessionPage) -> None:
    dialog = session.page.get_by_role("dialog", name="Share this session")
    session.press("Control+Shift+L")
    expect(dialog).to_be_visible()
    session.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    session.press("Control+Shift+K")
    session.app.palette.fill("share this")
    session.page.keyboard.press("Enter")
    expect(dialog).to_be_visible()


def test_what_was_done_here(session: SessionPage, plane: FakeControlPlane) -> None:
    scenes.trust(plane)
    session.menu("Audit")
    dialog = session.page.get_by_role("dialog", name="What was done here")
    expect(dialog.get_by_role("listitem")).to_have_count(5)
    dialog.get_by_role("button", name="mira typed 412 bytes").click()
    expect(dialog).to_contain_text("Hash")


@pytest.mark.parametrize(
    ("role", "words"),
    [("viewer", "You are watching."), ("approver", "may answer what the agent asks")],
)
def test_who_may_not_type_sees_why(
    app: EarthshinePages,
    plane: FakeControlPlane,
    work: FakeSession,
    role: str,
    words: str,
    shots: Path,
) -> None:
    plane.role = role
    work.view |= {"ownerId": "p2", "ownerName": "tomasz"}
    app.sign_in(CODE)
    session = app.open_session("limiter").wait_live()
    expect(app.page.locator("es-watching")).to_contain_text(words)
    expect(app.page.locator("es-watching")).to_contain_text("tomasz can let you steer.")
    expect(session.prompt).to_have_count(0)
    for name in ("Share", "Interrupt", "Stop", "Rename"):
        expect(session.bar.get_by_role("button", name=name, exact=True)).to_have_count(0)
    session.press("Control+Shift+L")
    expect(app.notices.filter(has_text="Only its owner can share")).to_be_visible()
    app.page.screenshot(path=shots / f"watching-{role}.png")


def test_a_role_that_changes_is_told_at_once(
    session: SessionPage, plane: FakeControlPlane, work: FakeSession
) -> None:
    watching = session.page.locator("es-watching")
    session.wait_leading()
    plane.change_role(work, "viewer")
    expect(watching).to_be_visible()
    expect(session.prompt).to_have_count(0)
    session.wait_leading(leading=False)
    session.type("x")
    plane.change_role(work, "controller")
    expect(session.prompt).to_be_visible()
    expect(session.app.notices.filter(has_text="You can steer this session now.")).to_be_visible()
    session.type("y")
    session.page.wait_for_function("() => true")
    expect(session.bar.get_by_role("button", name="Interrupt")).to_be_visible()
    expect(session.bar.get_by_role("button", name="Share")).to_have_count(0)
    assert b"x" not in bytes(work.typed)


def test_what_is_taken_back_goes(
    session: SessionPage, plane: FakeControlPlane, work: FakeSession
) -> None:
    plane.close_feeds(work, 4003)
    expect(session.pill).to_contain_text("not allowed")


def test_a_guest_comes_by_a_link(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession, shots: Path
) -> None:
    app.page.goto(f"{app.url}/#share={SHARE_CODE}")
    assert SHARE_CODE not in app.page.url
    app.page.get_by_label("Your name").fill("Noor")
    app.page.get_by_role("button", name="Open the session").click()
    session = SessionPage(app).wait_live()
    session.wait_text("18 passed")
    expect(app.page.locator("es-watching")).to_be_visible()
    sidebar = app.page.locator("es-sidebar")
    expect(sidebar).to_contain_text("Noor")
    expect(sidebar.get_by_role("button", name="New session")).to_have_count(0)
    expect(sidebar.get_by_role("link", name="Runners")).to_have_count(0)
    app.page.screenshot(path=shots / "guest.png")

    app.page.goto(f"{app.url}/settings")
    settings = app.page.locator("es-settings-page")
    expect(settings).to_contain_text("A guest: you see what was shared with you.")
    expect(settings.get_by_role("button", name="Make a link")).to_have_count(0)
    app.page.keyboard.press("n")
    expect(app.page.get_by_role("dialog", name="New session")).to_have_count(0)
    for path in ("runners", "account", "device"):
        app.page.goto(f"{app.url}/{path}")
        expect(app.page.get_by_role("heading", name="Not for guests")).to_be_visible()
    app.page.goto(app.url)
    expect(app.page).to_have_url(f"{app.url}/sessions/limiter")


def test_who_is_signed_in_goes_straight_in(app: EarthshinePages, work: FakeSession) -> None:
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/#share={SHARE_CODE}")
    SessionPage(app).wait_live()
    assert app.page.url == f"{app.url}/sessions/{work.view['id']}"


def test_who_has_an_account_signs_in_first(app: EarthshinePages, work: FakeSession) -> None:
    app.page.goto(f"{app.url}/#share={SHARE_CODE}")
    app.page.get_by_role("button", name="I have an account").click()
    app.page.get_by_role("button", name="Use a one-time link").click()
    app.page.get_by_label("Sign-in link or code").fill(CODE)
    app.page.get_by_role("button", name="Use it").click()
    SessionPage(app).wait_live()


def test_a_link_that_was_taken_back(app: EarthshinePages, work: FakeSession) -> None:
    app.page.goto(f"{app.url}/#share=worn-out")
    app.page.get_by_label("Your name").fill("Noor")
    app.page.get_by_role("button", name="Open the session").click()
    expect(app.page.get_by_role("alert")).to_contain_text("Ask whoever sent it for a new one.")
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/#share=worn-out")
    expect(app.notices).to_contain_text("This link has expired or was taken back.")
