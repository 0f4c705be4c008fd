"""A piece of a recording while it is made: frames in, an MP4 fragment out. Pure.

A piece begins with a key frame and ends where the next begins, so pieces follow each other without
a gap: the last frame of one lasts until the next piece, however long nothing moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from earthshine.protocols import fmp4
from earthshine.protocols.fmp4 import SAMPLES, SILENCE, SILENT_SAMPLES, AccessUnit, Sample, Tracks
from earthshine.protocols.transfer import MAX_EVENTS, Segment

PACKET_SAMPLES: Final = 480
"""Of the sound server's packets: 10 ms."""
LEAST: Final = 12
"""Microseconds between two pictures: more than a tick."""
SLACK_SAMPLES: Final = 2_400
"""Packets that are so much off their time are moved there: with silence, or left out."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording's beginning, by both clocks: `began` in milliseconds since 1970, `origin` in
    microseconds of CLOCK_MONOTONIC."""

    session: str
    recording: str
    began: int
    origin: int
    tracks: Tracks

    def ticks(self, at: int) -> int:
        """A time of CLOCK_MONOTONIC since the beginning."""
        return fmp4.ticks(max(0, at - self.origin))


@dataclass(slots=True)
class Piece:
    """Frames, packets and places of the log so far. Times: microseconds of CLOCK_MONOTONIC."""

    begun: Begun
    number: int
    start: int
    audio_from: int = 0
    """In samples since the beginning: where the sound of the piece before ended."""
    frames: list[tuple[int, AccessUnit]] = field(default_factory=list)
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    events: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0
    moved: bool = False
    """Whether anything but the first picture came."""

    def add(self, at: int, unit: AccessUnit) -> None:
        """A picture, captured then. A capture's time never goes back."""
        at = max(at, self.frames[-1][0] + LEAST if self.frames else self.start)
        self.moved = bool(self.frames)
        self.frames.append((at, unit))
        self.size += len(unit.data)

    def hear(self, at: int, packet: bytes) -> None:
        """A packet of sound, played then."""
        self.packets.append((at, packet))
        self.size += len(packet)

    def log_is_at(self, at: int, seq: int) -> None:
        """The session's log has come to `seq`."""
        known = self.events[-1][1] if self.events else None
        if seq != known and len(self.events) < MAX_EVENTS:
            self.events.append((max(0, at - self.begun.origin) // 1000, seq))

    def close(self, end: int) -> tuple[Segment, bytes, int]:
        """What it is, its bytes, and where its sound ends. It must have a picture."""
        begun = self.begun
        end = max(end, self.frames[-1][0] + LEAST)
        starts = [begun.ticks(at) for at, _ in self.frames]
        starts[0] = begun.ticks(self.start)
        last = begun.ticks(end)
        video = [
            Sample(unit.data, after - at, unit.key)
            for at, after, (_, unit) in zip(starts, [*starts[1:], last], self.frames, strict=True)
        ]
        audio, audio_to = self._sound(last) if begun.tracks.audio else ([], 0)
        data = fmp4.fragment(self.number, video, starts[0], audio, self.audio_from)
        segment = Segment(
            session=begun.session,
            recording=begun.recording,
            number=self.number,
            began=begun.began,
            start=starts[0],
            duration=last - starts[0],
            size=len(data),
            crc=0,
            width=begun.tracks.width,
            height=begun.tracks.height,
            sps=begun.tracks.sps,
            pps=begun.tracks.pps,
            audio=begun.tracks.audio,
            events=self.events,
        )
        return segment, data, audio_to

    def _sound(self, last: int) -> tuple[Sequence[Sample], int]:
        """Packets, with silence where nothing was played: silence is not sent to us."""
        at = self.audio_from
        samples: list[Sample] = []

        def be_silent_until(time: int) -> None:
            nonlocal at
            while at + SILENT_SAMPLES <= time:
                samples.append(Sample(SILENCE, SILENT_SAMPLES))
                at += SILENT_SAMPLES

        for played, packet in self.packets:
            due = max(0, played - self.begun.origin) * SAMPLES // 1_000_000
            if at > due + SLACK_SAMPLES:
                continue
            if due > at + SLACK_SAMPLES:
                be_silent_until(due)
            samples.append(Sample(packet, PACKET_SAMPLES))
            at += PACKET_SAMPLES
        be_silent_until(last * SAMPLES // fmp4.TICKS)
        return samples, at
