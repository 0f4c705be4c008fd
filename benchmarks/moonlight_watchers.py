"""Both ways to watch one desktop, in a process of their own: GameStream and the native stream.

``python -m benchmarks.moonlight_watchers FOLDER PORT SECONDS STARTS`` launches app 7, says so,
reads the path of the native stream's socket from a line, and prints the ages of decoded pictures
in ms. Both are decoded by the same library; a picture's age is from drawing its clock to having
decoded it. Then it launches and resumes so many times, and says how long the first picture took.
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

import numpy as np

from earthshine.net.moonlight.client.decoding import Picture, VideoDecoder
from earthshine.net.moonlight.client.host import GameHost
from earthshine.net.moonlight.client.stream import ClientStream
from earthshine.net.moonlight.identities import load_identity
from earthshine.protocols import viewer
from earthshine.protocols.moonlight.certificates import Certificate
from earthshine.protocols.moonlight.depacketiser import Frame
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.launch import LaunchRequest
from earthshine.protocols.moonlight.sdp import Codec, Encryption
from tests.unit.runner.desktops import barcode
from tests.unit.runner.desktops.viewers.decoding import Decoder

SIZE = (1280, 720)
FPS = 60
SETTLE_SECONDS = 2.0
NAME = "watcher"


class Ages:
    """Ages of pictures whose clock can be read, after things have settled."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self.pictures = 0
        self._begin = time.monotonic() + SETTLE_SECONDS

    def add(self, luma: Any) -> None:
        shown = barcode.read(luma)
        if time.monotonic() > self._begin:
            self.pictures += 1
            if shown is not None:
                self.found.append(barcode.age(shown, barcode.now()))

    def said(self) -> dict[str, Any]:
        ages = sorted(self.found)
        return {
            "pictures": self.pictures,
            "read": len(ages),
            "p50_ms": statistics.median(ages),
            "p95_ms": ages[len(ages) * 95 // 100],
            "worst_ms": ages[-1],
        }


async def gamestream(host: GameHost, ages: Ages | None, seconds: float) -> float:
    """Stream, with everything encrypted; ms from asking /serverinfo to the first whole frame."""
    begun = time.monotonic()
    first: list[float] = []
    request = LaunchRequest(
        host.fresh_keys(), app_id=7, width=SIZE[0], height=SIZE[1], fps=FPS, core_version=1
    )
    started = await host.start(request, await host.info())
    wishes = Wishes(*SIZE, FPS, 10_000, encryption=Encryption.ALL)

    def picture(found: Picture) -> None:
        plane = found.image.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        if ages is not None:
            ages.add(luma)

    decoder = VideoDecoder(Codec.H264, picture, lambda: None)

    def frame(one: Frame) -> None:
        first.append((time.monotonic() - begun) * 1000)
        decoder.put(one)

    async with ClientStream(
        host.address, started, wishes, entropy=secrets.token_bytes, on_frame=frame
    ):
        await asyncio.sleep(seconds)
        while not first:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(decoder.close)
    return first[0]


async def native(path: str, ages: Ages, seconds: float) -> None:
    """The viewer's protocol, on the socket that the control plane dials."""
    reader, writer = await asyncio.open_unix_connection(path)
    deframer, decoder = viewer.Deframer(viewer.MAX_FROM_DESKTOP), Decoder()

    def say(*messages: viewer.Message) -> None:
        for message in messages:
            writer.write(viewer.framed(viewer.encode(message)))

    say(viewer.Attach(viewer=NAME, name=NAME, role="owner", may_control=True), viewer.Watch())
    try:
        async with asyncio.timeout(seconds):
            while data := await reader.read(1 << 16):
                for message in map(viewer.decode_from_desktop, deframer.feed(data)):
                    if isinstance(message, viewer.Still):
                        say(viewer.Seen(message.frame, 1))
                    if not isinstance(message, viewer.Video):
                        continue
                    unit = message.data
                    if message.flags & viewer.FrameFlag.DAMAGE:
                        _, unit = viewer.split_damage(unit)
                    ages.add(await asyncio.to_thread(decoder.luma, unit))
                    say(viewer.Seen(message.frame, 1))
    except TimeoutError:
        pass
    finally:
        writer.close()


async def main() -> None:
    folder, port, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    starts = int(sys.argv[4])
    identity = load_identity(folder, NAME, datetime.now(UTC))
    pinned = Certificate.from_pem((folder / "pinned.pem").read_bytes())
    host = GameHost("127.0.0.1", port, identity, pinned, secrets.token_bytes)
    await gamestream(host, None, 1.0)
    print("started", flush=True)
    path = (await asyncio.to_thread(sys.stdin.readline)).strip()
    alone = {"gamestream": Ages()}
    await gamestream(host, alone["gamestream"], seconds)
    alone["native"] = Ages()
    await native(path, alone["native"], seconds)
    together = {"gamestream": Ages(), "native": Ages()}
    await asyncio.gather(
        gamestream(host, together["gamestream"], seconds),
        native(path, together["native"], seconds),
    )
    found: dict[str, Any] = {
        name: {way: ages.said() for way, ages in ways.items()}
        for name, ways in (("alone", alone), ("together", together))
    }
    launches, resumes = [], []
    for _ in range(starts):
        await host.cancel()
        launches.append(await gamestream(host, None, 0.3))
        resumes += [await gamestream(host, None, 0.3) for _ in range(3)]
    await host.cancel()
    found["first_picture"] = {"launch": launches, "resume": resumes}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
