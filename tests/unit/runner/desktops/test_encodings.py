"""One encoder per codec, and whose wishes it follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from earthshine.runner.desktops.capture import AccessUnit, CaptureError, Tuning
from earthshine.runner.desktops.limits import Codec
from earthshine.runner.desktops.messages import Tune
from earthshine.runner.desktops.producer import Consumer
from earthshine.runner.desktops.worker import encodings
from earthshine.runner.desktops.worker.encodings import Encoding, Encodings
from earthshine.runner.desktops.worker.lines import Line

BASE = Tuning(preset="text", frames_per_second=30)


class FakeCapture:
    """Remembers what it was told."""

    name = "fake"
    invalidates = True

    def __init__(self, tuning: Tuning, codec: Codec) -> None:
        self.codec = codec
        self.tunings = [tuning]
        self.sizes: list[tuple[int, int]] = []
        self.running = False
        self.keys = 0
        self.fails = False
        self.deliver: Callable[[AccessUnit], None] = lambda _: None

    def start(self, width: int, height: int, deliver: Callable[[AccessUnit], None]) -> None:
        if self.fails:
            raise CaptureError("no")
        self.sizes.append((width, height))
        self.deliver, self.running = deliver, True

    def stop(self) -> None:
        self.running = False

    def tune(self, tuning: Tuning) -> None:
        self.tunings.append(tuning)

    def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    def request_key_frame(self) -> None:
        self.keys += 1


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeCapture]:
    captures: list[FakeCapture] = []

    def opened(wanted: str, tuning: Tuning, codec: Codec) -> FakeCapture:
        if wanted == "none":
            raise CaptureError("no encoder can be loaded")
        captures.append(FakeCapture(tuning, codec))
        return captures[-1]

    monkeypatch.setattr(encodings, "open_capture", opened)
    return captures


def line() -> Line:
    """Only its identity matters."""
    return cast(Line, object())


def encoding(codec: Codec = "h264", tuning: Tuning = BASE, failed: Any = None) -> Encoding:
    return Encoding(codec, "auto", tuning, lambda: (640, 480), lambda *_: None, failed)


def test_the_lowest_cap_and_the_highest_rate_count_while_their_viewers_are_there(
    made: list[FakeCapture],
) -> None:
    shared = encoding()
    anna, otto = line(), line()
    shared.wish(anna, Tune(frames_per_second=60, bitrate_kbps=8000))
    shared.wish(otto, Tune(frames_per_second=25, bitrate_kbps=3000))
    assert (shared.tuning.frames_per_second, shared.tuning.bitrate_kbps) == (60, 3000)
    shared.wish(otto, Tune(bitrate_kbps=0))  # as much as the quality needs
    assert shared.tuning.bitrate_kbps == 8000
    shared.forget(anna)
    assert (shared.tuning.frames_per_second, shared.tuning.bitrate_kbps) == (25, 0)
    shared.forget(otto)
    shared.forget(otto)
    assert shared.tuning == BASE
    assert made[0].tunings[-1] == BASE


def test_the_preset_stays_and_what_changes_nothing_is_not_said(made: list[FakeCapture]) -> None:
    shared = encoding()
    anna = line()
    shared.wish(anna, Tune(preset="motion"))
    shared.wish(anna, Tune(preset="motion"))
    shared.forget(anna)
    assert shared.tuning.preset == "motion"
    assert len(made[0].tunings) == 2


def test_the_pointer_is_drawn_for_one_codec_only(made: list[FakeCapture]) -> None:
    both = Encodings(encoding, BASE)
    assert both.of("hevc").draw_pointer(True)
    assert not both.of("hevc").draw_pointer(True)
    assert both.of("hevc").tuning.pointer_drawn
    assert not both.of("h264").tuning.pointer_drawn
    assert [capture.codec for capture in made] == ["h264", "hevc"]


def test_an_encoder_that_cannot_start_is_said_and_does_not_raise(made: list[FakeCapture]) -> None:
    problems: list[CaptureError] = []
    shared = encoding(failed=problems.append)
    made[0].fails = True
    shared.start()
    assert [problem.detail for problem in problems] == ["no"]


def test_units_on_their_way_are_counted_and_damage_is_kept_for_the_next(
    made: list[FakeCapture],
) -> None:
    arrived: list[AccessUnit] = []
    shared = Encoding(
        "h264",
        "auto",
        BASE,
        lambda: (640, 480),
        lambda _, unit: arrived.append(unit),
        lambda _: None,
    )
    shared.start()
    unit = AccessUnit(0, True, b"x", 640, 480, 0, 0, 0)
    made[0].deliver(unit)
    assert (arrived, shared.queued) == ([unit], 1)
    shared.soil([(0, 0, 5, 5)])
    shared.soil([(0, 0, 5, 5), (9, 9, 1, 1)])
    assert shared.take_dirty() == [(0, 0, 5, 5), (9, 9, 1, 1)]
    assert shared.take_dirty() == []


async def test_who_comes_back_soon_finds_the_encoder_running(
    made: list[FakeCapture], monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr(encodings, "LINGER_SECONDS", 0.05)
    shared = encoding()
    anna = Consumer(lambda _: None, lambda: 0)
    shared.producer.join(anna, 0)
    shared.producer.leave(anna)
    assert made[0].running
    shared.producer.join(anna, 1)
    assert (made[0].keys, len(made[0].sizes)) == (1, 1)  # a key frame, and no second start
    shared.producer.leave(anna)
    await eventually(lambda: not made[0].running)
    shared.producer.join(anna, 2)
    assert (made[0].running, len(made[0].sizes)) == (True, 2)


async def test_an_encoder_that_lingers_does_not_outlive_a_change_of_size(
    made: list[FakeCapture],
) -> None:
    shared = encoding()
    anna = Consumer(lambda _: None, lambda: 0)
    shared.producer.join(anna, 0)
    shared.producer.leave(anna)
    shared.resize()
    assert not made[0].running
    shared.producer.join(anna, 1)
    assert made[0].sizes == [(640, 480), (640, 480)]
