"""One stream, many consumers: who joins, who is slow, who leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from earthshine.runner.desktops.capture.adapter import AccessUnit
from earthshine.runner.desktops.messages import MAX_DIRTY, Box, Video
from earthshine.runner.desktops.producer import (
    ASKED_SECONDS,
    HIGH_WATER,
    KEY_SECONDS,
    MAX_GROUP_FRAMES,
    Consumer,
    Producer,
    limited,
)


@dataclass
class FakeEncoder:
    """Counts what the producer asks of it."""

    number: int = 0
    starts: int = 0
    stops: int = 0
    keys: int = 0
    clock: float = 0.0

    def producer(self) -> Producer:
        def start() -> None:
            self.starts += 1

        def stop() -> None:
            self.stops += 1

        def key() -> None:
            self.keys += 1

        return Producer(start, stop, key)

    def unit(self, *, key: bool = False, size: int = 100) -> AccessUnit:
        self.number += 1
        return AccessUnit(self.number, key, b"x" * size, 640, 480, 0, 0, 0)


@dataclass
class Viewer:
    """A consumer that remembers; `unread` is what it has not taken."""

    unread: int = 0
    seen: list[Video] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.end = Consumer(self.seen.append, lambda: self.unread)

    @property
    def frames(self) -> list[int]:
        return [video.frame_id for video in self.seen]


def test_encoding_runs_while_somebody_watches() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    one, two = Viewer(), Viewer()
    producer.join(one.end, 0)
    producer.join(two.end, 0)
    assert (encoder.starts, encoder.stops) == (1, 0)
    producer.leave(one.end)
    assert producer.running
    producer.leave(two.end)
    producer.leave(two.end)
    assert (encoder.starts, encoder.stops) == (1, 1)
    producer.join(one.end, 1)
    assert encoder.starts == 2


def test_who_joins_gets_the_current_group_of_pictures_at_once() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    first, late = Viewer(), Viewer()
    producer.join(first.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    producer.offer(encoder.unit(), [], 0.1)
    producer.join(late.end, 10)
    assert late.frames == first.frames == [1, 2]
    producer.offer(encoder.unit(), [], 10.1)
    assert late.frames == [1, 2, 3]
    assert encoder.keys == 0


def test_who_joins_a_long_group_gets_a_key_frame() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    first, late = Viewer(), Viewer()
    producer.join(first.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    for _ in range(MAX_GROUP_FRAMES):
        producer.offer(encoder.unit(), [], 0)
    producer.join(late.end, 10)
    assert encoder.keys == 1
    producer.offer(encoder.unit(), [], 10)
    assert late.frames == []
    producer.offer(encoder.unit(key=True), [], 10)
    assert late.frames == [encoder.number]


def test_a_slow_consumer_is_skipped_to_a_key_frame_and_slows_nobody() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    quick, slow = Viewer(), Viewer()
    producer.join(quick.end, 0)
    producer.join(slow.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    slow.unread = HIGH_WATER + 1
    for _ in range(20):
        producer.offer(encoder.unit(), [], 1)
    assert len(quick.seen) == 21
    assert slow.frames == [1]
    assert slow.end.skipped == 20
    assert encoder.keys == 0  # it could not take one yet
    slow.unread = 0
    producer.offer(encoder.unit(), [], 2)
    assert encoder.keys == 1
    assert slow.frames == [1]
    producer.offer(encoder.unit(key=True), [], 2.1)
    producer.offer(encoder.unit(), [], 2.2)
    assert slow.frames == [1, 23, 24]


def test_who_catches_up_while_nothing_moves_gets_a_key_frame_too() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    slow = Viewer()
    producer.join(slow.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    slow.unread = HIGH_WATER + 1
    producer.offer(encoder.unit(), [], 1)
    assert producer.anybody_waits
    slow.unread = 0
    producer.look(5)
    assert encoder.keys == 1


def test_key_frames_on_request_are_limited() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    viewer = Viewer()
    producer.join(viewer.end, 0)
    for step in range(100):
        producer.want_key(step * ASKED_SECONDS / 10)
    assert encoder.keys == 9  # the encoder began with one by itself


def test_a_request_too_soon_after_a_key_frame_is_made_up_for() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    viewer = Viewer()
    producer.join(viewer.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    viewer.end.wants_key = True
    producer.want_key(ASKED_SECONDS / 2)
    assert encoder.keys == 0
    producer.look(ASKED_SECONDS * 1.5)
    assert encoder.keys == 1
    producer.look(ASKED_SECONDS * 3)
    assert encoder.keys == 1, "one request, one key frame"


def test_key_frames_for_stragglers_are_rarer() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    slow = Viewer()
    producer.join(slow.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    for step in range(1, 11):
        slow.unread = HIGH_WATER + 1
        producer.offer(encoder.unit(), [], step * KEY_SECONDS / 10)
        slow.unread = 0
        producer.look(step * KEY_SECONDS / 10)
    assert encoder.keys == 1


def test_what_was_drawn_while_a_consumer_was_skipped_is_told_later() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    slow = Viewer()
    producer.join(slow.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    slow.unread = HIGH_WATER + 1
    producer.offer(encoder.unit(), [(0, 0, 10, 10)], 1)
    slow.unread = 0
    producer.offer(encoder.unit(key=True), [(50, 50, 5, 5)], 2)
    assert slow.seen[-1].dirty == [(0, 0, 10, 10), (50, 50, 5, 5)]
    producer.offer(encoder.unit(), [(1, 1, 1, 1)], 3)
    assert slow.seen[-1].dirty == [(1, 1, 1, 1)]


def test_after_a_restart_nobody_gets_what_was_encoded_before() -> None:
    encoder = FakeEncoder()
    producer = encoder.producer()
    viewer, late = Viewer(), Viewer()
    producer.join(viewer.end, 0)
    producer.offer(encoder.unit(key=True), [], 0)
    producer.restart()
    producer.join(late.end, 1)
    producer.offer(encoder.unit(), [], 1)
    assert late.frames == []
    assert viewer.frames == [1]


Step = tuple[str, int, int]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["key", "frame", "join", "leave", "stall", "read", "look"]),
            st.integers(0, 3),
            st.integers(1, 300_000),
        ),
        max_size=120,
    )
)
def test_whatever_happens_each_consumer_can_decode_what_it_gets(steps: list[Step]) -> None:
    """Each run of frames begins with a key frame and has no gap."""
    encoder = FakeEncoder()
    producer = encoder.producer()
    viewers = [Viewer() for _ in range(4)]
    joined: list[list[int]] = [[] for _ in viewers]
    here: set[int] = set()
    for number, (what, who, size) in enumerate(steps):
        viewer, now = viewers[who], float(number)
        if what in ("key", "frame"):
            if producer.running:
                producer.offer(encoder.unit(key=what == "key", size=size), [], now)
        elif what == "join" and who not in here:
            here.add(who)
            joined[who].append(len(viewer.seen))
            producer.join(viewer.end, now)
        elif what == "leave":
            here.discard(who)
            producer.leave(viewer.end)
        elif what == "stall":
            viewer.unread = HIGH_WATER + 1
        elif what == "read":
            viewer.unread = 0
        else:
            producer.look(now)
    for viewer, starts in zip(viewers, joined, strict=True):
        for place, video in enumerate(viewer.seen):
            fresh = place in starts
            follows = place > 0 and video.frame_id == viewer.seen[place - 1].frame_id + 1
            assert video.key or (follows and not fresh)


boxes = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(1, 99), st.integers(1, 99))


@given(st.lists(boxes, max_size=80))
def test_limited_boxes_cover_the_same_places(places: list[Box]) -> None:
    few = limited(places)
    assert len(few) <= MAX_DIRTY
    for x, y, width, height in places:
        assert any(
            left <= x and top <= y and x + width <= left + w and y + height <= top + h
            for left, top, w, h in few
        )
