import asyncio

import uvloop

BOTH_LOOPS = ("test_revdial", "test_preview")
"""Modules whose sockets code must behave the same under asyncio and uvloop."""


def pytest_asyncio_loop_factories(config, item):
    if item.path.name.startswith(BOTH_LOOPS):
        return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
