"""Codecs, lost pictures and bit rates on real displays."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.sdp import Codec
from earthshine.runner.desktops.capture import codecs as installed
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.desktop_stage import offered
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from tests.long import LONG
from tests.moonlight_guests import Guest, Watching
from tests.unit.runner.desktops import barcode, noise
from tests.unit.runner.desktops.moonlight_host.desktops import CLOCK, Clock, running

pytestmark = pytest.mark.serial
Eventually = Callable[..., Awaitable[Any]]
PICTURES = 12
TOO_LATE = 3000
"""Milliseconds: x265 and SVT-AV1 share two cores with everything else here."""
RATES = (2000, 8000)
"""kbit/s, parity and sound included."""
NOISE = f"{sys.executable} {noise.__file__} 30"


@pytest.fixture
async def host(tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[MoonlightHost]:
    apps = [HostApp("7", "Clock", CLOCK), HostApp("9", "Noise", NOISE)]
    async with running(tmp_path, apps, ["hevc", "av1"]) as host:
        yield host


async def read_clocks(watching: Watching, codec: Codec, count: int) -> list[int]:
    """Ages of so many pictures, in ms, once the clock shows."""
    clock, done = Clock(codec), 0
    ages: list[int] = []
    deadline = time.monotonic() + 30
    while len(ages) < count:
        assert time.monotonic() < deadline, f"{len(ages)} of {done} pictures could be read"
        if len(watching.frames) == done:
            await watching.picture()
        frames = watching.frames[done:]
        done += len(frames)
        for frame in frames:
            shown = clock.read(frame.data)
            if shown is not None:
                ages.append(barcode.age(shown, barcode.now()))
    return ages


def wishes(codec: Codec, **more: Any) -> Wishes:
    return Wishes(640, 480, 30, 6000, codecs=frozenset({codec}), **more)


@pytest.mark.parametrize("codec", list(Codec), ids=lambda codec: codec.name)
async def test_a_display_in_every_codec(host: MoonlightHost, codec: Codec) -> None:
    engines = await installed.survey("auto")
    if codec not in host.sessions._provider.codecs:
        pytest.skip(f"no encoder for {codec.name} is installed: {engines}")
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch(await guest.start(7, width=640, height=480), wishes(codec))
    assert watching.stream.setup.announce.codec is codec
    assert watching.frames[0].idr
    ages = await read_clocks(watching, codec, PICTURES)
    assert max(ages) < TOO_LATE
    # A lost decoder is helped by an IDR in every codec.
    before = watching.stream.figures.idr_frames
    watching.stream.request_idr()
    while watching.stream.figures.idr_frames == before:
        await watching.picture()
    await watching.leave()


async def test_viewers_of_two_codecs_share_a_display(host: MoonlightHost) -> None:
    guest = Guest(host)
    guest.trust()
    first = await guest.watch(await guest.start(7, width=640, height=480), wishes(Codec.H264))
    other = Guest(host, 1)
    other.trust()
    host.catalog.add(HostApp("10", "Same", None, parent_session=guest.session.id))
    second = await other.watch(await other.start(10), wishes(Codec.AV1))
    assert len(await read_clocks(second, Codec.AV1, 5)) >= 5
    assert len(await read_clocks(first, Codec.H264, 5)) >= 5
    await second.leave()
    await first.leave()


@pytest.mark.parametrize("codec", [Codec.H264, Codec.AV1], ids=lambda codec: codec.name)
async def test_a_lost_picture_is_answered_by_one_that_does_without(
    host: MoonlightHost, eventually: Eventually, codec: Codec
) -> None:
    guest = Guest(host)
    guest.trust()
    wanted = wishes(codec, reference_invalidation=True)
    watching = await guest.watch(await guest.start(7, width=640, height=480), wanted)
    assert watching.stream.setup.offer.reference_invalidation
    await read_clocks(watching, codec, 5)
    sent = guest.session.connection.video.counters
    before = watching.stream.figures.idr_requests
    lose_a_frame(watching)
    await eventually(lambda: watching.stream.figures.invalidations)
    await eventually(lambda: not watching.stream._loss.awaiting)
    assert sent.after_invalidation >= 1
    assert watching.stream.figures.idr_requests == before, "a key frame was not needed"
    # And a decoder that never saw the lost picture shows the right time.
    assert max((await read_clocks(watching, codec, PICTURES))[-5:]) < TOO_LATE
    assert watching.stream.figures.lost == 1
    await watching.leave()


def lose_a_frame(watching: Watching) -> None:
    """The next frame's packets are thrown away on their way to the client."""
    video = watching.stream._video_in
    receive = video.receive
    lost: list[int] = []

    def drop(datagram: bytes) -> Any:
        frame = int.from_bytes(datagram[20:24], "little")
        if not lost or frame == lost[0]:
            lost.append(frame)
            return []
        return receive(datagram)

    video.receive = drop  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "codec", [Codec.H264, pytest.param(Codec.AV1, marks=LONG)], ids=lambda codec: codec.name
)
async def test_the_bit_rate_follows_announce(host: MoonlightHost, codec: Codec) -> None:
    """Noise takes what it is given: the display's encoder keeps to what the client announced."""
    guest = Guest(host)
    guest.trust()
    rates = []
    for kbps in RATES:
        wanted = Wishes(640, 480, 30, kbps, codecs=frozenset({codec}))
        watching = await guest.watch(await guest.start(9, width=640, height=480), wanted)
        for _ in range(10):  # what begins is larger
            await watching.picture()
        sent = guest.session.connection.video.counters
        before = sent.bytes, sent.frames
        for _ in range(30):
            await watching.picture()
        # Of as many pictures as were announced: a busy machine makes fewer of the same size.
        size = (sent.bytes - before[0]) / (sent.frames - before[1])
        rates.append(size * 8 / 1000 * wanted.fps)
        await watching.leave()
    assert rates[0] < RATES[0] * 1.25, rates
    assert rates[1] > rates[0] * 1.4, rates
    assert rates[1] < RATES[1] * 1.25, rates


def test_hardware_is_offered_by_itself_and_software_only_when_chosen() -> None:
    engines: dict[Any, Any] = {"h264": "software", "hevc": "hardware", "av1": "software"}
    assert offered(engines, "auto") == {Codec.H264, Codec.HEVC}
    assert offered(engines, []) == {Codec.H264}
    assert offered(engines, ["av1"]) == {Codec.H264, Codec.AV1}
    assert offered({"h264": "software"}, ["av1", "hevc"]) == {Codec.H264}
