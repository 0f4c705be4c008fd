"""What happened to others, as tests that are named after it."""

import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from earthshine.control.errors import InvalidRequestError
from earthshine.control.throttle import RULES, Check
from tests.unit.control.route_table import BODIES, CREDENTIALS, DEVICE, EXPECTED, OPEN, PLACES
from tests.unit.control.world import output

API = "/api/v1"
COOKIE = "earthshine_sign_in"
MARKUP = "<img src=x onerror=alert(1)>"


# --- requests that a person's browser was made to send -------------------------------------------


@pytest.mark.parametrize("path", ["/feed", "/desktop"])
async def test_cross_site_websocket(here, runner, path):
    """A page elsewhere opens a socket to a local server, with the person's cookie."""
    session = await runner.run_session(here.member)
    url = f"ws://127.0.0.1:{here.port}{API}/sessions/{session}{path}"
    cookie = {"Cookie": f"{COOKIE}={here.member.token}"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, additional_headers=cookie, origin="https://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    async with connect(url, additional_headers=cookie) as socket:  # a cookie, but no page's origin
        with pytest.raises(Exception, match="4001"):
            await socket.recv()


async def test_dns_rebinding(here):
    """A foreign name that now points here: the browser takes our answers for that site's."""
    for host in (
        "evil.example",
        f"evil.example:{here.port}",
        f"127.0.0.1.evil.example:{here.port}",
    ):
        async with here.anonymous(headers={"Host": host}) as client:
            answer = await client.get(f"{API}/me")
        assert (answer.status_code, answer.json()["code"]) == (421, "wrong-host")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_text_plain_csrf(here, runner, kind):
    """A form that is sent across sites without asking, its body readable as JSON."""
    session = await runner.run_session(here.member)
    async with here.anonymous(cookies={COOKIE: here.member.token}) as client:
        answer = await client.post(
            f"{API}/sessions/{session}/input",
            content=b'{"data":"eA=="}',
            headers={"Content-Type": kind} if kind else {},
        )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port}@evil.example",
        "http://127.0.0.1:{port}0",
        "http://127.0.0.1",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:{port}/",
        "http://sub.localhost:{port}",
        "null",
        "",
    ],
)
async def test_loosely_compared_origin(here, runner, origin):
    """An origin that begins like ours, ends like ours, or says nothing."""
    session = await runner.run_session(here.member)
    headers = {"Origin": origin.format(port=here.port)}
    async with here.anonymous(cookies={COOKIE: here.member.token}, headers=headers) as client:
        answer = await client.post(f"{API}/sessions/{session}/interrupt", json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong-origin")


# --- guessing ------------------------------------------------------------------------------------

GUESSED = sorted(
    key
    for key, rule in EXPECTED.items()
    if rule in (OPEN, CREDENTIALS, DEVICE) and key[0] == "POST"
)
ATTEMPTS = 2 * max(rules.address.burst for check, rules in RULES.items() if check != Check.DIAL)


@pytest.mark.parametrize("route", GUESSED, ids=lambda route: route[1])
async def test_second_unthrottled_route(here, route):
    """A code that can be guessed at leisure through another route than the limited one."""
    method, path = route
    async with here.anonymous() as client:
        for _ in range(ATTEMPTS):
            body = BODIES.get(route)
            answer = await client.request(method, path.format(**PLACES), json=body)
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                return
    pytest.fail(f"{ATTEMPTS} attempts and no limit: {answer.status_code}")


# --- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more", [{"role": "admin"}, {"isAdmin": True}, {"personId": "x"}, {"disabled": False}]
)
async def test_mass_assignment_on_a_profile(here, more):
    """A profile that took whatever fields it was sent, `role` among them."""
    answer = await here.member.http.patch(f"{API}/me", json={"name": "Mia"} | more)
    assert answer.status_code == 422
    assert (await here.member.http.get(f"{API}/me")).json()["role"] == "member"


@pytest.mark.parametrize("more", [{"ownerId": "x"}, {"id": "x"}, {"state": "exited"}, {"by": "x"}])
async def test_mass_assignment_on_a_session(here, runner, more):
    answer = await here.member.http.post(f"{API}/sessions", json=more)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "destination",
    ["*:22", "0.0.0.0:22", "[::]:22", "127.0.0.1:*", "127.0.0.1:0", "127.0.0.1:1-65535", "a:1,b:2"],
)
async def test_wildcard_destination_in_a_ticket(here, runner, destination):
    """A signed token whose destination stood for any."""
    with pytest.raises(InvalidRequestError):
        await here.plane.dialing.dial(runner.runner_id, destination)


# --- text from elsewhere -------------------------------------------------------------------------


async def test_stored_xss(here, runner):
    """Markup in names and titles comes back as JSON that no browser takes for a page.

    That the UI shows it as text is tested in a browser.
    """
    session = await runner.run_session(here.member, title=MARKUP)
    await runner.logged(session, output(2, f"\x1b]0;{MARKUP}\x07".encode()))
    for path in (f"/sessions/{session}", "/sessions", f"/sessions/{session}/events", "/runners"):
        answer = await here.member.http.get(API + path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads((await here.member.http.get(f"{API}/sessions/{session}")).text)["title"] == (
        MARKUP
    )
    page = await here.member.http.get("/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy or "default-src 'self'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../app.py",
        "/assets/..%2f..%2fapp.py",
        "/assets/....//....//etc/passwd",
        "/assets//etc/passwd",
        "/assets/%00",
        "/sessions/..%2f..%2f..%2fetc%2fpasswd",
    ],
)
async def test_path_traversal(here, path):
    """A file name that leads out of its folder. The client sends it as it is written."""
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in (200, 400, 404), head
    if status == 200:
        assert b"text/html" in head, "only the UI's own page answers to any name"
    for leak in (b"root:", b"[project]", b"FastAPI"):
        assert leak not in body
