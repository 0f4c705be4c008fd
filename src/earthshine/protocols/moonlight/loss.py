"""What both ends do about lost frames.

Client: which frames a decoder may see, and what the host is told. Host: what kind of frame
answers it.

A decoder that misses a reference shows damage until the next clean frame. So after a loss frames
are held back until one comes that needs nothing lost: an IDR, or, when both sides can invalidate
references, a frame the host made after it heard of the loss.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from earthshine.protocols.moonlight.control import (
    InvalidateReferenceFrames,
    Message,
    RequestIdr,
)
from earthshine.protocols.moonlight.depacketiser import (
    BlockDamaged,
    DepacketiserEvent,
    Frame,
    FramesLost,
)
from earthshine.protocols.moonlight.video import FrameType

REPEAT_REQUEST_FRAMES = 120
"""Frames held back or lost after which an IDR is asked for again."""

_CLEAN = (FrameType.IDR, FrameType.INTRA_REFRESH, FrameType.AFTER_INVALIDATION)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this frame to the decoder."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Tell the host over the control stream."""

    message: Message


LossCommand = Deliver | SendMessage


class _Awaits(enum.Enum):
    NOTHING = enum.auto()
    IDR = enum.auto()
    CLEAN = enum.auto()


@dataclass(slots=True)
class LossCounters:
    """Frames since the start of the session."""

    delivered: int = 0
    lost: int = 0
    held_back: int = 0
    damaged_blocks: int = 0


class LossRecovery:
    """Decides frame by frame. ``reference_invalidation``: host and decoder can both do it.

    A session begins by awaiting an IDR; the client asks for that one with its first message.
    """

    def __init__(self, *, reference_invalidation: bool = False, fec_status: bool = True) -> None:
        self.counters = LossCounters()
        self._invalidation = reference_invalidation
        self._fec_status = fec_status
        self._awaits = _Awaits.IDR
        self._first_lost = 0
        self._since_request = 0

    @property
    def awaiting(self) -> bool:
        """Whether frames are being held back."""
        return self._awaits is not _Awaits.NOTHING

    def receive(self, event: DepacketiserEvent) -> list[LossCommand]:
        """Take one event of the depacketiser."""
        match event:
            case Frame():
                return self._frame(event)
            case FramesLost(first, last):
                self.counters.lost += last - first + 1
                return self._lost(first, last)
            case BlockDamaged(status):
                self.counters.damaged_blocks += 1
                return [SendMessage(status)] if self._fec_status else []

    def decoder_failed(self) -> list[LossCommand]:
        """The decoder could not use a frame: only an IDR helps."""
        self._awaits = _Awaits.IDR
        return self._request_idr()

    def _frame(self, frame: Frame) -> list[LossCommand]:
        usable = (
            frame.idr
            or self._awaits is _Awaits.NOTHING
            or (self._awaits is _Awaits.CLEAN and frame.type in _CLEAN)
        )
        if usable:
            self._awaits = _Awaits.NOTHING
            self.counters.delivered += 1
            return [Deliver(frame)]
        self.counters.held_back += 1
        return self._still_waiting(frame.number)

    def _lost(self, first: int, last: int) -> list[LossCommand]:
        if self._awaits is not _Awaits.NOTHING:
            self._since_request += last - first
            return self._still_waiting(last)
        self._first_lost = first
        if self._invalidation:
            self._awaits = _Awaits.CLEAN
            self._since_request = 0
            return [SendMessage(InvalidateReferenceFrames(first, last))]
        self._awaits = _Awaits.IDR
        return self._request_idr()

    def _still_waiting(self, number: int) -> list[LossCommand]:
        self._since_request += 1
        if self._since_request >= REPEAT_REQUEST_FRAMES:
            self._awaits = _Awaits.IDR
            return self._request_idr()
        if self._awaits is _Awaits.CLEAN:
            return [SendMessage(InvalidateReferenceFrames(self._first_lost, number))]
        return []

    def _request_idr(self) -> list[LossCommand]:
        self._since_request = 0
        return [SendMessage(RequestIdr())]


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """How the next frame has to be encoded. ``invalidated``: first and last frame not to refer
    to."""

    type: FrameType
    invalidated: tuple[int, int] | None = None


class EncoderFeedback:
    """Collects what one client asks and tells the encoder, once per frame.

    The first frame is an IDR. An IDR answers everything; requests about frames before the last
    clean frame are already answered and are ignored, so a client may repeat itself without harm.
    """

    def __init__(self, *, reference_invalidation: bool = False) -> None:
        self._invalidation = reference_invalidation
        self._idr = True
        self._lost: tuple[int, int] | None = None
        self._clean = 0

    def receive(self, message: Message) -> None:
        """Take a message of the client; others than the two requests are ignored."""
        match message:
            case RequestIdr():
                self._idr = True
            case InvalidateReferenceFrames(first, last) if last >= self._clean:
                if not self._invalidation:
                    self._idr = True
                elif self._lost is None:
                    self._lost = (first, last)
                else:
                    self._lost = (min(first, self._lost[0]), max(last, self._lost[1]))

    def need_idr(self) -> None:
        """The next frame must be an IDR: a viewer resumed, or the encoder cannot invalidate."""
        self._idr = True

    def next_frame(self, number: int) -> FrameRequest:
        """What frame ``number``, about to be encoded, has to be."""
        lost, self._lost = self._lost, None
        if self._idr:
            self._idr = False
            self._clean = number
            return FrameRequest(FrameType.IDR)
        if lost is None:
            return FrameRequest(FrameType.P)
        self._clean = number
        return FrameRequest(FrameType.AFTER_INVALIDATION, lost)
