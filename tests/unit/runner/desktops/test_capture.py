"""Both libraries for capture, on a real display: what comes out is decoded and looked at."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from earthshine.runner.desktops import resize
from earthshine.runner.desktops.backends import Display
from earthshine.runner.desktops.capture import AccessUnit, Capture, Tuning, open_capture
from earthshine.runner.desktops.capture.adapter import CaptureError, is_key
from tests.unit.runner.desktops import barcode

Eventually = Callable[..., Awaitable[Any]]
LIBRARIES = ("pixelflux", "pyav")
STILL = 1.0
"""Seconds in which an encoder that sends a still picture again would have sent thirty."""


class Decoder:
    """What a viewer's decoder makes of access units."""

    def __init__(self) -> None:
        self._codec: Any = av.CodecContext.create("h264", "r")
        self._codec.flags |= av.codec.context.Flags.low_delay

    def luma(self, unit: AccessUnit) -> Any:
        """The picture's luma, height x width."""
        (picture,) = self._codec.decode(av.Packet(unit.data))
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[: picture.height, : picture.width]


class Received(list[AccessUnit]):
    """Access units as they come, with the time of their arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[int] = []

    def __call__(self, unit: AccessUnit) -> None:
        self.arrived.append(barcode.now())
        self.append(unit)


@asynccontextmanager
async def scene(rate: float, pictures: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The barcode, drawn by a program in the display."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, barcode.__file__, str(rate), str(pictures), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield program
    finally:
        program.kill()
        await program.communicate()


@pytest.fixture(params=LIBRARIES)
def capture(request: pytest.FixtureRequest, display: Display) -> Iterator[Capture]:
    capture = open_capture(request.param, Tuning())
    assert capture.name == request.param
    yield capture
    capture.stop()


async def quiet(received: Received) -> None:
    """Until nothing has come for a while: start-up and the settled picture are through."""
    count = -1
    while count != len(received):
        count = len(received)
        await asyncio.sleep(STILL)


async def test_the_first_picture_is_a_key_frame_and_shows_what_is_there(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    async with scene(30, 1) as program:
        assert program.stdout is not None
        await program.stdout.readline()
        capture.start(800, 600, received)
        await eventually(lambda: received)
        assert received[0].key
        assert (received[0].width, received[0].height) == (800, 600)
        assert barcode.read(Decoder().luma(received[0])) is not None


async def test_every_picture_decodes_and_the_newest_time_is_in_it(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    capture.start(800, 600, received)
    async with scene(20, 40) as program:
        assert program.stdout is not None
        await program.stdout.readline()
        await asyncio.sleep(STILL)
    decoder = Decoder()
    units = list(received)
    times = [barcode.read(decoder.luma(unit)) for unit in units]
    seen = [time for time in times if time is not None]
    assert len(set(seen)) >= 20
    assert seen == sorted(seen)
    assert [unit.frame_id for unit in units] == list(
        range(units[0].frame_id, units[0].frame_id + len(units))
    )
    assert all(unit.captured <= unit.encoded for unit in units)


async def test_a_still_screen_sends_nothing(capture: Capture) -> None:
    received = Received()
    capture.start(800, 600, received)
    await quiet(received)
    before = len(received)
    await asyncio.sleep(2 * STILL)
    assert len(received) == before


async def test_a_key_frame_comes_on_demand_although_nothing_moves(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    capture.start(800, 600, received)
    await quiet(received)
    del received[:]
    capture.request_key_frame()
    await eventually(lambda: received)
    assert received[0].key
    assert Decoder().luma(received[0]).shape == (600, 800)


async def test_after_a_pause_it_begins_with_a_key_frame(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    capture.start(800, 600, received)
    await eventually(lambda: received)
    capture.stop()
    last = received[-1].frame_id
    del received[:]
    await asyncio.sleep(STILL / 2)
    assert not received
    capture.start(800, 600, received)
    await eventually(lambda: received)
    assert received[0].key
    assert received[0].frame_id > last


async def test_it_follows_another_size(
    capture: Capture, eventually: Eventually, display: Display, connect: Callable[[Display], Any]
) -> None:
    received = Received()
    capture.start(800, 600, received)
    await eventually(lambda: received)
    assert resize.set_size(connect(display), 1024, 768) == (1024, 768)
    del received[:]
    capture.resize(1024, 768)
    await eventually(lambda: any(unit.width == 1024 for unit in received))
    fresh = next(unit for unit in received if unit.width == 1024)
    assert fresh.key
    assert Decoder().luma(fresh).shape == (768, 1024)


async def test_a_lost_frame_is_no_reference_any_more(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    capture.start(800, 600, received)
    async with scene(20, 400):
        await eventually(lambda: len(received) > 12)
        lost = received[-1].frame_id
        capture.invalidate_reference(lost)
        await eventually(lambda: received[-1].frame_id > lost + 8)
    # A viewer that never got the frame decodes what follows from some point on.
    decoder = Decoder()
    times = [
        (unit.frame_id, barcode.read(decoder.luma(unit)))
        for unit in received
        if unit.frame_id != lost
    ]
    assert any(time is not None for number, time in times if number > lost + 4)


async def test_quality_and_rate_change_while_it_runs(
    capture: Capture, eventually: Eventually
) -> None:
    received = Received()
    capture.start(800, 600, received)
    await eventually(lambda: received)
    decoder = Decoder()
    for tuning in (
        Tuning(preset="motion", frames_per_second=60),
        Tuning(preset="balanced", bitrate_kbps=2000),
        Tuning(preset="balanced", bitrate_kbps=4000),
        Tuning(preset="text"),
    ):
        capture.tune(tuning)
        async with scene(20, 5):
            seen = len(received)
            await eventually(lambda seen=seen: len(received) > seen + 3)
        assert capture.problem() is None
    for unit in list(received):
        decoder.luma(unit)


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "earthshine.runner.desktops.capture.pyav", None)
    with pytest.raises(CaptureError, match="no encoder") as failure:
        open_capture("pyav", Tuning())
    assert "desktop" in str(failure.value.remedy)


def test_key_frames_are_told_by_their_slices() -> None:
    parameters = b"\0\0\0\1\x67abc\0\0\0\1\x68d"
    assert is_key(parameters + b"\0\0\1\x65slice")
    assert is_key(b"\0\0\0\1\x06sei" + parameters + b"\0\0\0\1\x25slice")
    assert not is_key(b"\0\0\0\1\x41slice\0\0\1\x65")
    assert not is_key(b"")
    assert not is_key(b"\0\0\1")


@pytest.mark.serial
async def test_time_from_drawing_to_the_access_unit(
    capture: Capture, record_property: Callable[[str, object], None]
) -> None:
    received = Received()
    capture.start(800, 600, received)
    async with scene(20, 100) as program:
        assert program.stdout is not None
        await program.stdout.readline()
    decoder = Decoder()
    ages: dict[int, int] = {}
    encoding = [(unit.encoded - unit.captured) / 1000 for unit in received]
    for unit, arrived in zip(received, received.arrived, strict=True):
        shown = barcode.read(decoder.luma(unit))
        if shown is not None:
            ages.setdefault(shown, barcode.age(shown, arrived))
    waits = sorted(ages.values())[1:]
    figures = {
        "drawn to access unit p50 ms": statistics.median(waits),
        "drawn to access unit p95 ms": waits[int(len(waits) * 0.95)],
        "captured to access unit p50 ms": round(statistics.median(encoding), 1),
        "captured to access unit p95 ms": round(sorted(encoding)[int(len(encoding) * 0.95)], 1),
        "pictures": len(waits),
    }
    for name, value in figures.items():
        record_property(name, value)
    print(capture.name, figures)
    assert figures["drawn to access unit p50 ms"] < 100


def test_the_scene_reads_back_what_it_draws(tmp_path: Path) -> None:
    for milliseconds in (0, 1, 12345, barcode.MODULUS - 1):
        picture = np.repeat(
            np.array([16 + 219 * white for white in barcode.pattern(milliseconds)]), barcode.BLOCK
        )
        luma = np.tile(picture, (barcode.BLOCK, 1))
        assert barcode.read(luma) == milliseconds
        luma[:, : barcode.BLOCK] = 251 - luma[:, : barcode.BLOCK]
        assert barcode.read(luma) is None


# --- codecs --------------------------------------------------------------------------------------

NAL, OBU = b"\0\0\0\1", b"\x12\0"


@pytest.mark.parametrize(
    ("codec", "data", "key"),
    [
        ("h264", NAL + b"\x67" + NAL + b"\x68" + NAL + b"\x65", True),
        ("h264", NAL + b"\x41", False),
        ("hevc", NAL + b"\x40\1" + NAL + b"\x42\1" + NAL + b"\x44\1" + NAL + b"\x26\1", True),
        ("hevc", NAL + b"\x4e\1" + NAL + b"\x02\1", False),  # SEI, then a trailing picture
        ("av1", OBU + b"\x0a\x0b", True),
        ("av1", OBU + b"\x32\x10", False),
        ("av1", b"\x0a\x0b", True),
        ("h264", b"", False),
        ("hevc", b"\0\0\1", False),
        ("av1", OBU, False),
    ],
)
def test_key_frames_of_every_codec_are_recognised(codec: Any, data: bytes, key: bool) -> None:
    assert is_key(data, codec) is key


@pytest.mark.parametrize("codec", ["hevc", "av1"])
@pytest.mark.parametrize("library", LIBRARIES)
async def test_other_codecs_show_the_same(
    display: Display, eventually: Eventually, library: str, codec: Any
) -> None:
    decoder: Any = av.CodecContext.create({"hevc": "hevc", "av1": "libdav1d"}[codec], "r")
    decoder.flags |= av.codec.context.Flags.low_delay
    decoder.options = {"max_frame_delay": "1"} if codec == "av1" else {}
    capture = open_capture(library, Tuning(frames_per_second=20), codec)
    received, done = Received(), 0
    seen: list[int] = []

    def shown() -> int:
        nonlocal done
        while done < len(received):
            data, done = received[done].data, done + 1
            for picture in decoder.decode(av.Packet(data)):
                plane = picture.planes[0]
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                clock = barcode.read(rows[: picture.height, : picture.width])
                seen.extend([] if clock is None else [clock])
        return len(set(seen))

    capture.start(800, 600, received)
    try:
        async with scene(10, 1000):
            await eventually(lambda: shown() >= 5)
            keys = sum(unit.key for unit in received)
            assert keys < len(received) / 2
            capture.request_key_frame()
            await eventually(lambda: sum(unit.key for unit in received) > keys)
    finally:
        capture.stop()
    assert received[0].key
    assert seen == sorted(seen)
