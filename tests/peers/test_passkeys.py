"""Passkeys with a real browser: Chromium and its virtual authenticator."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.world import World, free_port

pytestmark = pytest.mark.browser
CHROMIUM = "/usr/bin/chromium"
PASSWORD = "seven purple bicycles"
CALL = """async ([method, path, body]) => {
  const answer = await fetch('/api/v1' + path, {
    method, headers: body === null ? {} : {'content-type': 'application/json'},
    body: body === null ? undefined : JSON.stringify(body)});
  const text = await answer.text();
  return [answer.status, text ? JSON.parse(text) : null];
}"""
MAKE = """async options => (await navigator.credentials.create({
  publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})).toJSON()"""
USE = """async options => (await navigator.credentials.get({
  publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})).toJSON()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    port = free_port()
    public = {"EARTHSHINE_PUBLIC_URL": f"http://localhost:{port}"}
    world = World(tmp_path, port=port, control=public)
    try:
        world.start_control()
        yield world
    finally:
        world.close()


@pytest.fixture
def page(chromium: Browser, world: World) -> Iterator[Page]:
    """A page of the server: any will do, what is tested is what scripts on it can do."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"http://localhost:{world.port}/api/v1/sign-in")
    yield page
    context.close()


@pytest.fixture
def authenticator(page: Page) -> tuple[CDPSession, str]:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def call(page: Page, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    got, answer = page.evaluate(CALL, [method, path, body])
    assert got == status, answer
    return answer


def test_a_passkey_is_made_signs_in_alone_and_as_second_factor(
    world: World, page: Page, authenticator: tuple[CDPSession, str]
) -> None:
    assert call(page, "GET", "/sign-in")["passkeys"] is True
    call(page, "POST", "/sign-in", {"code": world.sign_in_code()})
    asked = call(page, "POST", "/me/passkeys/options", {})
    made = page.evaluate(MAKE, asked["options"])
    body = {"id": asked["id"], "name": "this laptop", "credential": made}
    passkey = call(page, "POST", "/me/passkeys", body, 201)
    assert passkey["name"] == "this laptop"
    call(page, "POST", "/sign-out", None, 204)
    call(page, "GET", "/me", None, 401)

    asked = call(page, "POST", "/sign-in/passkey/options", {})
    used = page.evaluate(USE, asked["options"])
    answer = {"id": asked["id"], "credential": used}
    assert call(page, "POST", "/sign-in/passkey", answer)["name"] == "owner"
    assert call(page, "POST", "/sign-in/passkey", answer, 410)["code"] == "gone"
    assert call(page, "GET", "/me")["hasCredentials"] is True

    call(page, "PUT", "/me/password", {"current": None, "new": PASSWORD}, 204)
    call(page, "PUT", "/me/second-factor", {"required": True}, 204)
    call(page, "POST", "/sign-out", None, 204)
    typed = {"name": "owner", "password": PASSWORD}
    progress = call(page, "POST", "/sign-in/password", typed)
    assert progress["me"] is None
    call(page, "GET", "/me", None, 401)
    used = page.evaluate(USE, progress["passkey"]["options"])
    answer = {"id": progress["passkey"]["id"], "credential": used}
    assert call(page, "POST", "/sign-in/passkey", answer)["name"] == "owner"


def test_a_copied_authenticator_is_found_out(
    world: World, page: Page, authenticator: tuple[CDPSession, str]
) -> None:
    session, authenticator_id = authenticator
    call(page, "POST", "/sign-in", {"code": world.sign_in_code()})
    asked = call(page, "POST", "/me/passkeys/options", {})
    made = page.evaluate(MAKE, asked["options"])
    call(page, "POST", "/me/passkeys", {"id": asked["id"], "name": "k", "credential": made}, 201)
    known = {"authenticatorId": authenticator_id}
    (copy,) = session.send("WebAuthn.getCredentials", known)["credentials"]

    def sign_in(status: int) -> Any:
        asked = call(page, "POST", "/sign-in/passkey/options", {})
        used = page.evaluate(USE, asked["options"])
        body = {"id": asked["id"], "credential": used}
        return call(page, "POST", "/sign-in/passkey", body, status)

    for _ in range(3):
        sign_in(200)
    # The copy knows nothing of the three times that its original was used since.
    session.send("WebAuthn.clearCredentials", known)
    session.send("WebAuthn.addCredential", {**known, "credential": copy})
    assert sign_in(403)["code"] == "wrong-credentials"
