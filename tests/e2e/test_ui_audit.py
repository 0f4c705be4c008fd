"""The audit page."""

import time

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_session import iso
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def audit(app: EarthshinePages, plane: FakeControlPlane) -> Locator:
    scenes.sessions(plane)
    scenes.trust(plane)
    app.sign_in(CODE)
    app.page.keyboard.press("g")
    app.page.keyboard.press("l")
    return app.page.locator("es-audit-page")


def test_what_was_done_in_words(audit: Locator) -> None:
    rows = audit.get_by_role("listitem")
    expect(rows).to_have_count(11)
    expect(rows.nth(0)).to_contain_text("mira had ANTHROPIC_API_KEY given to an agent")
    expect(audit).to_contain_text("mira added tomasz as member")
    expect(audit).to_contain_text("Somebody was refused a sign-in by password, as root")
    expect(audit).to_contain_text("A machine used an old credential of gpu-box again")


def test_a_record_opens(audit: Locator) -> None:
    row = audit.get_by_role("button", name="mira started")
    row.click()
    expect(row).to_have_attribute("aria-expanded", "true")
    expect(audit.get_by_text(f"{6:064x}")).to_be_visible()
    audit.get_by_role("link", name="Keep rate limits across restarts").click()
    expect(audit.page.locator("es-session-page")).to_be_visible()


def test_filters(audit: Locator) -> None:
    rows = audit.get_by_role("listitem")
    audit.get_by_label("What").select_option("Sign-in refused")
    expect(rows).to_have_count(1)
    audit.get_by_label("What").select_option("Everything")
    audit.get_by_label("Session").select_option("Keep rate limits across restarts")
    expect(rows).to_have_count(5)
    audit.get_by_label("Who").select_option("tomasz")
    expect(audit).to_contain_text("Nothing of the kind was recorded.")


def test_only_one_session_also_after_it_was_deleted(
    audit: Locator, plane: FakeControlPlane
) -> None:
    plane.trust.record("session-deleted", "Long gone", sessionId="gone")
    plane.trust.record("prompted", "Long gone", sessionId="gone", details={"text": "Hurry"})
    audit.page.reload()
    audit.get_by_role("button", name="mira deleted “Long gone”").click()
    audit.get_by_role("button", name="Only this session").click()
    expect(audit.get_by_role("listitem")).to_have_count(2)
    expect(audit.get_by_label("Session")).to_have_value("gone")
    audit.get_by_label("Session").select_option("All")
    expect(audit.get_by_role("listitem")).to_have_count(13)


def test_days(audit: Locator, plane: FakeControlPlane) -> None:
    rows = audit.get_by_role("listitem")
    plane.trust.records[0]["at"] = iso(time.time() - 40 * 86400)
    audit.page.reload()
    expect(rows).to_have_count(11)
    audit.get_by_label("Until").fill(iso(time.time() - 30 * 86400)[:10])
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("set this server up")
    audit.get_by_label("From").fill(iso(time.time() - 35 * 86400)[:10])
    expect(audit).to_contain_text("Nothing of the kind was recorded.")


def test_more_is_loaded(audit: Locator, plane: FakeControlPlane) -> None:
    for _ in range(250):
        plane.trust.record("interrupted")
    audit.page.reload()
    rows = audit.get_by_role("listitem")
    expect(rows).to_have_count(100)
    audit.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(200)
    audit.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(261)
    expect(audit.get_by_role("button", name="Load more")).to_have_count(0)


def test_verifying(audit: Locator, plane: FakeControlPlane) -> None:
    audit.get_by_role("button", name="Verify").click()
    expect(audit.get_by_role("status")).to_contain_text(
        "All 1,284 records are there and unchanged."
    )
    plane.trust.verification |= {"ok": False, "problems": [{"seq": 7, "what": "Its hash differs."}]}
    audit.get_by_role("button", name="Verify").click()
    expect(audit.get_by_role("alert")).to_contain_text("The log was changed: 1 problem")
    expect(audit.get_by_role("alert")).to_contain_text("Record 7: Its hash differs.")


def test_exporting(audit: Locator) -> None:
    with audit.page.expect_download() as download:
        audit.get_by_role("link", name="Export").click()
    assert download.value.suggested_filename == "earthshine-audit.jsonl"


def test_a_log_that_cannot_be_read_says_so(audit: Locator) -> None:
    page = audit.page
    page.route("**/api/v1/audit?*", lambda route: route.abort())
    page.reload()
    expect(audit.get_by_role("alert")).to_contain_text("The log could not be loaded.")
    page.unroute("**/api/v1/audit?*")
    audit.get_by_role("button", name="Try again").click()
    expect(audit.get_by_role("listitem")).to_have_count(11)
