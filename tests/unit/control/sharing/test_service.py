"""Sharing a session: what each role may, and that a change takes effect at once."""

from datetime import UTC, datetime, timedelta

import pytest

from earthshine.control.sharing import membership, service
from earthshine.protocols import envelope
from tests.unit.control.world import output

S = "/api/v1/sessions"


@pytest.fixture
async def session(here, runner):
    return await runner.run_session(here.member)


async def share(here, session, role="viewer", **body):
    answer = await here.member.http.put(
        f"{S}/{session}/shares/{here.other.actor.person_id}", json={"role": role, **body}
    )
    assert answer.status_code == 204, answer.text


async def shares(here, session):
    answer = await here.member.http.get(f"{S}/{session}/shares")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def link(here, session, role="viewer", seconds=3600):
    answer = await here.member.http.post(
        f"{S}/{session}/links", json={"role": role, "expiresIn": seconds}
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["url"].startswith(here.url + "/#share=")
    return made["id"], made["url"].partition("#share=")[2]


# --- with people ---------------------------------------------------------------------------------


async def test_a_session_that_was_shared_is_there_and_listed(here, session):
    await share(here, session)
    assert (await here.other.http.get(f"{S}/{session}")).status_code == 200
    (listed,) = (await here.other.http.get(S)).json()["sessions"]
    assert listed["id"] == session
    (person,) = (await shares(here, session))["people"]
    assert (person["name"], person["role"], person["guest"]) == ("otto", "viewer", False)


@pytest.mark.parametrize(
    ("role", "allowed"), [("viewer", False), ("approver", False), ("controller", True)]
)
async def test_what_a_role_may_do(here, runner, session, role, allowed):
    await share(here, session, role)
    typed = await here.other.http.post(f"{S}/{session}/input", json={"data": "eA=="})
    assert typed.status_code == (202 if allowed else 403), typed.text
    for path in ("", "/events"):
        assert (await here.other.http.get(f"{S}/{session}{path}")).status_code == 200, path
    for method, path, body in (
        ("DELETE", "", None),
        ("PATCH", "", {"title": "mine now"}),
        ("GET", "/shares", None),
        ("POST", "/links", {"role": "controller", "expiresIn": 60}),
        ("PUT", f"/shares/{here.other.actor.person_id}", {"role": "controller"}),
    ):
        answer = await here.other.http.request(method, f"{S}/{session}{path}", json=body)
        assert answer.status_code == 403, (method, path, answer.text)


async def test_a_viewer_becomes_a_controller_while_watching_and_back(here, runner, session):
    await share(here, session, "viewer")
    viewer = await here.feed(here.other, session)
    await viewer.live()
    await share(here, session, "controller")
    told = await viewer.hear("role")
    assert (told["role"], told["canControl"]) == ("controller", True)
    await viewer.connection.send(b"x")
    assert (await runner.command(envelope.Input)).payload.data == b"x"
    await share(here, session, "viewer")
    assert (await viewer.hear("role"))["canControl"] is False
    await viewer.connection.send(b"x")
    assert (await viewer.hear("error"))["code"] == "not-allowed"
    assert here.plane.book.live(session).leader is None, "who may not type does not lead"


async def test_taking_it_back_ends_what_they_watch(here, runner, session):
    await share(here, session)
    viewer = await here.feed(here.other, session)
    await viewer.live()
    gone = await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
    assert gone.status_code == 204
    assert await viewer.closed() == 4003
    assert (await here.other.http.get(f"{S}/{session}")).status_code == 404
    again = await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
    assert again.status_code == 404


async def test_a_viewer_that_does_not_read_is_put_out_all_the_same(here, runner, session):
    await share(here, session)
    viewer = await here.feed(here.other, session, "?window=65536")
    await viewer.live()
    await runner.logged(session, *[output(seq, bytes(30_000)) for seq in range(2, 12)])
    await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
    assert await viewer.closed() == 4003


async def test_a_share_runs_out_while_it_is_watched(here, runner, session, monkeypatch):
    await share(here, session, expiresIn=60)
    viewer = await here.feed(here.other, session)
    await viewer.live()
    monkeypatch.setattr(
        here.plane.members, "_clock", lambda: datetime.now(UTC) + timedelta(seconds=61)
    )
    assert await viewer.closed() == 4003
    assert (await here.other.http.get(f"{S}/{session}")).status_code == 404


async def test_server_sent_events_end_with_the_share(here, runner, session):
    await share(here, session)
    async with here.other.http.stream("GET", f"{S}/{session}/events/stream") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": earthshine"
        await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
        async for _ in lines:
            pass


async def test_the_owner_and_strangers_cannot_be_shared_with(here, session):
    mine = await here.member.http.put(
        f"{S}/{session}/shares/{here.member.actor.person_id}", json={"role": "viewer"}
    )
    assert mine.status_code == 409
    nobody = await here.member.http.put(f"{S}/{session}/shares/nobody", json={"role": "viewer"})
    assert nobody.status_code == 404


@pytest.mark.parametrize("role", ["owner", "admin", ""])
async def test_roles_that_cannot_be_given(here, session, role):
    answer = await here.member.http.put(
        f"{S}/{session}/shares/{here.other.actor.person_id}", json={"role": role}
    )
    assert answer.status_code == 422


async def test_a_limit_of_people(here, session, monkeypatch):
    monkeypatch.setattr(service, "MAX_PEOPLE", 0)
    answer = await here.member.http.put(
        f"{S}/{session}/shares/{here.other.actor.person_id}", json={"role": "viewer"}
    )
    assert answer.status_code == 429


# --- by links ------------------------------------------------------------------------------------


async def test_a_link_adds_the_session_to_who_is_signed_in(here, runner, session):
    _, code = await link(here, session, "controller")
    followed = await here.other.http.post("/api/v1/follow-link", json={"code": code})
    assert followed.json() == {"sessionId": session}
    assert "set-cookie" not in followed.headers
    viewer = await here.feed(here.other, session)
    await viewer.live()
    assert viewer.said[0]["role"] == "controller"
    (found,) = (await shares(here, session))["links"]
    assert (found["uses"], found["role"], found["createdBy"]) == (1, "controller", "mia")


async def test_a_link_never_takes_anything_away(here, session):
    await share(here, session, "controller")
    _, code = await link(here, session, "viewer")
    for person in (here.member, here.other, here.owner):
        answer = await person.http.post("/api/v1/follow-link", json={"code": code})
        assert answer.status_code == 200
    (person,) = (await shares(here, session))["people"]
    assert (person["name"], person["role"]) == ("otto", "controller")


async def test_a_guest_comes_by_a_link_and_has_that_session_only(here, runner, session):
    await runner.run_session(here.member)
    _, code = await link(here, session, "viewer")
    async with here.anonymous() as guest:
        unnamed = await guest.post("/api/v1/follow-link", json={"code": code})
        assert unnamed.status_code == 422
        followed = await guest.post("/api/v1/follow-link", json={"code": code, "name": "Eve"})
        assert followed.json() == {"sessionId": session}
        cookie = followed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert (await guest.get("/api/v1/me")).json()["role"] == "guest"
        (listed,) = (await guest.get(S)).json()["sessions"]
        assert listed["id"] == session
        assert (await guest.get("/api/v1/runners")).status_code == 403
        assert (await guest.post(S, json={})).status_code == 403
        typed = await guest.post(f"{S}/{session}/input", json={"data": "eA=="})
        assert typed.status_code == 403
    (person,) = (await shares(here, session))["people"]
    assert (person["name"], person["guest"]) == ("Eve", True)


async def test_ending_a_link_puts_out_who_came_by_it(here, runner, session):
    link_id, code = await link(here, session)
    async with here.anonymous() as guest:
        await guest.post("/api/v1/follow-link", json={"code": code, "name": "Eve"})
        await here.other.http.post("/api/v1/follow-link", json={"code": code})
        viewer = await here.feed(here.other, session)
        await viewer.live()
        ended = await here.member.http.delete(f"{S}/{session}/links/{link_id}")
        assert ended.status_code == 204
        assert await viewer.closed() == 4003
        assert (await guest.get("/api/v1/me")).status_code == 401, "no guest without a session"
        again = await guest.post("/api/v1/follow-link", json={"code": code, "name": "Eve"})
        assert (again.status_code, again.json()["code"]) == (410, "gone")
    assert (await shares(here, session)) == {"ownerName": "mia", "people": [], "links": []}


async def test_a_link_of_another_session_cannot_be_ended_through_ones_own(here, runner, session):
    link_id, _ = await link(here, session)
    mine = await runner.run_session(here.other)
    answer = await here.other.http.delete(f"{S}/{mine}/links/{link_id}")
    assert answer.status_code == 404
    assert len((await shares(here, session))["links"]) == 1


async def test_guessing_links_is_slowed_down(here, session):
    async with here.anonymous() as guest:
        statuses = [
            (await guest.post("/api/v1/follow-link", json={"code": f"guess{n}", "name": "x"}))
            for n in range(25)
        ]
    assert statuses[0].status_code == 410
    assert statuses[-1].status_code == 429
    assert int(statuses[-1].headers["retry-after"]) >= 1


async def test_a_limit_of_links(here, session, monkeypatch):
    monkeypatch.setattr(service, "MAX_LINKS", 1)
    await link(here, session)
    answer = await here.member.http.post(
        f"{S}/{session}/links", json={"role": "viewer", "expiresIn": 60}
    )
    assert answer.status_code == 429


# --- membership in memory ------------------------------------------------------------------------


async def test_memory_of_members_is_bounded(database, monkeypatch):
    monkeypatch.setattr(membership, "MAX_CACHED", 3)
    book = membership.MembershipBook(database)
    for number in range(9):
        assert await book.role(f"s{number}", "p") is None
    assert len(book._members) == 3
