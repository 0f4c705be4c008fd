"""Secrets through the API, and on their way to a runner."""

import asyncio
import logging

import pytest
from sqlalchemy import text

from earthshine.control.secrets import service as secret_services
from earthshine.control.secrets.cipher import Cipher
from earthshine.protocols.envelope import Prompt, Start
from tests.unit.control.world import RUNNER

MINE = "/api/v1/me/secrets"
RUNNERS = f"/api/v1/runners/{RUNNER}/secrets"
VALUE = "sk-live-5f3a9c-not-to-be-seen"


@pytest.fixture(autouse=True)
def key(here):
    here.plane.secrets._cipher = Cipher(bytes(32))


async def put(person, path, value=VALUE, status=200):
    answer = await person.http.put(path, json={"value": value})
    assert answer.status_code == status, answer.text
    return answer.json()


async def start(here, runner, person=None, **request):
    """Start a session; the command that its runner got, and the session."""
    person = person or here.member
    asked = asyncio.create_task(
        person.http.post("/api/v1/sessions", json={"runnerId": RUNNER, **request})
    )
    frame = await runner.command(Start)
    await runner.done(frame)
    return frame.payload, (await asked).json()


async def recorded(here, kind):
    answer = await here.owner.http.get("/api/v1/audit", params={"kind": kind})
    return answer.json()["records"]


async def test_store_list_replace_remove(here):
    stored = await put(here.member, f"{MINE}/API_KEY")
    assert set(stored) == {"name", "createdAt", "lastUsedAt", "runnerId"}
    assert (stored["name"], stored["lastUsedAt"], stored["runnerId"]) == ("API_KEY", None, None)
    await put(here.member, f"{MINE}/API_KEY", "another-value")
    await put(here.member, f"{MINE}/ANOTHER")
    listed = (await here.member.http.get(MINE)).json()
    assert [secret["name"] for secret in listed["secrets"]] == ["ANOTHER", "API_KEY"]
    assert (listed["available"], listed["detail"]) == (True, None)
    assert (await here.member.http.delete(f"{MINE}/API_KEY")).status_code == 204
    assert (await here.member.http.delete(f"{MINE}/API_KEY")).status_code == 404
    listed = (await here.member.http.get(MINE)).json()
    assert [secret["name"] for secret in listed["secrets"]] == ["ANOTHER"]
    assert (await here.other.http.get(MINE)).json()["secrets"] == []
    kinds = [r["kind"] for r in (await here.owner.http.get("/api/v1/audit")).json()["records"]]
    assert kinds == ["secret-removed", *["secret-stored"] * 3]


@pytest.mark.parametrize(
    "name",
    [
        "1A",
        "A-B",
        "A B",
        "Ä",
        "A" * 129,
        "PATH",
        "path",
        "LD_PRELOAD",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "HOME",
        "SHELL",
        "EARTHSHINE_SESSION",
        "BASH_ENV",
        "GIT_SSH_COMMAND",
    ],
)
async def test_names_that_are_refused(here, name):
    assert (await put(here.member, f"{MINE}/{name}", status=422))["code"] == "invalid-request"


@pytest.mark.parametrize("value", ["", "a\nb", "a\0b", "tab\t", "x\x7f", "x" * 8193, "é" * 5000])
async def test_values_that_are_refused(here, value):
    answer = await put(here.member, f"{MINE}/API_KEY", value, status=422)
    if value:
        assert value not in str(answer), "what was sent is not repeated"


async def test_an_ill_formed_request_does_not_repeat_the_value(here):
    for body in ({"value": VALUE, "x": 1}, {"valu": VALUE}, {"value": [VALUE]}, [VALUE]):
        answer = await here.member.http.put(f"{MINE}/API_KEY", json=body)
        assert answer.status_code == 422
        assert VALUE not in answer.text


async def test_as_many_as_there_may_be(here, monkeypatch):
    monkeypatch.setattr(secret_services, "MAX_SECRETS", 2)
    await put(here.member, f"{MINE}/A")
    await put(here.member, f"{MINE}/B")
    assert (await put(here.member, f"{MINE}/C", status=429))["code"] == "too-many"
    await put(here.member, f"{MINE}/B", "another value")


async def test_a_runners_secrets_are_its_owners(here, runner):
    # A runner with the static token belongs to nobody: an admin keeps its secrets.
    assert (await put(here.owner, f"{RUNNERS}/API_KEY"))["runnerId"] == RUNNER
    for method in ("GET", "PUT", "DELETE"):
        path = RUNNERS if method == "GET" else f"{RUNNERS}/API_KEY"
        body = {"value": "x"} if method == "PUT" else None
        assert (await here.member.http.request(method, path, json=body)).status_code == 403
    missing = await here.owner.http.get("/api/v1/runners/nosuchrunner/secrets")
    assert missing.status_code == 404
    assert [s["name"] for s in (await here.owner.http.get(RUNNERS)).json()["secrets"]] == [
        "API_KEY"
    ]
    assert (await here.owner.http.delete(f"{RUNNERS}/API_KEY")).status_code == 204


async def test_a_server_without_a_key_says_so(here, runner):
    here.plane.secrets._cipher = None
    listed = (await here.member.http.get(MINE)).json()
    assert not listed["available"]
    assert listed["detail"]
    assert (await put(here.member, f"{MINE}/API_KEY", status=409))["remedy"]
    command, _ = await start(here, runner)
    assert command.environment == {}


# --- on their way --------------------------------------------------------------------------------


async def test_an_agent_gets_its_persons_secrets_over_its_runners(here, runner):
    await put(here.member, f"{MINE}/MINE", "mine-mine-mine")
    await put(here.member, f"{MINE}/BOTH", "both-is-mine")
    await put(here.owner, f"{RUNNERS}/BOTH", "both-is-the-runners")
    await put(here.owner, f"{RUNNERS}/RUNNERS", "runners-runners")
    await put(here.owner, f"{MINE}/OWNERS", "somebody-elses")
    command, session = await start(here, runner)
    assert command.environment == {
        "MINE": "mine-mine-mine",
        "BOTH": "both-is-mine",
        "RUNNERS": "runners-runners",
    }
    (record,) = await recorded(here, "secret-used")
    assert record["details"] == {"names": ["BOTH", "MINE", "RUNNERS"]}
    assert (record["sessionId"], record["runnerId"]) == (session["id"], RUNNER)
    used = {
        secret["name"]: secret["lastUsedAt"]
        for secret in (await here.member.http.get(MINE)).json()["secrets"]
    }
    assert all(used.values())
    runners = (await here.owner.http.get(RUNNERS)).json()["secrets"]
    assert {s["name"]: bool(s["lastUsedAt"]) for s in runners} == {"BOTH": False, "RUNNERS": True}


async def test_without_secrets_nothing_is_said_of_them(here, runner):
    command, _ = await start(here, runner)
    assert command.environment == {}
    assert await recorded(here, "secret-used") == []


async def test_a_secret_of_another_key_fails_the_start_in_words(here, runner):
    await put(here.member, f"{MINE}/API_KEY")
    here.plane.secrets._cipher = Cipher(b"\1" * 32)
    answer = await here.member.http.post("/api/v1/sessions", json={"runnerId": RUNNER})
    session = answer.json()
    assert session["state"] == "failed"
    assert "API_KEY" in session["reason"]["detail"]
    assert session["reason"]["remedy"]
    await put(here.member, f"{MINE}/API_KEY")
    assert (await start(here, runner))[0].environment == {"API_KEY": VALUE}


async def test_a_row_moved_to_somebody_else_opens_nothing(here, runner):
    await put(here.member, f"{MINE}/API_KEY")
    async with here.plane.database.write() as connection:
        query = text("UPDATE secrets SET owner_id = :other")
        await connection.execute(query, {"other": here.other.actor.person_id})
    answer = await here.other.http.post("/api/v1/sessions", json={"runnerId": RUNNER})
    assert answer.json()["state"] == "failed"


async def test_more_than_a_session_takes(here, runner, monkeypatch):
    monkeypatch.setattr(secret_services, "MAX_HANDED", 20)
    await put(here.member, f"{MINE}/API_KEY")
    answer = await here.member.http.post("/api/v1/sessions", json={"runnerId": RUNNER})
    assert answer.json()["state"] == "failed"


async def test_a_person_or_runner_that_is_gone_takes_its_secrets_along(here, runner):
    await put(here.member, f"{MINE}/API_KEY")
    await put(here.other, f"{MINE}/API_KEY")
    await here.plane.secrets.remove_all_of("person", here.member.actor.person_id, here.owner.actor)
    assert (await here.member.http.get(MINE)).json()["secrets"] == []
    assert len((await here.other.http.get(MINE)).json()["secrets"]) == 1
    (record,) = await recorded(here, "secret-removed")
    assert record["personName"] == "owner"


async def test_a_secret_in_a_prompt_is_not_kept_by_the_audit_log(here, runner):
    await put(here.member, f"{MINE}/API_KEY")
    await put(here.owner, f"{RUNNERS}/SHORT", "abc")
    prompt = f"use {VALUE} and abc"
    _, session = await start(here, runner, prompt=prompt, agent="command", command=["x", VALUE])
    asked = asyncio.create_task(
        here.member.http.post(f"/api/v1/sessions/{session['id']}/prompt", json={"text": prompt})
    )
    frame = await runner.command(Prompt)
    assert frame.payload.text == prompt, "the agent gets what was written"
    await runner.done(frame)
    await asked
    answer = await here.owner.http.get("/api/v1/audit")
    assert VALUE not in answer.text
    (record,) = await recorded(here, "prompted")
    assert record["details"]["text"] == "use [redacted API_KEY] and abc"
    (record,) = await recorded(here, "session-started")
    assert record["details"]["command"] == ["x", "[redacted API_KEY]"]
    assert record["subject"] == "use [redacted API_KEY] and abc"


async def test_no_secret_of_any_kind_is_in_audit_log_database_or_server_log(
    here, runner, caplog, tmp_path
):
    """Sign-ins, tokens, secrets: all are used, and then looked for."""
    caplog.set_level(logging.DEBUG)
    for noisy in ("websockets", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # as `cli.logs` has it
    link = (await here.owner.http.post("/api/v1/sign-in-codes", json={"person": "eve"})).json()
    code = link["url"].partition("#sign-in=")[2]
    async with here.anonymous() as browser:
        answer = await browser.post("/api/v1/sign-in", json={"code": code})
        cookie = answer.cookies["earthshine_sign_in"]
        assert (await browser.post("/api/v1/sign-in", json={"code": code})).status_code == 410
        browser.cookies.set("earthshine_sign_in", cookie)
        assert (await browser.get("/api/v1/me")).json()["name"] == "eve"
        assert (await browser.post("/api/v1/sign-out")).status_code == 204
    await put(here.member, f"{MINE}/API_KEY")
    await put(here.owner, f"{RUNNERS}/RUNNER_KEY", "runner-key-value-0123")
    command, session = await start(here, runner, prompt="hello")
    assert set(command.environment) == {"API_KEY", "RUNNER_KEY"}
    assert VALUE not in repr(command)
    view = (await here.member.http.get(f"/api/v1/sessions/{session['id']}")).text
    everything = (await here.owner.http.get("/api/v1/audit/export")).content
    assert b"secret-used" in everything
    async with here.plane.database.write() as connection:
        await connection.execute(text("SELECT 1"))
    files = b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir())
    assert b"API_KEY" in files
    for secret in (code, cookie, VALUE, "runner-key-value-0123", here.member.token):
        assert secret.encode() not in everything
        assert secret not in caplog.text
        assert secret not in view
        assert secret.encode() not in files
