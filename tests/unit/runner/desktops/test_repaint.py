"""Which places settle, and when."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.desktops.repaint import (
    MAX_RECTANGLES,
    SETTLE_SECONDS,
    TILE,
    SettleTracker,
)
from earthshine.runner.desktops.x11 import Rectangle

PATIENCE = SETTLE_SECONDS


def test_a_place_settles_when_nothing_was_drawn_there_for_a_while() -> None:
    tracker = SettleTracker(640, 480)
    tracker.soil([Rectangle(70, 70, 10, 10)], 0.0)
    assert tracker.due(0.0) == PATIENCE
    assert tracker.settled(PATIENCE - 0.01) == []
    assert tracker.settled(PATIENCE) == [Rectangle(64, 64, 64, 64)]
    assert tracker.clean
    assert tracker.due(PATIENCE) is None


def test_drawing_again_begins_the_wait_anew() -> None:
    tracker = SettleTracker(640, 480)
    tracker.soil([Rectangle(0, 0, 10, 10)], 0.0)
    tracker.soil([Rectangle(5, 5, 1, 1)], 0.2)
    assert tracker.settled(0.3) == []
    assert tracker.settled(0.2 + PATIENCE) == [Rectangle(0, 0, 64, 64)]


def test_a_place_that_moves_on_does_not_hold_up_another() -> None:
    tracker = SettleTracker(640, 480)
    tracker.soil([Rectangle(0, 0, 64, 64), Rectangle(300, 300, 10, 10)], 0.0)
    tracker.soil([Rectangle(0, 0, 64, 64)], 0.24)
    assert tracker.settled(0.26) == [Rectangle(256, 256, 64, 64)]


def test_neighbours_are_told_as_one_place() -> None:
    tracker = SettleTracker(640, 480)
    tracker.soil([Rectangle(60, 60, 100, 100)], 0.0)
    assert tracker.settled(1.0) == [Rectangle(0, 0, 192, 192)]


def test_places_end_at_the_edge_of_the_screen() -> None:
    tracker = SettleTracker(100, 70)
    tracker.soil([Rectangle(-50, -50, 1000, 1000)], 0.0)
    assert tracker.settled(1.0) == [Rectangle(0, 0, 100, 70)]


def test_what_is_drawn_while_its_picture_is_made_is_known() -> None:
    tracker = SettleTracker(640, 480)
    tracker.soil([Rectangle(0, 0, 64, 64)], 0.0)
    (place,) = tracker.settled(1.0)
    assert not tracker.is_soiled(place)
    tracker.soil([Rectangle(63, 63, 2, 2)], 1.01)
    assert tracker.is_soiled(place)


@given(
    st.lists(
        st.tuples(
            st.integers(-100, 2000),
            st.integers(-100, 1200),
            st.integers(1, 900),
            st.integers(1, 900),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_every_soiled_pixel_is_shown_exactly_once(places: list[tuple[int, int, int, int]]) -> None:
    width, height = 1000, 700
    tracker = SettleTracker(width, height)
    soiled = np.zeros((height, width), dtype=int)
    for number, (x, y, w, h) in enumerate(places):
        tracker.soil([Rectangle(x, y, w, h)], number / 100)
        soiled[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
    shown = np.zeros((height, width), dtype=int)
    while found := tracker.settled(100.0):
        assert len(found) <= MAX_RECTANGLES
        for place in found:
            shown[place.y : place.y + place.height, place.x : place.x + place.width] += 1
    assert (shown >= soiled).all()
    assert shown.max(initial=0) <= 1
    assert shown.sum() <= soiled.sum() * TILE * TILE
    assert tracker.clean
