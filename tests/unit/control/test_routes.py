"""Every route of the application, and who may use it. A route that is new must be entered here."""

import inspect

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
from earthshine.control.audit.service import AuditService
from earthshine.control.desktops.rdp import RdpService
from earthshine.control.desktops.service import DesktopService
from earthshine.control.desktops.vnc import VncService
from earthshine.control.devices.pairing import PairingService
from earthshine.control.devices.service import DeviceService
from earthshine.control.guacamole.application import GuacamoleApplication
from earthshine.control.guacamole.service import GuacamoleService
from earthshine.control.previews.service import PreviewService
from earthshine.control.recordings.service import RecordingService
from earthshine.control.runners.service import RunnerService
from earthshine.control.secrets.service import SecretService
from earthshine.control.sessions.service import SessionService
from earthshine.control.sharing.service import SharingService
from earthshine.control.transfers.service import FileService
from tests.unit.control.route_table import (
    ADMIN,
    BODIES,
    BODILESS,
    CREDENTIALS,
    DEVICE,
    EXPECTED,
    HTTP,
    MEMBER,
    OF_A_SESSION,
    OPEN,
    PLACES,
    RUNNER,
    ask,
)
from tests.unit.control.world import exited, output


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
    assert {key for key in HTTP if key[0] in ("POST", "PUT", "PATCH")} - set(BODIES) == BODILESS


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
            answer = await ask(client, method, path, session_id=session_id)
            rule = EXPECTED[method, path]
            if rule not in (OPEN, CREDENTIALS, DEVICE):
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["code"] == "sign-in-required"
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"
            elif rule == DEVICE:
                assert answer.status_code in (401, 410, 422), (method, path, answer.text)
                assert answer.json()["code"] != "sign-in-required"
            else:
                assert answer.status_code not in (401, 500), (method, path)


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
        if EXPECTED[method, path] not in OF_A_SESSION:
            continue
        foreign = await ask(here.other.http, method, path, session_id=session_id)
        missing = await ask(here.other.http, method, path, session_id="nosuchsession")
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
    url = f"ws://127.0.0.1:{here.port}{path.format(**PLACES | {'session_id': session_id})}"
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
    (RdpService, "run"),
    # Before there is an actor, or for the server itself.
    (AccountService, "name"),
    (AccountService, "issue_code"),
    (AccountService, "issue_token"),
    (AccountService, "local_token"),
    (AccountService, "redeem"),
    (AccountService, "authenticate"),
    (SecretService, "remove_all_of"),
    (RecordingService, "heard"),
    (RecordingService, "forget"),
    # After a rule was asked.
    (SecretService, "for_session"),
    (SecretService, "masking"),
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
    (SessionService, "review"),
    (VncService, "dial"),
    # By the link's code.
    (SharingService, "follow"),
    (SharingService, "session_of_guest"),
    (SharingService, "forget"),
    (RunnerService, "view"),
    # For machines: their signatures say who they are.
    (PairingService, "present"),
    (PairingService, "collect"),
    (DeviceService, "open_session"),
    (DeviceService, "verify_stream"),
    (DeviceService, "leave"),
    # For the server itself.
    (PairingService, "drop_of"),
    (DeviceService, "revoke_of"),
}
SERVICES = (
    AccountService,
    SessionService,
    RunnerService,
    PreviewService,
    SharingService,
    DesktopService,
    VncService,
    GuacamoleService,
    GuacamoleApplication,
    RdpService,
    RecordingService,
    FileService,
    PairingService,
    DeviceService,
    AuditService,
    SecretService,
    PeopleService,
    PasswordService,
    PasskeyService,
    OidcService,
    TokenService,
    DeviceFlowService,
    TicketService,
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
