"""Pictures of this runner's desktops, as GameStream viewers take them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from earthshine.runner.desktops import messages
from earthshine.runner.desktops.messages import Video, Watch
from earthshine.runner.desktops.moonlight_host.stage import AccessUnit
from earthshine.runner.desktops.stream import DesktopStream, StreamGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.runner.desktops.keeper import Desktop
    from earthshine.runner.desktops.limits import Codec as CodecName

STILL_SECONDS: Final = 0.25
"""After the last picture: one key frame, which shows the client a loss of that last one."""
KEEP_SECONDS: Final = 4.0
"""Between key frames of a still screen; clients give up after 10 s without a packet."""
RETRY_SECONDS: Final = 0.2
ANSWER_UNITS: Final = 12
"""Units after which a loss that the encoder did not answer is answered by a key frame."""
REMEMBERED: Final = 1024
"""Units whose frames are remembered; older losses are answered by a key frame."""

log = logging.getLogger(__name__)


class DesktopProducer:
    """`Producer` of one desktop and codec: reads its stream while somebody watches."""

    def __init__(self, desktop: Desktop, codec: CodecName, tasks: asyncio.TaskGroup) -> None:
        self.invalidates = False
        """Whether the desktop's encoder can predict past a lost picture; it says so by itself."""
        self._desktop = desktop
        self._codec = codec
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._receivers: dict[int, Callable[[AccessUnit], None]] = {}
        self._next = 0
        self._reader: asyncio.Task[None] | None = None
        self._stream: DesktopStream | None = None
        self._tuning = messages.Tune()
        self._units = UnitNumbers()

    def subscribe(self, receive: Callable[[AccessUnit], None]) -> DesktopSubscription:
        """See `Producer`. Call on the event loop."""
        self._next += 1
        self._receivers[self._next] = receive
        if self._reader is None:
            self._reader = self._tasks.create_task(self._read())
        else:
            self.request_key_frame()
        return DesktopSubscription(self, self._next)

    def request_key_frame(self) -> None:
        """See `Producer`."""
        self._loop.call_soon_threadsafe(self._tell, messages.KeyFrame())

    def set_bitrate(self, kbps: int) -> None:
        """See `Producer`."""
        self.tune(messages.Tune(bitrate_kbps=kbps))

    def tune(self, wanted: messages.Tune) -> None:
        """Change what is encoded; kept for a stream that begins anew."""
        self._tuning = messages.Tune(
            frames_per_second=wanted.frames_per_second or self._tuning.frames_per_second,
            bitrate_kbps=wanted.bitrate_kbps or self._tuning.bitrate_kbps,
        )
        self._loop.call_soon_threadsafe(self._tell, self._tuning)

    def invalidate_reference(self, first: int, last: int) -> bool:
        """See `Producer`."""
        frame = self._units.lose(first, last) if self.invalidates else None
        if frame is None:
            return False
        self._loop.call_soon_threadsafe(self._tell, messages.Invalidate(frame_id=frame))
        return True

    def leave(self, number: int) -> None:
        """A subscription is over. From any thread."""
        self._receivers.pop(number, None)
        self._loop.call_soon_threadsafe(self._stop_if_alone)

    def close(self) -> None:
        """Nobody watches any more."""
        self._receivers.clear()
        self._stop_if_alone()

    def _stop_if_alone(self) -> None:
        if not self._receivers and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _tell(self, message: messages.Message) -> None:
        if self._stream is not None:
            with contextlib.suppress(StreamGoneError):
                self._stream.tell(message)

    async def _read(self) -> None:
        while True:
            try:
                # The pointer is drawn into the picture: GameStream has no other way to show it.
                wants = Watch(control=True, repaint=False, cursor=False, codec=self._codec)
                async with self._desktop.stream(wants) as stream:
                    self._stream = stream
                    stream.tell(self._tuning)
                    stream.tell(messages.KeyFrame())
                    await self._hand_on(stream, time.monotonic_ns() // 1000)
            except (StreamGoneError, OSError) as error:
                log.info("the desktop's stream is interrupted: %s", error)
            except Exception:
                log.exception("the desktop's stream cannot be handed on")
            finally:
                self._stream = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _hand_on(self, stream: DesktopStream, joined: int) -> None:
        still = self._tasks.create_task(self._keep_alive())
        self._units.restart()
        try:
            async for message in stream:
                match message:
                    # What was encoded before we came is a group of pictures to catch up on: the
                    # key frame we asked for comes sooner than the network could carry that.
                    case Video() if message.encoded >= joined:
                        self._shown = time.monotonic()
                        unit = self._units.next(message)
                        if self._units.overdue():
                            stream.tell(messages.KeyFrame())
                        for receive in list(self._receivers.values()):
                            receive(unit)
                    case messages.Screen():
                        self.invalidates = message.invalidates
                    case messages.Trouble(code="capture"):
                        log.warning("the desktop cannot be encoded: %s", message.detail)
        finally:
            still.cancel()

    async def _keep_alive(self) -> None:
        self._shown = time.monotonic()
        answered = 0.0
        while True:
            await asyncio.sleep(STILL_SECONDS)
            quiet = time.monotonic() - self._shown
            fresh = self._shown > answered + STILL_SECONDS
            if quiet >= KEEP_SECONDS or (quiet >= STILL_SECONDS and fresh):
                self._tell(messages.KeyFrame())
                answered = time.monotonic()


class UnitNumbers:
    """A desktop's frames as units, and which of them avoid what somebody lost.

    Used by the event loop and by the viewers' threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._frames: OrderedDict[int, int] = OrderedDict()
        """Unit -> frame of the desktop's stream."""
        self._lost: tuple[int, int] | None = None
        self._waited = 0
        """Units since then."""

    def overdue(self) -> bool:
        """Whether it is time to ask for a key frame instead; true once in a while."""
        return self._waited > 0 and self._waited % ANSWER_UNITS == 0

    def restart(self) -> None:
        """Another stream: frames have other ids, units count on."""
        with self._lock:
            self._frames.clear()
            self._lost, self._waited = None, 0

    def next(self, video: Video) -> AccessUnit:
        """The unit of a frame that came."""
        with self._lock:
            self._number += 1
            self._frames[self._number] = video.frame_id
            if len(self._frames) > REMEMBERED:
                self._frames.popitem(last=False)
            avoids = self._avoided(video)
            return AccessUnit(self._number, video.data, video.key, video.captured / 1e6, avoids)

    def lose(self, first: int, last: int) -> int | None:
        """Units were lost; the desktop's id of the first. None: it is too long ago."""
        with self._lock:
            frame = self._frames.get(first)
            if frame is None:
                return None
            if self._lost is not None:
                first, last = min(first, self._lost[0]), max(last, self._lost[1])
            self._lost = (first, last)
            self._waited = 0
            return frame

    def _avoided(self, video: Video) -> tuple[int, int] | None:
        if self._lost is None:
            return None
        self._waited += 1
        if video.key:
            self._lost, self._waited = None, 0
            return None
        oldest = self._frames.get(self._lost[0])
        if oldest is None or video.reference is None or video.reference >= oldest:
            return None
        avoids, self._lost, self._waited = self._lost, None, 0
        return avoids


class DesktopSubscription:
    """One taker of pictures."""

    def __init__(self, producer: DesktopProducer, number: int) -> None:
        self._producer = producer
        self._number = number

    def close(self) -> None:
        """No more."""
        self._producer.leave(self._number)
