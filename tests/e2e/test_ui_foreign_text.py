"""Names and titles from the network are text on every page, whatever they hold."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_trust import PAIRING_CODE, SHARE_CODE
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>${alert(1)}'
FOUND = """() => {
  const found = [];
  const look = root => {
    for (const e of root.querySelectorAll('*')) {
      if (e.getAttribute('src') === 'x' || e.getAttribute('onerror')) found.push(e.outerHTML);
      if (e.tagName === 'SCRIPT' && e.textContent.includes('hacked')) found.push(e.outerHTML);
      if (e.shadowRoot) look(e.shadowRoot);
    }
  };
  look(document);
  return found;
}"""


@pytest.fixture
def evil(app: EarthshinePages, plane: FakeControlPlane) -> EarthshinePages:
    """Everything that somebody else can name is named so."""
    scenes.sessions(plane)
    scenes.trust(plane)
    trust = plane.trust
    plane.me["name"] = EVIL
    for runner in plane.runners.values():
        runner |= {"name": EVIL, "hostname": EVIL, "platform": EVIL, "home": EVIL}
        runner |= {"ownerName": EVIL, "address": EVIL, "fingerprint": EVIL}
    plane.runners["r3"]["revokedReason"] = EVIL
    for session in plane.sessions.values():
        session.view |= {"title": EVIL, "runnerName": EVIL, "ownerName": EVIL, "ownerId": "p2"}
    for person in trust.people:
        person["name"] = EVIL
    for thing in (*trust.sign_ins, *trust.account["passkeys"], *trust.secrets["me"]):
        thing["name"] = EVIL
    trust.sign_ins[0] |= {"userAgent": EVIL, "address": EVIL}
    trust.account["oidc"] = EVIL
    assert trust.device is not None
    trust.device |= {"clientName": EVIL, "address": EVIL}
    trust.shares["ownerName"] = EVIL
    for shared in trust.shares["people"]:
        shared["name"] = EVIL
    for record in trust.records:
        record |= {"subject": EVIL, "personName": EVIL, "address": EVIL}
        record["details"] = dict.fromkeys((*record["details"], "text", "name", EVIL), EVIL)
    trust.record(EVIL, EVIL)
    trust.verification |= {"ok": False, "problems": [{"seq": 1, "what": EVIL}]}
    app.sign_in(CODE)
    return app


def _harmless(page: Page) -> None:
    assert page.evaluate(FOUND) == []
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("", "es-session-row"),
        ("runners", "es-runner-card"),
        ("people", "es-people-page .row"),
        ("account", "es-sign-ins .row"),
        ("settings", "es-settings-page .row:has(button .icon)"),
        ("device?code=BCDF-GHJK", "es-device-page dl"),
        ("sessions/limiter", "es-session-bar"),
    ],
)
def test_on_pages(evil: EarthshinePages, path: str, part: str) -> None:
    evil.page.goto(f"{evil.url}/{path}")
    expect(evil.page.locator(part).first).to_contain_text("<img src=x")
    _harmless(evil.page)


def test_in_the_audit_log(evil: EarthshinePages) -> None:
    evil.page.goto(f"{evil.url}/audit")
    audit = evil.page.locator("es-audit-page")
    rows = audit.get_by_role("listitem")
    for index in range(rows.count()):
        rows.nth(index).get_by_role("button").click()
    audit.get_by_role("button", name="Verify").click()
    expect(audit.get_by_role("alert")).to_contain_text("<img src=x")
    expect(rows.first).to_contain_text("<img src=x")
    _harmless(evil.page)


def test_in_dialogs(evil: EarthshinePages, plane: FakeControlPlane) -> None:
    session = evil.open_session("limiter").wait_live()
    session.press_button("Share")
    dialog = evil.page.get_by_role("dialog", name="Share this session")
    expect(dialog.get_by_role("list", name="Shared with")).to_contain_text("<img src=x")
    _harmless(evil.page)
    dialog.get_by_role("button", name="Close").click()
    session.press("Control+Shift+K")
    expect(evil.page.locator("es-palette")).to_contain_text("<img src=x")
    _harmless(evil.page)

    runners = evil.open_runners()
    runners.get_by_role("button", name="Add a machine").click()
    expect(runners.get_by_role("dialog")).to_contain_text(PAIRING_CODE[:4])
    plane.trust.present(name=EVIL, hostname=EVIL, platform=EVIL, address=EVIL, fingerprint=EVIL)
    expect(runners.get_by_role("dialog").locator("dl")).to_contain_text("<img src=x")
    _harmless(evil.page)
    runners.get_by_role("button", name="Refuse").click()
    runners.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    runners.get_by_role("button", name="More about").first.click()
    _harmless(evil.page)


def test_for_guests(app: EarthshinePages, plane: FakeControlPlane) -> None:
    session = scenes.at_work(plane)
    session.view |= {"title": EVIL, "ownerName": EVIL, "ownerId": "p2"}
    app.page.goto(f"{app.url}/#share={SHARE_CODE}")
    app.page.get_by_label("Your name").fill(EVIL[:64])
    app.page.get_by_role("button", name="Open the session").click()
    expect(app.page.locator("es-watching")).to_contain_text("<img src=x")
    expect(app.page.locator("es-sidebar")).to_contain_text("<img src=x")
    _harmless(app.page)
