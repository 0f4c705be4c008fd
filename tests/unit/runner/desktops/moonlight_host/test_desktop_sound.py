"""What a program in a display plays is heard by our client: the same tones on the same sides."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earthshine.net.moonlight.client.decoding import SAMPLE_RATE, AudioDecoder
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.sdp import STEREO_LAYOUT
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from tests.long import LONG
from tests.moonlight_guests import Guest
from tests.unit.runner.desktops.moonlight_host.desktops import running

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(
        not (shutil.which("pacat") and shutil.which("pulseaudio")),
        reason="pacat or pulseaudio is not installed: apt-get install pulseaudio",
    ),
]
Eventually = Callable[..., Awaitable[Any]]
TONES = (440, 660)
SECONDS = 20
WINDOW = SAMPLE_RATE // 2
LOUD = 0.05
"""Of full scale; the tones are played at a third of it."""


def loudest(samples: Any) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)[int(np.argmax(spectrum))])


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=LONG)], ids=["5 ms", "10 ms"])
async def test_a_program_in_the_display_is_heard(
    tmp_path: Path, environment: dict[str, str], eventually: Eventually, slow: bool
) -> None:
    at = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
    sides = [np.sin(2 * np.pi * tone * at) * 10_000 for tone in TONES]
    (tmp_path / "tones").write_bytes(np.stack(sides, axis=1).astype("<i2").tobytes())
    play = "pacat --raw --rate=48000 --channels=2 --format=s16le"
    apps = [HostApp("7", "Player", f"{play} {shlex.quote(str(tmp_path / 'tones'))}; sleep 60")]
    async with running(tmp_path, apps, window_manager="off") as host:
        guest = Guest(host)
        guest.trust()
        wanted = Wishes(640, 480, 30, 4000, slow_audio_decoder=slow)
        watching = await guest.watch(await guest.start(7, width=640, height=480), wanted)
        try:
            announced = watching.stream.setup.announce
            assert announced.audio_packet_ms == (10 if slow else 5)
            decoder = AudioDecoder(STEREO_LAYOUT)
            heard = np.zeros((0, 2), np.float32)
            taken = 0

            def enough() -> bool:
                nonlocal heard, taken
                for packet in watching.audio[taken:]:
                    taken += 1
                    for samples in decoder.decode(packet) if packet else []:
                        # Silence before the player begins is no part of what is looked at.
                        if len(heard) or np.abs(samples).max() > LOUD:
                            heard = np.concatenate([heard, samples])
                return len(heard) > 2 * WINDOW

            await eventually(enough)
            ends = heard[WINDOW : 2 * WINDOW]
            assert [loudest(ends[:, side]) for side in (0, 1)] == pytest.approx(TONES, abs=10)
            # Not a fragment now and then: the whole half second sounds.
            blocks = np.abs(ends[: WINDOW // 480 * 480]).reshape(-1, 480, 2).max(axis=(1, 2))
            assert (blocks > LOUD).mean() > 0.9
        finally:
            await watching.leave()
