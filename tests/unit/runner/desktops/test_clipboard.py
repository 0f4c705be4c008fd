"""Two ends of a clipboard in one display, in parts where the content is large."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.clipboard import CHUNK, Clipboard
from earthshine.runner.desktops.messages import MAX_CLIPBOARD


class End:
    """A clipboard and what it has heard."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.heard: list[tuple[str, bytes]] = []
        self.clipboard = Clipboard(connection, lambda mime, data: self.heard.append((mime, data)))

    def look(self) -> None:
        while self.connection.pending_events():
            self.clipboard.handle(self.connection.next_event())


@pytest.fixture
def ends(display: Display, connect: Callable[[Display], Any]) -> tuple[End, End]:
    return End(connect(display)), End(connect(display))


async def until_heard(ends: tuple[End, End], end: End, count: int = 1) -> None:
    async with asyncio.timeout(15):
        while len(end.heard) < count:
            for one in ends:
                one.look()
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3 * CHUNK, MAX_CLIPBOARD])
@pytest.mark.parametrize("mime", ["text/plain", "image/png"])
async def test_a_content_arrives_whole(ends: tuple[End, End], mime: str, size: int) -> None:
    giver, taker = ends
    data = os.urandom(size)
    giver.clipboard.put(mime, data)
    await until_heard(ends, taker)
    assert taker.heard == [(mime, data)]
    assert giver.heard == []


async def test_the_newest_of_many_copies_arrives_last(ends: tuple[End, End]) -> None:
    giver, taker = ends
    for number in range(20):
        giver.clipboard.put("text/plain", b"%d" % number * 50_000)
        taker.clipboard.ask()
        if number % 3 == 0:
            for end in ends:
                end.look()
    last = b"19" * 50_000
    async with asyncio.timeout(15):
        while not taker.heard or taker.heard[-1][1] != last:
            for end in ends:
                end.look()
            await asyncio.sleep(0.001)


async def test_both_ends_take_turns(ends: tuple[End, End]) -> None:
    one, two = ends
    one.clipboard.put("text/plain", b"from one")
    await until_heard(ends, two)
    two.clipboard.put("text/plain", b"from two")
    await until_heard(ends, one)
    assert (one.heard, two.heard) == (
        [("text/plain", b"from two")],
        [("text/plain", b"from one")],
    )


async def test_nothing_is_asked_of_an_empty_clipboard(ends: tuple[End, End]) -> None:
    one, two = ends
    two.clipboard.ask()
    for _ in range(20):
        two.look()
    assert two.heard == []
    assert one.heard == []
