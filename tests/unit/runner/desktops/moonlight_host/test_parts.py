"""The host's small parts by themselves."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from earthshine.protocols.moonlight.control import InvalidateReferenceFrames, RequestIdr
from earthshine.protocols.moonlight.depacketiser import Frame, VideoDepacketiser
from earthshine.protocols.moonlight.input import (
    Button,
    Contact,
    ControllerState,
    KeyEvent,
    MouseButton,
    MouseButtonEvent,
    Touched,
)
from earthshine.protocols.moonlight.sdp import Announce
from earthshine.protocols.moonlight.video import FrameType
from earthshine.runner.desktops.messages import Video
from earthshine.runner.desktops.moonlight_host.apps import AppError, Catalog, HostApp
from earthshine.runner.desktops.moonlight_host.consumers import BitrateVotes
from earthshine.runner.desktops.moonlight_host.desktop_pictures import ANSWER_UNITS, UnitNumbers
from earthshine.runner.desktops.moonlight_host.events import MAX_BEHIND, Events
from earthshine.runner.desktops.moonlight_host.feedback import (
    FrameDemand,
    InvalidationWanted,
    KeyFrameWanted,
)
from earthshine.runner.desktops.moonlight_host.held import HeldInput
from earthshine.runner.desktops.moonlight_host.ports import (
    PLAIN_RTSP_PORTS,
    PlainRtspPorts,
    PortsTakenError,
    bind_host,
)
from earthshine.runner.desktops.moonlight_host.stage import AccessUnit
from earthshine.runner.desktops.moonlight_host.states import LIVING, Event, State, after
from earthshine.runner.desktops.moonlight_host.video import MAX_QUEUED, VideoSender
from earthshine.runner.desktops.moonlight_host.virtual_keys import EVDEV
from tests.moonlight_world import RecordedInput
from tests.world import free_port


def unit(number: int, *, key: bool = False, avoids: tuple[int, int] | None = None) -> AccessUnit:
    kind = b"\x67\x00\x00\x00\x01\x68\x00\x00\x00\x01\x65" if key else b"\x41"
    data = b"\x00\x00\x00\x01" + kind + bytes([number]) * 50
    return AccessUnit(number, data, key, time.monotonic(), avoids)


# -- states ---------------------------------------------------------------------------------------


def test_an_ended_session_stays_ended():
    assert all(after(State.ENDED, event) is None for event in Event)


def test_every_living_session_can_be_resumed_paused_and_ended():
    for state in LIVING:
        assert after(state, Event.RESUME) is State.WAITING
        assert after(state, Event.PAUSE) is State.PAUSED
        assert after(state, Event.END) is State.ENDED


def test_late_news_changes_nothing():
    assert after(State.PAUSED, Event.CONNECT) is None
    assert after(State.WAITING, Event.CONNECT) is None
    assert after(State.STREAMING, Event.EXPIRE) is None
    assert after(State.PAUSED, Event.LOSE) is None


# -- what a viewer needs of shared pictures -------------------------------------------------------


def test_the_first_frame_is_a_key_frame_and_a_request_needs_another():
    demand = FrameDemand()
    assert demand.receive(RequestIdr()) is None, "one is on its way"
    assert demand.frame_type(unit(7, key=True), 1) is FrameType.IDR
    assert not demand.awaits_key
    assert demand.receive(RequestIdr()) == KeyFrameWanted()
    assert demand.receive(RequestIdr()) is None


def test_a_loss_is_answered_by_a_unit_that_avoids_it():
    demand = FrameDemand()
    demand.frame_type(unit(10, key=True), 1)
    for number in (2, 3, 4):
        demand.frame_type(unit(9 + number), number)
    # The encoder serves others as well: frame 2 of this viewer is unit 11.
    assert demand.receive(InvalidateReferenceFrames(2, 3)) == InvalidationWanted(11, 12)
    assert demand.frame_type(unit(14), 5) is FrameType.P
    assert demand.frame_type(unit(15, avoids=(12, 12)), 6) is FrameType.P, "not all of it"
    assert demand.frame_type(unit(16, avoids=(11, 13)), 7) is FrameType.AFTER_INVALIDATION
    assert demand.receive(InvalidateReferenceFrames(2, 3)) is None, "answered already"


def test_a_loss_too_old_to_be_remembered_needs_a_key_frame():
    demand = FrameDemand()
    demand.frame_type(unit(1, key=True), 1)
    for number in range(2, 1200):
        demand.frame_type(AccessUnit(number, b"x", False, 0.0), number)
    assert demand.receive(InvalidateReferenceFrames(1, 2)) == KeyFrameWanted()
    assert demand.awaits_key


# -- input ----------------------------------------------------------------------------------------


def test_what_a_client_holds_is_released_when_it_leaves():
    sink = RecordedInput()
    held = HeldInput(sink)
    held.handle(KeyEvent(0x41, down=True))
    held.handle(KeyEvent(0x42, down=True))
    held.handle(KeyEvent(0x42, down=False))
    held.handle(MouseButtonEvent(MouseButton.LEFT, down=True))
    held.handle(ControllerState(0, 1, Button.A))
    held.handle(Touched(Contact.DOWN, 3, 0.5, 0.5))
    before = len(sink.events)
    held.release()
    assert sink.events[before:] == [
        KeyEvent(0x41, down=False),
        MouseButtonEvent(MouseButton.LEFT, down=False),
        ControllerState(0, 1),
        ControllerState(0, 0),
        Touched(Contact.CANCEL_ALL, 3, 0.5, 0.5),
    ]
    held.release()
    assert len(sink.events) == before + 5


def test_keys_have_places():
    assert (EVDEV[0x41], EVDEV[0x0D], EVDEV[0x70], EVDEV[0x7B]) == (30, 28, 59, 88)
    assert all(0 < code < 248 for code in EVDEV.values())


# -- one encoder, several viewers -----------------------------------------------------------------


class Encoder:
    """Remembers what it was told. Not a real one."""

    invalidates = False

    def __init__(self) -> None:
        self.kbps = 0
        self.keys = 0
        self.receive: Any = None

    def set_bitrate(self, kbps: int) -> None:
        self.kbps = kbps

    def request_key_frame(self) -> None:
        self.keys += 1

    def invalidate_reference(self, first: int, last: int) -> bool:
        return False

    def subscribe(self, receive: Any) -> Any:
        self.receive = receive
        return self

    def close(self) -> None:
        self.receive = None


def test_the_slowest_viewer_sets_the_bit_rate_while_it_is_there():
    votes, encoder = BitrateVotes(), Encoder()
    votes.vote("fast", encoder, 20_000)
    votes.vote("slow", encoder, 3_000)
    assert encoder.kbps == 3_000
    votes.withdraw("slow")
    assert encoder.kbps == 20_000


class Wire:
    """A viewer's socket, and a sender that sends to it."""

    def __init__(self) -> None:
        self.here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.here.bind(("127.0.0.1", 0))
        self.here.settimeout(5)
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.setblocking(False)
        announce = Announce(640, 360, 60, 1024, 5000, min_fec_packets=2)
        self.sender = VideoSender(self.out, announce, bytes(16), 20)
        self.depacketiser = VideoDepacketiser(1024)

    def frame(self) -> Frame:
        while True:
            found = self.depacketiser.receive(self.here.recv(4096))
            for event in found:
                if isinstance(event, Frame):
                    return event

    def close(self) -> None:
        self.sender.close()
        self.here.close()
        self.out.close()


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.close()


def test_pictures_go_where_the_client_listens_beginning_with_a_key_frame(wire):
    encoder = Encoder()
    wire.sender.start()
    wire.sender.watch(encoder)
    encoder.receive(unit(1, key=True))  # nobody has said yet where to
    wire.sender.aim(wire.here.getsockname())
    assert encoder.keys == 1
    encoder.receive(unit(2))
    encoder.receive(unit(3, key=True))
    encoder.receive(unit(4))
    first, second = wire.frame(), wire.frame()
    assert (first.number, first.idr, first.type) == (1, True, FrameType.IDR)
    assert (second.number, second.idr) == (2, False)
    assert wire.sender.counters.skipped == 2


def test_a_viewer_that_is_too_slow_is_skipped_to_a_key_frame(wire):
    encoder = Encoder()
    wire.sender.watch(encoder)
    wire.sender.aim(wire.here.getsockname())
    asked = encoder.keys
    encoder.receive(unit(1, key=True))
    for number in range(2, MAX_QUEUED + 3):  # the thread does not run yet: nothing is taken
        encoder.receive(unit(number))
    assert encoder.keys == asked + 1
    encoder.receive(unit(50))
    encoder.receive(unit(51, key=True))
    wire.sender.start()
    frame = wire.frame()
    assert frame.idr
    assert frame.data.endswith(bytes([51]) * 50)


def test_a_sender_that_was_closed_leaves_no_thread(wire):
    encoder = Encoder()
    wire.sender.start()
    wire.sender.watch(encoder)
    wire.sender.close()
    assert encoder.receive is None
    assert not [t for t in threading.enumerate() if t.name == "moonlight-video"]


def test_a_key_frame_whose_prefix_is_too_long_loses_its_sei(wire):
    encoder = Encoder()
    wire.sender.start()
    wire.sender.watch(encoder)
    wire.sender.aim(wire.here.getsockname())
    sei = b"\x00\x00\x00\x01\x06" + b"\x05" * 1200
    plain = unit(1, key=True)
    encoder.receive(AccessUnit(1, plain.data[:10] + sei + plain.data[10:], True, time.monotonic()))
    assert sei not in wire.frame().data


# -- ports ----------------------------------------------------------------------------------------


def test_all_ports_of_a_host_are_free_or_it_moves_on():
    base = free_port()
    first = bind_host("127.0.0.1", base, 3)
    second = bind_host("127.0.0.1", base, 3)
    try:
        assert (first.base, second.base) == (base, base + 100)
        with pytest.raises(PortsTakenError, match="choose another base port"):
            bind_host("127.0.0.1", base, 1)
    finally:
        first.close()
        second.close()


def test_one_taken_udp_port_is_enough_to_move_on():
    base = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", base + 10))
        found = bind_host("127.0.0.1", base, 2)
    assert found.base == base + 100
    found.close()


def test_ports_for_plain_rtsp_are_given_out_in_turn():
    ports = PlainRtspPorts("127.0.0.1", free_port())
    taken = [ports.take() for _ in range(PLAIN_RTSP_PORTS)]
    assert ports.take() is None
    numbers = [sock.getsockname()[1] for sock in taken if sock is not None]
    assert len(set(numbers)) == PLAIN_RTSP_PORTS
    for sock, number in zip(taken, numbers, strict=True):
        assert sock is not None
        sock.close()
        ports.give_back(number)
    again = ports.take()
    assert again is not None
    again.close()


# -- apps and events ------------------------------------------------------------------------------


def test_ids_of_apps_are_stable_numbers():
    catalog = Catalog([HostApp("7", "Seven"), HostApp("terminal", "Terminal")])
    assert catalog.by_number(7) is catalog.by_id("7")
    [_, terminal] = catalog.listing()
    assert 1 <= terminal.id < 1 << 31
    with pytest.raises(AppError):
        catalog.add(HostApp(str(terminal.id), "Another"))


def test_a_listener_that_does_not_take_events_holds_up_nobody():
    events = Events()
    listener = events.listen(lambda: None)
    for number in range(MAX_BEHIND + 5):
        events.say("x", number=number)
    found = listener.take()
    assert len(found) == MAX_BEHIND
    assert found[-1].details == {"number": MAX_BEHIND + 4}
    assert listener.missed == 5


# -- frames of a desktop as units -----------------------------------------------------------------


def video(frame: int, reference: int | None = None, *, key: bool = False) -> Video:
    return Video(
        frame_id=frame,
        key=key,
        data=b"x",
        width=8,
        height=8,
        captured=0,
        encoded=0,
        reference=reference,
    )


def test_a_unit_that_refers_to_older_ones_answers_a_loss():
    units = UnitNumbers()
    first = units.next(video(100, key=True))
    lost = [units.next(video(frame, frame - 1)) for frame in (101, 102, 103)]
    assert units.lose(lost[0].number, lost[1].number) == 101
    assert units.next(video(104, 103)).avoids is None, "it was under way already"
    assert units.next(video(105, 100)).avoids == (lost[0].number, lost[1].number)
    assert units.next(video(106, 105)).avoids is None, "answered once"
    assert first.avoids is None


def test_losses_add_up_until_they_are_answered():
    units = UnitNumbers()
    for frame in range(5):
        units.next(video(frame, frame - 1 if frame else None, key=not frame))
    assert units.lose(4, 4) == 3
    assert units.lose(2, 2) == 1
    assert units.next(video(5, 2)).avoids is None, "that one builds on what the second loss hit"
    assert units.next(video(6, 0)).avoids == (2, 4)


def test_a_key_frame_ends_all_losses_and_old_ones_are_not_remembered():
    units = UnitNumbers()
    units.next(video(1, key=True))
    units.next(video(2, 1))
    assert units.lose(2, 2) == 2
    assert units.next(video(3, key=True)).avoids is None
    assert units.next(video(4, 1)).avoids is None
    assert units.lose(99, 99) is None, "never sent"
    units.restart()
    assert units.lose(2, 2) is None, "of a stream that has ended"
    assert units.next(video(1)).number == 5, "units count on"


def test_an_encoder_that_does_not_answer_is_asked_for_a_key_frame():
    units = UnitNumbers()
    units.next(video(1, key=True))
    units.next(video(2))
    assert not units.overdue()
    assert units.lose(2, 2) == 2
    for frame in range(3, 3 + ANSWER_UNITS):
        assert not units.overdue()
        assert units.next(video(frame)).avoids is None
    assert units.overdue()
    units.next(video(50, key=True))
    assert not units.overdue()
