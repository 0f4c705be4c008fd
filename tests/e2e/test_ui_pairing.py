"""Adding a machine, and what its owner does with it."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_trust import FINGERPRINT, PAIRING_CODE
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def runners(app: EarthshinePages, plane: FakeControlPlane) -> Locator:
    scenes.trust(plane)
    app.sign_in(CODE)
    return app.open_runners()


@pytest.fixture
def dialog(runners: Locator) -> Locator:
    """A code has been made."""
    runners.get_by_role("button", name="Add a machine").click()
    dialog = runners.get_by_role("dialog")
    expect(dialog).to_contain_text("Waiting for the machine")
    return dialog


def _yes(app: EarthshinePages, name: str) -> None:
    app.page.locator("es-confirm").get_by_role("button", name=name, exact=True).click()


def _menu(runners: Locator, name: str, item: str) -> None:
    runners.get_by_role("button", name=f"More about {name}").click()
    runners.get_by_role("menuitem", name=item).click()


def test_a_machine_is_added(
    dialog: Locator, app: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    expect(dialog.get_by_label("Code")).to_have_text(PAIRING_CODE)
    expect(dialog.get_by_role("timer")).to_contain_text("left")
    dialog.get_by_role("button", name="Copy the command").click()
    command = app.page.evaluate("navigator.clipboard.readText()")
    assert command == f"earthshine runner pair {plane.url} {PAIRING_CODE}"
    picture = dialog.get_by_role("img", name="The code, to scan")
    assert picture.evaluate("img => img.naturalWidth") > 0
    assert app.page.evaluate("window.hacked") is None

    plane.trust.present()
    expect(dialog.get_by_role("heading")).to_have_text("Is this your machine?")
    for fact in ("big-machine.lan", "203.0.113.9", "Debian 13 x86_64"):
        expect(dialog).to_contain_text(fact)
    expect(dialog.get_by_label("Fingerprint", exact=True)).to_have_text(FINGERPRINT)
    expect(dialog).to_contain_text("The machine must show the same fingerprint now.")
    app.page.screenshot(path=shots / "pairing-presented.png")
    assert not plane.trust.confirmed
    dialog.get_by_role("button", name="The fingerprints are the same").click()
    expect(dialog).to_contain_text("The machine fetches its credential")
    assert plane.trust.confirmed == FINGERPRINT

    assert plane.trust.pairing is not None
    plane.trust.pairing |= {"state": "paired", "runnerId": "r9"}
    expect(dialog).to_contain_text("big-machine is paired.")
    expect(dialog).to_contain_text("Start the runner there")
    plane.add_runner("r9", name="big-machine")
    plane.tell_runner("r9")
    expect(dialog).to_contain_text("big-machine is connected.")
    dialog.get_by_role("switch", name="Let all members use it").check()
    app.page.screenshot(path=shots / "pairing-done.png")
    dialog.get_by_role("button", name="Done").click()
    expect(app.page.get_by_role("region", name="big-machine")).to_contain_text(
        "shared with all members"
    )


def test_another_fingerprint_is_refused(dialog: Locator, plane: FakeControlPlane) -> None:
    plane.trust.present()
    dialog.get_by_role("button", name="Refuse").click()
    expect(dialog).to_contain_text("Refused. The code is void, and nothing was given out.")
    assert not plane.trust.confirmed
    dialog.get_by_role("button", name="New code").click()
    expect(dialog).to_contain_text("Waiting for the machine")


def test_a_code_that_ran_out(dialog: Locator, plane: FakeControlPlane) -> None:
    assert plane.trust.pairing is not None
    plane.trust.pairing["state"] = "expired"
    expect(dialog).to_contain_text("The code has expired. Nothing was given out.")
    dialog.get_by_role("button", name="New code").click()
    expect(dialog).to_contain_text("Waiting for the machine")


def test_closing_makes_the_code_void(dialog: Locator, plane: FakeControlPlane, wait_until) -> None:
    dialog.get_by_role("button", name="Cancel").click()
    wait_until(lambda: (plane.trust.pairing or {})["state"] == "refused")


def test_a_machine_that_waits_is_found_again(
    dialog: Locator, runners: Locator, plane: FakeControlPlane
) -> None:
    plane.trust.present()
    expect(dialog.get_by_role("heading")).to_have_text("Is this your machine?")
    runners.page.reload()
    expect(runners).to_contain_text("big-machine wants to be added and waits for you.")
    runners.get_by_role("button", name="Look").click()
    expect(dialog.get_by_role("heading")).to_have_text("Is this your machine?")


def test_the_server_is_away_meanwhile(dialog: Locator, app: EarthshinePages) -> None:
    app.page.route("**/api/v1/pairings/*", lambda route: route.abort())
    expect(dialog).to_contain_text("The server does not answer; asking again.")
    app.page.unroute("**/api/v1/pairings/*")
    expect(dialog).to_contain_text("Waiting for the machine")


def test_whose_machines_are(runners: Locator) -> None:
    workshop = runners.get_by_role("region", name="workshop")
    expect(workshop).to_contain_text("Yours, for its owner only")
    expect(workshop).to_contain_text("Paired 9d ago")
    expect(workshop).to_contain_text("7C1E-9B40-D2AA-53F8")
    expect(runners.get_by_role("region", name="home-server")).to_contain_text("Owned by tomasz")
    expect(runners.get_by_role("region", name="ci-runner")).to_contain_text("came with the token")
    revoked = runners.get_by_role("region", name="gpu-box")
    expect(revoked).to_contain_text("Revoked")
    expect(revoked).to_contain_text("Its credential was used from two machines at once.")


def test_a_machine_is_revoked_and_removed(
    runners: Locator, app: EarthshinePages, plane: FakeControlPlane
) -> None:
    _menu(runners, "workshop", "Revoke")
    expect(app.page.locator("es-confirm")).to_contain_text("4 sessions at work")
    _yes(app, "Revoke")
    expect(runners.get_by_role("region", name="workshop")).to_contain_text("mira revoked it.")
    _menu(runners, "workshop", "Remove from the list")
    _yes(app, "Remove")
    expect(runners.get_by_role("region", name="workshop")).to_have_count(0)
    assert "r1" not in plane.runners


def test_a_machine_is_shared_and_taken_back(
    runners: Locator, app: EarthshinePages, plane: FakeControlPlane
) -> None:
    _menu(runners, "workshop", "Share with all members")
    expect(app.page.locator("es-confirm")).to_contain_text("can read its files")
    _yes(app, "Share")
    workshop = runners.get_by_role("region", name="workshop")
    expect(workshop).to_contain_text("shared with all members")
    _menu(runners, "workshop", "Keep it to its owner")
    expect(workshop).to_contain_text("for its owner only")
    assert plane.runners["r1"]["shared"] is False


def test_a_machine_is_renamed(runners: Locator, plane: FakeControlPlane) -> None:
    _menu(runners, "workshop", "Rename")
    runners.get_by_label("Name").fill("the shed")
    runners.page.keyboard.press("Enter")
    expect(runners.get_by_role("region", name="the shed")).to_be_visible()
    assert plane.runners["r1"]["name"] == "the shed"


def test_keys_of_a_machine(runners: Locator, plane: FakeControlPlane) -> None:
    _menu(runners, "workshop", "Keys for agents here")
    card = runners.get_by_role("region", name="workshop")
    card.get_by_role("button", name="Add a key").click()
    card.get_by_label("Name of the variable").fill("GEMINI_API_KEY")
    card.get_by_label("Value").fill("hidden")
    card.get_by_role("button", name="Store").click()
    expect(card.get_by_role("list", name="Keys for agents here")).to_contain_text("GEMINI_API_KEY")
    assert plane.trust.secret_values["r1", "GEMINI_API_KEY"] == "hidden"


def test_members_rule_their_own_machines_only(
    app: EarthshinePages, plane: FakeControlPlane
) -> None:
    scenes.trust(plane)
    plane.me |= {"role": "member", "isAdmin": False}
    app.sign_in(CODE)
    runners = app.open_runners()
    expect(runners.get_by_role("button", name="More about workshop")).to_be_visible()
    expect(runners.get_by_role("button", name="More about home-server")).to_have_count(0)
    expect(runners.get_by_role("button", name="More about gpu-box")).to_be_visible()
    expect(runners.get_by_text("the token file", exact=False)).to_have_count(1)
