"""Signing in with a real OpenID provider, through its own pages."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.world import World, free_port, wait_for

HERE = Path(__file__).parent / "oidc"
INSTALL = Path(__file__).parents[2] / "scripts" / "oidc-provider"
CALLBACK = "/api/v1/sign-in/oidc/callback"
SECRET = "the secret of the client, for tests"


@pytest.fixture(scope="module")
def node_path() -> str:
    """A PATH with Node, and the provider installed. Skips where npm has no registry."""
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(INSTALL)],
        check=False,
        env={**os.environ, "PATH": own},
        capture_output=True,
        text=True,
        timeout=100,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        pytest.skip(f"OpenID provider: {lines[-1]}")
    return own


class OpenIdProvider:
    """The provider as a process, and what it knows."""

    def __init__(self, root: Path, path: str, redirect_uri: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._path = path
        self._file = root / "provider.json"
        self._log = root / "provider.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[str, Any] = {
            "client": {
                "client_id": "earthshine",
                "client_secret": SECRET,
                "redirect_uris": [redirect_uri],
                "response_types": ["code"],
                "grant_types": ["authorization_code"],
            },
            "accounts": {},
        }

    def account(self, login: str, **claims: Any) -> None:
        self._known["accounts"][login] = claims
        self._file.write_text(json.dumps(self._known))

    def start(self) -> None:
        self._file.write_text(json.dumps(self._known))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", str(HERE / "provider.js"), str(self.port), str(self._file)],
                env={**os.environ, "PATH": self._path},
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, 30, lambda: f"provider: {self._log.read_text()[-2000:]}")

    def _answers(self) -> bool:
        try:
            found = httpx.get(f"{self.url}/.well-known/openid-configuration", timeout=2)
        except httpx.TransportError:
            return False
        return found.status_code == 200

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Browser:
    """A person at a browser: follows redirects, fills in forms, keeps cookies for each host."""

    def __init__(self, world: World, provider: OpenIdProvider) -> None:
        self.world = world
        self.provider = provider
        self.here = httpx.Client(base_url=world.url, timeout=20)
        self.there = httpx.Client(timeout=20)
        """Cookies of 127.0.0.1 know no ports: two jars keep the two servers apart."""

    def start(self) -> str:
        """Press the button; the provider's address."""
        answer = self.here.get("/api/v1/sign-in/oidc")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def at_provider(self, url: str, login: str) -> str:
        """Sign in and consent there; the address it sends the browser back to."""
        answer = self.there.get(url)
        for _ in range(12):
            while answer.is_redirect:
                location = str(answer.next_request.url) if answer.next_request else ""
                if location.startswith(self.world.url):
                    return location
                answer = self.there.get(location)
            assert answer.status_code == 200, answer.text
            action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            assert action is not None, answer.text
            fields = dict(re.findall(r'name="(prompt)" value="([^"]+)"', answer.text))
            if fields["prompt"] == "login":
                fields |= {"login": login, "password": "any"}
            answer = self.there.post(html.unescape(action[1]), data=fields)
        raise AssertionError("the provider sent us in circles")

    def back(self, url: str) -> httpx.Response:
        """What the browser is answered when it comes back."""
        return self.here.get(url.removeprefix(self.world.url))

    def sign_in(self, login: str) -> httpx.Response:
        return self.back(self.at_provider(self.start(), login))

    def me(self) -> dict[str, Any]:
        answer = self.here.get("/api/v1/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        self.here.close()
        self.there.close()


@contextmanager
def served(root: Path, node_path: str, **settings: str) -> Iterator[tuple[World, OpenIdProvider]]:
    port = free_port()
    provider = OpenIdProvider(root, node_path, f"http://127.0.0.1:{port}{CALLBACK}")
    oidc = {
        "ISSUER": provider.url,
        "CLIENT_ID": "earthshine",
        "CLIENT_SECRET": SECRET,
        "NAME": "Example & Co",
        **settings,
    }
    world = World(
        root, port=port, control={f"EARTHSHINE_OIDC__{key}": value for key, value in oidc.items()}
    )
    try:
        provider.start()
        world.start_control()
        yield world, provider
    finally:
        world.close()
        provider.stop()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, node_path: str) -> Iterator[Any]:
    """A server that takes roles from the claim `groups`, and the provider."""
    root = tmp_path_factory.mktemp("oidc")
    roles = {"ROLE_CLAIM": "groups", "ADMIN_VALUES": "ops, root", "MEMBER_VALUES": "staff"}
    with served(root, node_path, **roles) as both:
        yield both


@pytest.fixture
def browser(both: tuple[World, OpenIdProvider]) -> Iterator[Browser]:
    browser = Browser(*both)
    yield browser
    browser.close()


@pytest.fixture
def provider(both: tuple[World, OpenIdProvider]) -> OpenIdProvider:
    return both[1]


def people(world: World) -> dict[str, dict[str, Any]]:
    return {person["name"]: person for person in world.api("GET", "/people")["people"]}


def refused(answer: httpx.Response, status: int, words: str) -> None:
    """A page that says what failed; no sign-in."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert "earthshine_sign_in" not in answer.headers.get("set-cookie", "")


def test_the_page_offers_it(browser: Browser) -> None:
    offered = browser.here.get("/api/v1/sign-in").json()
    assert offered["oidc"] == {"name": "Example & Co"}


def test_what_the_browser_takes_along_is_pkce_state_and_nonce(browser: Browser) -> None:
    answer = browser.here.get("/api/v1/sign-in/oidc")
    query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert len(query["state"]) >= 43
    assert len(query["nonce"]) >= 43
    assert query["redirect_uri"] == browser.world.url + CALLBACK
    cookie = answer.headers["set-cookie"].lower()
    for flag in ("httponly", "samesite=lax", f"path={CALLBACK}", "max-age=600"):
        assert flag in cookie


def test_somebody_new_signs_in_and_is_the_same_person_the_next_time(
    browser: Browser, provider: OpenIdProvider
) -> None:
    provider.account("anna", name="Anna Example", groups=["staff"])
    answer = browser.sign_in("anna")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    me = browser.me()
    assert (me["name"], me["role"], me["hasCredentials"]) == ("Anna Example", "member", True)
    provider.account("anna", name="Another Name", groups=["staff"])
    again = Browser(browser.world, provider)
    again.sign_in("anna")
    assert again.me()["personId"] == me["personId"]
    again.close()
    account = browser.here.get("/api/v1/me/account").json()
    assert account["oidc"] == "Example & Co"


def test_the_name_of_somebody_known_makes_nobody_them(
    browser: Browser, provider: OpenIdProvider
) -> None:
    provider.account("mallory", name="owner", groups=["staff"])
    browser.sign_in("mallory")
    me = browser.me()
    assert (me["name"], me["isAdmin"]) == ("owner 2", False)


def test_roles_follow_the_claim_at_each_sign_in(browser: Browser, provider: OpenIdProvider) -> None:
    provider.account("ruth", name="Ruth", groups=["staff", "ops"])
    browser.sign_in("ruth")
    assert browser.me()["role"] == "admin"
    provider.account("ruth", name="Ruth", groups="staff")
    again = Browser(browser.world, provider)
    again.sign_in("ruth")
    assert again.me()["role"] == "member"
    assert browser.me()["role"] == "member", "in the other browser too, at once"
    provider.account("ruth", name="Ruth", groups=[])
    third = Browser(browser.world, provider)
    refused(third.sign_in("ruth"), 403, "may not use this server")
    for one in (again, third):
        one.close()


def test_who_is_not_in_a_group_that_counts_stays_out(
    browser: Browser, provider: OpenIdProvider
) -> None:
    provider.account("guy", name="Guy", groups=["visitors"])
    refused(browser.sign_in("guy"), 403, "may not use this server")
    provider.account("guy", name="Guy")
    refused(browser.sign_in("guy"), 403, "may not use this server")
    assert "Guy" not in people(browser.world)


def test_who_was_disabled_here_stays_out(browser: Browser, provider: OpenIdProvider) -> None:
    provider.account("dora", name="Dora", groups=["staff"])
    browser.sign_in("dora")
    person_id = people(browser.world)["Dora"]["id"]
    browser.world.api("PATCH", f"/people/{person_id}", {"disabled": True})
    assert browser.here.get("/api/v1/me").status_code == 401
    refused(browser.sign_in("dora"), 403, "cannot sign in")


def test_an_answer_works_once_and_only_in_the_browser_that_asked(
    browser: Browser, provider: OpenIdProvider
) -> None:
    provider.account("anna", name="Anna", groups=["staff"])
    url = browser.at_provider(browser.start(), "anna")
    stranger = Browser(browser.world, provider)
    refused(stranger.back(url), 410, "another browser")
    refused(browser.back(url), 410, "another browser")  # the stranger's attempt used it up
    url = browser.at_provider(browser.start(), "anna")
    assert browser.back(url).status_code == 303
    refused(browser.back(url), 410, "another browser")
    stranger.start()
    refused(stranger.back(url), 410, "another browser")
    stranger.close()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"state": "forged"}, 410, "another browser"),
        ({"state": None}, 410, "another browser"),
        ({"code": "forged"}, 502, "refused"),
        ({"code": None}, 502, "refused"),
        ({"iss": "https://evil.example"}, 502, "another provider"),
        ({"iss": None}, 502, "another provider"),
        ({"error": "<script>alert(1)</script>"}, 502, "refused"),
    ],
)
def test_an_answer_that_was_tampered_with(
    browser: Browser,
    provider: OpenIdProvider,
    change: dict[str, str | None],
    status: int,
    words: str,
) -> None:
    provider.account("anna", name="Anna", groups=["staff"])
    url = browser.at_provider(browser.start(), "anna")
    query: dict[str, str | None] = {**dict(parse_qsl(urlsplit(url).query)), **change}
    kept = urlencode({key: value for key, value in query.items() if value is not None})
    answer = browser.back(f"{CALLBACK}?{kept}")
    refused(answer, status, words)
    assert "<script>" not in answer.text


def test_somebody_turns_back_at_the_provider(browser: Browser) -> None:
    answer = browser.there.get(browser.start())
    while answer.is_redirect:
        assert answer.next_request is not None
        answer = browser.there.get(str(answer.next_request.url))
    abort = re.search(r'href="([^"]+/abort)"', answer.text)
    assert abort is not None, answer.text
    answer = browser.there.get(str(answer.url.join(html.unescape(abort[1]))))
    while not str(answer.next_request.url if answer.next_request else "").startswith(
        browser.world.url
    ):
        assert answer.next_request is not None, answer.text
        answer = browser.there.get(str(answer.next_request.url))
    assert answer.next_request is not None
    refused(browser.back(str(answer.next_request.url)), 502, "You refused")


def test_another_name_of_this_machine_leads_to_the_public_address(browser: Browser) -> None:
    with httpx.Client(base_url=f"http://localhost:{browser.world.port}") as local:
        answer = local.get("/api/v1/sign-in/oidc")
    assert answer.headers["location"] == f"{browser.world.url}/api/v1/sign-in/oidc"


def test_linking_an_account_that_one_has_there(browser: Browser, provider: OpenIdProvider) -> None:
    provider.account("lena", name="Lena There", groups=["staff"])
    world = browser.world
    added = world.api("POST", "/people", {"name": "Lena Here", "role": "member"})
    code = added["link"]["url"].partition("#sign-in=")[2]
    browser.here.post("/api/v1/sign-in", json={"code": code})
    answer = browser.here.post("/api/v1/me/oidc", json={})
    back = browser.back(browser.at_provider(answer.json()["url"], "lena"))
    assert (back.status_code, back.headers["location"]) == (303, "/settings")
    again = Browser(world, provider)
    again.sign_in("lena")
    assert again.me()["personId"] == added["person"]["id"]
    assert again.here.delete("/api/v1/me/oidc").status_code == 204
    again.close()


def test_the_secret_is_in_no_log(browser: Browser, provider: OpenIdProvider) -> None:
    provider.account("anna", name="Anna", groups=["staff"])
    url = browser.at_provider(browser.start(), "anna")
    code = dict(parse_qsl(urlsplit(url).query))["code"]
    browser.back(url)
    log = browser.world.control.output()
    assert SECRET not in log
    assert code not in log


def test_without_a_rule_who_may_come_only_those_who_are_known_do(
    tmp_path: Path, node_path: str
) -> None:
    with served(tmp_path, node_path) as (world, provider):
        provider.account("anna", name="Anna")
        browser = Browser(world, provider)
        refused(browser.sign_in("anna"), 403, "Nobody here has this account")
        provider.stop()
        assert browser.here.get("/api/v1/sign-in/oidc").status_code == 303, "it is known where"
        answer = browser.back(browser.start() and f"{CALLBACK}?state=x")
        refused(answer, 410, "another browser")
        # After a restart nothing is known about a provider that is away.
        world.control.stop()
        world.start_control()
        refused(browser.here.get("/api/v1/sign-in/oidc"), 502, "does not answer")
        provider.start()
        refused(browser.sign_in("anna"), 403, "Nobody here has this account")
        browser.close()
