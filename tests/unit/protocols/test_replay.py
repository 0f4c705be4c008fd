import pytest

from earthshine.protocols import events
from earthshine.protocols.events import Event, EventError, Gap, Kind
from earthshine.protocols.replay import HoleError, Receiver, Sender


def output(seq, data=b"x"):
    return Event(seq, 0, Kind.OUTPUT, data)


def gap(first, last, count):
    detail = Gap(first_seq=first, last_seq=last, bytes=count, reason="spool-limit")
    return events.entry(last, 0, detail)


def test_a_receiver_takes_what_follows():
    receiver = Receiver()
    assert receiver.take([output(1), output(2, b"abc")]) == [output(1), output(2, b"abc")]
    assert (receiver.seq, receiver.bytes, receiver.duplicates) == (2, 4, 0)


def test_a_receiver_drops_what_it_has_and_counts_it():
    receiver = Receiver(seq=2, bytes=10)
    assert receiver.take([output(1), output(2), output(3)]) == [output(3)]
    assert (receiver.seq, receiver.bytes, receiver.duplicates) == (3, 11, 2)


def test_a_hole_takes_nothing():
    receiver = Receiver(seq=2)
    with pytest.raises(HoleError) as caught:
        receiver.take([output(3), output(5)])
    assert (caught.value.expected, caught.value.got) == (4, 5)
    assert (receiver.seq, receiver.bytes) == (2, 0)


def test_a_gap_stands_for_what_is_missing():
    receiver = Receiver(seq=2, bytes=5)
    assert len(receiver.take([gap(3, 9, 700), output(10)])) == 2
    assert (receiver.seq, receiver.bytes) == (10, 706)


def test_a_gap_that_came_already_is_a_duplicate():
    receiver = Receiver(seq=9)
    assert receiver.take([gap(3, 9, 700)]) == []
    assert receiver.duplicates == 1


def test_a_gap_behind_a_hole_is_refused():
    with pytest.raises(HoleError):
        Receiver(seq=2).take([gap(4, 9, 700)])


def test_a_gap_without_sense_is_refused():
    with pytest.raises(EventError):
        Receiver(seq=2).take([gap(9, 3, 0)])


def test_a_sender_sends_as_far_as_its_window():
    sender = Sender(window=100)
    sender.send(3, 60)
    assert (sender.room, sender.in_flight) == (40, 60)
    sender.send(4, 60)
    assert sender.room == 0
    assert sender.ack(3)
    assert (sender.room, sender.acked) == (40, 3)
    assert sender.ack(4)
    assert sender.room == 100


def test_an_ack_inside_a_batch_frees_nothing_yet():
    sender = Sender(window=100)
    sender.send(10, 80)
    assert sender.ack(5)
    assert (sender.room, sender.acked) == (20, 5)


def test_an_ack_ahead_of_what_was_sent_is_refused():
    sender = Sender()
    sender.send(3, 10)
    assert not sender.ack(4)
    assert (sender.acked, sender.in_flight) == (0, 10)


def test_an_old_ack_changes_nothing():
    sender = Sender(acked=5)
    assert sender.ack(2)
    assert sender.acked == 5


def test_a_log_only_grows():
    sender = Sender(acked=5)
    with pytest.raises(ValueError, match="grows"):
        sender.send(5, 1)


def test_resuming_starts_behind_the_receivers_cursor():
    sender = Sender()
    sender.send(10, 50)
    sender.resume(4)
    assert (sender.sent, sender.acked, sender.in_flight, sender.room) == (4, 4, 0, sender.window)
    sender.send(5, 10)
    assert sender.ack(5)
    assert sender.in_flight == 0
