"""The account page, and letting a command line in."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e import scenes
from tests.e2e.fake_account import PASSWORD
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def account(app: EarthshinePages, plane: FakeControlPlane) -> Locator:
    """The page of somebody with passkeys, sign-ins and a key."""
    scenes.trust(plane)
    app.sign_in(CODE)
    app.page.get_by_role("button", name="mira: account and sign-out").click()
    app.page.get_by_role("menuitem", name="Account").click()
    return app.page.locator("es-account-page")


def _yes(app: EarthshinePages, name: str) -> None:
    app.page.locator("es-confirm").get_by_role("button", name=name).click()


def test_the_name(account: Locator, app: EarthshinePages, plane: FakeControlPlane) -> None:
    account.get_by_role("button", name="Change name").click()
    account.get_by_label("Name").fill("Mira K.")
    account.get_by_role("button", name="Save").click()
    expect(app.page.locator("es-sidebar")).to_contain_text("Mira K.")
    assert plane.me["name"] == "Mira K."


def test_the_password(account: Locator, app: EarthshinePages, plane: FakeControlPlane) -> None:
    account.get_by_role("button", name="Change password").click()
    account.get_by_label("Current password").fill("not it")
    account.get_by_label("New password").fill("a new long one")
    account.get_by_label("The same again").fill("a new lung one")
    account.get_by_role("button", name="Change password").click()
    expect(account.get_by_role("alert")).to_contain_text("differ")
    account.get_by_label("The same again").fill("a new long one")
    account.get_by_role("button", name="Change password").click()
    expect(account.get_by_role("alert")).to_contain_text("The current password is wrong.")
    account.get_by_label("Current password").fill(PASSWORD)
    account.get_by_role("button", name="Change password").click()
    expect(app.notices.filter(has_text="The password was changed.")).to_be_visible()
    account.locator("es-password").get_by_role("button", name="Remove").click()
    _yes(app, "Remove")
    expect(account.get_by_role("button", name="Set a password")).to_be_visible()
    assert not plane.trust.account["hasPassword"]


def test_a_passkey_is_removed(account: Locator, app: EarthshinePages) -> None:
    account.get_by_role("button", name="Remove Blue security key").click()
    _yes(app, "Remove")
    passkeys = account.get_by_role("list", name="Passkeys")
    expect(passkeys.get_by_role("listitem")).to_have_count(1)


def test_sign_ins_end(account: Locator, app: EarthshinePages, plane: FakeControlPlane) -> None:
    rows = account.get_by_role("list", name="Sign-ins").get_by_role("listitem")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("this one")
    expect(rows.nth(1)).to_contain_text("Safari on iPhone")
    expect(rows.nth(1)).to_contain_text("2001:db8::7")
    expect(rows.nth(2)).to_contain_text("Command line")
    rows.nth(1).get_by_role("button", name="End").click()
    expect(rows).to_have_count(2)
    account.get_by_role("button", name="End all others").click()
    _yes(app, "End them")
    expect(rows).to_have_count(1)
    rows.get_by_role("button", name="Sign out").click()
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()
    assert plane.signed_out.is_set()


def test_a_token_is_shown_once(
    account: Locator, app: EarthshinePages, plane: FakeControlPlane
) -> None:
    account.get_by_role("button", name="Make a token").click()
    account.get_by_label("What it is for").fill("Nightly script")
    account.get_by_label("See sessions, runners and logs").uncheck()
    account.get_by_role("button", name="Make the token").click()
    expect(account.get_by_role("alert")).to_contain_text("must be allowed something")
    account.get_by_label("Start, steer and share sessions").check()
    account.get_by_label("Works for").select_option("30 days")
    account.get_by_role("button", name="Make the token").click()
    token = account.get_by_label("Token “Nightly script”")
    expect(token).to_have_value("est_shown-only-once")
    expect(account).to_contain_text("it will not be shown again")
    account.get_by_role("button", name="Copy").click()
    assert app.page.evaluate("navigator.clipboard.readText()") == "est_shown-only-once"
    assert plane.trust.tokens[0]["scopes"] == ["control"]
    app.page.reload()
    tokens = account.get_by_role("list", name="API tokens")
    expect(tokens).to_contain_text("Nightly script")
    expect(token).to_have_count(0)
    account.get_by_role("button", name="End Nightly script").click()
    _yes(app, "End it")
    expect(tokens).to_have_count(0)


def test_only_admins_make_tokens_of_admins(account: Locator, plane: FakeControlPlane) -> None:
    account.get_by_role("button", name="Make a token").click()
    expect(account.get_by_role("checkbox", name="Whatever only admins")).to_be_visible()
    plane.me |= {"role": "member", "isAdmin": False}
    account.page.reload()
    account.get_by_role("button", name="Make a token").click()
    expect(account.get_by_role("checkbox", name="See sessions")).to_be_visible()
    expect(account.get_by_role("checkbox", name="Whatever only admins")).to_have_count(0)


def test_a_key_is_written_and_never_read(
    account: Locator, app: EarthshinePages, plane: FakeControlPlane
) -> None:
    account.get_by_role("button", name="Add a key").click()
    account.get_by_label("Name of the variable").fill("OPENAI_API_KEY")
    account.get_by_label("Value").fill("sk-not-for-eyes")
    account.get_by_role("button", name="Store").click()
    keys = account.get_by_role("list", name="Keys for your agents")
    expect(keys.get_by_role("listitem")).to_have_count(2)
    assert plane.trust.secret_values["me", "OPENAI_API_KEY"] == "sk-not-for-eyes"
    assert "sk-not-for-eyes" not in app.page.content()
    keys.get_by_role("button", name="Replace ANTHROPIC_API_KEY").click()
    expect(account.get_by_label("Name of the variable")).to_have_value("ANTHROPIC_API_KEY")
    expect(account.get_by_label("Value")).to_have_value("")
    account.get_by_role("button", name="Cancel").click()
    keys.get_by_role("button", name="Remove ANTHROPIC_API_KEY").click()
    _yes(app, "Remove")
    expect(keys.get_by_role("listitem")).to_have_count(1)


def test_where_no_keys_can_be_stored_it_says_why(
    app: EarthshinePages, plane: FakeControlPlane
) -> None:
    plane.trust.secrets_available = False
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/account")
    secrets = app.page.locator("es-secrets")
    expect(secrets).to_contain_text("No key is set. Run earthshine keys make.")
    expect(secrets.get_by_role("button", name="Add a key")).to_have_count(0)


def test_what_cannot_be_loaded_says_so_and_is_tried_again(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    app.page.route("**/api/v1/me/sign-ins", lambda route: route.abort())
    app.page.goto(f"{app.url}/account")
    signs = app.page.locator("es-sign-ins")
    expect(signs.get_by_role("alert")).to_contain_text("Could not load your sign-ins.")
    app.page.unroute("**/api/v1/me/sign-ins")
    signs.get_by_role("button", name="Try again").click()
    expect(signs.get_by_role("listitem")).to_have_count(3)


# A command line asks to be let in.


def test_a_command_line_is_let_in(
    app: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/device?code=BCDF-GHJK")
    page = app.page.locator("es-device-page")
    expect(page).to_contain_text("192.168.1.31")
    expect(page).to_contain_text("Start, steer and share sessions")
    assert plane.trust.device_answer is None
    page.get_by_role("button", name="Let it in").click()
    expect(page).to_contain_text("It is let in.")
    app.page.screenshot(path=shots / "device-done.png")
    assert plane.trust.device_answer is True


def test_a_command_line_is_refused(app: EarthshinePages, plane: FakeControlPlane) -> None:
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/device?code=BCDF-GHJK")
    app.page.get_by_role("button", name="Refuse").click()
    expect(app.page.locator("es-device-page")).to_contain_text("It was refused.")
    assert plane.trust.device_answer is False


def test_the_code_by_hand(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    app.page.keyboard.press("Control+k")
    app.palette.fill("command line")
    app.page.keyboard.press("Enter")
    page = app.page.locator("es-device-page")
    page.get_by_label("Code").fill("nope nope")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("No command line waits with this code.")
    page.get_by_label("Code").fill("bcdfghjk")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Let it in")).to_be_visible()
