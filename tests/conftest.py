"""What all tests share: waiting for a condition, and catching blocking calls."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster
from hypothesis import settings

# How long one example takes says more about what else runs on the machine than about the code.
settings.register_profile("earthshine", deadline=None)
settings.load_profile("earthshine")

PATIENCE = 15.0
"""Seconds after which a condition counts as never coming true."""
STEP = 0.005


_HOMES = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """A home of the tests' own, one for all workers: shells that they start read nobody's start-up
    files, which may take a minute, or print."""
    if hasattr(config, "workerinput"):
        return
    home = tempfile.TemporaryDirectory(prefix="earthshine-tests-", ignore_cleanup_errors=True)
    config.stash[_HOMES] = home
    os.environ["HOME"] = home.name


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take it away again."""
    home = config.stash.get(_HOMES, None)
    if home is not None:
        home.cleanup()


class _Overheard(logging.Handler):
    """What Earthshine and its server log, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in ("earthshine", "uvicorn"):
            self.text.append(f"{self.format(record)} {vars(record)}")


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_a_log() -> Iterator[None]:
    """Of all tokens and codes that were made in the whole run, none is in what was logged."""
    made: set[str] = set()
    real = secrets.token_urlsafe

    def remembered(size: int | None = None) -> str:
        secret = real(size)
        made.add(secret)
        return secret

    overheard = _Overheard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_urlsafe", remembered)
        logging.getLogger().addHandler(overheard)
        yield
        logging.getLogger().removeHandler(overheard)
    logged = "\n".join(overheard.text)
    assert not [secret for secret in made if len(secret) >= 20 and secret in logged]


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    """`await eventually(condition)`: its first true value. AssertionError after `seconds`."""

    async def wait(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"never became true: {condition}"
            await asyncio.sleep(STEP)
        return value

    return wait


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """`eventually` for tests without an event loop."""

    def wait(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"never became true: {condition}"
            time.sleep(STEP)
        return value

    return wait


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Blocking calls that Earthshine's code makes on the event loop are errors.

    Allowed: opening, reading and listing spools and a holder's socket folder in `held.py` and for
    desktops (small, in the page cache), what Prometheus' library reads from /proc, and what is done
    once, before or after anything is served.
    """
    blockbuster = BlockBuster("earthshine")
    for function in blockbuster.functions.values():
        function.can_block_in(
            "earthshine/runner/sessions/held.py",
            {"_read", "position", "_follow", "close", "seek", "resume"},
        )
        function.can_block_in("earthshine/runner/desktops/keeper.py", {"_follow"})
        function.can_block_in("earthshine/runner/desktops/stream.py", {"__aenter__"})
        function.can_block_in("earthshine/control/db/engine.py", {"__init__", "_upgrade"})
        function.can_block_in("earthshine/net/relay.py", {"start", "close"})
        function.can_block_in("prometheus_client/process_collector.py", {"collect"})
    blockbuster.activate()
    try:
        yield blockbuster
    finally:
        blockbuster.deactivate()
