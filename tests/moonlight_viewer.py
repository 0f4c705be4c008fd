"""Our own client as a process: one line of JSON in, one line of JSON out, for each stream.

``python -m tests.moonlight_viewer FOLDER ADDRESS PORT PIN`` pairs first, if it has to. A line may
say ``app, codec, encryption, plain_rtsp, packet_size, size, fps, kbps, pictures, seconds, quit``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earthshine.net.moonlight.client.decoding import Picture, VideoDecoder
from earthshine.net.moonlight.client.host import GameHost
from earthshine.net.moonlight.client.stream import ClientStream
from earthshine.net.moonlight.identities import load_identity
from earthshine.protocols.moonlight.certificates import Certificate
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.launch import LaunchRequest
from earthshine.protocols.moonlight.sdp import Codec, Encryption
from tests import barcode
from tests.moonlight_world import read_clock


class Show:
    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted["pictures"]
        self.clocks: list[int | None] = []
        self.ages: list[int] = []
        self.enough = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def picture(self, picture: Picture) -> None:
        clock = read_clock(picture.image)
        self.clocks.append(clock)
        if clock is not None:
            self.ages.append(barcode.age_ms(clock))
        if len(self.clocks) >= self.wanted:
            self._loop.call_soon_threadsafe(self.enough.set)


async def stream(host: GameHost, wanted: dict[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    width, height = wanted.get("size", (640, 360))
    fps, codec = wanted.get("fps", 30), Codec[wanted.get("codec", "H264")]
    request = LaunchRequest(
        host.fresh_keys(),
        app_id=wanted.get("app", 7),
        width=width,
        height=height,
        fps=fps,
        core_version=0 if wanted.get("plain_rtsp") else 1,
    )
    started = await host.start(request, await host.info(), replace=True)
    wishes = Wishes(
        width,
        height,
        fps,
        wanted.get("kbps", 4000),
        codecs=frozenset({codec}),
        encryption=Encryption(wanted.get("encryption", 0)),
        packet_size=wanted.get("packet_size", 1392),
    )
    show = Show(wanted)
    watching: list[ClientStream] = []
    loop = asyncio.get_running_loop()

    def failed() -> None:
        for stream in watching:
            loop.call_soon_threadsafe(stream.request_idr)

    decoder = VideoDecoder(codec, show.picture, failed)
    blocks = []
    first: list[float] = []

    def frame(frame: Any) -> None:
        blocks.append(len(frame.data))
        if not first:
            first.append((time.monotonic() - begun) * 1000)
        decoder.put(frame)

    enough = True
    async with ClientStream(
        host.address, started, wishes, entropy=secrets.token_bytes, on_frame=frame
    ) as running:
        watching.append(running)
        try:
            async with asyncio.timeout(wanted.get("seconds", 15)):
                await show.enough.wait()
        except TimeoutError:
            enough = False
        setup = running.setup
    await asyncio.to_thread(decoder.close)
    if wanted.get("quit"):
        await host.cancel()
    return {
        "enough": enough,
        "resumed": started.resumed,
        "first_frame_ms": round(first[0], 1) if first else None,
        "pictures": len(show.clocks),
        "unreadable": show.clocks.count(None),
        "in_order": [c for c in show.clocks if c is not None]
        == sorted(c for c in show.clocks if c is not None),
        "age_ms": statistics.median(show.ages) if show.ages else None,
        "age_p95_ms": sorted(show.ages)[len(show.ages) * 95 // 100] if show.ages else None,
        "worst_age_ms": max(show.ages, default=None),
        "decode_failures": decoder.failures,
        "codec": setup.announce.codec.name,
        "encryption": int(setup.announce.encryption),
        "encrypted_rtsp": started.url.encrypted,
        "packet_size": setup.announce.packet_size,
        "largest_frame": max(blocks, default=0),
        "figures": running.figures.as_json(),
    }


async def main() -> None:
    folder, address, port, pin = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    identity = load_identity(folder, "viewer", datetime.now(UTC))
    kept = folder / f"host-{port}.pem"
    pinned = Certificate.from_pem(kept.read_bytes()) if kept.exists() else None
    host = GameHost(address, port, identity, pinned, secrets.token_bytes)
    if pinned is None:
        kept.write_bytes((await host.pair(pin)).pem)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("{}", flush=True)
    while line := await commands.readline():
        print(json.dumps(await stream(host, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
