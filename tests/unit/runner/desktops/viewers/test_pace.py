"""How fast pictures may come, told with times instead of waiting."""

from earthshine.runner.desktops.viewers.pace import (
    LATE_SECONDS,
    LOST_SECONDS,
    MAX_UNSEEN,
    MUTE_SECONDS,
    WINDOW,
    Pace,
)

LARGE = WINDOW + 1


def seen_quickly(pace: Pace, now: float = 0.0) -> None:
    """A line on which pictures take 20 ms."""
    pace.sent(0, 100, now)
    pace.seen(0, now + 0.02)


def test_a_viewer_that_sees_what_it_gets_is_left_alone():
    pace = Pace()
    for frame in range(100):
        now = frame / 30
        pace.sent(frame, LARGE, now)
        pace.seen(frame, now + 0.02)
        assert pace.verdict(now + 0.03) is None
    assert pace.idle


def test_one_that_is_late_with_much_is_paused_and_goes_on_when_it_has_caught_up():
    pace = Pace()
    seen_quickly(pace)
    pace.sent(1, LARGE, 1.0)
    assert pace.verdict(1.0 + LATE_SECONDS) is None, "a picture takes 20 ms anyway"
    assert pace.verdict(1.1 + LATE_SECONDS) == "pause"
    assert pace.paused
    assert pace.verdict(1.2 + LATE_SECONDS) is None
    pace.seen(1, 1.8)
    assert pace.verdict(1.8) == "continue"
    assert pace.idle


def test_a_little_that_is_late_is_no_reason():
    pace = Pace()
    seen_quickly(pace)
    pace.sent(1, 1000, 1.0)
    assert pace.verdict(5.0) is None


def test_a_long_way_is_not_a_slow_line():
    pace = Pace()
    for frame in range(60):
        now = frame / 30
        pace.sent(frame, 20_000, now)
        if frame >= 20:
            pace.seen(frame - 20, now)  # two thirds of a second there and back
            assert pace.verdict(now) is None


def test_seeing_a_picture_deals_with_those_before_it():
    pace = Pace()
    for frame in range(5):
        pace.sent(frame, 10, 0.0)
    pace.seen(3, 0.1)
    assert pace.unseen == 1
    pace.seen(3, 0.2)
    pace.seen(99, 0.2)
    assert pace.unseen == 1


def test_one_that_says_nothing_gets_a_picture_now_and_then():
    pace = Pace()
    pace.sent(0, LARGE, 0.0)
    assert pace.verdict(LATE_SECONDS + 0.1) == "pause"
    paused = LATE_SECONDS + 0.1
    for frame in range(1, 4):
        assert pace.verdict(paused + MUTE_SECONDS) is None
        now = paused + MUTE_SECONDS + 0.1
        assert pace.verdict(now) == "continue"
        pace.sent(frame, 10, now)
        assert pace.verdict(now) == "pause"
        paused = now
    pace.seen(3, paused + 1)
    assert pace.verdict(paused + 1) == "continue", "it speaks: all of them again"
    pace.sent(4, LARGE, paused + 1)
    assert pace.verdict(paused + 1.1) is None


def test_one_that_spoke_before_has_lost_what_was_under_way_only_after_long():
    pace = Pace()
    seen_quickly(pace)
    pace.sent(1, LARGE, 1.0)
    assert pace.verdict(2.0) == "pause"
    assert pace.verdict(2.0 + LOST_SECONDS) is None
    assert pace.verdict(2.1 + LOST_SECONDS) == "continue"


def test_too_many_small_pictures_are_too_many():
    pace = Pace()
    seen_quickly(pace)
    for frame in range(MAX_UNSEEN + 1):
        pace.sent(frame + 1, 1, 1.0)
    assert pace.verdict(1.0) == "pause"


def test_another_stream_begins_with_nothing_under_way():
    pace = Pace()
    pace.sent(1, LARGE, 0.0)
    assert pace.verdict(1.0) == "pause"
    pace.began_anew()
    assert pace.idle
    assert pace.verdict(9.0) is None
