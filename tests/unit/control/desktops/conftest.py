import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """What handles sockets itself is tested under both event loops."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    loops = {"asyncio": asyncio.SelectorEventLoop}
    if item.path.stem == "test_entries":
        loops["uvloop"] = uvloop.new_event_loop
    return loops
