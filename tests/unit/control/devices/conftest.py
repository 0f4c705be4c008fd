import contextlib

import pytest

from tests.unit.control.devices.machine import Machine, Recorder


@pytest.fixture
async def machine(here):
    """`machine()` makes one."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(name="box"):
            return Machine(here, await stack.enter_async_context(here.anonymous()), name)

        yield make


@pytest.fixture
def trail(here):
    """What is recorded, instead of nothing."""
    recorder = Recorder()
    here.plane.pairings._trail = recorder
    here.plane.devices._trail = recorder
    return recorder
