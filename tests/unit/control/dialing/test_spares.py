import asyncio
import socket

import pytest

from earthshine.control.dialing import spares as spares_module
from earthshine.control.dialing.spares import SparePools
from earthshine.net.bridge import socket_pair
from earthshine.net.handover import Handover, adopt_socket
from earthshine.protocols.revdial import TICKET_LIFE_SECONDS


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def spare():
    """Makes (spare, far end); everything is closed at the end."""
    made: list[tuple[Handover, socket.socket]] = []

    async def make():
        near, far = socket_pair()
        made.append((await adopt_socket(near), far))
        return made[-1]

    yield make
    for connection, far in made:
        connection.abort()
        far.close()
    await asyncio.sleep(0)


def test_two_for_a_runner_in_use_four_for_a_busy_one():
    clock = Clock()
    pools = SparePools(clock)
    assert pools.dialled("r1") == 2
    assert pools.dialled("r1") == 0  # they are on their way
    assert pools.dialled("r1") == 2  # the third dial within moments: four in all
    assert pools.dialled("r1") == 0
    clock.now += TICKET_LIFE_SECONDS
    assert pools.dialled("r1") == 2  # those that were asked for never came


async def test_a_spare_is_given_out_once_and_only_while_it_lives(spare):
    pools = SparePools(Clock())
    pools.dialled("r1")
    first, _ = await spare()
    second, _far = await spare()
    pools.put("r1", first)
    pools.put("r1", second)
    assert pools.count("r1") == 2
    assert pools.take("r1") is second
    assert pools.take("r2") is None
    assert pools.take("r1") is first
    assert pools.take("r1") is None


async def test_one_that_ends_or_speaks_out_of_turn_is_dropped(spare):
    pools = SparePools(Clock())
    pools.dialled("r1")
    ends, far = await spare()
    pools.put("r1", ends)
    far.close()
    async with asyncio.timeout(5):
        await ends.ended
    await asyncio.sleep(0)
    assert pools.count("r1") == 0
    speaks, far = await spare()
    pools.put("r1", speaks)
    far.send(b"hello")
    async with asyncio.timeout(5):
        while speaks.is_quiet:
            await asyncio.sleep(0)
    assert pools.take("r1") is None


async def test_nobody_may_bring_more_than_was_asked_for(spare):
    pools = SparePools(Clock())
    uninvited, _ = await spare()
    pools.put("r1", uninvited)
    assert pools.count("r1") == 0
    pools.dialled("r1")
    for _ in range(3):
        connection, _ = await spare()
        pools.put("r1", connection)
    assert pools.count("r1") == 2


async def test_an_idle_runner_keeps_none(spare):
    clock = Clock()
    pools = SparePools(clock)
    pools.dialled("r1")
    connection, far = await spare()
    pools.put("r1", connection)
    clock.now += spares_module.ACTIVE_SECONDS - 1
    pools.sweep()
    assert pools.count("r1") == 1
    clock.now += 1
    pools.sweep()
    assert pools.count("r1") == 0
    far.setblocking(True)
    far.settimeout(5)
    assert await asyncio.to_thread(far.recv, 1) == b""


async def test_close_ends_all(spare):
    pools = SparePools(Clock())
    pools.dialled("r1")
    connection, _ = await spare()
    pools.put("r1", connection)
    pools.close()
    assert pools.count("r1") == 0
