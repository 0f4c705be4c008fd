"""Runners' connections, over real WebSockets."""

import asyncio

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from earthshine.control import metrics
from earthshine.control.runners import directory
from earthshine.protocols import envelope
from earthshine.protocols.envelope import (
    Ack,
    AgentOffer,
    Auth,
    Control,
    Done,
    Error,
    Hello,
    Interrupt,
    Ping,
    Pong,
    Position,
    RunnerCondition,
    SessionCondition,
    SpoolPosition,
    Status,
    Token,
)
from earthshine.protocols.events import Event
from earthshine.protocols.link import MAX_STRIKES
from earthshine.protocols.revdial import DialFailed, DialFault
from tests.unit.control.world import RUNNER, RUNNER_TOKEN, exited, output
from tests.unit.protocols.test_envelope import HELLO


def refused(code):
    return metrics.REFUSED_FRAMES.labels(code)._value.get()


async def test_a_runner_is_greeted_and_known(here, runner):
    assert runner.hello is not None
    assert (runner.hello.version, runner.hello.positions, runner.hello.unknown) == (1, [], [])
    (view,) = (await here.member.http.get("/api/v1/runners")).json()["runners"]
    assert (view["id"], view["name"], view["state"]) == (RUNNER, "box", "connected")
    assert view["agents"][0]["available"]


async def test_a_runner_that_left_is_away_and_remembered(here, runner, eventually):
    await runner.connection.close()
    known = here.plane.directory.get(RUNNER)
    await eventually(lambda: not known.is_connected)
    (view,) = (await here.member.http.get("/api/v1/runners")).json()["runners"]
    assert view["state"] == "away"


# --- who are you ---------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic abc", "Bearer", "x"])
async def test_a_wrong_token_is_a_plain_401(here, authorization):
    before = refused("unauthenticated")
    with pytest.raises(InvalidStatus) as caught:
        await here.dial(Authorization=authorization)
    assert caught.value.response.status_code == 401
    assert b"does not accept the runner's token" in (caught.value.response.body or b"")
    assert refused("unauthenticated") == before + 1


@pytest.mark.parametrize("runner_id", ["", "short", "x" * 65, "with-dash-000", "grüße0000"])
async def test_an_id_that_is_none_is_a_400(here, runner_id):
    if not runner_id.isascii():
        runner_id = runner_id.encode().decode("latin-1").encode("ascii", "ignore").decode() + "!"
    with pytest.raises(InvalidStatus) as caught:
        await here.dial(runner_id)
    assert caught.value.response.status_code == 400


async def test_a_runner_without_a_header_can_say_its_token(here):
    runner = await here.dial(Authorization="")
    await runner.say(Auth(payload=Token(token=RUNNER_TOKEN)))
    await runner.greet()


async def test_a_wrong_token_in_a_frame_is_answered_in_words_and_closed(here):
    before = refused("unauthenticated")
    runner = await here.dial(Authorization="")
    await runner.say(Auth(payload=Token(token="wrong")))
    error = await runner.hear(Error)
    assert error.payload.code == "unauthenticated"
    assert (await runner.closed())[0] == 4009
    assert refused("unauthenticated") == before + 1


async def test_nothing_is_taken_from_a_stranger(here):
    runner = await here.dial(Authorization="")
    await runner.say(HELLO)
    error = await runner.hear(Hello, Error)
    assert isinstance(error, Error)
    assert error.payload.code == "unauthenticated"
    assert (await runner.closed())[0] == 4009
    assert here.plane.directory.known(RUNNER) is None


# --- bad input -----------------------------------------------------------------------------------


async def test_another_version_is_told_so(here):
    before = refused("version")
    runner = await here.dial()
    hello = msgspec.structs.replace(HELLO.payload, version=99)
    await runner.say(Hello(payload=hello))
    error = await runner.hear(Error)
    assert error.payload.code == "version"
    assert "99" in error.payload.detail
    code, reason = await runner.closed()
    assert (code, "99" in reason) == (4009, True)
    assert refused("version") == before + 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xc1\xc1", "malformed"),
        (b"", "malformed"),
        ("{", "malformed"),
        ("\x00", "malformed"),
        ('{"type":"dance"}', "invalid"),
        ('{"type":"log","sessionId":"s","seq":1,"payload":{"events":"x"}}', "invalid"),
        ('{"type":"control","payload":{"action":"dance"}}', "invalid"),
        ('{"type":"ping","seq":99999999999999999999999}', "invalid"),
        (envelope.encode(Ack(session_id="s", seq=1)), "out-of-order"),
        (envelope.encode(Auth(payload=Token(token="t"))), "out-of-order"),
        (
            envelope.encode_text(
                Control(payload=Interrupt(request_id="1", by="x", command_id="y"))
            ),
            "invalid",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_cannot_be_taken_is_answered_counted_and_survived(here, runner, message, code):
    before = refused(code)
    await runner.connection.send(message)
    error = await runner.hear(Error)
    assert error.payload.code == code
    assert refused(code) == before + 1
    await runner.say(Ping(seq=5))
    assert await runner.hear(Pong) == Pong(seq=5)


async def test_a_second_hello_is_out_of_order(here, runner):
    await runner.say(HELLO)
    assert (await runner.hear(Error)).payload.code == "out-of-order"


async def test_an_oversized_message_ends_the_connection(here, runner):
    await runner.connection.send(b"\0" * (envelope.MAX_MESSAGE + 1))
    code, _ = await runner.closed()
    assert code == 1009


async def test_endless_nonsense_ends_the_connection(here, runner):
    for _ in range(MAX_STRIKES):
        await runner.connection.send("nonsense")
    code, _ = await runner.closed()
    assert code == 4009
    assert here.plane.directory.known(RUNNER) is not None


async def test_a_flood_of_pings_that_nobody_reads_does_no_harm(here, runner, eventually):
    ping = envelope.encode(Ping(seq=1))
    runner.connection.transport.pause_reading()
    for _ in range(20_000):
        await runner.connection.send(ping)
    runner.connection.transport.abort()
    await eventually(lambda: not here.plane.directory.get(RUNNER).is_connected)
    assert (await here.member.http.get("/healthz")).status_code == 200


# --- logs ----------------------------------------------------------------------------------------


async def test_entries_are_stored_acknowledged_and_counted_once(here, runner):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, output(2, b"a"), output(3, b"bc"))
    duplicates = metrics.DUPLICATES._value.get()
    await runner.log(session_id, output(2, b"a"), output(3, b"bc"), output(4, b"d"))
    await runner.hear(Ack)
    assert metrics.DUPLICATES._value.get() == duplicates + 2
    page = (await here.member.http.get(f"/api/v1/sessions/{session_id}/events")).json()
    assert [event["seq"] for event in page["events"]] == [1, 2, 3, 4]
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert (view["lastSeq"], view["logBytes"]) == (4, 4)


async def test_entries_that_came_already_are_acknowledged_again(here, runner):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, output(2))
    runner.acks.clear()
    await runner.log(session_id, output(2))
    assert await runner.hear(Ack) == Ack(session_id=session_id, seq=2)


async def test_a_hole_is_refused_and_nothing_of_it_is_stored(here, runner):
    session_id = await runner.run_session(here.member)
    before = refused("hole")
    await runner.log(session_id, output(5))
    error = await runner.hear(Error)
    assert (error.session_id, error.payload.code) == (session_id, "hole")
    assert "expected entry 2, got 5" in error.payload.detail
    assert refused("hole") == before + 1
    await runner.logged(session_id, output(2))


async def test_a_gap_is_stored_and_its_bytes_count(here, runner):
    from earthshine.protocols import events

    session_id = await runner.run_session(here.member)
    gap = events.Gap(first_seq=2, last_seq=90, bytes=5000, reason="spool-limit")
    await runner.logged(session_id, events.entry(90, 0, gap), output(91, b"abc"))
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert (view["lastSeq"], view["logBytes"]) == (91, 5003)


async def test_a_gap_without_sense_is_refused(here, runner):
    from earthshine.protocols import events

    session_id = await runner.run_session(here.member)
    gap = events.Gap(first_seq=2, last_seq=1, bytes=5000, reason="")
    await runner.log(session_id, events.entry(9, 0, gap))
    assert (await runner.hear(Error)).payload.code == "invalid"
    await runner.logged(session_id, output(2))


async def test_the_log_of_somebody_elses_session_is_refused(here, runner):
    session_id = await runner.run_session(here.member)
    stranger = await here.runner("runner0002", instance="other")
    for foreign in (session_id, "nosuchsession"):
        await stranger.log(foreign, output(2))
        assert (await stranger.hear(Error)).payload.code == "not-found"
    assert here.plane.book.live(session_id).last_seq == 1


async def test_numbers_beyond_any_database_do_no_harm(here, runner):
    session_id = await runner.run_session(here.member)
    big = 10**25
    for kind, data in (
        (2, f'{{"agent":"a","argv":[],"pid":1,"folder":"f","cols":{big},"rows":{big}}}'),
        (3, f'{{"cols":{big},"rows":1}}'),
        (7, f'{{"exitCode":{big},"signal":null}}'),
        (9, f'{{"firstSeq":2,"lastSeq":{big},"bytes":{big},"reason":""}}'),
    ):
        seq = here.plane.book.live(session_id).last_seq + 1
        event = Event(seq, 0, kind, data.encode())
        await runner.log(session_id, event)
        await runner.hear(Ack, Error)
    await runner.logged(session_id, output(here.plane.book.live(session_id).last_seq + 1))
    assert (await here.member.http.get("/readyz")).status_code == 200


async def test_entries_that_nobody_can_read_stay_in_the_log_as_they_are(here, runner):
    session_id = await runner.run_session(here.member)
    strange = [
        Event(2, 0, 3, b"\xff no JSON"),
        Event(3, 0, 200, b"of a later version"),
        Event(4, 2**63 - 1, 4, b"[1]"),
    ]
    await runner.logged(session_id, *strange)
    answer = await here.member.http.get(f"/api/v1/sessions/{session_id}/events")
    assert answer.status_code == 200, answer.text
    assert [event["kind"] for event in answer.json()["events"]] == [
        "started",
        "resized",
        "kind-200",
        "prompted",
    ]


# --- greetings -----------------------------------------------------------------------------------


def position(session_id, last, ended=False):
    return SpoolPosition(session_id=session_id, first_seq=1, last_seq=last, ended=ended)


async def test_a_runner_that_comes_back_is_told_where_to_resume(here, runner):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, output(2, b"abc"))
    await runner.connection.close()
    again = await here.runner(sessions=(position(session_id, 9), position("unknown", 1)))
    assert again.hello is not None
    assert again.hello.positions == [Position(session_id=session_id, seq=2, bytes=3)]
    assert again.hello.unknown == ["unknown"]


async def test_a_session_that_the_runner_lost_ends_in_words(here, runner, eventually):
    session_id = await runner.run_session(here.member)
    await runner.connection.close()
    await here.runner()
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert view["state"] == "failed"
    assert view["reason"]["code"] == "lost"
    assert view["reason"]["remedy"]


@pytest.mark.parametrize("last", [3, 4])
async def test_a_log_whose_end_the_runner_lost_ends_in_words(here, runner, last):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, output(2), output(3), output(4))
    await runner.connection.close()
    await here.runner(sessions=(position(session_id, last, ended=True),))
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert (view["state"], view["reason"]["code"]) == ("failed", "spool-lost")


async def test_a_log_that_is_complete_stays_as_it_ended(here, runner):
    session_id = await runner.run_session(here.member)
    await runner.logged(session_id, exited(2, 3))
    await runner.connection.close()
    again = await here.runner(sessions=(position(session_id, 2, ended=True),))
    assert again.hello is not None
    assert again.hello.positions == [Position(session_id=session_id, seq=2, bytes=0)]
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert (view["state"], view["exitCode"], view["lastSeq"]) == ("exited", 3, 2)


async def test_the_same_runner_supersedes_its_old_connection(here, runner):
    again = await here.runner()
    code, reason = await runner.closed()
    assert code == 4000
    assert "superseded" in reason
    await again.say(Ping(seq=1))
    await again.hear(Pong)


async def test_a_second_machine_with_the_same_id_is_refused_in_words(here, runner):
    async def answer_pings():
        while True:
            frame = await runner.hear(Ping)
            await runner.say(Pong(seq=frame.seq))

    answering = asyncio.create_task(answer_pings())
    second = await here.dial()
    await second.say(Hello(payload=msgspec.structs.replace(HELLO.payload, instance="another")))
    error = await second.hear(Error)
    assert error.payload.code == "conflict"
    assert "Another machine" in error.payload.detail
    assert (await second.closed())[0] == 4012
    assert here.plane.directory.get(RUNNER).is_connected
    answering.cancel()
    await asyncio.wait([answering])


async def test_a_second_machine_may_take_over_from_a_dead_connection(here, runner, monkeypatch):
    monkeypatch.setattr(directory, "PROBE", 0.2)
    runner.connection.transport.pause_reading()
    second = await here.runner(instance="another")
    await second.say(Ping(seq=1))
    await second.hear(Pong)


# --- the rest ------------------------------------------------------------------------------------


async def test_what_holds_a_session_up_is_shown(here, runner, eventually):
    session_id = await runner.run_session(here.member)
    condition = SessionCondition(code="disk-full", detail="no space", remedy="free some")
    await runner.say(Status(session_id=session_id, payload=condition))
    channel = here.plane.book.live(session_id)
    await eventually(lambda: channel.condition.code == "disk-full")
    view = (await here.member.http.get(f"/api/v1/sessions/{session_id}")).json()
    assert view["reason"] == {"code": "disk-full", "detail": "no space", "remedy": "free some"}
    await runner.say(Status(session_id=session_id, payload=SessionCondition(code="ok")))
    await eventually(lambda: channel.condition.code == "ok")


async def test_a_condition_of_somebody_elses_session_is_left_out(here, runner):
    session_id = await runner.run_session(here.member)
    stranger = await here.runner("runner0002", instance="other")
    condition = SessionCondition(code="disk-full")
    await stranger.say(Status(session_id=session_id, payload=condition))
    await stranger.say(Status(session_id="nosuch", payload=condition))
    await stranger.say(Ping(seq=1))
    await stranger.hear(Pong)
    assert here.plane.book.live(session_id).condition.code == "ok"


async def test_agents_found_later_are_offered(here, runner, eventually):
    offer = AgentOffer(name="codex", label="Codex", path="/usr/bin/codex")
    await runner.say(Status(payload=RunnerCondition(agents=[offer])))
    await eventually(lambda: here.plane.directory.get(RUNNER).offers("codex"))


async def test_a_dial_that_nobody_asked_for_fails_quietly(here, runner):
    failed = DialFailed(dial_id="d", fault=DialFault.REFUSED, detail="x")
    await runner.say(Control(payload=failed))
    await runner.say(Control(payload=Done(request_id="nobody's")))
    await runner.say(Ping(seq=1))
    await runner.hear(Pong)


async def test_folders_are_asked_of_the_runner(here, runner):
    folders = {"path": "/home", "parent": "/", "folders": [], "truncated": False}
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            here.member.http.get(f"/api/v1/runners/{RUNNER}/folders", params={"path": "/home"})
        )
        frame = await runner.command(envelope.ListFolders)
        assert frame.payload.path == "/home"
        await runner.done(frame, folders)
    assert asked.result().json() == folders


@pytest.mark.parametrize("value", [None, [], {"path": 1}, "x"])
async def test_an_answer_that_makes_no_sense_is_the_runners_fault(here, runner, value):
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(here.member.http.get(f"/api/v1/runners/{RUNNER}/folders"))
        await runner.done(await runner.command(envelope.ListFolders), value)
    assert asked.result().status_code == 503
    assert asked.result().json()["code"] == "runner-unavailable"


async def test_an_answer_that_never_comes_because_the_runner_went(here, runner):
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(here.member.http.get(f"/api/v1/runners/{RUNNER}/folders"))
        await runner.command(envelope.ListFolders)
        await runner.connection.close()
    assert asked.result().status_code == 503


async def test_a_refused_command_keeps_its_words(here, runner):
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(here.member.http.get(f"/api/v1/runners/{RUNNER}/folders"))
        frame = await runner.command(envelope.ListFolders)
        await runner.refuse(frame, "folder-missing", "it does not exist")
    problem = asked.result().json()
    assert (problem["status"], problem["detail"]) == (409, "it does not exist")
    assert problem["remedy"] == "do this"
