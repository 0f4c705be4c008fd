import asyncio

import pytest
import uvloop

from tests.unit.net.desktop_gateways.world import stage


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def here():
    """A gateway's surroundings: a server's end, and a browser."""
    async with stage() as value:
        yield value
