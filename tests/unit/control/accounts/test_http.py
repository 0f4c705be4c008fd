"""People and sign-ins through the API: cookies, what is refused, sockets that end at once."""

import time
from datetime import timedelta

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from earthshine.control.updates import SUBPROTOCOL

PASSWORD = "seven purple bicycles"


async def code_for(here, person):
    return await here.plane.accounts.issue_code(person.actor.person_id)


@pytest.fixture
async def browser(here):
    """Mia's browser, signed in by cookie."""
    async with here.anonymous() as client:
        answer = await client.post(
            "/api/v1/sign-in", json={"code": await code_for(here, here.member)}
        )
        assert answer.status_code == 200
        yield client


async def test_a_browser_signs_in_with_a_cookie_that_pages_cannot_read(here):
    code = await code_for(here, here.owner)
    async with here.anonymous() as browser:
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        cookie = answer.headers["set-cookie"].lower()
        for flag in ("httponly", "samesite=strict", "path=/", "max-age=2592000"):
            assert flag in cookie
        me = (await browser.get("/api/v1/me")).json()
        assert me.pop("personId")
        assert me.pop("version")
        assert me == {
            "name": "owner",
            "role": "admin",
            "isAdmin": True,
            "previewEnabled": False,
            "hasCredentials": False,
            "sharedSessionId": None,
        }
        assert (await browser.post("/api/v1/sign-out")).status_code == 204
        assert (await browser.get("/api/v1/me")).status_code == 401
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")


async def test_under_tls_the_cookie_is_the_hosts_own(here, monkeypatch):
    from tests.unit.control.test_routes import framework

    state = framework(here).state
    monkeypatch.setattr(state, "is_secure", True)
    code = await code_for(here, here.owner)
    async with here.anonymous() as browser:
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-earthshine_sign_in=")
        assert "secure" in cookie.lower()
        assert "domain" not in cookie.lower()
        value = cookie.partition("=")[2].partition(";")[0]
        for name, status in (("__Host-earthshine_sign_in", 200), ("earthshine_sign_in", 401)):
            headers = {"cookie": f"{name}={value}"}
            assert (await browser.get("/api/v1/me", headers=headers)).status_code == status


async def test_signing_in_by_password(here, browser):
    body = {"current": None, "new": PASSWORD}
    assert (await browser.put("/api/v1/me/password", json=body)).status_code == 204
    async with here.anonymous() as other:
        answer = await other.post(
            "/api/v1/sign-in/password", json={"name": "Mia", "password": PASSWORD}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["me"]["name"] == "mia"
        assert answer.json()["passkey"] is None
        assert (await other.get("/api/v1/me")).json()["hasCredentials"]
        wrong = {"name": "mia", "password": "wrong password"}
        answer = await other.post("/api/v1/sign-in/password", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong-credentials")
    account = (await browser.get("/api/v1/me/account")).json()
    assert account == {
        "name": "mia",
        "role": "member",
        "hasPassword": True,
        "secondFactor": False,
        "passkeys": [],
        "oidc": None,
    }


async def test_who_guesses_is_told_how_long_to_wait(here):
    async with here.anonymous() as client:
        for _ in range(100):
            body = {"name": "mia", "password": "wrong password"}
            answer = await client.post("/api/v1/sign-in/password", json=body)
            if answer.status_code == 429:
                break
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        # A link still lets the owner in.
        answer = await client.post(
            "/api/v1/sign-in", json={"code": await code_for(here, here.owner)}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"role": "admin"},
        {"isAdmin": True},
        {"disabled": False},
        {"personId": "x"},
        {"name_key": "owner"},
    ],
)
async def test_nobody_makes_themselves_more_than_they_are(here, more):
    answer = await here.member.http.patch("/api/v1/me", json={"name": "mia"} | more)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    me = (await here.member.http.get("/api/v1/me")).json()
    assert (me["role"], me["isAdmin"]) == ("member", False)


@pytest.mark.parametrize("role", ["guest", "owner", "", None, 1])
async def test_roles_that_nobody_can_be_given(here, role):
    answer = await here.owner.http.post("/api/v1/people", json={"name": "Zoe", "role": role})
    assert answer.status_code == 422


@pytest.mark.parametrize("person", ["x" * 65, "a/b", "<script>", "\u202eanna"])
async def test_names_are_plain(here, person):
    answer = await here.owner.http.post("/api/v1/sign-in-codes", json={"person": person})
    assert answer.status_code == 422
    assert person not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/sign-in", '{"code": "\\ud800"}'),
        ("POST", "/sign-in/password", '{"name": "\\ud800", "password": "x"}'),
        ("POST", "/sign-in/password", '{"name": "x", "password": "\\ud800"}'),
        ("POST", "/sign-in/passkey", '{"id": "\\ud800", "credential": {"id": "\\ud800"}}'),
        ("PATCH", "/me", '{"name": "\\ud800"}'),
        ("PATCH", "/me", '{"name": "a\\u0000b"}'),
        ("POST", "/me/tokens", '{"name": "\\ud800", "scopes": ["read"], "expiresInDays": 1}'),
        ("POST", "/me/tokens", '{"name": "t", "scopes": ["everything"], "expiresInDays": 1}'),
        ("POST", "/me/tokens", '{"name": "t", "scopes": [], "expiresInDays": 1}'),
        ("POST", "/me/tokens", '{"name": "t", "scopes": ["read"], "expiresInDays": 1000}'),
        ("POST", "/device-flow", '{"clientName": "\\ud800", "scopes": ["read"]}'),
        ("POST", "/device-flow/token", '{"deviceCode": "\\ud800"}'),
        ("DELETE", "/me/tokens/%ED%A0%80", ""),
        ("GET", "/device-flow/%ED%A0%80", ""),
        ("GET", "/sign-in/oidc/callback?state=%ED%A0%80", ""),
    ],
)
async def test_text_that_is_none_is_refused_in_words(here, method, path, body):
    headers = here.member.headers | {"content-type": "application/json"}
    async with here.anonymous(headers=headers) as client:
        answer = await client.request(method, f"/api/v1{path}", content=body)
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("token", ["x" * 300, "grüße", "a b"])
async def test_tokens_that_cannot_be(here, token):
    async with here.anonymous() as client:
        header = f"Bearer {token}".encode("latin-1")
        answer = await client.get("/api/v1/me", headers=[(b"authorization", header)])
        assert answer.status_code == 401


async def test_the_device_flow_from_both_ends(here, browser):
    asked = {"clientName": "earthshine on laptop", "scopes": ["read", "control"]}
    async with here.anonymous(headers={"user-agent": "earthshine-cli"}) as program:
        flow = (await program.post("/api/v1/device-flow", json=asked)).json()
        assert flow["verificationUri"] == f"{here.url}/device"
        question = {"deviceCode": flow["deviceCode"]}
        answer = await program.post("/api/v1/device-flow/token", json=question)
        assert (answer.status_code, answer.json()["code"]) == (409, "authorization-pending")
        answer = await program.post("/api/v1/device-flow/token", json=question)
        assert (answer.status_code, answer.json()["code"]) == (429, "slow-down")
        assert answer.headers["retry-after"] == "10"
    shown = (await browser.get(f"/api/v1/device-flow/{flow['userCode']}")).json()
    assert shown["clientName"] == "earthshine on laptop"
    assert shown["address"] == "127.0.0.1"
    decided = await browser.post(f"/api/v1/device-flow/{flow['userCode']}", json={"approve": True})
    assert decided.status_code == 204


# --- sockets -------------------------------------------------------------------------------------


def updates(here, **headers):
    subprotocols = headers.pop("subprotocols", [SUBPROTOCOL])
    return connect(
        f"ws://127.0.0.1:{here.port}/api/v1/updates",
        additional_headers=headers,
        subprotocols=subprotocols,
    )


def cookie(browser):
    return f"earthshine_sign_in={browser.cookies['earthshine_sign_in']}"


async def closed(socket):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


async def test_a_socket_by_cookie_needs_our_own_origin(here, browser):
    async with updates(here, cookie=cookie(browser), origin=here.url) as socket:
        assert await socket.recv()
    async with updates(here, cookie=cookie(browser)) as socket:
        assert await closed(socket) == 4001


async def test_a_socket_by_ticket_once(here):
    ticket = (await here.member.http.post("/api/v1/socket-tickets", json={})).json()["ticket"]
    offered = [SUBPROTOCOL, f"earthshine.ticket.{ticket}"]
    async with updates(here, subprotocols=offered) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        assert await socket.recv()
    async with updates(here, subprotocols=offered) as socket:
        assert await closed(socket) == 4001


async def ended_within_a_second(here, person, act, code):
    async with updates(here, **person.headers) as socket:
        await socket.recv()
        begun = time.monotonic()
        await act()
        assert await closed(socket) == code
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("how", ["sign-out", "end", "others", "disable", "remove", "all", "role"])
async def test_what_rests_on_a_sign_in_ends_with_it(here, how):
    mia = here.member
    person_id = mia.actor.person_id
    second = await here.person(await here.plane.accounts.issue_token(person_id))
    path = f"/api/v1/people/{person_id}"

    async def act():
        match how:
            case "sign-out":
                answer = await mia.http.post("/api/v1/sign-out")
            case "end":
                mine = f"/api/v1/me/sign-ins/{mia.actor.sign_in_id}"
                answer = await second.http.delete(mine)
            case "others":
                answer = await second.http.delete("/api/v1/me/sign-ins")
            case "disable":
                answer = await here.owner.http.patch(path, json={"disabled": True})
            case "remove":
                answer = await here.owner.http.delete(path)
            case "all":
                answer = await here.owner.http.delete(f"{path}/sign-ins")
            case _:
                answer = await here.owner.http.patch(path, json={"role": "admin"})
        assert answer.is_success, answer.text

    await ended_within_a_second(here, mia, act, 1012 if how == "role" else 4001)


async def test_what_rests_on_a_sign_in_ends_when_it_expires(here):
    issued = await here.plane.people.sign_ins.issue(
        here.member.actor.person_id, "token", timedelta(seconds=1)
    )
    person = await here.person(issued)
    async with updates(here, **person.headers) as socket:
        assert await closed(socket) == 4001


async def test_the_log_as_a_stream_ends_with_the_sign_in(here, runner):
    session_id = await runner.run_session(here.member)
    second = await here.person(await here.plane.accounts.issue_token(here.member.actor.person_id))
    path = f"/api/v1/sessions/{session_id}/events/stream"
    async with here.member.http.stream("GET", path) as stream:
        lines = stream.aiter_lines()
        async for line in lines:
            if line.startswith("event: started"):
                break
        begun = time.monotonic()
        ended = await second.http.delete(f"/api/v1/me/sign-ins/{here.member.actor.sign_in_id}")
        assert ended.status_code == 204
        async for _ in lines:
            pass
        assert time.monotonic() - begun < 1
