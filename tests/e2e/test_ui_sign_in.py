"""Signing in by link, by pasted code, and out again."""

import pytest
from playwright.sync_api import expect

from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser


def test_a_link_signs_in_and_leaves_no_code_behind(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    assert app.page.url == f"{app.url}/"
    app.page.go_back()
    assert CODE not in app.page.url


def test_a_link_opened_in_the_same_tab_works_too(app: EarthshinePages) -> None:
    app.page.goto(app.url)
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()
    app.page.evaluate("code => { location.hash = 'sign-in=' + code }", CODE)
    app.sessions()
    assert CODE not in app.page.url


def test_a_pasted_link_is_understood(app: EarthshinePages) -> None:
    app.page.goto(app.url)
    app.page.get_by_role("button", name="Use a one-time link").click()
    app.page.get_by_label("Sign-in link or code").fill(f"{app.url}/#sign-in={CODE}")
    app.page.get_by_role("button", name="Use it").click()
    app.sessions()


def test_a_used_code_says_so_and_what_to_do(app: EarthshinePages) -> None:
    app.page.goto(f"{app.url}/#sign-in=worn-out")
    problem = app.page.get_by_role("alert")
    expect(problem).to_contain_text("does not work any more")
    expect(problem).to_contain_text("make a link under Settings")


def test_a_used_link_does_no_harm_to_somebody_signed_in(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    app.page.goto(f"{app.url}/runners")
    app.page.goto(f"{app.url}/#sign-in=worn-out")
    app.sessions()


def test_signing_out(app: EarthshinePages, plane: FakeControlPlane) -> None:
    app.sign_in(CODE)
    app.open_settings().get_by_role("button", name="Sign out").click()
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()
    assert plane.signed_out.is_set()


def test_a_link_for_another_device(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    settings = app.open_settings()
    settings.get_by_role("button", name="Make a link").click()
    expect(settings.get_by_label("Sign-in link")).to_have_value(f"{app.url}/#sign-in={CODE}")
    expect(settings).to_contain_text("It works once")


def test_the_server_is_away(app: EarthshinePages) -> None:
    app.page.route("**/api/v1/me", lambda route: route.abort())
    app.page.goto(app.url)
    expect(app.page.get_by_role("heading", name="Earthshine does not answer")).to_be_visible()
    app.page.unroute("**/api/v1/me")
    app.page.get_by_role("button", name="Try again").click()
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()
