"""The audit log through the API: what gets into it, and what people see of it."""

import asyncio
import base64
import json

import pytest
from sqlalchemy import text

from earthshine.control.audit import chain, rows
from earthshine.control.audit import service as audits
from earthshine.control.audit.kinds import AuditKind
from earthshine.protocols.envelope import Forget, Input, Interrupt, Prompt, Start, Stop
from tests.unit.control.world import RUNNER, exited

A = "/api/v1/audit"
S = "/api/v1/sessions"


async def listed(reader, /, **query):
    answer = await reader.http.get(A, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["records"]


async def tamper(here, *statements):
    async with here.plane.database.write() as connection:
        for name in ("update", "delete"):
            await connection.execute(text(f"DROP TRIGGER IF EXISTS audit_records_no_{name}"))
        for statement in statements:
            await connection.execute(text(statement))


async def fill(here, count):
    for n in range(count):
        await here.plane.trail.record(
            AuditKind.PROMPTED, here.member.actor, subject=str(n), details={"text": "x" * n}
        )


async def broken(here):
    async with here.plane.database.write() as connection:
        await connection.execute(
            text(
                "CREATE TRIGGER broken BEFORE INSERT ON audit_records "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        )


async def command(here, runner, kind, method, path, body):
    asked = asyncio.create_task(here.member.http.request(method, path, json=body))
    frame = await runner.command(kind)
    await runner.done(frame)
    answer = await asked
    assert answer.is_success, answer.text
    return frame


# --- what is recorded ----------------------------------------------------------------------------


async def test_a_session_from_start_to_end(here, runner):
    session_id = await runner.run_session(
        here.member, agent="command", command=["make", "test"], folder="/src", title="tests"
    )
    path = f"{S}/{session_id}"
    await command(here, runner, Prompt, "POST", path + "/prompt", {"text": "fix\nall"})
    await command(here, runner, Interrupt, "POST", path + "/interrupt", {"commandId": "c2"})
    await command(here, runner, Stop, "POST", path + "/kill", {})
    await runner.logged(session_id, exited(2))
    await here.plane.journal.drain()
    await command(here, runner, Forget, "DELETE", path, None)
    records = (await listed(here.owner, session=session_id))[::-1]
    assert [record["kind"] for record in records] == [
        "session-started",
        "prompted",
        "interrupted",
        "stopped",
        "session-deleted",
    ]
    assert {record["personName"] for record in records} == {"mia"}
    assert {record["personId"] for record in records} == {here.member.actor.person_id}
    assert {record["runnerId"] for record in records} == {RUNNER}
    assert {record["subject"] for record in records} == {"tests"}
    assert {record["address"] for record in records} == {"127.0.0.1"}
    start, prompt, interrupt, stop, _ = [record["details"] for record in records]
    assert start == {
        "agent": "command",
        "command": ["make", "test"],
        "folder": "/src",
        "prompt": "",
    }
    assert prompt["text"] == "fix\nall"
    assert interrupt == {"commandId": "c2"}
    assert stop["how"] == "kill"
    assert (await here.owner.http.get(A + "/verification")).json()["ok"]


async def test_a_long_prompt_is_recorded_in_full(here, runner):
    session_id = await runner.run_session(here.member)
    words = "\N{SNOWMAN}\x00" * 128 * 1024
    await command(here, runner, Prompt, "POST", f"{S}/{session_id}/prompt", {"text": words})
    (record,) = await listed(here.owner, kind="prompted")
    assert record["details"]["text"] == words


async def test_it_is_recorded_before_it_is_done(here, runner):
    session_id = await runner.run_session(here.member)
    asked = asyncio.create_task(
        here.member.http.post(f"{S}/{session_id}/prompt", json={"text": "x"})
    )
    frame = await runner.command(Prompt)
    assert (await listed(here.owner, session=session_id))[0]["kind"] == "prompted"
    await runner.done(frame)
    await asked


async def test_what_cannot_be_recorded_is_not_done(here, runner):
    session_id = await runner.run_session(here.member)
    await broken(here)
    for path in ("prompt", "interrupt", "stop", "kill"):
        body = {"text": "x"} if path == "prompt" else {}
        answer = await here.member.http.post(f"{S}/{session_id}/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
        assert answer.json()["remedy"]
    assert (await here.member.http.post(S, json={})).status_code == 503
    async with here.plane.database.write() as connection:
        await connection.execute(text("DROP TRIGGER broken"))
    asked = asyncio.create_task(
        here.member.http.post(f"{S}/{session_id}/interrupt", json={"commandId": "first"})
    )
    frame = await runner.hear()
    assert isinstance(frame.payload, Interrupt), "nothing came before"
    await runner.done(frame)
    await asked
    assert len((await here.member.http.get(S)).json()["sessions"]) == 1


async def test_readiness_tells_that_nothing_can_be_recorded(here, runner):
    await broken(here)
    await here.member.http.post(S, json={})
    async with here.anonymous() as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "the audit log cannot be written" in answer.json()["detail"]


async def test_typing_in_a_feed_and_through_the_api(here, runner, eventually):
    session_id = await runner.run_session(here.member)
    viewer = await here.feed(here.member, session_id)
    await viewer.live()
    for keys in (b"ls", b"\r"):
        await viewer.connection.send(keys)
        await runner.command(Input)
    assert await listed(here.owner, kind="typed") == []
    await viewer.connection.close()

    async def typed():
        return await listed(here.owner, kind="typed")

    async with asyncio.timeout(10):
        while not (records := await typed()):
            await asyncio.sleep(0.01)
    (record,) = records
    assert (record["sessionId"], record["personName"]) == (session_id, "mia")
    assert record["details"]["bytes"] == 3
    assert record["details"]["from"] <= record["details"]["until"]
    assert record["address"] == "127.0.0.1"
    assert "ls" not in json.dumps(record["details"]), "not what was typed"
    data = base64.b64encode(b"pwd\r").decode()
    assert (
        await here.member.http.post(f"{S}/{session_id}/input", json={"data": data})
    ).status_code == 202
    here.plane.typing.stop()
    async with asyncio.timeout(10):
        while len(records := await typed()) < 2:
            await asyncio.sleep(0.01)
    assert records[0]["details"]["bytes"] == 4


async def test_a_start_that_is_refused_is_recorded(here, runner):
    asked = asyncio.create_task(here.member.http.post(S, json={"prompt": "p"}))
    await runner.refuse(await runner.command(Start), "folder-missing", "no")
    session = (await asked).json()
    (record,) = await listed(here.owner, session=session["id"])
    assert record["details"]["prompt"] == "p"


# --- what people see -----------------------------------------------------------------------------


async def test_pages_and_filters(here, runner):
    await fill(here, 5)
    await here.plane.trail.record(AuditKind.SIGNED_OUT, here.other.actor, session_id="s9")
    page = (await here.owner.http.get(A, params={"limit": 4})).json()
    assert [record["seq"] for record in page["records"]] == [6, 5, 4, 3]
    assert page["nextBefore"] == 3
    page = (await here.owner.http.get(A, params={"limit": 4, "before": 3})).json()
    assert [record["seq"] for record in page["records"]] == [2, 1]
    assert page["nextBefore"] is None
    assert [r["seq"] for r in await listed(here.owner, kind="signed-out")] == [6]
    assert [r["seq"] for r in await listed(here.owner, session="s9")] == [6]
    mia = here.member.actor.person_id
    assert [r["seq"] for r in await listed(here.owner, person=mia, limit=2)] == [5, 4]
    assert await listed(here.owner, person=mia, kind="signed-out") == []


@pytest.mark.parametrize(
    "query", ["kind=nosuch", "limit=0", "limit=501", "before=0", "before=x", "person=" + "x" * 65]
)
async def test_queries_that_make_no_sense(here, query):
    assert (await here.owner.http.get(f"{A}?{query}")).status_code == 422


async def test_a_page_is_bounded_in_bytes(here, monkeypatch):
    monkeypatch.setattr(rows, "PAGE_BYTES", 1000)
    await fill(here, 3)
    await here.plane.trail.record(
        AuditKind.PROMPTED, here.member.actor, details={"text": "y" * 5000}
    )
    await fill(here, 1)
    seen, before = [], None
    while True:
        params = {"limit": 100} | ({"before": before} if before else {})
        page = (await here.owner.http.get(A, params=params)).json()
        seen.append([record["seq"] for record in page["records"]])
        before = page["nextBefore"]
        if before is None:
            break
    assert seen == [[5], [4], [3, 2, 1]]
    assert (await here.owner.http.get(A + "/verification")).json()["ok"]


async def test_a_session_s_owner_sees_what_was_done_to_it(here, runner):
    session_id = await runner.run_session(here.member)
    await fill(here, 3)
    page = (await here.member.http.get(f"{S}/{session_id}/audit")).json()
    assert [record["kind"] for record in page["records"]] == ["session-started"]
    assert page["nextBefore"] is None
    page = await here.member.http.get(f"{S}/{session_id}/audit", params={"before": 1})
    assert page.json()["records"] == []


@pytest.mark.parametrize("path", ["", "/verification", "/export"])
async def test_the_whole_log_is_for_admins(here, path):
    answer = await here.member.http.get(A + path)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")


async def test_verification_names_what_was_altered(here, runner):
    await fill(here, 6)
    assert (await here.owner.http.get(A + "/verification")).json() == {
        "ok": True,
        "records": 6,
        "head": {"seq": 6, "hash": str(await here.plane.trail.head()).partition(":")[2]},
        "problems": [],
    }
    await tamper(
        here,
        "UPDATE audit_records SET subject = 'nothing' WHERE seq = 2",
        "DELETE FROM audit_records WHERE seq IN (4, 6)",
    )
    found = (await here.owner.http.get(A + "/verification")).json()
    assert not found["ok"]
    assert [(p["seq"], p["finding"]) for p in found["problems"]] == [
        (2, "altered"),
        (4, "removed"),
        (6, "truncated"),
    ]


async def test_a_damaged_record_can_still_be_listed_and_exported(here):
    await fill(here, 3)
    await tamper(
        here,
        "UPDATE audit_records SET details = '[1.5]' WHERE seq = 2",
        "UPDATE audit_records SET at = 'x', kind = x'ff' WHERE seq = 3",
    )
    records = await listed(here.owner)
    assert [record["seq"] for record in records] == [3, 2, 1]
    lines = (await here.owner.http.get(A + "/export")).content.splitlines(keepends=True)
    report = chain.verify_lines(lines)
    assert {problem.seq for problem in report.problems} == {2, 3}


async def test_the_export_is_the_log_and_its_head(here, monkeypatch):
    monkeypatch.setattr(rows, "PAGE_ROWS", 2)
    await fill(here, 5)
    answer = await here.owner.http.get(A + "/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    lines = answer.content.splitlines(keepends=True)
    assert len(lines) == 6
    report = chain.verify_lines(lines)
    assert (report.ok, report.records, report.head) == (True, 5, await here.plane.trail.head())
    again = (await here.owner.http.get(A + "/export")).content.splitlines(keepends=True)
    assert chain.verify_lines(again, chain.heads_of_lines(lines)).ok


async def test_few_exports_at_once(here, monkeypatch):
    await fill(here, 1)
    monkeypatch.setattr(audits, "MAX_EXPORTS", 1)
    first = await here.plane.audit.export(here.owner.actor)
    await anext(first)
    for path in ("/export", "/verification"):
        assert (await here.owner.http.get(A + path)).status_code == 429
    await first.aclose()
    for path in ("/export", "/verification"):
        assert (await here.owner.http.get(A + path)).status_code == 200
