"""What people can do with sessions, through the API."""

import asyncio
import base64

import pytest

from earthshine.control.runners import connection
from earthshine.protocols import envelope, events
from earthshine.protocols.envelope import AgentOffer, Forget, Input, Prompt, Resize, Start, Stop
from tests.unit.control.world import exited, output, started

S = "/api/v1/sessions"


async def started_on(runner, asked, value=None):
    frame = await runner.command(Start)
    await runner.done(frame, value)
    return frame, (await asked).json()


def ask(person, **request):
    return asyncio.create_task(person.http.post(S, json=request))


# --- starting ------------------------------------------------------------------------------------


async def test_a_start_reaches_the_runner(here, runner):
    frame, view = await started_on(
        runner,
        ask(here.member, agent="shell", command=["-l"], folder="/src", prompt="fix\nit", cols=90,
            rows=20, title=" "),
    )  # fmt: skip
    assert frame.session_id == view["id"]
    start = frame.payload
    assert (start.agent, start.argv, start.folder, start.prompt) == (
        "shell",
        ["-l"],
        "/src",
        "fix\nit",
    )
    assert (start.by, start.cols, start.rows, start.worktree) == ("mia", 90, 20, None)
    assert (view["state"], view["title"], view["ownerName"]) == ("queued", "fix", "mia")
    assert (view["runnerName"], view["runnerConnected"], view["folder"]) == ("box", True, "/src")
    await runner.logged(view["id"], started(1))
    view = (await here.member.http.get(f"{S}/{view['id']}")).json()
    assert (view["state"], view["folder"], view["cols"]) == ("running", "/home/anna", 100)


@pytest.mark.parametrize(
    ("request_", "title"),
    [
        ({}, "shell"),
        ({"prompt": "  \n first \nsecond"}, "first"),
        ({"agent": "command", "command": ["make", "test"]}, "make test"),
        ({"title": "mine", "prompt": "x"}, "mine"),
    ],
)
async def test_a_session_has_a_title(here, runner, request_, title):
    _, view = await started_on(runner, ask(here.member, **request_))
    assert view["title"].strip() == title


async def test_a_worktree_gets_a_branch_of_its_own(here, runner):
    frame, view = await started_on(runner, ask(here.member, worktree={"repository": "/repo"}))
    assert frame.payload.worktree == envelope.Worktree(
        repository="/repo", branch=f"earthshine/{view['id'][:8]}", base=""
    )
    assert view["worktree"]["branch"] == f"earthshine/{view['id'][:8]}"


async def test_a_start_that_the_runner_refuses_is_a_failed_session_in_words(here, runner):
    asked = ask(here.member, folder="/nowhere")
    await runner.refuse(await runner.command(Start), "folder-missing", "it does not exist")
    answer = await asked
    assert answer.status_code == 201
    view = answer.json()
    assert view["state"] == "failed"
    assert view["reason"] == {
        "code": "folder-missing",
        "detail": "it does not exist",
        "remedy": "do this",
    }
    await here.plane.journal.drain()
    page = (await here.member.http.get(f"{S}/{view['id']}/events")).json()
    assert [event["kind"] for event in page["events"]] == ["failed"]


async def test_no_runner_is_a_clear_error(here):
    answer = await here.member.http.post(S, json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "runner-unavailable")
    assert answer.json()["remedy"]


async def test_a_runner_that_is_away_or_unknown_is_a_clear_error(here, runner, eventually):
    await runner.connection.close()
    await eventually(lambda: not here.plane.directory.get("runner0001").is_connected)
    assert (await here.member.http.post(S, json={"runnerId": "runner0001"})).status_code == 503
    assert (await here.member.http.post(S, json={"runnerId": "nosuch"})).status_code == 404


async def test_any_runner_means_one_that_has_the_agent_and_least_to_do(here, runner, eventually):
    codex = AgentOffer(name="codex", label="Codex", path="/bin/codex")
    shell = AgentOffer(name="shell", label="Shell", path="/bin/sh")
    missing = AgentOffer(name="codex", label="Codex", detail="not found")
    second = await here.runner("runner0002", instance="b", name="a", agents=(shell, codex))
    await here.runner("runner0003", instance="c", name="0", agents=(shell, missing))
    _, view = await started_on(second, ask(here.member, agent="codex"))
    assert view["runnerId"] == "runner0002"
    third = ask(here.member, agent="shell")
    chosen = await eventually(
        lambda: [c.record.runner_id for c in here.plane.book if c.record.agent == "shell"]
    )
    assert chosen == ["runner0003"], "nothing to do, and the first by name"
    third.cancel()
    await asyncio.wait([third])


async def test_the_same_command_id_starts_once(here, runner):
    asked = ask(here.member, commandId="once")
    _, first = await started_on(runner, asked)
    again = (await here.member.http.post(S, json={"commandId": "once"})).json()
    assert again["id"] == first["id"]
    other = ask(here.other, commandId="once")
    _, theirs = await started_on(runner, other)
    assert theirs["id"] != first["id"]


async def test_a_double_click_starts_once(here, runner):
    asked = [ask(here.member, commandId="double") for _ in range(5)]
    await runner.done(await runner.command(Start))
    ids = {(await answer).json()["id"] for answer in asked}
    assert len(ids) == 1
    assert len((await here.member.http.get(S)).json()["sessions"]) == 1


async def test_a_runner_that_vanishes_during_the_start_may_yet_have_it(here, runner, eventually):
    asked = ask(here.member)
    frame = await runner.command(Start)
    await runner.connection.close()
    view = (await asked).json()
    assert view["state"] == "queued"
    position = envelope.SpoolPosition(
        session_id=frame.session_id, first_seq=1, last_seq=1, ended=False
    )
    again = await here.runner(sessions=(position,))
    await again.logged(view["id"], started(1))
    assert (await here.member.http.get(f"{S}/{view['id']}")).json()["state"] == "running"


async def test_a_runner_that_does_not_answer_a_start_is_told_of(here, runner, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", 0.1)
    monkeypatch.setattr(connection, "START_TIMEOUT", 0.1, raising=False)
    view = (await here.member.http.post(S, json={})).json()
    assert (view["state"], view["reason"]["code"]) == ("failed", "runner-unavailable")


@pytest.mark.parametrize(
    "body",
    [
        {"agent": "Rm -rf"},
        {"agent": ""},
        {"folder": ""},
        {"folder": "a\0b"},
        {"cols": 1},
        {"rows": 1001},
        {"command": ["a\0"]},
        {"command": ["x"] * 257},
        {"prompt": "x" * (256 * 1024 + 1)},
        {"title": "x" * 201},
        {"commandId": "a b"},
        {"commandId": "a\n"},
        {"worktree": {"repository": "/r", "branch": "-f"}},
        {"worktree": {"repository": "/r", "branch": "a b"}},
        {"worktree": {"repository": "/r", "base": "--output=/x"}},
        {"worktree": {"repository": "/r"}, "folder": "/x"},
        {"runner": "typo"},
        {"prompt": "\ud800"},
        [],
        None,
    ],
    ids=lambda body: repr(body)[:40],
)
async def test_a_request_that_cannot_be_meant_is_422_and_not_repeated(here, runner, body):
    import json

    answer = await here.member.http.post(
        S, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid-request"
    assert len(answer.text) < 2000
    assert (await here.member.http.get(S)).json()["sessions"] == []


# --- steering ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "kind", "fields"),
    [
        ("prompt", {"text": "hi", "commandId": "c"}, Prompt, {"text": "hi", "command_id": "c"}),
        ("interrupt", {"commandId": "c"}, envelope.Interrupt, {"command_id": "c"}),
        ("stop", {"commandId": "c"}, Stop, {"how": "stop", "command_id": "c"}),
        ("kill", {"commandId": "c"}, Stop, {"how": "kill", "command_id": "c"}),
    ],
)
async def test_commands_reach_the_runner_with_their_id(here, runner, path, body, kind, fields):
    session = await runner.run_session(here.member)
    asked = asyncio.create_task(here.member.http.post(f"{S}/{session}/{path}", json=body))
    frame = await runner.command(kind)
    assert {name: getattr(frame.payload, name) for name in fields} == fields
    assert (frame.session_id, frame.payload.by) == (session, "mia")
    await runner.done(frame)
    answer = await asked
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "commandId": "c"})


async def test_a_command_without_an_id_gets_one(here, runner):
    session = await runner.run_session(here.member)
    asked = asyncio.create_task(here.member.http.post(f"{S}/{session}/interrupt", json={}))
    await runner.done(await runner.command(envelope.Interrupt))
    assert len((await asked).json()["commandId"]) >= 8


async def test_input_and_size_reach_the_runner(here, runner):
    session = await runner.run_session(here.member)
    typed = base64.b64encode(b"\x03\xff").decode()
    assert (
        await here.member.http.post(f"{S}/{session}/input", json={"data": typed})
    ).status_code == 202
    assert (await runner.command(Input)).payload.data == b"\x03\xff"
    size = {"cols": 120, "rows": 40}
    assert (await here.member.http.post(f"{S}/{session}/resize", json=size)).status_code == 202
    assert (await runner.command(Resize)).payload == Resize(cols=120, rows=40)


@pytest.mark.parametrize("data", ["%%%", "a", base64.b64encode(bytes(65 * 1024)).decode()])
async def test_input_that_cannot_be_meant(here, runner, data):
    session = await runner.run_session(here.member)
    answer = await here.member.http.post(f"{S}/{session}/input", json={"data": data})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("prompt", {"text": "x"}),
        ("input", {"data": "eA=="}),
        ("interrupt", {}),
        ("stop", {}),
        ("kill", {}),
        ("resize", {"cols": 80, "rows": 24}),
    ],
)
async def test_an_ended_session_cannot_be_steered(here, runner, path, body):
    session = await runner.run_session(here.member)
    await runner.logged(session, exited(2))
    answer = await here.member.http.post(f"{S}/{session}/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_too_many_commands_at_once(here, runner, monkeypatch):
    monkeypatch.setattr(connection, "MAX_REQUESTS", 1)
    session = await runner.run_session(here.member)
    first = asyncio.create_task(here.member.http.post(f"{S}/{session}/interrupt", json={}))
    frame = await runner.command(envelope.Interrupt)
    answer = await here.member.http.post(f"{S}/{session}/interrupt", json={})
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many")
    await runner.done(frame)
    assert (await first).status_code == 202


# --- reading and keeping -------------------------------------------------------------------------


async def test_lists_are_paged_newest_first(here, runner):
    ids = [await runner.run_session(here.member) for _ in range(5)]
    await runner.logged(ids[0], exited(2))
    found, cursor = [], ""
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await here.member.http.get(S, params=params)).json()
        assert len(page["sessions"]) <= 2
        found += [session["id"] for session in page["sessions"]]
        cursor = page.get("nextCursor")
        if not cursor:
            break
    assert found == ids[::-1]
    for state, expected in (("active", ids[:0:-1]), ("ended", ids[:1]), ("all", ids[::-1])):
        page = (await here.member.http.get(S, params={"state": state})).json()
        assert [session["id"] for session in page["sessions"]] == expected


@pytest.mark.parametrize("cursor", ["x", "~", "2020-01-01~", "2020-01-01T00:00:00~a", "~id"])
async def test_a_cursor_that_was_not_made_here(here, cursor):
    answer = await here.member.http.get(S, params={"cursor": cursor})
    assert answer.status_code == 422


async def test_events_are_paged(here, runner):
    session = await runner.run_session(here.member)
    await runner.logged(session, output(2, b"\xff\x00"), output(3), exited(4, 3))
    page = (await here.member.http.get(f"{S}/{session}/events", params={"limit": 2})).json()
    assert [event["seq"] for event in page["events"]] == [1, 2]
    assert page["lastSeq"] == 4
    assert base64.b64decode(page["events"][1]["data"]) == b"\xff\x00"
    page = (await here.member.http.get(f"{S}/{session}/events", params={"after": 3})).json()
    (last,) = page["events"]
    assert (last["kind"], last["data"]) == ("exited", {"exitCode": 3, "signal": None})


async def test_server_sent_events_resume_and_end(here, runner):
    session = await runner.run_session(here.member)
    await runner.logged(session, output(2, b"two"))
    url = f"{S}/{session}/events/stream"
    seen = []
    async with here.member.http.stream("GET", url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))
                if seen == [1, 2]:
                    await runner.log(session, output(3), exited(4))
            if line == "event: end":
                break
    assert seen == [1, 2, 3, 4]
    answer = await here.member.http.get(url, headers={"last-event-id": "3"})
    assert [line for line in answer.text.splitlines() if line.startswith("id")] == ["id: 4"]
    assert answer.text.endswith("event: end\ndata: {}\n\n")
    answer = await here.member.http.get(url, headers={"last-event-id": "x"})
    assert answer.status_code == 422


async def test_a_quiet_stream_is_kept_alive(here, runner, monkeypatch):
    from earthshine.control.sessions import stream

    monkeypatch.setattr(stream, "KEEP_ALIVE", 0.05)
    session = await runner.run_session(here.member)
    async with here.member.http.stream("GET", f"{S}/{session}/events/stream?after=1") as answer:
        async for line in answer.aiter_lines():
            if line == ": still here":
                break


async def test_a_title_can_be_changed(here, runner):
    session = await runner.run_session(here.member)
    answer = await here.member.http.patch(f"{S}/{session}", json={"title": "Neu"})
    assert answer.json()["title"] == "Neu"
    assert (await here.member.http.get(f"{S}/{session}")).json()["title"] == "Neu"
    assert (await here.member.http.patch(f"{S}/{session}", json={"title": ""})).status_code == 422


async def test_a_session_that_runs_cannot_be_deleted(here, runner):
    session = await runner.run_session(here.member)
    answer = await here.member.http.delete(f"{S}/{session}")
    assert answer.status_code == 409
    assert answer.json()["remedy"]


async def test_an_ended_session_can_be_deleted_and_the_runner_forgets_it(here, runner):
    session = await runner.run_session(here.member)
    await runner.logged(session, exited(2))
    asked = asyncio.create_task(here.member.http.delete(f"{S}/{session}"))
    frame = await runner.command(Forget)
    assert frame.session_id == session
    await runner.refuse(frame, "x", "whatever it says")
    assert (await asked).status_code == 204
    assert (await here.member.http.get(f"{S}/{session}")).status_code == 404
    assert (await here.member.http.get(S)).json()["sessions"] == []


async def test_entries_that_come_while_their_session_is_deleted_stop_nobody(
    here, runner, eventually
):
    """A runner that goes on printing after the end must not keep others from being stored."""
    doomed, other = [await runner.run_session(here.member) for _ in range(2)]
    await runner.logged(doomed, exited(2))
    storage = here.plane.sessions._storage
    delete = storage.delete

    async def slowly(session_id):
        await runner.log(doomed, *[output(seq) for seq in range(3, 50)])
        await runner.say(envelope.Ping(seq=1))
        await runner.hear(envelope.Pong)
        await delete(session_id)

    storage.delete = slowly
    asked = asyncio.create_task(here.member.http.delete(f"{S}/{doomed}"))
    await eventually(lambda: here.plane.book.live(doomed) is None)
    await runner.done(await runner.command(Forget))
    assert (await asked).status_code == 204
    await runner.logged(other, output(2))
    assert here.plane.journal.failure is None


async def test_what_was_known_is_known_after_a_restart(here, runner, database_url):
    from earthshine.control.db.engine import Database
    from earthshine.control.sessions.storage import SessionStorage

    session = await runner.run_session(here.member)
    gap = events.Gap(first_seq=2, last_seq=9, bytes=100, reason="spool-limit")
    await runner.logged(session, events.entry(9, 0, gap), output(10, b"abc"), exited(11, 2))
    database = Database(database_url)
    record = await SessionStorage(database).load(session)
    await database.close()
    assert record == here.plane.book.live(session).record
    assert record is not None
    assert (record.last_seq, record.log_bytes, record.exit_code) == (11, 103, 2)
