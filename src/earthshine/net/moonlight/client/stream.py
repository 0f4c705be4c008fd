"""One running stream at the client: RTSP, control, pictures, sound, input."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from earthshine.net.moonlight import datagrams
from earthshine.net.moonlight.client.figures import Figures
from earthshine.net.moonlight.enet import EnetPeer, now_ms
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.receiving import DatagramReader
from earthshine.net.moonlight.rtsp import RtspClient
from earthshine.protocols.moonlight import control
from earthshine.protocols.moonlight.audio import (
    AudioCipher,
    AudioDepacketiser,
    AudioError,
    AudioEvent,
    AudioReceived,
)
from earthshine.protocols.moonlight.control_cipher import (
    ControlCipher,
    ControlCipherError,
    IvScheme,
)
from earthshine.protocols.moonlight.depacketiser import (
    BlockDamaged,
    Frame,
    VideoDepacketiser,
)
from earthshine.protocols.moonlight.enet import (
    Delivery,
    Disconnected,
    EnetClient,
    EnetError,
    EnetEvent,
    EnetSettings,
    Received,
)
from earthshine.protocols.moonlight.handshake import ClientHandshake, StreamSetup, Wishes
from earthshine.protocols.moonlight.input_queue import coalesce
from earthshine.protocols.moonlight.loss import Deliver, LossCommand, LossRecovery
from earthshine.protocols.moonlight.ping import INTERVAL_MS, MediaPing
from earthshine.protocols.moonlight.rtsp import Role, RtspCipher
from earthshine.protocols.moonlight.sdp import Encryption
from earthshine.protocols.moonlight.video import VideoCipher, VideoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.net.moonlight.client.host import Started
    from earthshine.protocols.moonlight.input import InputEvent

NO_VIDEO_SECONDS: Final = 10.0
MAX_QUEUED_INPUT: Final = 1024
"""Events waiting for the network; more are refused."""
_WATCH_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamOver:
    """The stream ended by itself. ``reason`` is the host's number, None if it just went away."""

    words: str
    reason: int | None = None

    @property
    def graceful(self) -> bool:
        """Whether the host ended it on purpose."""
        return self.reason == control.GRACEFUL


class ClientStream:
    """An async context manager: streams from entering to leaving.

    ``on_frame`` gets what a decoder may see, ``on_audio`` each Opus packet or None where one is
    missing; both on the event loop. Entering raises ConnectionFailedError and MoonlightError.
    """

    def __init__(
        self,
        address: str,
        started: Started,
        wishes: Wishes,
        *,
        entropy: Callable[[int], bytes],
        on_frame: Callable[[Frame], None],
        on_audio: Callable[[bytes | None], None] = lambda _: None,
        on_message: Callable[[control.Message], None] = lambda _: None,
    ) -> None:
        self.figures = Figures()
        self._address = address
        self._started = started
        self._wishes = wishes
        self._entropy = entropy
        self._on_frame = on_frame
        self._on_audio = on_audio
        self._on_message = on_message
        self._tasks = asyncio.TaskGroup()
        self._over: asyncio.Future[StreamOver]
        self._setup: StreamSetup
        self._control: EnetPeer | None = None
        self._control_cipher: ControlCipher
        self._video: DatagramReader | None = None
        self._audio: DatagramReader | None = None
        self._video_in: VideoDepacketiser
        self._audio_in: AudioDepacketiser
        self._loss: LossRecovery
        self._input: deque[InputEvent] = deque()
        self._flushing = False
        self._begun = 0.0
        self._last_packet = 0.0
        self._running: list[asyncio.Task[None]] = []

    @property
    def setup(self) -> StreamSetup:
        """What the handshake agreed on."""
        return self._setup

    async def __aenter__(self) -> Self:
        self._over = asyncio.get_running_loop().create_future()
        self._begun = self._last_packet = time.monotonic()
        self._setup = await self._handshake()
        self._prepare()
        await self._tasks.__aenter__()
        try:
            self._open_media()
            await self._open_control()
        except BaseException:
            await self._close(goodbye=False)
            raise
        self._running.append(self._tasks.create_task(self._watch()))
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._close(goodbye=True)

    async def over(self) -> StreamOver:
        """Waits until the stream ends by itself."""
        return await asyncio.shield(self._over)

    @property
    def is_over(self) -> bool:
        """Whether it ended by itself."""
        return self._over.done()

    def send(self, event: InputEvent) -> None:
        """Input; what is sent in one turn of the event loop is merged. Raises
        ConnectionFailedError when too much waits."""
        if len(self._input) >= MAX_QUEUED_INPUT:
            raise ConnectionFailedError("the host does not take input any more")
        self._input.append(event)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_input)

    def request_idr(self) -> None:
        """The decoder cannot go on: ask for a frame that needs nothing before it."""
        self._obey(self._loss.decoder_failed())

    # -- opening ----------------------------------------------------------------------------------

    async def _handshake(self) -> StreamSetup:
        url, keys = self._started.url, self._started.keys
        cipher = RtspCipher(keys.key, Role.CLIENT) if url.encrypted else None
        client = RtspClient(self._address, url.port, cipher)
        version = 6 if ":" in self._address else 4
        handshake = ClientHandshake(url, self._wishes, ip_version=version)
        step = handshake.begin()
        while True:
            following = handshake.receive(await client.exchange(step))
            if isinstance(following, StreamSetup):
                return following
            step = following

    def _prepare(self) -> None:
        announce, keys = self._setup.announce, self._started.keys
        scheme = IvScheme.V2 if announce.encryption & Encryption.CONTROL_V2 else IvScheme.LEGACY
        self._control_cipher = ControlCipher(keys.key, Role.CLIENT, scheme)
        sealed = bool(announce.encryption & Encryption.VIDEO)
        self._video_in = VideoDepacketiser(
            announce.packet_size, announce.codec, VideoCipher(keys.key) if sealed else None
        )
        self._audio_in = AudioDepacketiser(
            announce.audio_packet_ms,
            AudioCipher(keys.key, keys.key_id) if announce.audio_encrypted else None,
        )
        invalidation = self._wishes.reference_invalidation
        self._loss = LossRecovery(
            reference_invalidation=invalidation and self._setup.offer.reference_invalidation
        )

    def _open_media(self) -> None:
        try:
            video = datagrams.connected(self._address, self._setup.video_port)
            self._video = DatagramReader(video, self._video_datagram)
            audio = datagrams.connected(self._address, self._setup.audio_port)
            self._audio = DatagramReader(audio, self._audio_datagram)
        except OSError as error:
            raise ConnectionFailedError(f"no media connection: {error}") from None
        self._running.append(self._tasks.create_task(self._ping_media()))

    async def _open_control(self) -> None:
        connect_id = int.from_bytes(self._entropy(4), "big")
        # Clients ping by themselves every 100 ms; ENet's own pings are not needed.
        engine = EnetClient(connect_id, self._setup.connect_data, now_ms(), EnetSettings())
        self._control = EnetPeer(engine, self._control_event)
        await self._control.connect(self._address, self._setup.control_port)
        self._say(control.RequestIdr(), starting=True)
        self._say(control.StartB(), starting=True)
        self._running.append(self._tasks.create_task(self._ping_control()))

    async def _close(self, *, goodbye: bool) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)
        for reader in (self._video, self._audio):
            if reader is not None:
                reader.close()
        if self._control is not None:
            if goodbye and not self._over.done():
                await self._control.leave()
            else:
                self._control.close()
        self.figures.seconds = time.monotonic() - self._begun
        if not self._over.done():
            self._over.cancel()

    # -- while it runs ----------------------------------------------------------------------------

    async def _ping_media(self) -> None:
        counter = 0
        pairs = (
            (self._video, self._setup.video_ping_payload),
            (self._audio, self._setup.audio_ping_payload),
        )
        while True:
            counter += 1
            for reader, payload in pairs:
                if reader is None:
                    continue
                try:
                    reader.socket.send(MediaPing(payload, counter).encode())
                except OSError as error:
                    log.debug("a ping could not be sent: %s", error)
            await asyncio.sleep(INTERVAL_MS / 1000)

    async def _ping_control(self) -> None:
        while True:
            self._say(control.Ping())
            await asyncio.sleep(control.PING_INTERVAL_MS / 1000)

    async def _watch(self) -> None:
        while not self._over.done():
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            self.figures.seconds = now - self._begun
            if self._control is not None:
                self.figures.round_trip_ms = self._control.round_trip_ms
            if now - self._last_packet > NO_VIDEO_SECONDS:
                self._end(StreamOver(f"no picture came for {NO_VIDEO_SECONDS:g} s"))

    def _video_datagram(self, datagram: bytes, _: object) -> None:
        now = time.monotonic()
        self._last_packet = now
        self.figures.video_packets += 1
        self.figures.video_bytes += len(datagram)
        try:
            happened = self._video_in.receive(datagram)
        except VideoError as error:
            self.figures.refused_packets += 1
            log.debug("a video datagram was dropped: %s", error)
            return
        for event in happened:
            if isinstance(event, Frame):
                self.figures.arrived(now, event.timestamp, event.latency)
            elif isinstance(event, BlockDamaged):
                status = event.status
                if status.received_data + status.received_parity >= status.data:
                    self.figures.recovered_packets += status.data - status.received_data
            self._obey(self._loss.receive(event))
        counters = self._loss.counters
        self.figures.lost, self.figures.held_back = counters.lost, counters.held_back
        self.figures.damaged_blocks = counters.damaged_blocks

    def _obey(self, commands: list[LossCommand]) -> None:
        for command in commands:
            if isinstance(command, Deliver):
                self._deliver(command.frame)
            else:
                if isinstance(command.message, control.RequestIdr):
                    self.figures.idr_requests += 1
                elif isinstance(command.message, control.InvalidateReferenceFrames):
                    self.figures.invalidations += 1
                self._say(command.message)

    def _deliver(self, frame: Frame) -> None:
        self.figures.frames += 1
        self.figures.idr_frames += frame.idr
        if self.figures.first_frame_ms is None:
            self.figures.first_frame_ms = (time.monotonic() - self._begun) * 1000
        self._on_frame(frame)

    def _audio_datagram(self, datagram: bytes, _: object) -> None:
        try:
            happened = self._audio_in.receive(datagram, now_ms())
        except AudioError as error:
            log.debug("an audio datagram was dropped: %s", error)
            return
        self._hear(happened)
        deadline = self._audio_in.deadline
        if deadline is not None:
            wait = max(deadline - now_ms(), 0) / 1000
            asyncio.get_running_loop().call_later(wait, self._give_up_audio)

    def _give_up_audio(self) -> None:
        if self._audio is not None and self._audio.socket.fileno() >= 0:
            self._hear(self._audio_in.poll(now_ms()))

    def _hear(self, happened: list[AudioEvent]) -> None:
        for event in happened:
            if isinstance(event, AudioReceived):
                self.figures.audio_packets += 1
                self.figures.audio_recovered += event.recovered
                self._on_audio(event.opus)
            else:
                self.figures.audio_missing += 1
                self._on_audio(None)

    # -- control ----------------------------------------------------------------------------------

    def _say(self, message: control.Message, *, starting: bool = False) -> None:
        if self._control is None or self._over.done():
            return
        channel, delivery = control.route(message, starting=starting)
        self._send_sealed(channel, message, delivery)

    def _send_sealed(self, channel: int, message: control.Message, delivery: Delivery) -> None:
        assert self._control is not None
        try:
            packet = self._control_cipher.seal(control.encode_message(message))
            self._control.send(channel, packet, delivery)
        except (EnetError, ControlCipherError, control.ControlError) as error:
            log.debug("a control message could not be sent: %s", error)

    def _flush_input(self) -> None:
        self._flushing = False
        waiting = coalesce(self._input)
        self._input.clear()
        for event in waiting:
            self._say(control.InputMessage(event))

    def _control_event(self, event: EnetEvent) -> None:
        match event:
            case Received(_, packet, _):
                try:
                    plain = self._control_cipher.open(packet)
                    message = control.decode_host_message(plain)
                except (ControlCipherError, control.ControlError) as error:
                    log.debug("a control packet was dropped: %s", error)
                    return
                match message:
                    case control.Termination(reason) | control.OldTermination(reason):
                        self._end(StreamOver("the host ended the stream", reason))
                    case _:
                        self._on_message(message)
            case Disconnected():
                self._end(StreamOver("the host closed the control connection"))

    def _end(self, over: StreamOver) -> None:
        if not self._over.done():
            self._over.set_result(over)
