"""The session page on the real control plane and a real runner, while the server restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.pages import EarthshinePages, SessionPage
from tests.world import World, running_world

pytestmark = pytest.mark.browser


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


def test_the_server_restarts_while_one_watches(page: Page, world: World) -> None:
    app = EarthshinePages(page, world.url)
    dialog = app.sign_in(world.sign_in_code()).new_session()
    dialog.choose_agent("Any command")
    dialog.fill(
        "Command",
        "sh -c 'for i in $(seq 400); do echo tick $i; sleep 0.02; done; sleep 600'",
    )
    session = dialog.start().wait_live()
    session.wait_text("tick 50")
    world.control.stop()
    expect(session.pill).to_contain_text("Reconnecting")
    world.start_control()
    SessionPage(app).wait_live()
    session.wait_text("tick 400", seconds=30)
    ticks = [line for line in session.text().splitlines() if line.startswith("tick ")]
    assert ticks == [f"tick {number}" for number in range(1, 401)]
