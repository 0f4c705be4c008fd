"""One stream for any number of consumers.

A consumer that joins gets the current group of pictures at once where that is short, else a key
frame. One that is behind is skipped to the next key frame and delays nobody. With no consumer left
encoding pauses; the capture stays ready. Pure: it is told the time, and calls what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from earthshine.runner.desktops.capture.adapter import AccessUnit
from earthshine.runner.desktops.messages import MAX_DIRTY, Box, Video

MAX_GROUP_BYTES: Final = 768 * 1024
MAX_GROUP_FRAMES: Final = 45
"""A group of pictures up to these limits is kept for who joins; its age does not matter."""
HIGH_WATER: Final = 1024 * 1024
"""Unsent bytes above which a consumer is behind; an IDR of a large screen fits well below."""
LOW_WATER: Final = 64 * 1024
"""Unsent bytes below which it has caught up."""
KEY_SECONDS: Final = 0.5
"""At most one key frame in this time for consumers that were behind: it costs all of them bytes."""
ASKED_SECONDS: Final = 0.1
"""The same for those that ask for one, or join: their decoder shows nothing until it comes."""


class Consumer:
    """One viewer's end of the stream. `backlog` says how many bytes it has not taken yet."""

    def __init__(self, send: Callable[[Video], None], backlog: Callable[[], int]) -> None:
        self.send = send
        self.backlog = backlog
        self.wants_key = True
        """Skips everything up to the next key frame."""
        self.behind = False
        self.missed: list[Box] = []
        """What was drawn while it was skipped."""
        self.skipped = 0
        """Frames that it did not get."""


class Producer:
    """Hands access units to consumers. `start` and `stop` switch the encoder on and off."""

    def __init__(
        self,
        start: Callable[[], None],
        stop: Callable[[], None],
        request_key: Callable[[], None],
    ) -> None:
        self._start, self._stop, self._request_key = start, stop, request_key
        self._consumers: list[Consumer] = []
        self._group: list[Video] = []
        self._group_bytes = 0
        self._key_at = float("-inf")
        self._asked = False
        """Whether somebody's request came too soon after a key frame."""
        self._running = False

    @property
    def running(self) -> bool:
        """Whether the encoder is on."""
        return self._running

    @property
    def consumers(self) -> int:
        """How many watch."""
        return len(self._consumers)

    def join(self, consumer: Consumer, now: float) -> None:
        """Begin to watch: the first picture follows at once."""
        consumer.wants_key = True
        self._consumers.append(consumer)
        if not self._running:
            self._running = True
            self._forget_group()
            self._key_at = now
            self._start()  # which begins with a key frame
        elif self._group:
            consumer.wants_key = False
            for video in self._group:
                consumer.send(video)
        else:
            self._ask_key(now, ASKED_SECONDS)

    def leave(self, consumer: Consumer) -> None:
        """Stop watching. The last one switches the encoder off."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
        if not self._consumers and self._running:
            self._running = False
            self._forget_group()
            self._stop()

    def restart(self) -> None:
        """What was encoded before does not matter any more: another size, another encoder."""
        self._forget_group()
        for consumer in self._consumers:
            consumer.wants_key = True

    def want_key(self, now: float) -> None:
        """Somebody's decoder was lost. Too soon after another key frame, `look` asks again."""
        self._asked = not self._ask_key(now, ASKED_SECONDS)

    def offer(self, unit: AccessUnit, dirty: list[Box], now: float) -> None:
        """Hand an access unit to everybody who can take it."""
        video = Video(
            frame_id=unit.frame_id,
            key=unit.key,
            data=unit.data,
            width=unit.width,
            height=unit.height,
            captured=unit.captured,
            grabbed=unit.grabbed,
            encoded=unit.encoded,
            dirty=limited(dirty),
            reference=unit.reference,
        )
        self._keep(video)
        for consumer in self._consumers:
            self._hand(consumer, video, now)

    def _hand(self, consumer: Consumer, video: Video, now: float) -> None:
        if consumer.behind:
            if consumer.backlog() <= LOW_WATER:
                consumer.behind = False
                if not video.key:
                    self._ask_key(now)
        elif consumer.backlog() > HIGH_WATER:
            consumer.behind = consumer.wants_key = True
        if consumer.behind or (consumer.wants_key and not video.key):
            consumer.skipped += 1
            consumer.missed = limited([*consumer.missed, *video.dirty])
            return
        consumer.wants_key = False
        if consumer.missed:
            missed = limited([*consumer.missed, *video.dirty])
            consumer.missed = []
            video = msgspec.structs.replace(video, dirty=missed)
        consumer.send(video)

    def look(self, now: float) -> None:
        """Now and then: who has caught up while nothing moved gets a key frame."""
        for consumer in self._consumers:
            if consumer.behind and consumer.backlog() <= LOW_WATER:
                consumer.behind = False
            if consumer.wants_key and not consumer.behind:
                asked = self._ask_key(now, ASKED_SECONDS if self._asked else KEY_SECONDS)
                self._asked = self._asked and not asked

    @property
    def anybody_waits(self) -> bool:
        """Whether `look` may have something to do."""
        return any(consumer.wants_key for consumer in self._consumers)

    def _ask_key(self, now: float, spacing: float = KEY_SECONDS) -> bool:
        if now - self._key_at < spacing:
            return False
        self._key_at = now
        self._request_key()
        return True

    def _keep(self, video: Video) -> None:
        """Remember the group of pictures for who joins; a long one is not worth it."""
        if video.key:
            self._group = []
            self._group_bytes = 0
        elif not self._group:
            return
        self._group.append(video)
        self._group_bytes += len(video.data)
        if len(self._group) > MAX_GROUP_FRAMES or self._group_bytes > MAX_GROUP_BYTES:
            self._forget_group()

    def _forget_group(self) -> None:
        self._group = []
        self._group_bytes = 0


def limited(boxes: list[Box]) -> list[Box]:
    """The same places in at most `MAX_DIRTY` boxes: one around all where there are more."""
    boxes = list(dict.fromkeys(boxes))
    if len(boxes) <= MAX_DIRTY:
        return boxes
    left = min(box[0] for box in boxes)
    top = min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    return [(left, top, right - left, bottom - top)]
