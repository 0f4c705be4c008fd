"""Beginning, seeing, watching and deleting recordings, over the API."""

import asyncio

import pytest

from earthshine.protocols.envelope import (
    Control,
    Done,
    Forget,
    RecordingCondition,
    SetRecording,
    Status,
)
from tests.unit.control.recordings.test_storage import RECORDING, keep
from tests.unit.control.world import exited

DESKTOP = {"width": 640, "height": 480}
PATH = "/api/v1/sessions/{}/desktop/recording"


def storage(here):
    return here.plane.recordings._storage


@pytest.fixture
async def session(here, runner):
    return await runner.run_session(here.member, desktop=DESKTOP)


async def begin(here, runner, session, *, on=True):
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(here.member.http.post(PATH.format(session), json={"on": on}))
        frame = await runner.command(SetRecording)
        assert frame.session_id == session
        assert (frame.payload.on, frame.payload.by) == (on, "mia")
        condition = RecordingCondition(on=on, by="mia", since=1_700_000_000_000)
        await runner.say(
            Control(payload=Done(request_id=frame.payload.request_id, value=condition))
        )
    return asked.result()


async def test_everybody_in_the_session_sees_that_it_is_recorded(here, runner, session):
    viewer = await here.feed(here.member, session)
    await viewer.live()
    answer = await begin(here, runner, session)
    assert answer.json()["on"] is True
    told = await viewer.hear("session")
    assert told["session"]["recorded"]["by"] == "mia"
    await runner.say(
        Status(
            session_id=session,
            payload=RecordingCondition(on=True, by="mia", since=5, problem="The disk is full."),
        )
    )
    while told["session"]["recorded"]["problem"] != "The disk is full.":
        told = await viewer.hear("session")
    await begin(here, runner, session, on=False)
    while told["session"]["recorded"] is not None:
        told = await viewer.hear("session")
    records = (await here.member.http.get(f"/api/v1/sessions/{session}/audit")).json()["records"]
    kinds = [record["kind"] for record in records]
    assert kinds[:2] == ["recording-ended", "recording-started"]


async def test_without_a_desktop_there_is_nothing_to_record(here, runner):
    session = await runner.run_session(here.member)
    answer = await here.member.http.post(PATH.format(session), json={"on": True})
    assert answer.status_code == 409
    assert "no desktop" in answer.json()["detail"]


async def test_what_a_runner_says_of_others_sessions_is_not_believed(here, runner, session):
    other = await here.runner("runner0002", name="other")
    claim = RecordingCondition(on=True, by="evil", since=1)
    await other.say(Status(session_id=session, payload=claim))
    await other.say(Status(session_id="nosuchsession", payload=claim))
    await begin(here, runner, session, on=False)
    assert (await here.member.http.get(f"/api/v1/sessions/{session}")).json()["recorded"] is None


async def test_a_recording_is_listed_watched_in_ranges_and_deleted(here, runner, session):
    for number in (1, 2):
        await asyncio.to_thread(keep, storage(here), number, session)
    base = f"/api/v1/sessions/{session}/desktop/recordings"
    listed = (await here.member.http.get(base)).json()
    (one,) = listed["recordings"]
    assert (one["id"], one["pieces"], one["duration"]) == (RECORDING, 2, 4000)
    assert one["codecs"].startswith("avc1.42")
    assert listed["state"] == {"on": False, "by": "", "since": None, "problem": ""}
    whole = await here.member.http.get(f"{base}/{RECORDING}?pieces=2")
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    await asyncio.to_thread(keep, storage(here), 3, session)
    part = await here.member.http.get(
        f"{base}/{RECORDING}?pieces=2", headers={"range": "bytes=100-199"}
    )
    assert part.status_code == 206, "the same file while more is recorded"
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    stale = await here.member.http.get(
        f"{base}/{RECORDING}?pieces=3",
        headers={"range": "bytes=100-199", "if-range": whole.headers["etag"]},
    )
    assert stale.status_code == 200
    beyond = await here.member.http.get(f"{base}/{RECORDING}", headers={"range": "bytes=99999999-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"].startswith("bytes */")
    assert (await here.member.http.get(f"{base}/{'0' * 16}")).status_code == 404
    assert (await here.member.http.get(f"{base}/nonsense")).status_code == 404
    assert (await here.member.http.delete(f"{base}/{RECORDING}")).status_code == 204
    assert (await here.member.http.get(base)).json()["recordings"] == []


async def test_what_is_being_recorded_is_not_deleted(here, runner, session):
    await asyncio.to_thread(keep, storage(here), 1, session)
    await begin(here, runner, session)
    base = f"/api/v1/sessions/{session}/desktop/recordings"
    assert (await here.member.http.delete(f"{base}/{RECORDING}")).status_code == 409


async def test_recordings_go_with_their_session(here, runner, session, eventually):
    await asyncio.to_thread(keep, storage(here), 1, session)
    await runner.logged(session, exited(2))
    async with asyncio.TaskGroup() as tasks:
        deleted = tasks.create_task(here.member.http.delete(f"/api/v1/sessions/{session}"))
        await runner.done(await runner.command(Forget))
    assert deleted.result().status_code == 204
    folder = storage(here)._folder
    while await asyncio.to_thread(lambda: list(folder.iterdir())):
        await asyncio.sleep(0.02)
