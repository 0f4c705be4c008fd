"""Every route of the application, and who may use it. A route that is new must be entered here."""

import inspect
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from earthshine.control.access import RULE, Access, Permission, Scope
from earthshine.control.accounts.device_flow import DeviceFlowService
from earthshine.control.accounts.oidc import OidcService
from earthshine.control.accounts.passkeys import PasskeyService
from earthshine.control.accounts.passwords import PasswordService
from earthshine.control.accounts.people import PeopleService
from earthshine.control.accounts.service import AccountService
from earthshine.control.accounts.tickets import TicketService
from earthshine.control.accounts.tokens import TokenService
from earthshine.control.app import RunnerDoor
from earthshine.control.previews.service import PreviewService
from earthshine.control.runners.service import RunnerService
from earthshine.control.sessions.service import SessionService
from tests.unit.control.world import exited, output

SIGN_IN = "sign-in"  # 401, or close 4001, without credentials
MEMBER = "member"  # the same, and 403 for guests
ADMIN = "admin"  # the same, and 403 for members and guests
OWN = "own"  # the same, and 404 for a session that is somebody else's
OPEN = "open"  # for everybody
RUNNER = "runner"  # a runner's token

S = "/api/v1/sessions/{session_id}"
EXPECTED = {
    ("GET", "/api/v1/sign-in"): OPEN,
    ("POST", "/api/v1/sign-in"): OPEN,
    ("POST", "/api/v1/sign-in/password"): OPEN,
    ("POST", "/api/v1/sign-in/passkey/options"): OPEN,
    ("POST", "/api/v1/sign-in/passkey"): OPEN,
    ("GET", "/api/v1/sign-in/oidc"): OPEN,
    ("GET", "/api/v1/sign-in/oidc/callback"): OPEN,
    ("POST", "/api/v1/sign-out"): SIGN_IN,
    ("GET", "/api/v1/me"): SIGN_IN,
    ("PATCH", "/api/v1/me"): MEMBER,
    ("GET", "/api/v1/me/account"): MEMBER,
    ("PUT", "/api/v1/me/password"): MEMBER,
    ("DELETE", "/api/v1/me/password"): MEMBER,
    ("PUT", "/api/v1/me/second-factor"): MEMBER,
    ("POST", "/api/v1/me/passkeys/options"): MEMBER,
    ("POST", "/api/v1/me/passkeys"): MEMBER,
    ("DELETE", "/api/v1/me/passkeys/{passkey_id}"): MEMBER,
    ("POST", "/api/v1/me/oidc"): MEMBER,
    ("DELETE", "/api/v1/me/oidc"): MEMBER,
    ("GET", "/api/v1/me/sign-ins"): MEMBER,
    ("DELETE", "/api/v1/me/sign-ins"): MEMBER,
    ("DELETE", "/api/v1/me/sign-ins/{sign_in_id}"): MEMBER,
    ("GET", "/api/v1/me/tokens"): MEMBER,
    ("POST", "/api/v1/me/tokens"): MEMBER,
    ("DELETE", "/api/v1/me/tokens/{token_id}"): MEMBER,
    ("POST", "/api/v1/socket-tickets"): SIGN_IN,
    ("POST", "/api/v1/device-flow"): OPEN,
    ("POST", "/api/v1/device-flow/token"): OPEN,
    ("GET", "/api/v1/device-flow/{user_code}"): MEMBER,
    ("POST", "/api/v1/device-flow/{user_code}"): MEMBER,
    ("GET", "/api/v1/people"): ADMIN,
    ("GET", "/api/v1/people/names"): MEMBER,
    ("POST", "/api/v1/people"): ADMIN,
    ("PATCH", "/api/v1/people/{person_id}"): ADMIN,
    ("DELETE", "/api/v1/people/{person_id}"): ADMIN,
    ("POST", "/api/v1/people/{person_id}/sign-in-code"): ADMIN,
    ("DELETE", "/api/v1/people/{person_id}/sign-ins"): ADMIN,
    ("POST", "/api/v1/sign-in-codes"): MEMBER,
    ("GET", "/api/v1/runners"): SIGN_IN,
    ("GET", "/api/v1/runners/{runner_id}"): SIGN_IN,
    ("GET", "/api/v1/runners/{runner_id}/folders"): SIGN_IN,
    ("POST", "/api/v1/sessions"): SIGN_IN,
    ("GET", "/api/v1/sessions"): SIGN_IN,
    ("GET", S): OWN,
    ("PATCH", S): OWN,
    ("DELETE", S): OWN,
    ("POST", S + "/prompt"): OWN,
    ("POST", S + "/input"): OWN,
    ("POST", S + "/interrupt"): OWN,
    ("POST", S + "/stop"): OWN,
    ("POST", S + "/kill"): OWN,
    ("POST", S + "/resize"): OWN,
    ("GET", S + "/events"): OWN,
    ("GET", S + "/events/stream"): OWN,
    ("POST", S + "/previews"): OWN,
    ("GET", S + "/previews"): OWN,
    ("DELETE", S + "/previews/{preview_id}"): OWN,
    ("WS", S + "/feed"): OWN,
    ("WS", "/api/v1/updates"): SIGN_IN,
    ("WS", RunnerDoor.PATH): RUNNER,
    ("WS", "/api/v1/revdial"): RUNNER,
    ("GET", "/api/v1/openapi.json"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("GET", "/"): OPEN,
    ("GET", "/sessions/{rest}"): OPEN,
    ("GET", "/runners"): OPEN,
    ("GET", "/settings"): OPEN,
    ("GET", "/device"): OPEN,
    ("GET", "/{name}"): OPEN,
    ("GET", "/{rest}"): OPEN,
    ("*", "/assets"): OPEN,
}
BODIES = {
    ("POST", "/api/v1/sign-in"): {"code": "x"},
    ("POST", "/api/v1/sign-in/password"): {"name": "nobody", "password": "wrong"},
    ("POST", "/api/v1/sign-in/passkey/options"): {},
    ("POST", "/api/v1/sign-in/passkey"): {"id": "x", "credential": {}},
    ("PATCH", "/api/v1/me"): {"name": "new"},
    ("PUT", "/api/v1/me/password"): {"current": None, "new": "correct battery"},
    ("PUT", "/api/v1/me/second-factor"): {"required": False},
    ("POST", "/api/v1/me/passkeys/options"): {},
    ("POST", "/api/v1/me/passkeys"): {"id": "x", "name": "key", "credential": {}},
    ("POST", "/api/v1/me/oidc"): {},
    ("POST", "/api/v1/me/tokens"): {"name": "t", "scopes": ["read"], "expiresInDays": 1},
    ("POST", "/api/v1/socket-tickets"): {},
    ("POST", "/api/v1/device-flow"): {"clientName": "cli", "scopes": ["read"]},
    ("POST", "/api/v1/device-flow/token"): {"deviceCode": "x"},
    ("POST", "/api/v1/device-flow/{user_code}"): {"approve": False},
    ("POST", "/api/v1/people"): {"name": "Zoe", "role": "member"},
    ("PATCH", "/api/v1/people/{person_id}"): {"disabled": True},
    ("POST", "/api/v1/people/{person_id}/sign-in-code"): {},
    ("POST", "/api/v1/sign-in-codes"): {},
    ("POST", "/api/v1/sessions"): {},
    ("PATCH", S): {"title": "new"},
    ("POST", S + "/prompt"): {"text": "hi"},
    ("POST", S + "/input"): {"data": "aGk="},
    ("POST", S + "/interrupt"): {},
    ("POST", S + "/stop"): {},
    ("POST", S + "/kill"): {},
    ("POST", S + "/resize"): {"cols": 80, "rows": 24},
    ("POST", S + "/previews"): {"port": 3000},
}
HTTP = [key for key in EXPECTED if key[0] not in ("WS", "*")]


def routes(app):
    found = {("WS", RunnerDoor.PATH)}
    for path, route in _flat(app.router.routes):
        path = path.replace(":path", "")
        if isinstance(route, WebSocketRoute):
            found.add(("WS", path))
        elif isinstance(route, Route):
            found |= {(method, path) for method in route.methods or () if method != "HEAD"}
        else:
            assert isinstance(route, Mount), route
            found.add(("*", path))
    return found


def _flat(found, prefix=""):
    """Routes as they are reached, also those of routers that are included in others."""
    for route in found:
        if hasattr(route, "original_router"):
            inner = prefix + route.include_context.prefix
            yield from _flat(route.original_router.routes, inner)
        else:
            yield prefix + route.path, route


def framework(here) -> FastAPI:
    app = here.app
    while not isinstance(app, FastAPI):
        app = app._app
    return app


async def test_every_route_has_an_expectation(here):
    assert routes(framework(here)) == set(EXPECTED)


def test_every_http_route_with_a_body_has_one_here():
    assert {key for key in HTTP if key[0] in ("POST", "PUT", "PATCH")} - set(BODIES) == {
        ("POST", "/api/v1/sign-out")
    }


def ask(client, method, path, session_id="nosuchsession"):
    address = path.format(
        session_id=session_id,
        runner_id="runner0001",
        preview_id="p",
        passkey_id="p",
        sign_in_id="s",
        token_id="t",
        person_id="nobody",
        user_code="BCDF-GHJK",
        rest="x",
        name="theme.js",
    )
    return client.request(method, address, json=BODIES.get((method, path)))


@pytest.mark.parametrize("credentials", ["none", "wrong", "cookie", "basic", "url"])
async def test_who_is_not_signed_in_gets_401_from_every_protected_route(here, runner, credentials):
    session_id = await runner.run_session(here.member)
    headers = {
        "wrong": {"authorization": "Bearer wrong"},
        "cookie": {"cookie": "earthshine_sign_in=wrong"},
        "basic": {"authorization": f"Basic {here.member.token}"},
    }.get(credentials, {})
    params = {"token": here.member.token} if credentials == "url" else {}
    async with here.anonymous(headers=headers, params=params) as client:
        for method, path in HTTP:
            answer = await ask(client, method, path, session_id)
            if EXPECTED[method, path] in (SIGN_IN, MEMBER, ADMIN, OWN):
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["code"] == "sign-in-required"
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"
            else:
                assert answer.status_code not in (401, 500), (method, path)


async def test_a_guest_gets_403_from_what_is_for_members_and_admins(here, runner):
    expires = datetime.now(UTC) + timedelta(minutes=5)
    guest_id = await here.plane.people.people.add_guest("Gina", expires)
    guest = await here.person(
        await here.plane.people.people.sign_in_guest(guest_id, timedelta(minutes=5))
    )
    for method, path in HTTP:
        answer = await ask(guest.http, method, path)
        if EXPECTED[method, path] in (MEMBER, ADMIN):
            assert answer.status_code == 403, (method, path, answer.text)
            assert answer.json()["code"] == "not-allowed"
        if path == "/api/v1/sign-out":
            signed_in = await here.plane.people.people.sign_in_guest(guest_id, timedelta(minutes=5))
            guest = await here.person(signed_in)


async def test_a_member_gets_403_from_what_is_for_admins_and_an_admin_does_not(here):
    for method, path in HTTP:
        if EXPECTED[method, path] != ADMIN:
            continue
        answer = await ask(here.member.http, method, path)
        assert answer.status_code == 403, (method, path, answer.text)
        assert answer.json()["code"] == "not-allowed"
        answer = await ask(here.owner.http, method, path)
        assert answer.status_code in (200, 201, 204, 404), (method, path, answer.text)


async def test_a_token_without_the_scope_gets_403(here):
    tokens = here.plane.people.tokens
    made = await tokens.make(here.owner.actor, "reads", [Scope.READ], 1)
    async with here.anonymous(headers={"authorization": f"Bearer {made.token}"}) as client:
        assert (await client.get("/api/v1/sessions")).status_code == 200
        for method, path in HTTP:
            wanted = EXPECTED[method, path]
            if wanted == ADMIN or (wanted == MEMBER and path.startswith("/api/v1/me")):
                answer = await ask(client, method, path)
                assert answer.status_code == 403, (method, path, answer.text)


async def test_a_session_that_is_not_yours_is_not_there(here, runner):
    session_id = await runner.run_session(here.member)
    for method, path in HTTP:
        if EXPECTED[method, path] != OWN:
            continue
        foreign = await ask(here.other.http, method, path, session_id)
        missing = await ask(here.other.http, method, path, "nosuchsession")
        expected = 404
        assert foreign.status_code == missing.status_code == expected, (method, path, foreign.text)
        assert foreign.json() == missing.json(), "whether it exists is not told"
    assert (await here.member.http.get(f"/api/v1/sessions/{session_id}")).status_code == 200
    assert (await here.other.http.get("/api/v1/sessions")).json()["sessions"] == []


async def test_an_admin_may_see_everybodys(here, runner):
    session_id = await runner.run_session(here.member)
    assert (await here.owner.http.get(f"/api/v1/sessions/{session_id}")).status_code == 200
    (session,) = (await here.owner.http.get("/api/v1/sessions")).json()["sessions"]
    assert (session["id"], session["ownerName"]) == (session_id, "mia")


@pytest.mark.parametrize("path", [path for kind, path in EXPECTED if kind == "WS"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
async def test_who_is_not_signed_in_gets_no_socket(here, runner, path, headers):
    session_id = await runner.run_session(here.member)
    url = f"ws://127.0.0.1:{here.port}{path.format(session_id=session_id)}"
    if EXPECTED["WS", path] == RUNNER:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=headers | {"earthshine-runner": "-"})
        assert refused.value.response.status_code in (400, 401)
        return
    async with connect(url, additional_headers=headers) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001


async def test_the_feed_of_a_session_that_is_not_yours(here, runner):
    session_id = await runner.run_session(here.member)
    for session in (session_id, "nosuchsession"):
        assert await (await here.feed(here.other, session)).closed() == 4004


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_dialling_back_needs_a_runners_token(here, method):
    async with here.anonymous() as client:
        answer = await client.request(
            method, "/api/v1/revdial", json={} if method == "POST" else None
        )
    assert answer.status_code in (400, 401, 403, 404, 405, 426)


async def test_the_sockets_are_where_the_table_says(here, runner):
    """Routes that nobody declares would be found here: all others answer 404."""
    for path in ("/api/v1/feed", "/api/v1/sessions/x/feed/y", "/ws"):
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{here.port}{path}")


# --- rules around services -----------------------------------------------------------------------

INTERNAL = {
    # Before there is an actor, or for the server itself.
    (AccountService, "name"),
    (AccountService, "issue_code"),
    (AccountService, "issue_token"),
    (AccountService, "local_token"),
    (AccountService, "redeem"),
    (AccountService, "authenticate"),
    (PeopleService, "ensure_owner"),
    (PeopleService, "purge_guests"),
    (PasswordService, "sign_in"),
    (PasskeyService, "challenge"),
    (PasskeyService, "second_factor"),
    (PasskeyService, "sign_in"),
    (OidcService, "start"),
    (OidcService, "finish"),
    (DeviceFlowService, "start"),
    (DeviceFlowService, "collect"),
    (TicketService, "take"),
    # For other services, after a rule was asked.
    (PeopleService, "add_guest"),
    (PeopleService, "sign_in_guest"),
    (PeopleService, "end_sign_ins"),
    (SessionService, "channel"),
    (SessionService, "view"),
}
SERVICES = (
    AccountService,
    PeopleService,
    PasswordService,
    PasskeyService,
    OidcService,
    TokenService,
    DeviceFlowService,
    TicketService,
    SessionService,
    RunnerService,
    PreviewService,
)


@pytest.mark.parametrize("service", SERVICES)
def test_every_public_coroutine_of_a_service_has_a_rule(service):
    for name, member in inspect.getmembers(service, inspect.iscoroutinefunction):
        if name.startswith("_") or (service, name) in INTERNAL:
            continue
        assert isinstance(getattr(member, RULE, None), Permission), f"{service.__name__}.{name}"


def test_what_is_internal_exists_and_has_no_rule():
    for service, name in INTERNAL:
        assert not hasattr(getattr(service, name), RULE)


def test_the_services_that_routes_use_are_the_ones_looked_at():
    services = {
        type_
        for type_ in SERVICES
        if Access in getattr(type_.__init__, "__annotations__", {}).values()
        or "Access" in str(inspect.signature(type_.__init__))
    }
    assert services == set(SERVICES)


async def test_health_says_whether_work_can_be_done(here, runner, monkeypatch):
    async with here.anonymous() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        monkeypatch.setattr(here.plane.journal, "failure", "the database cannot be written: full")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (
            503,
            "the database cannot be written: full",
        )
        monkeypatch.undo()
        here.plane.stopping = True
        assert (await client.get("/readyz")).json()["code"] == "stopping"
        here.plane.stopping = False
        await here.plane.database.close()
        monkeypatch.setattr(here.plane.database, "read", _broken)
        assert (await client.get("/readyz")).json()["code"] == "database"
        assert (await client.get("/healthz")).status_code == 200


def _broken():
    from sqlalchemy.exc import OperationalError

    raise OperationalError("SELECT 1", {}, OSError("gone"))


async def test_metrics_count_and_hold_no_ids(here, runner):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, output(2), exited(3))
    async with here.anonymous() as client:
        text = (await client.get("/metrics")).text
    assert "earthshine_runners_connected 1.0" in text
    assert "earthshine_events_stored_total" in text
    for secret in (session_id, "runner0001", "mia", here.member.token):
        assert secret not in text


async def test_nothing_is_kept_by_caches(here):
    answer = await here.member.http.get("/api/v1/me")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
