"""Storing entries: what is taken is stored, once and in order, whatever the database does."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError

from earthshine.control import metrics
from earthshine.control.runners.models import RunnerRow
from earthshine.control.sessions import journal as journals
from earthshine.control.sessions.channel import Channel
from earthshine.control.sessions.journal import Journal
from earthshine.control.sessions.record import SessionRecord
from earthshine.control.sessions.schemas import SessionState
from earthshine.control.sessions.storage import SessionStorage
from earthshine.protocols import events
from earthshine.protocols.replay import HoleError
from tests.unit.control.world import exited, output, started

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def record(session_id, owner_id):
    return SessionRecord(
        id=session_id,
        owner_id=owner_id,
        runner_id="r1",
        command_id=None,
        title="t",
        agent="shell",
        command=[],
        prompt="",
        folder="/",
        worktree=None,
        desktop=None,
        state=SessionState.QUEUED,
        reason=None,
        exit_code=None,
        signal=None,
        cols=80,
        rows=24,
        last_seq=0,
        log_bytes=0,
        created_at=NOW,
        started_at=None,
        ended_at=None,
        last_output_at=None,
    )


@pytest.fixture
async def storage(database, empty_database):
    async with database.write() as connection:
        await connection.execute(
            insert(RunnerRow).values(
                id="r1", name="", hostname="", platform="", version="", home="", agents=[],
                first_seen=NOW, last_seen=NOW,
            )
        )  # fmt: skip
    return SessionStorage(database)


@pytest.fixture
async def channel(storage, empty_database):
    mine = record("s1", empty_database[1][1].actor.person_id)
    await storage.add(mine)
    return Channel(mine)


@pytest.fixture
def journal(database):
    return Journal(database)


@contextlib.asynccontextmanager
async def running(journal):
    task = asyncio.create_task(journal.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def stored(storage, after=0):
    return await storage.log.page("s1", after, 1 << 30)


async def test_entries_are_stored_in_order_and_announced(journal, storage, channel):
    announced = []
    entries = [started(1), output(2, b"abc"), exited(3)]
    async with running(journal):
        await journal.accept(channel, entries, lambda *what: announced.append(what))
        assert channel.last_seq == 3
        await journal.drain()
    assert await stored(storage) == entries
    assert announced == [("s1", 3)]
    assert channel.stored == 3
    assert await storage.load("s1") == channel.record
    assert channel.record.state == SessionState.EXITED


async def test_what_waits_is_stored_at_the_end(journal, storage, channel):
    async with running(journal):
        await asyncio.sleep(0)
        await journal.accept(channel, [output(seq) for seq in range(1, 100)])
    assert len(await stored(storage)) == 99


async def test_entries_that_came_already_are_not_stored_again(journal, storage, channel):
    announced = []
    async with running(journal):
        await journal.accept(channel, [output(1), output(2)])
        await journal.drain()
        await journal.accept(channel, [output(1), output(2)], lambda *what: announced.append(what))
        assert announced == [("s1", 2)]
        await journal.accept(channel, [output(2), output(3)])
        await journal.drain()
    assert [event.seq for event in await stored(storage)] == [1, 2, 3]


async def test_after_a_crash_what_is_stored_already_stays(journal, storage, channel, database):
    """The last commit came through and nobody heard of it."""
    async with running(journal):
        await journal.accept(channel, [output(1, b"first"), output(2)])
        await journal.drain()
        stale = record("s1", channel.record.owner_id)
        again = Channel(stale)
        await journal.accept(again, [output(1, b"other"), output(2), output(3)])
        await journal.drain()
    assert [event.data for event in await stored(storage)] == [b"first", b"x", b"x"]


async def test_a_hole_takes_nothing(journal, storage, channel):
    async with running(journal):
        with pytest.raises(HoleError):
            await journal.accept(channel, [output(2)])
    assert await stored(storage) == []
    assert channel.after(0, 100) == ()


class FakeFailure:
    """A database that cannot be written for a while."""

    def __init__(self, database):
        self.broken = True
        self.attempts = 0
        self._write = database.write

    @contextlib.asynccontextmanager
    async def write(self):
        self.attempts += 1
        if self.broken:
            raise OperationalError("INSERT", {}, OSError("disk I/O error"))
        async with self._write() as connection:
            yield connection


async def test_nothing_is_lost_while_the_database_cannot_be_written(
    journal, storage, channel, database, monkeypatch, eventually
):
    monkeypatch.setattr(journals, "RETRY", 0.01)
    failure = FakeFailure(database)
    monkeypatch.setattr(database, "write", failure.write)
    before = metrics.STORE_FAILURES._value.get()
    acknowledged = []
    async with running(journal):
        await journal.accept(channel, [output(1)], lambda *what: acknowledged.append(what))
        await eventually(lambda: failure.attempts > 2)
        assert "cannot be written: disk I/O error" in (journal.failure or "")
        assert acknowledged == []
        assert channel.after(0, 100), "viewers see it all the same"
        await journal.accept(channel, [output(2)], lambda *what: acknowledged.append(what))
        failure.broken = False
        await journal.drain()
        assert journal.failure is None
    assert [event.seq for event in await stored(storage)] == [1, 2]
    assert acknowledged[-1] == ("s1", 2)
    assert metrics.STORE_FAILURES._value.get() >= before + 2


async def test_shutting_down_with_a_broken_database_ends(
    journal, channel, database, monkeypatch, eventually
):
    monkeypatch.setattr(journals, "RETRY", 0.01)
    monkeypatch.setattr(database, "write", FakeFailure(database).write)
    async with running(journal) as task:
        await journal.accept(channel, [output(1)])
        await eventually(lambda: journal.failure)
    assert task.cancelled()


async def test_when_too_much_waits_runners_wait(
    journal, storage, channel, database, monkeypatch, eventually
):
    monkeypatch.setattr(journals, "MAX_BACKLOG", 100_000)
    monkeypatch.setattr(journals, "RETRY", 0.01)
    failure = FakeFailure(database)
    monkeypatch.setattr(database, "write", failure.write)
    async with running(journal):
        taken = 0

        async def feed():
            nonlocal taken
            for seq in range(1, 101):
                await journal.accept(channel, [output(seq, b"x" * 10_000)])
                taken = seq

        feeding = asyncio.create_task(feed())
        await eventually(lambda: failure.attempts > 3)
        assert taken < 11
        failure.broken = False
        await feeding
        await journal.drain()
    assert len(await stored(storage)) == 100


async def test_a_page_has_about_as_much_as_asked(journal, storage, channel):
    async with running(journal):
        await journal.accept(channel, [output(seq, b"x" * 1000) for seq in range(1, 301)])
        await journal.drain()
    page = await storage.log.page("s1", 10, 50_000)
    assert [event.seq for event in page] == list(range(11, 11 + len(page)))
    assert 40 <= len(page) <= 45
    assert len(await storage.log.page("s1", 0, 1)) == 1
    assert await storage.log.page("s1", 300, 1000) == []
    assert await storage.log.page("other", 0, 1000) == []
    assert len(await stored(storage, 5)) == 295


async def test_a_gap_row_keeps_its_place(journal, storage, channel, database):
    gap = events.entry(50, 0, events.Gap(first_seq=2, last_seq=50, bytes=9, reason="damaged"))
    async with running(journal):
        await journal.accept(channel, [output(1), gap, output(51)])
        await journal.drain()
    async with database.read() as connection:
        rows = (await connection.execute(text("SELECT seq, kind FROM events ORDER BY seq"))).all()
    assert [tuple(row) for row in rows] == [(1, 1), (50, 9), (51, 1)]
    assert channel.record.log_bytes == 11
