"""Real X servers for the tests of desktops, each on a display number of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.backends import Display, DisplaySpec, choose


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A private folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What programs of a display get; nothing in it leads to another display."""
    for name in ("DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)


@pytest.fixture
async def open_display(
    runtime: Path, environment: dict[str, str]
) -> AsyncIterator[Callable[..., Awaitable[Display]]]:
    """`await open_display("xvfb", width=..., height=...)`: a started display."""
    opened: list[Display] = []

    async def start(backend: str = "tigervnc", **others: Any) -> Display:
        wanted: dict[str, Any] = {"runtime": runtime, "width": 800, "height": 600, **others}
        display = choose(DisplaySpec(backend=backend, environment=environment, **wanted))
        await display.start()
        opened.append(display)
        return display

    yield start
    for display in opened:
        await display.stop()


@pytest.fixture
async def display(
    open_display: Callable[..., Awaitable[Display]], monkeypatch: pytest.MonkeyPatch
) -> Display:
    """A TigerVNC display to which this process' environment points."""
    opened = await open_display()
    for name, value in opened.environment.items():
        monkeypatch.setenv(name, value)
    return opened


@pytest.fixture
def connect() -> Iterator[Callable[[Display], Any]]:
    """`connect(display)`: a python-xlib connection to it."""
    connections: list[Any] = []

    def open_connection(display: Display) -> Any:
        connection = x11.connect(display.name, str(display.authority))
        connections.append(connection)
        return connection

    yield open_connection
    for connection in connections:
        x11.disconnect(connection)
