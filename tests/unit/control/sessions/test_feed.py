"""A session's feed over real WebSockets."""

import asyncio

import pytest

from earthshine.control import metrics
from earthshine.control.sessions import channel as channels
from earthshine.control.sessions import feed as feeds
from earthshine.protocols import envelope, events, feed
from earthshine.protocols.envelope import Attend, Input, Interrupt, Prompt, Resize
from earthshine.protocols.events import Event
from tests.unit.control.world import exited, output


@pytest.fixture
async def session(here, runner):
    return await runner.run_session(here.member)


async def test_what_is_stored_then_live_then_news(here, runner, session):
    await runner.logged(session, output(2, b"before"))
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert viewer.connection.subprotocol == feed.SUBPROTOCOL
    hello = viewer.said[0]
    assert (hello["type"], hello["firstSeq"], hello["lastSeq"]) == ("hello", 1, 2)
    assert hello["canControl"] is True
    assert hello["session"]["id"] == session
    assert [event.seq for event in viewer.events] == [1, 2]
    assert viewer.said[-1] == {"type": "live", "seq": 2}
    await runner.log(session, output(3, b"after"))
    await viewer.until(lambda: len(viewer.events) == 3)
    assert viewer.events[-1] == output(3, b"after")


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_cursor_resumes_behind_it(here, runner, session, after):
    await runner.logged(session, output(2), output(3))
    viewer = await here.feed(here.member, session, f"?after={after}")
    await viewer.live()
    assert [event.seq for event in viewer.events] == [1, 2, 3][after:]


async def test_there_is_no_seam_between_database_and_ring(here, runner, session, monkeypatch):
    monkeypatch.setattr(channels, "RING", 2000)
    entries = [output(seq, seq.to_bytes(2, "big") * 100) for seq in range(2, 300)]
    await runner.logged(session, *entries[:150])
    viewer = await here.feed(here.member, session)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(viewer.until(lambda: len(viewer.events) == 299))
        for entry in entries[150:]:
            await runner.log(session, entry)
    assert viewer.events[1:] == entries


async def test_a_window_is_kept(here, runner, session):
    blocks = [output(seq, bytes([seq % 256]) * 32_000) for seq in range(2, 20)]
    await runner.logged(session, *blocks[:9])
    await runner.logged(session, *blocks[9:])
    viewer = await here.feed(here.member, session, f"?window={feed.MIN_WINDOW}")
    under_way = 0
    while len(viewer.events) < 19:
        seen = len(viewer.events)
        await viewer.step()
        under_way += sum(len(event.data) for event in viewer.events[seen:])
        assert under_way <= feed.MIN_WINDOW + 32_100
        if viewer.events and under_way > 0:
            await viewer.say("ack", seq=viewer.events[-1].seq)
            under_way = 0
    assert viewer.events[1:] == blocks


async def test_without_acks_the_window_stops_the_feed(here, runner, session):
    blocks = [output(seq, b"x" * 32_000) for seq in range(2, 10)]
    await runner.logged(session, *blocks)
    viewer = await here.feed(here.member, session, f"?window={feed.MIN_WINDOW}")
    await viewer.until(lambda: len(viewer.events) >= 3)
    await viewer.say("ping", ts=5)
    await viewer.hear("pong")
    assert len(viewer.events) <= 4
    while len(viewer.events) < 9:
        await viewer.say("ack", seq=viewer.events[-1].seq)
        await viewer.step()


async def test_a_cursor_ahead_of_an_ended_log_is_told(here, runner, session):
    await runner.logged(session, exited(2))
    viewer = await here.feed(here.member, session, "?after=3")
    assert await viewer.closed() == 4010
    viewer = await here.feed(here.member, session, "?after=2")
    await viewer.live()


async def test_a_cursor_ahead_of_a_living_log_waits_for_its_replay(here, runner, session):
    viewer = await here.feed(here.member, session, "?after=3")
    await viewer.hear("hello")
    await runner.log(session, output(2), output(3), output(4))
    await viewer.until(lambda: viewer.events)
    assert viewer.events == [output(4)]


async def test_a_cursor_that_stays_ahead_is_told_in_the_end(here, session, monkeypatch):
    monkeypatch.setattr(feeds, "CURSOR_WAIT", 0.1)
    viewer = await here.feed(here.member, session, "?after=30")
    assert await viewer.closed() == 4010


@pytest.mark.parametrize(
    "query",
    ["?after=-1", "?after=x", "?after=", "?after=1e3", "?after=²", "?window=1", "?window=x",
     "?window=99999999999", "?after=99999999999999999999999"],
)  # fmt: skip
async def test_a_query_that_cannot_be_meant(here, session, query):
    assert await (await here.feed(here.member, session, query)).closed() == 4009


async def test_a_gap_reaches_the_viewer(here, runner, session):
    gap = events.entry(9, 5, events.Gap(first_seq=2, last_seq=9, bytes=70, reason="spool-limit"))
    await runner.logged(session, gap, output(10))
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert viewer.events[1:] == [gap, output(10)]


async def test_kinds_of_later_versions_are_passed_on(here, runner, session):
    await runner.logged(session, Event(2, 0, 99, b"\xff"))
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert viewer.events[1].kind == 99


async def test_state_and_title_are_told(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await here.member.http.patch(f"/api/v1/sessions/{session}", json={"title": "Other"})
    assert (await viewer.hear("session"))["session"]["title"] == "Other"
    await runner.log(session, exited(2, None, 9))
    told = (await viewer.hear("session"))["session"]
    assert (told["state"], told["signal"], told["exitCode"]) == ("exited", 9, None)


async def test_a_runner_that_goes_is_told(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await runner.connection.close()
    assert (await viewer.hear("session"))["session"]["runnerConnected"] is False


# --- commands ------------------------------------------------------------------------------------


async def test_typing_reaches_the_runner_and_leads(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await viewer.connection.send(b"ls\r")
    assert (await runner.command(Attend)).payload.attended is True
    typed = await runner.command(Input)
    assert (typed.session_id, typed.payload.data) == (session, b"ls\r")
    assert (await viewer.hear("lead"))["you"] is True


async def test_prompt_and_interrupt_are_accepted_when_the_runner_took_them(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await viewer.say("prompt", commandId="p1", text="do it")
    frame = await runner.command(Prompt)
    assert (frame.payload.text, frame.payload.by, frame.payload.command_id) == (
        "do it",
        "mia",
        "p1",
    )
    await runner.done(frame)
    assert (await viewer.hear("accepted"))["commandId"] == "p1"
    await viewer.say("interrupt", commandId="i1")
    await runner.refuse(await runner.command(Interrupt), "ended", "the session has ended")
    error = await viewer.hear("error")
    assert error == {
        "type": "error",
        "commandId": "i1",
        "code": "conflict",
        "detail": "the session has ended",
        "remedy": "do this",
    }


async def test_the_leaders_size_is_the_terminals(here, runner, session):
    first = await here.feed(here.member, session)
    await first.live()
    await first.say("resize", cols=132, rows=40)
    resize = await runner.command(Resize)
    assert (resize.payload.cols, resize.payload.rows) == (132, 40)
    second = await here.feed(here.owner, session)
    await second.live()
    await second.say("resize", cols=60, rows=20)
    await second.say("ping", ts=1)
    await second.hear("pong")
    await second.say("lead")
    resize = await runner.command(Resize)
    assert (resize.payload.cols, resize.payload.rows) == (60, 20)
    lost = await first.until(lambda: [m for m in first.said if m["type"] == "lead" and not m["you"]
                                      and m["name"] == "owner"])  # fmt: skip
    assert lost


async def test_when_the_leader_goes_nobody_leads(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await viewer.say("lead")
    assert (await runner.command(Attend)).payload.attended is True
    await viewer.connection.close()
    assert (await runner.command(Attend)).payload.attended is False


async def test_what_is_not_this_protocol_is_answered_and_survived(here, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    before = metrics.REFUSED_FEED._value.get()
    for nonsense in ("{", "[]", '{"type":"dance"}', '{"type":"resize","cols":0,"rows":1}'):
        await viewer.connection.send(nonsense)
        assert (await viewer.hear("error"))["code"] == "invalid-message"
    assert metrics.REFUSED_FEED._value.get() == before + 4
    await viewer.say("ping", ts=7)
    assert (await viewer.hear("pong"))["ts"] == 7


async def test_endless_nonsense_ends_the_feed(here, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    for _ in range(feeds.MAX_REFUSED + 1):
        await viewer.connection.send("nonsense")
    assert await viewer.closed() == 4009


async def test_too_much_input_at_once_is_refused(here, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await viewer.connection.send(bytes(feed.MAX_INPUT + 1))
    assert (await viewer.hear("error"))["code"] == "invalid-request"


async def test_typing_while_the_runner_is_away_does_not_end_the_feed(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await runner.connection.close()
    await viewer.hear("session")
    for _ in range(feeds.MAX_REFUSED + 10):
        await viewer.connection.send(b"x")
        assert (await viewer.hear("error"))["code"] == "runner-unavailable"
    await viewer.say("ping", ts=1)
    await viewer.hear("pong")


@pytest.mark.parametrize("role", ["viewer", "approver"])
async def test_who_may_only_look_cannot_type(here, runner, session, role):
    other = here.other.actor.person_id
    await here.member.http.put(f"/api/v1/sessions/{session}/shares/{other}", json={"role": role})
    viewer = await here.feed(here.other, session)
    await viewer.live()
    assert (viewer.said[0]["canControl"], viewer.said[0]["role"]) == (False, role)
    await viewer.connection.send(b"rm -rf /\r")
    assert (await viewer.hear("error"))["code"] == "not-allowed"
    for kind, fields in (
        ("lead", {}),
        ("prompt", {"commandId": "c", "text": "x"}),
        ("interrupt", {"commandId": "c"}),
    ):
        await viewer.say(kind, **fields)
        assert (await viewer.hear("error"))["code"] == "not-allowed"
    await viewer.say("resize", cols=50, rows=20)
    await viewer.say("ping", ts=1)
    await viewer.hear("pong")
    assert here.plane.book.live(session).leader is None


async def test_an_ended_session_takes_no_input(here, runner, session):
    await runner.logged(session, exited(2))
    viewer = await here.feed(here.member, session)
    await viewer.live()
    await viewer.connection.send(b"x")
    await viewer.say("prompt", commandId="c", text="x")
    assert (await viewer.hear("error"))["code"] == "conflict"


# --- ends ----------------------------------------------------------------------------------------


async def test_signing_out_ends_the_feed(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert (await here.member.http.post("/api/v1/sign-out")).status_code == 204
    assert await viewer.closed() == 4001


async def test_deleting_the_session_ends_the_feed(here, runner, session):
    viewer = await here.feed(here.member, session)
    await runner.logged(session, exited(2))
    await viewer.until(lambda: len(viewer.events) == 2)
    deleting = asyncio.create_task(here.member.http.delete(f"/api/v1/sessions/{session}"))
    assert await viewer.closed() == 4004
    await runner.done(await runner.command(envelope.Forget))
    assert (await deleting).status_code == 204


async def test_a_session_has_a_limit_of_viewers(here, session, monkeypatch):
    monkeypatch.setattr(feeds, "MAX_VIEWERS", 1)
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert await (await here.feed(here.member, session)).closed() == 4008


async def test_a_sign_in_has_a_limit_of_sockets(here, session, monkeypatch):
    from earthshine.control import sockets

    monkeypatch.setattr(sockets, "MAX_SOCKETS", 1)
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert await (await here.feed(here.member, session)).closed() == 4008


async def test_viewers_are_counted(here, session, eventually):
    before = metrics.VIEWERS._value.get()
    viewer = await here.feed(here.member, session)
    await viewer.live()
    assert metrics.VIEWERS._value.get() == before + 1
    await viewer.connection.close()
    await eventually(lambda: metrics.VIEWERS._value.get() == before)
    assert not here.plane.book.live(session).viewers


async def test_a_foreign_page_gets_no_feed(here, session):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        await here.feed(here.member, session, origin="http://evil.example")
    assert refused.value.response.status_code == 403


async def test_a_viewer_that_does_not_read_holds_nobody_up(here, runner, session, eventually):
    slow = await here.feed(here.member, session)
    await slow.live()
    slow.connection.transport.pause_reading()
    quick = await here.feed(here.member, session)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(quick.until(lambda: len(quick.events) == 301))
        for seq in range(2, 302):
            await runner.log(session, output(seq, bytes([seq % 256]) * 40_000))
    slow.connection.transport.resume_reading()
    await slow.until(lambda: len(slow.events) == 301)
    assert [event.data for event in slow.events] == [event.data for event in quick.events]
