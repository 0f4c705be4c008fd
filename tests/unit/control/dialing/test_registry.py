import asyncio

import pytest

from earthshine.control.dialing import registry as registry_module
from earthshine.control.dialing.registry import (
    CLOSE_SUPERSEDED,
    ConnectionRegistry,
    RunnerDidNotReturnError,
    RunnerNeverSeenError,
    TooManyWaitingError,
)
from earthshine.protocols.envelope import CLOSE_REVOKED


class FakeLink:
    def __init__(self, runner_id="r1", fails=False):
        self.runner_id = runner_id
        self.closed = []
        self.fails = fails

    async def send_control(self, payload):
        raise NotImplementedError

    async def close(self, code, reason):
        self.closed.append(code)
        if self.fails:
            raise ConnectionResetError


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


async def waiting(registry, count=1, runner="r1"):
    """Tasks that wait for the runner, and do so already."""
    tasks = [asyncio.create_task(registry.wait(runner)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_connected_runner_is_there_at_once():
    registry = ConnectionRegistry()
    link = FakeLink()
    await registry.attach("r1", link)
    assert await registry.wait("r1") is link
    assert registry.live("r1") is link


async def test_a_runner_that_was_never_seen():
    with pytest.raises(RunnerNeverSeenError):
        await ConnectionRegistry().wait("r1")


async def test_waiting_through_the_grace_period():
    registry = ConnectionRegistry()
    old, new = FakeLink(), FakeLink()
    await registry.attach("r1", old)
    assert registry.detach("r1", old)
    tasks = await waiting(registry, 3)
    await registry.attach("r1", new)
    assert await asyncio.gather(*tasks) == [new, new, new]


async def test_a_runner_that_does_not_return_in_time():
    registry = ConnectionRegistry(grace=0.02)
    link = FakeLink()
    await registry.attach("r1", link)
    registry.detach("r1", link)
    with pytest.raises(RunnerDidNotReturnError):
        await registry.wait("r1")


async def test_the_grace_counts_from_the_drop_not_from_the_dial():
    clock = Clock()
    registry = ConnectionRegistry(clock=clock)
    link = FakeLink()
    await registry.attach("r1", link)
    registry.detach("r1", link)
    clock.now += registry_module.GRACE_SECONDS
    with pytest.raises(RunnerDidNotReturnError):
        await registry.wait("r1")


async def test_at_most_so_many_wait_and_leaving_makes_room():
    registry = ConnectionRegistry(max_waiters=2)
    link = FakeLink()
    await registry.attach("r1", link)
    registry.detach("r1", link)
    tasks = await waiting(registry, 2)
    with pytest.raises(TooManyWaitingError):
        await registry.wait("r1")
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    (third,) = await waiting(registry)
    assert not third.done()
    await registry.attach("r1", link)
    assert [await tasks[1], await third] == [link, link]


async def test_a_newer_connection_supersedes_and_epochs_grow():
    registry = ConnectionRegistry()
    first, second = FakeLink(), FakeLink(fails=True)
    one = await registry.attach("r1", first)
    two = await registry.attach("r1", second)
    three = await registry.attach("r1", FakeLink())
    assert one < two < three
    assert first.closed == [CLOSE_SUPERSEDED]
    assert second.closed == [CLOSE_SUPERSEDED]  # though closing it failed


async def test_a_superseded_link_that_ends_late_changes_nothing():
    registry = ConnectionRegistry()
    old, new = FakeLink(), FakeLink()
    await registry.attach("r1", old)
    await registry.attach("r1", new)
    assert not registry.detach("r1", old)
    assert registry.live("r1") is new
    assert not registry.detach("r2", old)


async def test_the_same_link_again_is_not_closed():
    registry = ConnectionRegistry()
    link = FakeLink()
    await registry.attach("r1", link)
    await registry.attach("r1", link)
    assert link.closed == []


async def test_revoking_closes_and_ends_those_who_wait():
    registry = ConnectionRegistry()
    link = FakeLink()
    await registry.attach("r1", link)
    await registry.revoke("r1")
    assert link.closed == [CLOSE_REVOKED]
    await registry.attach("r2", link)
    registry.detach("r2", link)
    (task,) = await waiting(registry, runner="r2")
    await registry.revoke("r2")
    with pytest.raises(RunnerNeverSeenError):
        await task
    await registry.revoke("unknown")


async def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(registry_module, "MAX_REMEMBERED", 4)
    clock = Clock()
    registry = ConnectionRegistry(clock=clock)
    stays = FakeLink()
    await registry.attach("stays", stays)
    for number in range(20):
        clock.now += 1
        link = FakeLink()
        await registry.attach(f"r{number}", link)
        registry.detach(f"r{number}", link)
    assert registry.live("stays") is stays
    with pytest.raises(RunnerNeverSeenError):
        await registry.wait("r0")
    assert len(registry._entries) <= 6
