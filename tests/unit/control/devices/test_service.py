"""Session tokens, streams, dial-backs and revocation, over real sockets."""

import asyncio
import base64
import contextlib
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from earthshine.control.devices.tokens import SESSION_LIFE
from earthshine.control.throttle import RULES, Check
from earthshine.net.upgrade import DialBackRefusedError, DialBackRequest
from earthshine.protocols import pairing
from earthshine.protocols.envelope import (
    CHALLENGE_HEADER,
    CLOSE_REVOKED,
    Auth,
    Error,
    Ping,
    Start,
    Token,
)
from earthshine.protocols.revdial import Grant
from tests.unit.control.world import RUNNER_TOKEN
from tests.unit.protocols.test_envelope import HELLO


@pytest.fixture
async def box(here, machine):
    """Mia's runner, paired for her alone."""
    box = await machine()
    await box.pair(here.member)
    return box


async def revoke(person, box):
    return await person.http.post(f"/api/v1/runners/{box.runner_id}/revoke", json={})


async def view_of(person, box):
    return (await person.http.get(f"/api/v1/runners/{box.runner_id}")).json()


# --- session tokens ------------------------------------------------------------------------------


async def test_the_access_token_saves_the_refresh_token(box):
    answer = (await box.open(box.access)).json()
    assert answer["tokens"] is None
    assert answer["expiresIn"] == SESSION_LIFE
    refreshed = (await box.open(box.refresh)).json()
    assert refreshed["tokens"]["refreshToken"] == box.refresh
    assert len({answer["sessionToken"], refreshed["sessionToken"]}) == 2


async def test_a_used_refresh_token_ends_the_family_and_tells_the_owner(here, box, trail):
    used = box.refresh
    await box.open(used)
    runner = await box.connect()  # what came with it has arrived
    answer = await box.open(used)
    assert (answer.status_code, answer.json()["code"]) == (403, "device-revoked")
    assert (await runner.closed())[0] == CLOSE_REVOKED
    assert (await box.open(box.refresh)).status_code == 403, "the newest one is dead as well"
    assert (await box.open(box.access)).status_code == 403
    view = await view_of(here.member, box)
    assert view["revoked"]
    assert "used twice" in view["revokedReason"]
    assert "token-reused" in trail.kinds()
    assert "runner-revoked" in trail.kinds()


async def test_an_answer_that_was_lost_bricks_nothing(here, box):
    before = box.refresh
    await box.open(before, keep=False)  # rotated, and nobody heard
    answer = await box.open(before)
    assert answer.status_code == 200
    runner = await box.connect()
    assert not (await view_of(here.member, box))["revoked"]
    assert (await box.open(before)).status_code == 403, "but only until the new one has arrived"
    assert (await runner.closed())[0] == CLOSE_REVOKED


async def test_tokens_are_of_no_use_without_the_devices_key(here, box, machine, trail):
    thief = await machine()
    thief.runner_id = box.runner_id
    for token in (box.access, box.refresh):
        answer = await thief.open(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "proof-refused")
    assert (await box.open(box.refresh)).status_code == 200, "which harms nobody"


async def test_nor_at_another_server_nor_a_second_time(box):
    other = await box.open(box.access, origin="https://evil.example")
    assert other.json()["code"] == "proof-refused"
    body = await box.opening(box.access)
    assert (await box.post("/session", body)).status_code == 200
    again = await box.post("/session", body)
    assert (again.status_code, again.json()["code"]) == (401, "stale-challenge")


async def test_a_token_of_another_runner_is_refused(here, box, machine):
    other = await machine()
    await other.pair(here.other)
    answer = await box.open(other.access)
    assert (answer.status_code, answer.json()["code"]) == (401, "device-refused")
    answer = await box.open(other.refresh)
    assert answer.json()["code"] == "device-refused"
    assert not (await view_of(here.other, other))["revoked"]


async def test_an_unknown_runner_looks_like_a_wrong_key(here, box, machine):
    stranger = await machine()
    stranger.runner_id = "nosuchrunner"
    unknown = await stranger.open("x")
    stranger.runner_id = box.runner_id
    wrong = await stranger.open("x")
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json() == wrong.json()


async def test_attempts_are_limited_and_the_runner_is_not_locked_out(here, box, machine):
    """All ways to the same check share its limits; whoever succeeded before keeps a way in."""
    rules = RULES[Check.REFRESH]
    assert rules.pair is not None
    await box.session()
    thief = await machine()
    thief.runner_id = "somebodyelse"
    statuses = [(await thief.open("x")).status_code for _ in range(rules.pair.burst + 1)]
    assert statuses == [401] * rules.pair.burst + [429]
    with pytest.raises(InvalidStatus) as refused:
        await here.dial("somebodyelse", Authorization="Bearer wrong")
    assert refused.value.response.status_code == 429, "the other way in is the same check"
    assert (await box.open(box.access)).status_code == 200


# --- the control connection ----------------------------------------------------------------------


async def test_a_paired_runner_connects_and_works(here, box):
    runner = await box.connect(name="renamed itself")
    session = await runner.run_session(here.member)
    view = await view_of(here.member, box)
    assert (view["state"], view["runningSessions"]) == ("connected", 1)
    assert (view["name"], view["address"]) == ("renamed itself", "127.0.0.1")
    assert (await here.member.http.get(f"/api/v1/sessions/{session}")).json()["runnerName"]


async def refused_stream(runner):
    error = await runner.hear(Error)
    assert error.payload.code == "unauthenticated"
    assert (await runner.closed())[0] == 4009


@pytest.mark.parametrize(
    "changed",
    [
        {"challenge": "one-of-another-handshake"},
        {"origin": "https://evil.example"},
        {"private": bytes(range(32))},
        {"as_": "otherrunner0001"},
    ],
)
async def test_the_proof_is_for_this_handshake_this_server_and_this_key(box, changed):
    await refused_stream(await box.dial(await box.session(), **changed))


async def test_only_a_session_token_opens_the_stream(here, box):
    for token in (box.access, box.refresh, "x"):
        await refused_stream(await box.dial(token))
    session = await box.session()
    with pytest.raises(InvalidStatus) as refused:
        await here.dial(box.runner_id, Authorization=f"Bearer {session}")
    assert refused.value.response.status_code == 401, "in a header nothing proves the key"


async def test_nothing_is_taken_before_the_first_message(here, box):
    socket = await here.dial(box.runner_id, Authorization="")
    assert socket.connection.response.headers[CHALLENGE_HEADER]
    await socket.say(HELLO)
    await refused_stream(socket)
    assert not here.plane.directory.get(box.runner_id).is_connected


async def test_the_static_token_does_not_take_over_a_paired_runner(here, box):
    runner = await box.connect()
    with pytest.raises(InvalidStatus) as refused:
        await here.dial(box.runner_id)
    assert refused.value.response.status_code == 401
    stranger = await here.dial(box.runner_id, Authorization="")
    await stranger.say(Auth(payload=Token(token=RUNNER_TOKEN)))
    await refused_stream(stranger)
    assert here.plane.directory.get(box.runner_id).is_connected
    await runner.connection.close()


async def test_without_the_static_token_only_paired_runners_come_in(here, box):
    here.plane.authentication._hash = None
    for token in (RUNNER_TOKEN, "", "None"):
        with pytest.raises(InvalidStatus) as refused:
            await here.dial(Authorization=f"Bearer {token}")
        assert refused.value.response.status_code == 401
    await (await box.connect()).connection.close()


# --- dialling back -------------------------------------------------------------------------------


async def dial_back(here, authorization, runner_id):
    ticket = here.plane.dialing._issue(Grant("dial", runner_id, "127.0.0.1:80"))
    request = DialBackRequest(authorization, ticket, "127.0.0.1:80", "192.0.2.7")
    with pytest.raises(DialBackRefusedError) as refused:
        await here.plane.dialing.admit(request)
    return refused.value.status.value


async def test_dialling_back_takes_the_session_token_and_no_other(here, box):
    session = await box.session()
    nobody_waits = 410  # past the check: the ticket is good, and no dial waits for it
    assert await dial_back(here, f"Bearer {box.runner_id}.{session}", box.runner_id) == nobody_waits
    for token in (box.access, box.refresh, RUNNER_TOKEN, "x", ""):
        assert await dial_back(here, f"Bearer {box.runner_id}.{token}", box.runner_id) == 401
    assert await dial_back(here, f"Bearer otherrunner.{session}", box.runner_id) == 401
    assert await dial_back(here, f"Basic {box.runner_id}.{session}", box.runner_id) == 401
    await revoke(here.member, box)
    assert await dial_back(here, f"Bearer {box.runner_id}.{session}", box.runner_id) == 401


@pytest.mark.parametrize("destination", ["*:80", "0.0.0.0:80", "[::]:80", "a:1,b:2", "host:*"])
async def test_a_ticket_is_for_exactly_one_destination(here, box, destination):
    from earthshine.control.errors import InvalidRequestError

    with pytest.raises(InvalidRequestError):
        await here.plane.dialing.dial(box.runner_id, destination)
    ticket = here.plane.dialing._issue(Grant("dial", box.runner_id, "127.0.0.1:80"))
    bearer = f"Bearer {box.runner_id}.{await box.session()}"
    with pytest.raises(DialBackRefusedError) as refused:
        await here.plane.dialing.admit(DialBackRequest(bearer, ticket, destination))
    assert refused.value.status.value == 403, "a wildcard shown for a ticket matches nothing"


async def test_dials_of_one_runner_are_limited(here, box, monkeypatch):
    from earthshine.control import throttle
    from earthshine.control.errors import RunnerUnavailableError, TooManyError
    from earthshine.control.throttle import Limit, Rules

    few = Rules(address=Limit(100, 1.0), account=Limit(3, 60.0))
    monkeypatch.setitem(throttle.RULES, Check.DIAL, few)
    for _ in range(3):
        with pytest.raises(RunnerUnavailableError):
            await here.plane.dialing.dial(box.runner_id, "127.0.0.1:80")
    with pytest.raises(TooManyError):
        await here.plane.dialing.dial(box.runner_id, "127.0.0.1:80")
    with pytest.raises(RunnerUnavailableError):
        await here.plane.dialing.dial("another", "127.0.0.1:80")


async def test_dial_backs_from_one_address_are_limited(here, box, monkeypatch):
    from earthshine.control import throttle
    from earthshine.control.throttle import Limit, Rules

    few = Rules(address=Limit(2, 60.0))
    monkeypatch.setitem(throttle.RULES, Check.DIAL, few)
    wrong = f"Bearer {box.runner_id}.x"
    assert [await dial_back(here, wrong, box.runner_id) for _ in range(3)] == [401, 401, 429]


# --- revocation ----------------------------------------------------------------------------------


async def test_revoking_ends_everything_at_once(here, box, trail):
    runner = await box.connect()
    session = await runner.run_session(here.member)
    viewer = await here.feed(here.member, session)
    await viewer.live()
    token = await box.session()
    began = time.perf_counter()
    answer = await revoke(here.member, box)
    assert answer.json()["revoked"]
    assert (await runner.closed())[0] == CLOSE_REVOKED
    await viewer.until(lambda: any(m.get("type") == "session" for m in viewer.said))
    took = time.perf_counter() - began
    assert took < 1, took
    reason = (await here.member.http.get(f"/api/v1/sessions/{session}")).json()["reason"]
    assert reason["code"] == "runner-revoked"
    again = await box.dial(token)
    assert (await again.hear(Error)).payload.code == "device-revoked"
    assert (await again.closed())[0] == CLOSE_REVOKED
    assert (await box.open(box.refresh)).json()["code"] == "device-revoked"
    assert (await revoke(here.member, box)).status_code == 200, "twice is harmless"
    assert trail.kinds().count("runner-revoked") == 1
    start = await here.member.http.post("/api/v1/sessions", json={"runnerId": box.runner_id})
    assert start.status_code == 503


async def test_a_runner_that_does_not_close_its_end_is_cut_off(here):
    """A close frame is a request; the socket itself must go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    head = [
        "GET /api/clients/stream HTTP/1.1",
        f"Host: 127.0.0.1:{here.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Earthshine-Runner: stubborn0001",
        f"Authorization: Bearer {RUNNER_TOKEN}",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    began = time.perf_counter()
    await here.plane.endpoint.revoke("stubborn0001")
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):  # a reset is as good
            while await reader.read(100):
                pass  # the close frame, which is not answered
    took = time.perf_counter() - began
    assert took < 1, took
    assert not here.plane.endpoint._connections
    writer.close()


async def test_one_that_has_not_greeted_yet_is_closed_too(here, box):
    waiting = await box.dial()
    await waiting.say(Ping(seq=1))
    await waiting.hear()
    await revoke(here.member, box)
    assert (await waiting.closed())[0] == CLOSE_REVOKED


async def test_revocation_outlives_a_restart(here, box):
    await revoke(here.member, box)
    here.plane.directory._runners.clear()
    await here.plane.directory.load()
    assert (await view_of(here.member, box))["revoked"]
    assert (await box.open(box.refresh)).status_code == 403


async def test_a_static_runner_can_be_revoked_by_an_admin(here, runner):
    path = f"/api/v1/runners/{runner.runner_id}/revoke"
    assert (await here.member.http.post(path, json={})).status_code == 403
    assert (await here.owner.http.post(path, json={})).status_code == 200
    assert (await runner.closed())[0] == CLOSE_REVOKED
    with pytest.raises(InvalidStatus) as refused:
        await here.dial(runner.runner_id)
    assert refused.value.response.status_code == 403


async def test_leaving_is_being_revoked(here, box):
    challenge = await box.challenge()
    message = pairing.unpair_transcript(box.origin, box.runner_id, challenge)
    body = {"runnerId": box.runner_id, "challenge": challenge}
    wrong = body | {"signature": pairing.sign(bytes(32), message)}
    assert (await box.post("/unpair", wrong)).status_code == 401
    right = body | {"signature": pairing.sign(box.private, message)}
    assert (await box.post("/unpair", right)).status_code == 204
    assert "unpaired" in (await view_of(here.member, box))["revokedReason"]


async def test_a_person_who_is_removed_loses_their_runners(here, box, machine):
    others = await machine()
    await others.pair(here.other)
    runner = await box.connect()
    await here.plane.revoke_runners_of(here.member.actor.person_id)
    assert (await runner.closed())[0] == CLOSE_REVOKED
    assert (await view_of(here.owner, box))["revoked"]
    assert not (await view_of(here.other, others))["revoked"]


# --- whose a runner is ---------------------------------------------------------------------------


async def ids(person):
    return [r["id"] for r in (await person.http.get("/api/v1/runners")).json()["runners"]]


async def test_a_runner_is_its_owners_until_it_is_shared(here, box):
    assert await ids(here.member) == [box.runner_id]
    assert await ids(here.other) == []
    assert await ids(here.owner) == [box.runner_id], "an admin sees all"
    path = f"/api/v1/runners/{box.runner_id}"
    for stranger_calls in (
        here.other.http.get(path),
        here.other.http.get(f"{path}/folders"),
        here.other.http.patch(path, json={"name": "mine"}),
        here.other.http.post(f"{path}/revoke", json={}),
        here.other.http.delete(path),
        here.other.http.post("/api/v1/sessions", json={"runnerId": box.runner_id}),
    ):
        assert (await stranger_calls).status_code == 404
    shared = await here.member.http.patch(path, json={"shared": True, "name": "Mia's \u202ebox"})
    assert (shared.json()["shared"], shared.json()["name"]) == (True, "Mia's box")
    assert await ids(here.other) == [box.runner_id]
    assert (await here.other.http.patch(path, json={"name": "mine"})).status_code == 403
    assert (await here.other.http.delete(path)).status_code == 403
    runner = await box.connect(name="own name")
    assert (await view_of(here.other, box))["name"] == "Mia's box", "people's name for it stays"
    await runner.run_session(here.other)


async def test_any_means_any_that_is_there_for_me(here, box):
    """Not an admin's sessions either on a machine that somebody keeps to themselves."""
    runner = await box.connect()
    for stranger in (here.other, here.owner):
        refused = await stranger.http.post("/api/v1/sessions", json={})
        assert refused.status_code == 503
    asked = asyncio.create_task(here.member.start())
    await runner.done(await runner.command(Start))
    assert (await asked)["runnerId"] == box.runner_id
    naming = asyncio.create_task(here.owner.start(runnerId=box.runner_id))
    await runner.done(await runner.command(Start))
    assert (await naming)["ownerName"] == "owner"


async def test_a_runner_whose_owner_is_gone_is_nobodys(here, box):
    runner = here.plane.directory.get(box.runner_id)
    runner.owner_id = None
    assert await ids(here.other) == []
    assert await ids(here.owner) == [box.runner_id]


async def test_removing_takes_it_off_the_list(here, box):
    runner = await box.connect()
    path = f"/api/v1/runners/{box.runner_id}"
    assert (await here.member.http.delete(path)).status_code == 409, "it is connected"
    session = await runner.run_session(here.member)
    await revoke(here.member, box)
    assert (await here.member.http.delete(path)).status_code == 204
    assert await ids(here.member) == await ids(here.owner) == []
    assert (await here.member.http.get(path)).status_code == 404
    view = (await here.member.http.get(f"/api/v1/sessions/{session}")).json()
    assert view["runnerName"] == "box", "its sessions still know it"
    assert (await box.open(box.refresh)).status_code == 403


async def test_one_without_sessions_leaves_no_trace(here, box):
    assert (await here.member.http.delete(f"/api/v1/runners/{box.runner_id}")).status_code == 204
    assert here.plane.directory.known(box.runner_id) is None
    assert (await box.open(box.refresh)).status_code == 401


async def test_names_must_show(here, box):
    path = f"/api/v1/runners/{box.runner_id}"
    for name in ("\u200b\u202e", " ", ""):
        assert (await here.member.http.patch(path, json={"name": name})).status_code == 422


async def test_a_static_runner_cannot_be_kept_to_oneself(here, runner):
    path = f"/api/v1/runners/{runner.runner_id}"
    assert (await here.owner.http.patch(path, json={"shared": False})).status_code == 409
    named = await here.owner.http.patch(path, json={"name": "The big one"})
    assert named.json()["name"] == "The big one"


async def test_guests_have_no_runners(here, box, runner):
    from dataclasses import replace

    from earthshine.control.access import Role

    guest = replace(here.other.actor, role=Role.GUEST)
    assert (await here.plane.runners.list(guest)).runners == []


async def test_news_of_a_runner_reach_only_those_who_may_see_it(here, box):
    from earthshine.control import updates
    from tests.unit.control.test_updates import hear

    def listen(person):
        return connect(
            f"ws://127.0.0.1:{here.port}/api/v1/updates",
            additional_headers=person.headers,
            subprotocols=[updates.SUBPROTOCOL],  # type: ignore[list-item]
        )

    async with listen(here.member) as mine, listen(here.other) as theirs:
        assert [r["id"] for r in (await hear(mine, "snapshot"))["runners"]] == [box.runner_id]
        assert (await hear(theirs, "snapshot"))["runners"] == []
        path = f"/api/v1/runners/{box.runner_id}"
        await here.member.http.patch(path, json={"name": "secret"})
        await hear(mine, "runner", name="secret")
        await here.member.http.patch(path, json={"name": "open", "shared": True})
        message = await hear(theirs, "runner")
        assert message["runner"]["name"] == "open", "nothing of it came before"
        await here.member.http.patch(path, json={"shared": False})
        await hear(theirs, "runner-removed", id=box.runner_id)
        await here.member.http.delete(path)
        await hear(mine, "runner-removed", id=box.runner_id)
