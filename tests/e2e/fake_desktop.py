"""A fake desktop: speaks the viewer protocol for real, with a real encoder, about a made-up screen.

One encoder for all viewers, as the protocol wants it. The screen is a pattern with a barcode of
milliseconds at its top left.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
import zlib
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.video.frame import PictureType

from earthshine.protocols import viewer
from earthshine.protocols.viewer import MAX_FROM_VIEWER, Box, Deframer
from tests.e2e import barcode

MAX_UNSEEN: Final = 12
"""Frames on their way to a viewer before it is skipped."""
STEERING: Final = {"owner", "controller"}


def png(pixels: np.ndarray) -> bytes:
    """RGB or RGBA pixels as a PNG."""
    height, width, channels = pixels.shape
    kind = 6 if channels == 4 else 2
    rows = b"".join(b"\0" + pixels[row].tobytes() for row in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


class Encoder:
    """libx264 as desktops use it: baseline, no delay, parameter sets in each key frame."""

    codec: Final = "avc1.42c028"

    def __init__(self, width: int, height: int) -> None:
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 1000)
        context.thread_count = 1
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "g": "100000",
            "crf": "20",
        }
        self._context = context
        self._count = 0

    def encode(self, picture: np.ndarray, *, key: bool) -> tuple[bytes, bool]:
        """An access unit, and whether it is a key frame."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = self._count
        self._count += 1
        if key:
            frame.pict_type = PictureType.I
        packets = self._context.encode(frame)
        assert len(packets) == 1, "an encoder that keeps frames back"
        return bytes(packets[0]), packets[0].is_keyframe


def opus(packets: int) -> list[bytes]:
    """20 ms each of a tone, as Opus, 48 kHz stereo."""
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "flt"
    context.time_base = Fraction(1, 48_000)
    found: list[bytes] = []
    for at in range(packets):
        times = (np.arange(960) + at * 960) / 48_000
        tone = (0.2 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(tone, 2).reshape(1, -1), format="flt", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at * 960, Fraction(1, 48_000)
        found += [bytes(packet) for packet in context.encode(frame)]
    return found


class Consumer:
    """One viewer's stream."""

    def __init__(self, number: int, attach: viewer.Attach, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.attach = attach
        self.writer = writer
        self.wants = viewer.Watch(video="none")
        self.needs_key = True
        self.asks = False
        self.unseen: set[int] = set()
        self.seen: list[int] = []
        self.heard: list[viewer.FromViewer] = []
        self.skipped = 0

    @property
    def may_control(self) -> bool:
        return self.attach.role in STEERING

    def say(self, message: viewer.Message) -> None:
        self.writer.write(viewer.framed(viewer.encode(message)))


class FakeDesktop:
    """The desktop process of one session. Belongs to the event loop."""

    def __init__(self, width: int = 640, height: int = 400, rate: int = 30) -> None:
        self.rate = rate
        self.consumers: dict[int, Consumer] = {}
        self.control = 0
        self.input: list[viewer.FromViewer] = []
        """What whoever has control has done, in order."""
        self.all_input: list[tuple[int, viewer.FromViewer]] = []
        self.attached = 0
        self.wishes: list[viewer.FromViewer] = []
        self.moving = True
        self.state = "ready"
        self.audio = False
        self.codec = Encoder.codec
        self.answers_resize = True
        self._frame = 0
        self._changed: list[Box] = []
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Another screen."""
        self.size = (width, height)
        y, x = np.mgrid[0:height, 0:width]
        self.screen = np.zeros((height, width, 3), np.uint8)
        self.screen[..., 0] = 40 + (x * 3 + y) % 97
        self.screen[..., 1] = 60 + ((x // 7) ^ (y // 5)) % 120
        self.screen[..., 2] = 90 + (y * 2) % 83
        self._encoder = Encoder(width, height)
        for consumer in self.consumers.values():
            consumer.needs_key = True
        self._tell_all(self.condition())

    def condition(self) -> viewer.DesktopIs:
        return viewer.DesktopIs(
            state=self.state,  # type: ignore[arg-type]
            width=self.size[0],
            height=self.size[1],
            codec=self.codec,
            rate=self.rate,
            audio=self.audio,
            layout="us",
        )

    def set_state(self, state: str, detail: str = "", remedy: str = "") -> None:
        self.state = state
        self._tell_all(
            viewer.DesktopIs(state=state, detail=detail, remedy=remedy)  # type: ignore[arg-type]
        )

    def paint(self, box: Box, colour: tuple[int, int, int]) -> None:
        """A program draws a rectangle."""
        x, y, width, height = box
        self.screen[y : y + height, x : x + width] = colour
        self._changed.append(box)

    def settle(self, box: Box) -> None:
        """Exact pixels of a part that will not change for now."""
        x, y, width, height = box
        exact = png(self.screen[y : y + height, x : x + width])
        self._tell_all(viewer.Exact(self._frame, x, y, width, height, 0, exact))

    def say(self, message: viewer.FromDesktop) -> None:
        self._tell_all(message)

    def cut(self) -> None:
        """All streams end without a word."""
        for consumer in list(self.consumers.values()):
            consumer.writer.transport.abort()

    def _tell_all(self, message: viewer.Message) -> None:
        for consumer in self.consumers.values():
            consumer.say(message)

    # --- pictures --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Draw and encode until cancelled."""
        while True:
            begun = time.monotonic()
            if self.moving or any(consumer.needs_key for consumer in self.consumers.values()):
                self.produce()
            await asyncio.sleep(max(0.001, 1 / self.rate - (time.monotonic() - begun)))

    def produce(self) -> None:
        """One frame for whoever wants it."""
        watching = [c for c in self.consumers.values() if c.wants.video != "none"]
        if not watching or self.state != "ready":
            return
        captured = time.monotonic_ns() // 1000
        barcode.draw(self.screen, barcode.now())
        changed = [(0, 0, barcode.WIDTH, barcode.BLOCK), *self._changed]
        self._changed = []
        self._frame = (self._frame + 1) % 2**32
        by_video = [c for c in watching if c.wants.video == "h264"]
        if by_video:
            wanted = any(c.needs_key and len(c.unseen) <= MAX_UNSEEN for c in by_video)
            unit, key = self._encoder.encode(self.screen, key=wanted)
            spent = time.monotonic_ns() // 1000 - captured
            for consumer in by_video:
                self._send(consumer, unit, key, changed, captured, spent)
        for consumer in watching:
            if consumer.wants.statistics and self._frame % self.rate == 0:
                consumer.say(
                    viewer.Statistics(
                        capture_ms=1.5,
                        encode_ms=4.2,
                        frames=self.rate,
                        skipped=consumer.skipped,
                        bytes=0,
                        encoder="x264, fake",
                    )
                )
            if consumer.wants.video == "stills" and not consumer.unseen:
                consumer.unseen.add(self._frame)
                still = png(self.screen)
                consumer.say(viewer.Still(self._frame, captured, 0, *self.size, 0, still))

    def _send(
        self, to: Consumer, unit: bytes, key: bool, changed: list[Box], captured: int, spent: int
    ) -> None:
        if len(to.unseen) > MAX_UNSEEN:
            to.needs_key = True
        if to.needs_key and not (key and len(to.unseen) <= MAX_UNSEEN):
            to.skipped += 1
            return
        if to.needs_key:
            flags, data = viewer.FrameFlag.KEY, unit
        else:
            flags = viewer.FrameFlag.DAMAGE | (viewer.FrameFlag.KEY if key else 0)
            data = viewer.with_damage(changed, unit)
        to.needs_key = False
        to.unseen.add(self._frame)
        to.say(viewer.Video(flags, self._frame, captured, spent, data))

    # --- viewers ---------------------------------------------------------------------------------

    async def serve(self, sock: socket.socket) -> None:
        """One viewer, until it goes."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        deframer = Deframer(MAX_FROM_VIEWER)
        consumer: Consumer | None = None
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for message in deframer.feed(data):
                    heard = viewer.decode_from_control(message)
                    if isinstance(heard, viewer.Attach):
                        consumer = self._attach(heard, writer)
                    elif isinstance(heard, viewer.RoleIs):
                        assert consumer is not None
                        consumer.attach = viewer.Attach(
                            viewer=consumer.attach.viewer,
                            name=consumer.attach.name,
                            role=heard.role,
                            may_control=heard.may_control,
                        )
                        self._tell_viewers()
                    else:
                        assert consumer is not None
                        self._hear(consumer, heard)
        writer.close()
        if consumer is not None:
            self.consumers.pop(consumer.number, None)
            if self.control == consumer.number:
                self.control = 0
            self._tell_viewers()

    def _attach(self, attach: viewer.Attach, writer: asyncio.StreamWriter) -> Consumer:
        self.attached += 1
        consumer = Consumer(self.attached, attach, writer)
        self.consumers[consumer.number] = consumer
        consumer.say(self.condition())
        self._tell_viewers()
        return consumer

    def _tell_viewers(self) -> None:
        for to in self.consumers.values():
            people = [
                viewer.ViewerIs(
                    number=c.number,
                    name=c.attach.name,
                    role=c.attach.role,
                    you=c is to,
                    asks=c.asks,
                )
                for c in self.consumers.values()
            ]
            to.say(viewer.Viewers(viewers=people, control=self.control))

    def _give(self, number: int) -> None:
        self.control = number
        if number in self.consumers:
            self.consumers[number].asks = False
        self._tell_viewers()

    def _hear(self, who: Consumer, heard: Any) -> None:
        who.heard.append(heard)
        match heard:
            case viewer.Watch():
                who.needs_key = who.needs_key or heard.video != who.wants.video
                who.wants = heard
                self.wishes.append(heard)
            case viewer.Seen(frame=frame):
                who.unseen.discard(frame)
                who.seen.append(frame)
            case viewer.KeyFrameWanted():
                who.needs_key = True
                self.wishes.append(heard)
            case viewer.Ping(sent=sent):
                who.say(viewer.Pong(sent, time.monotonic_ns() // 1000))
            case viewer.TakeControl():
                self._give(who.number)
            case viewer.AskForControl():
                who.asks = True
                self._give(who.number) if self.control == 0 else self._tell_viewers()
            case viewer.GiveControl(to=to):
                if self.control == who.number:
                    self._give(to)
            case viewer.SetPreset() | viewer.Resize():
                self.wishes.append(heard)
                if isinstance(heard, viewer.Resize) and self.answers_resize:
                    self.resize(heard.width, heard.height)
            case _:
                self._steer(who, heard)

    def _steer(self, who: Consumer, heard: Any) -> None:
        self.all_input.append((who.number, heard))
        pressed = isinstance(heard, viewer.Key) or (
            isinstance(heard, viewer.Pointer) and heard.buttons
        )
        if self.control == 0 and pressed:
            self._give(who.number)
        if self.control != who.number:
            return
        self.input.append(heard)
        if isinstance(heard, viewer.Pointer):
            self._tell_all(viewer.PointerAt(who.number, heard.x, heard.y))
