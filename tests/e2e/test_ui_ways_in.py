"""Signing in by password, passkey and single sign-on, and being told to come back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.fake_account import PASSWORD
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_problems import problem
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def front(app: EarthshinePages) -> EarthshinePages:
    """Nobody is signed in."""
    app.page.goto(app.url)
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()
    return app


@pytest.fixture
def authenticator(page: Page, plane: FakeControlPlane) -> Iterator[EarthshinePages]:
    """The same server by a name, which passkeys need, and a device that makes and uses passkeys."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield EarthshinePages(page, plane.url.replace("127.0.0.1", "localhost"))
    devtools.detach()


def _fill(app: EarthshinePages, password: str) -> None:
    app.page.get_by_label("Name").fill("mira")
    app.page.get_by_label("Password").fill(password)
    app.page.get_by_role("button", name="Sign in", exact=True).click()


def test_by_password(front: EarthshinePages) -> None:
    _fill(front, PASSWORD)
    front.sessions()


def test_a_wrong_password_says_so_and_selects_it(front: EarthshinePages) -> None:
    _fill(front, "guess")
    expect(front.page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
    expect(front.page.get_by_label("Password")).to_be_focused()
    front.page.keyboard.type(PASSWORD)
    front.page.keyboard.press("Enter")
    front.sessions()


def test_a_pause_is_counted_down(
    front: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    plane.trust.refusal = problem(429, "too-many", "Too many attempts.", "Wait.", retry_after=3)
    _fill(front, PASSWORD)
    button = front.page.get_by_role("button", name="Sign in", exact=True)
    expect(front.page.get_by_role("timer")).to_contain_text("You can try again in")
    expect(button).to_be_disabled()
    front.page.screenshot(path=shots / "sign-in-pause.png")
    expect(front.page.get_by_text("You can try again now.")).to_be_visible()
    button.click()
    front.sessions()


def test_the_device_page_waits_for_the_sign_in(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/device?code=BCDF-GHJK")
    _fill(app, PASSWORD)
    expect(app.page.locator("es-device-page")).to_contain_text("earthshine on atlas")


def test_what_to_do_when_nothing_works(front: EarthshinePages) -> None:
    front.page.get_by_text("Nothing works?").click()
    expect(front.page.get_by_text("earthshine sign-in")).to_be_visible()


def test_single_sign_on(app: EarthshinePages, plane: FakeControlPlane) -> None:
    plane.trust.options["oidc"] = {"name": "Observatory <b>login</b>"}
    app.page.route("**/api/v1/sign-in/oidc", lambda route: route.fulfill(body="the provider"))
    app.page.goto(f"{app.url}/runners")
    app.page.get_by_role("link", name="Sign in with Observatory <b>login</b>").click()
    expect(app.page.get_by_text("the provider")).to_be_visible()
    # The provider sends the browser back to the start page, signed in.
    app.page.unroute("**/api/v1/sign-in/oidc")
    app.page.goto(f"{app.url}/#sign-in={CODE}")
    expect(app.page.locator("es-runners-page")).to_be_visible()


def test_where_the_server_has_no_passkeys_the_account_says_why(
    authenticator: EarthshinePages,
) -> None:
    app, page = authenticator, authenticator.page
    app.sign_in(CODE)
    page.goto(f"{app.url}/account")
    expect(page.get_by_text("its public address needs a host name")).to_be_visible()
    expect(page.get_by_role("button", name="Add a passkey")).to_be_disabled()


def test_passkeys_need_a_name(app: EarthshinePages, plane: FakeControlPlane) -> None:
    plane.trust.options["passkeys"] = True
    app.page.goto(app.url)
    expect(app.page.get_by_role("button", name="Sign in with a passkey")).to_be_disabled()
    expect(app.page.get_by_text("Passkeys need a host name")).to_be_visible()


def test_a_passkey_is_made_and_used(
    authenticator: EarthshinePages, plane: FakeControlPlane
) -> None:
    app, page = authenticator, authenticator.page
    plane.trust.options["passkeys"] = True
    app.sign_in(CODE)
    page.goto(f"{app.url}/account")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("What to call it").fill("This laptop")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("list", name="Passkeys")).to_contain_text("This laptop")

    page.get_by_role("button", name="mira: account and sign-out").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    assert plane.trust.presented["credential"]["response"]["signature"]


def test_a_passkey_after_the_password(
    authenticator: EarthshinePages, plane: FakeControlPlane
) -> None:
    app, page = authenticator, authenticator.page
    plane.trust.options["passkeys"] = True
    app.sign_in(CODE)
    page.goto(f"{app.url}/account")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("switch", name="Ask for a passkey after the password").check()
    assert plane.trust.account["secondFactor"]
    plane.trust.wants_passkey = True
    page.context.clear_cookies()
    page.goto(app.url)
    _fill(app, PASSWORD)
    app.sessions()
    assert plane.trust.presented["credential"]["response"]["signature"]


def test_a_cancelled_passkey_can_be_tried_again(
    app: EarthshinePages, plane: FakeControlPlane
) -> None:
    """No authenticator at all: the browser refuses."""
    app.url = app.url.replace("127.0.0.1", "localhost")
    plane.trust.wants_passkey = True
    app.page.add_init_script(
        "navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    app.page.goto(app.url)
    _fill(app, PASSWORD)
    expect(app.page.get_by_role("heading", name="Now your passkey")).to_be_visible()
    expect(app.page.get_by_role("alert")).to_contain_text("No passkey was used.")
    app.page.get_by_role("button", name="Start over").click()
    expect(app.page.get_by_label("Password")).to_be_visible()


def test_who_came_by_a_link_is_told_how_to_come_back(
    app: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    plane.me["hasCredentials"] = False
    plane.trust.account["hasPassword"] = False
    app.sign_in(CODE)
    banner = app.page.locator("es-come-back-banner")
    expect(banner).to_contain_text("You came by a one-time link.")
    app.page.screenshot(path=shots / "banner.png")
    banner.get_by_role("link").click()
    app.page.get_by_role("button", name="Set a password").click()
    app.page.get_by_label("New password").fill(PASSWORD)
    app.page.get_by_label("The same again").fill(PASSWORD)
    app.page.get_by_role("button", name="Set password").click()
    expect(app.page.get_by_role("button", name="Change password")).to_be_visible()
    app.page.goto(app.url)
    app.sessions()
    expect(banner).to_have_count(0)


def test_the_banner_goes_for_good(app: EarthshinePages, plane: FakeControlPlane) -> None:
    plane.me["hasCredentials"] = False
    app.sign_in(CODE)
    app.page.get_by_role("button", name="Dismiss").click()
    expect(app.page.locator("es-come-back-banner")).to_have_count(0)
    app.page.reload()
    app.sessions()
    expect(app.page.locator("es-come-back-banner")).to_have_count(0)
