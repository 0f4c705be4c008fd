"""The control stream answers while encoder and sender have all the work they can do.

Host and the viewer that keeps it busy are processes; what is timed is a second client's pings.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from earthshine.net.moonlight.client.host import GameHost
from earthshine.net.moonlight.client.stream import ClientStream
from earthshine.net.moonlight.identities import make_identity
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.launch import LaunchRequest
from tests.moonlight_processes import PIN, Talker, running_host

pytestmark = pytest.mark.serial
SECONDS = 4.0
MEDIAN_MS, WORST_MS = 250, 5000
"""Clients give up after 10 s without an answer; input feels slow above the median's bound. On two
quiet cores it was below 1 ms, and 17 ms at worst."""
FPS = 60
BUSY_CORES = 0.8
"""What the host uses at least: else there was no load to starve behind."""


async def test_pings_are_answered_while_the_encoder_is_busy(tmp_path: Path) -> None:
    with running_host(tmp_path, noise=True) as host:
        load = Talker(
            tmp_path / "viewer.log",
            "tests.moonlight_viewer",
            str(tmp_path),
            "127.0.0.1",
            str(host.port),
            PIN,
        )
        try:
            process = psutil.Process(host.process.pid)
            busy = asyncio.create_task(
                asyncio.to_thread(
                    load,
                    app=9,
                    size=(1920, 1080),
                    fps=FPS,
                    kbps=100_000,
                    pictures=1_000_000,
                    seconds=SECONDS + 3,
                )
            )
            identity = await asyncio.to_thread(make_identity, "second", datetime.now(UTC))
            game = GameHost("127.0.0.1", host.port, identity, None, secrets.token_bytes)
            game.pinned = await game.pair(PIN)
            request = LaunchRequest(
                game.fresh_keys(), app_id=7, width=192, height=112, fps=10, core_version=1
            )
            started = await game.start(request, await game.info())
            samples: list[int] = []
            async with ClientStream(
                "127.0.0.1",
                started,
                Wishes(192, 112, 10, 1000),
                entropy=secrets.token_bytes,
                on_frame=lambda _: None,
            ) as stream:
                assert stream._control is not None
                peer = stream._control._engine.peer
                measure = peer._measure

                def measured(sample: int) -> None:
                    samples.append(sample)
                    measure(sample)

                peer._measure = measured  # type: ignore[method-assign]
                before = sum(process.cpu_times()[:2])
                await asyncio.sleep(SECONDS)
                spent = (sum(process.cpu_times()[:2]) - before) / SECONDS
                assert not stream.is_over
            found = await busy
        finally:
            load.stop()
    frames, seconds = found["figures"]["frames"], found["figures"]["seconds"]
    assert frames > 0
    assert spent > BUSY_CORES
    assert len(samples) > SECONDS * 2, "one ping in 100 ms was sent"
    assert statistics.median(samples) < MEDIAN_MS, sorted(samples)
    assert max(samples) < WORST_MS, sorted(samples)
    kbps = found["figures"]["bitrate_kbps"]
    print(f"{spent:.2f} cores, {frames / seconds:.0f} fps, {kbps} kbit/s, {len(samples)} pings:")
    print(f"median {statistics.median(samples)}, worst {max(samples)} ms")
