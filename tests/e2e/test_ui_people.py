"""The people page, and what people who are no admins see of it."""

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


@pytest.fixture
def people(app: EarthshinePages) -> Locator:
    app.sign_in(CODE)
    app.page.get_by_role("link", name="People").click()
    return app.page.locator("es-people-page")


def _yes(app: EarthshinePages, name: str) -> None:
    app.page.locator("es-confirm").get_by_role("button", name=name, exact=True).click()


def _menu(people: Locator, name: str, item: str) -> None:
    people.get_by_role("button", name=f"More about {name}").click()
    people.get_by_role("menuitem", name=item).click()


def test_everybody_is_listed(people: Locator) -> None:
    expect(people.get_by_role("listitem")).to_have_count(3)
    expect(people.get_by_role("listitem", name="mira")).to_contain_text("password, 2 passkeys")
    expect(people.get_by_role("listitem", name="tomasz")).to_contain_text("Seen 5h ago")
    ada = people.get_by_role("listitem", name="Ada Kovács")
    expect(ada).to_contain_text("Never signed in · one-time links only")


def test_somebody_is_added_with_a_link(people: Locator, plane: FakeControlPlane) -> None:
    people.get_by_role("button", name="Add somebody").click()
    people.get_by_label("Name").fill("tomasz")
    people.get_by_role("button", name="Add, and make a link").click()
    expect(people.get_by_role("alert")).to_contain_text("Somebody is called tomasz already.")
    people.get_by_label("Name").fill("Noor")
    people.get_by_role("button", name="Add, and make a link").click()
    link = people.get_by_label("One-time link for Noor")
    expect(link).to_have_value(f"{plane.url}/#sign-in=for-somebody-else")
    expect(people).to_contain_text("It works for another 60 minutes.")
    assert plane.trust.people[-1]["role"] == "member"
    people.page.reload()
    expect(people.get_by_role("listitem")).to_have_count(4)
    expect(link).to_have_count(0)


def test_a_role_is_changed_or_not(
    people: Locator, app: EarthshinePages, plane: FakeControlPlane, wait_until
) -> None:
    role = people.get_by_label("Role of tomasz")
    role.select_option("Admin")
    _yes(app, "Cancel")
    expect(role).to_have_value("member")
    assert plane.trust.people[1]["role"] == "member"
    role.select_option("Admin")
    _yes(app, "Make admin")
    wait_until(lambda: plane.trust.people[1]["role"] == "admin")
    expect(role).to_have_value("admin")


def test_somebody_is_shut_out_and_let_in_again(people: Locator, app: EarthshinePages) -> None:
    _menu(people, "tomasz", "Shut out")
    _yes(app, "Shut out")
    tomasz = people.get_by_role("listitem", name="tomasz")
    expect(tomasz).to_contain_text("shut out")
    _menu(people, "tomasz", "Let in again")
    expect(tomasz).not_to_contain_text("shut out")


def test_somebody_is_removed(people: Locator, app: EarthshinePages) -> None:
    _menu(people, "tomasz", "Remove")
    _yes(app, "Cancel")
    expect(people.get_by_role("listitem")).to_have_count(3)
    _menu(people, "tomasz", "Remove")
    _yes(app, "Remove")
    expect(people.get_by_role("listitem")).to_have_count(2)


def test_sign_ins_are_ended_and_links_made(people: Locator, app: EarthshinePages) -> None:
    _menu(people, "tomasz", "End all sign-ins")
    _yes(app, "End them")
    expect(app.notices.filter(has_text="All sign-ins of tomasz have ended.")).to_be_visible()
    _menu(people, "Ada Kovács", "New one-time link")
    expect(people.get_by_label("One-time link for Ada Kovács")).to_be_visible()


def test_nobody_shuts_themselves_out(people: Locator) -> None:
    people.get_by_role("button", name="More about mira").click()
    expect(people.get_by_role("menuitem", name="New one-time link")).to_be_visible()
    expect(people.get_by_role("menuitem", name="Remove")).to_have_count(0)
    expect(people.get_by_label("Role of mira")).to_have_count(0)


def test_a_refusal_is_told_and_nothing_pretends(people: Locator, app: EarthshinePages) -> None:
    app.page.route(
        "**/api/v1/people/p2",
        lambda route: route.fulfill(
            status=409,
            content_type="application/problem+json",
            body='{"code":"conflict","detail":"Somebody must be admin.","remedy":"Name another."}',
        ),
    )
    people.get_by_label("Role of tomasz").select_option("Admin")
    _yes(app, "Make admin")
    expect(app.notices).to_contain_text("Somebody must be admin. Name another.")
    expect(people.get_by_label("Role of tomasz")).to_have_value("member")


def test_members_have_no_such_page(app: EarthshinePages, plane: FakeControlPlane) -> None:
    plane.me |= {"role": "member", "isAdmin": False}
    app.sign_in(CODE)
    expect(app.page.get_by_role("link", name="People")).to_have_count(0)
    expect(app.page.get_by_role("link", name="Audit log")).to_have_count(0)
    for path in ("people", "audit"):
        app.page.goto(f"{app.url}/{path}")
        expect(app.page.get_by_role("heading", name="Only for admins")).to_be_visible()
