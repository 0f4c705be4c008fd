import asyncio

import pytest

from earthshine.control.access import Actor, Role
from earthshine.control.authorization import SessionRole
from earthshine.control.sessions import channel as channels
from earthshine.control.sessions.channel import Channel, ChannelBook, Viewer
from earthshine.protocols import feed
from tests.unit.control.sessions.test_journal import record
from tests.unit.control.world import exited, output


def filled(count, size=100):
    channel = Channel(record("s", "p"))
    for seq in range(1, count + 1):
        event = output(seq, bytes(size))
        channel.receiver.take([event])
        channel.publish(seq, event)
    return channel


def test_the_ring_gives_what_is_behind_a_cursor():
    channel = filled(10)
    assert [entry.seq for entry in channel.after(7, 1 << 20)] == [8, 9, 10]
    assert channel.after(10, 100) == ()
    assert channel.after(11, 100) == ()
    assert channel.after(0, 1)[0].data == feed.record(output(1, bytes(100)))


def test_a_limit_is_kept_by_whole_entries():
    channel = filled(10)
    assert [entry.seq for entry in channel.after(0, 1)] == [1]
    assert [entry.seq for entry in channel.after(0, 250)] == [1, 2, 3]


def test_what_is_not_stored_stays_in_the_ring(monkeypatch):
    monkeypatch.setattr(channels, "RING", 500)
    channel = filled(50)
    assert len(channel.after(0, 1 << 20)) == 50
    channel.store(20)
    assert channel.after(19, 1 << 20) is None, "that is in the database"
    assert [entry.seq for entry in channel.after(20, 1 << 20)] == list(range(21, 51))
    channel.store(50)
    assert 1 <= len(channel._ring) <= 5


async def test_it_has_settled_when_what_came_is_stored():
    channel = filled(10)
    settled = asyncio.create_task(channel.settled(10))
    for seq in (5, 9):
        channel.store(seq)
        await asyncio.sleep(0)
        assert not settled.done()
    channel.store(10)
    await settled
    await channel.settled(10)


async def test_nobody_waits_for_a_broken_database_for_ever():
    await filled(3).settled(0.01)


def test_a_gap_is_found_from_before_it():
    channel = Channel(record("s", "p"))
    channel.receiver.seq = 9
    channel.publish(3, output(9))
    assert channel.after(1, 100) is None
    for cursor in (2, 5):
        assert [entry.seq for entry in channel.after(cursor, 100) or ()] == [9]


def test_viewers_are_woken():
    channel = Channel(record("s", "p"))
    viewer = Viewer(Actor("anna", "Anna", Role.MEMBER, "s"), SessionRole.OWNER)
    viewer.session_changed = False
    channel.viewers.add(viewer)
    channel.wake()
    assert viewer.changed.is_set()
    assert not viewer.session_changed
    channel.wake(session=True)
    assert viewer.session_changed


async def test_a_session_is_loaded_once(no_blocking):
    loads = []

    async def load(session_id):
        loads.append(session_id)
        await asyncio.sleep(0)
        return record(session_id, "p") if session_id != "missing" else None

    book = ChannelBook(load)
    found = await asyncio.gather(*[book.open("s") for _ in range(5)])
    assert len(set(found)) == 1
    assert loads == ["s"]
    assert await book.open("missing") is None
    assert book.live("missing") is None
    assert list(book) == [found[0]]
    book.drop("s")
    book.drop("s")
    assert book.live("s") is None


@pytest.mark.parametrize("limit", [0, 3])
def test_idle_channels_are_forgotten_and_living_ones_never(monkeypatch, limit):
    monkeypatch.setattr(channels, "MAX_IDLE_CHANNELS", limit)
    book = ChannelBook(lambda _: None)  # type: ignore[arg-type,return-value]
    living = book.add(record("living", "p"))
    for number in range(10):
        ended = record(f"s{number}", "p")
        ended.apply(exited(1))
        book.add(ended)
    watched = record("watched", "p")
    watched.apply(exited(1))
    channel = Channel(watched)
    assert living in list(book)
    assert len(list(book)) <= limit + 1
    assert channel.stored == 1
