import asyncio

import pytest

from earthshine.control.access import Actor, Role
from earthshine.control.audit import keystrokes
from earthshine.control.audit.keystrokes import LONGEST, QUIET, TypingSessions
from earthshine.control.errors import AuditUnavailableError, TooManyError
from earthshine.control.origin import Origin, acting_from, current_origin

ANNA = Actor("p1", "Anna", Role.MEMBER, sign_in_id="s1")
BEN = Actor("p2", "Ben", Role.MEMBER, sign_in_id="s2")


class Notes:
    """A fake trail; `broken` makes it fail."""

    def __init__(self):
        self.records = []
        self.broken = False

    async def record(self, kind, actor, **what):
        if self.broken:
            raise AuditUnavailableError("full")
        what["address"] = current_origin().address
        self.records.append((kind.value, actor.name, what))


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
async def typing(notes, clock):
    typing = TypingSessions(notes, clock)
    running = asyncio.create_task(typing.run())
    yield typing
    typing.stop()
    await running


async def test_a_stretch_ends_when_the_viewer_leaves(typing, notes, clock, eventually):
    with acting_from(Origin("192.0.2.1")):
        typing.typed(ANNA, "a1", "r1", 3)
    clock.now += 5
    typing.typed(ANNA, "a1", "r1", 4)
    assert notes.records == []
    typing.left(ANNA, "a1")
    typing.left(ANNA, "a1")
    await eventually(lambda: notes.records)
    assert notes.records == [
        (
            "typed",
            "Anna",
            {
                "session_id": "a1",
                "runner_id": "r1",
                "details": {
                    "from": "1970-01-12T13:46:40.000Z",
                    "until": "1970-01-12T13:46:45.000Z",
                    "bytes": 7,
                },
                "address": "192.0.2.1",
            },
        )
    ]


async def test_silence_ends_a_stretch(typing, notes, clock, eventually, monkeypatch):
    monkeypatch.setattr(keystrokes, "QUIET", 0.01)
    typing.typed(ANNA, "a1", "r1", 1)
    clock.now += 1
    await eventually(lambda: notes.records)
    typing.typed(ANNA, "a1", "r1", 1)
    clock.now += 1
    await eventually(lambda: len(notes.records) == 2)


async def test_a_key_after_silence_begins_another_stretch(typing, notes, clock, eventually):
    typing.typed(ANNA, "a1", "r1", 1)
    clock.now += QUIET + 1
    typing.typed(ANNA, "a1", "r1", 2)
    await eventually(lambda: notes.records)
    typing.left(ANNA, "a1")
    await eventually(lambda: len(notes.records) == 2)
    assert [what["details"]["bytes"] for _, _, what in notes.records] == [1, 2]


async def test_long_typing_is_recorded_in_parts(typing, notes, clock, eventually):
    for _ in range(int(LONGEST) + 2):
        typing.typed(ANNA, "a1", "r1", 1)
        clock.now += 1
    await eventually(lambda: notes.records)
    assert notes.records[0][2]["details"]["bytes"] == LONGEST


async def test_people_and_sessions_are_kept_apart(typing, notes, eventually):
    for actor, session in ((ANNA, "a1"), (BEN, "a1"), (ANNA, "a2")):
        typing.typed(actor, session, "r1", 1)
    typing.stop()
    await eventually(lambda: len(notes.records) == 3)
    assert {(name, what["session_id"]) for _, name, what in notes.records} == {
        ("Anna", "a1"),
        ("Ben", "a1"),
        ("Anna", "a2"),
    }


async def test_nobody_types_while_it_cannot_be_recorded(typing, notes, eventually, monkeypatch):
    monkeypatch.setattr(keystrokes, "RETRY", 0.01)
    typing.typed(ANNA, "a1", "r1", 1)
    notes.broken = True
    typing.left(ANNA, "a1")
    await eventually(lambda: typing._failed)
    with pytest.raises(AuditUnavailableError):
        typing.typed(BEN, "a1", "r1", 1)
    notes.broken = False
    await eventually(lambda: notes.records)
    typing.typed(BEN, "a1", "r1", 1)
    assert notes.records[0][2]["details"]["bytes"] == 1


async def test_what_cannot_be_recorded_at_the_end_is_said(notes, clock, caplog):
    typing = TypingSessions(notes, clock)
    typing.typed(ANNA, "a1", "r1", 1)
    notes.broken = True
    typing.stop()
    await typing.run()
    assert "1 stretches of typing could not be recorded" in caplog.text


async def test_open_stretches_are_bounded(typing, monkeypatch):
    monkeypatch.setattr(keystrokes, "MAX_OPEN", 1)
    typing.typed(ANNA, "a1", "r1", 1)
    with pytest.raises(TooManyError):
        typing.typed(BEN, "a1", "r1", 1)
