"""ENet: what cannot be held, joined or believed."""

from typing import Any, cast

import pytest

from earthshine.protocols.moonlight.enet import (
    Delivery,
    EnetClient,
    EnetError,
    EnetSettings,
    Received,
    wire,
)
from earthshine.protocols.moonlight.enet.channel import UnsequencedWindow
from earthshine.protocols.moonlight.enet.peer import MAX_EVENTS, MAX_QUEUED, Peer, State
from tests.unit.protocols.moonlight.enet_link import CLIENT, Link


def test_send_limits():
    link = Link()
    with pytest.raises(EnetError):
        link.client.send(0, b"too early")
    link.connect()
    with pytest.raises(EnetError):
        link.client.send(0, bytes(1000), Delivery.UNRELIABLE)
    with pytest.raises(EnetError):
        link.client.send(0, bytes(200_000))
    with pytest.raises(EnetError):
        for _ in range(MAX_QUEUED + 1):
            link.client.send(0, b"x")


def test_channels_the_peer_lacks_become_channel_0():
    link = Link(channels=2).connect()
    link.client.send(0x30, b"x")
    link.run(lambda: link.server_events)
    assert link.server_events == [Received(0, b"x", True)]


def deliver(peer: Peer, *commands: wire.Command) -> None:
    peer.receive(wire.Datagram(0, 0, 0, commands), 0)


def connected_peer(**settings: Any) -> Peer:
    return Peer(State.CONNECTED, EnetSettings(**settings), 0, always_send_time=True)


def reliable(sequence: int, size: int = 1, channel: int = 0) -> wire.SendReliable:
    return wire.SendReliable(channel=channel, sequence=sequence, acknowledge=True, data=bytes(size))


def acknowledged_sequences(peer: Peer) -> list[int]:
    return [
        command.received_sequence
        for datagram in peer.poll(0)
        for command in wire.decode_datagram(datagram).commands
        if isinstance(command, wire.Acknowledge)
    ]


def test_what_cannot_be_held_is_not_acknowledged_and_comes_again():
    peer = connected_peer(held_bytes=1000)
    deliver(peer, reliable(3, 600))
    deliver(peer, reliable(4, 600))
    assert acknowledged_sequences(peer) == [3]
    deliver(peer, reliable(1), reliable(2))
    deliver(peer, reliable(4, 600))
    assert acknowledged_sequences(peer) == [1, 2, 4]
    assert len(peer.events) == 4


def test_held_messages_are_counted_per_channel():
    peer = connected_peer()
    for sequence in range(2, 700):
        deliver(peer, reliable(sequence, 0))
    assert len(acknowledged_sequences(peer)) == 512


def test_untaken_events_stop_new_messages():
    peer = connected_peer()
    for sequence in range(1, MAX_EVENTS + 100):
        deliver(peer, reliable(sequence))
        peer.poll(0)
    assert len(peer.events) == MAX_EVENTS
    peer.events.clear()
    deliver(peer, reliable(MAX_EVENTS + 1))
    assert len(peer.events) == 1


def test_duplicates_are_acknowledged_but_not_delivered():
    peer = connected_peer()
    deliver(peer, reliable(1), reliable(1))
    deliver(peer, reliable(1))
    assert acknowledged_sequences(peer) == [1, 1, 1]
    assert len(peer.events) == 1


def test_sequence_numbers_wrap():
    peer = connected_peer()
    for number in range(1, 70_000):
        deliver(peer, reliable(number & 0xFFFF))
        peer.events.clear()
        if number % 500 == 0:
            peer.poll(0)
    deliver(peer, reliable((70_000 - 20_000) & 0xFFFF))  # long past: a duplicate
    assert not peer.events


def fragment(number: int, count: int = 3, total: int = 30, **more: Any) -> wire.SendFragment:
    values: dict[str, Any] = {"start_sequence": 1, "offset": number * 10, "sequence": 1 + number}
    values |= more
    return wire.SendFragment(
        channel=0,
        acknowledge=True,
        count=count,
        number=number,
        total=total,
        data=b"x" * 10,
        **values,
    )


@pytest.mark.parametrize(
    "bad",
    [
        fragment(3),
        fragment(0, count=0),
        fragment(0, count=5000, total=5000),
        fragment(0, total=1 << 20),
        fragment(0, total=5),
        fragment(1, offset=25),
        fragment(1, sequence=1),
        fragment(0, count=31, total=30),
        fragment(0, offset=0xFFFFFFFF),
    ],
)
def test_impossible_fragments_are_refused(bad):
    peer = connected_peer()
    with pytest.raises(EnetError):
        deliver(peer, bad)
    assert acknowledged_sequences(peer) == []


def test_fragments_in_any_order_with_doubles():
    peer = connected_peer()
    deliver(peer, fragment(2), fragment(0), fragment(0), fragment(1), fragment(2))
    assert list(peer.events) == [Received(0, b"x" * 30, True)]
    assert len(acknowledged_sequences(peer)) == 5
    deliver(peer, reliable(4))
    assert len(peer.events) == 2


def test_fragments_that_disagree_are_refused():
    peer = connected_peer()
    deliver(peer, fragment(0))
    with pytest.raises(EnetError):
        deliver(peer, fragment(1, total=40))
    with pytest.raises(EnetError):
        deliver(peer, reliable(1), fragment(1, count=4))
    peer = connected_peer()
    deliver(peer, reliable(2))
    with pytest.raises(EnetError):
        deliver(peer, fragment(0, start_sequence=2, sequence=2))


def unreliable_fragment(start: int, number: int) -> wire.SendUnreliableFragment:
    return wire.SendUnreliableFragment(
        channel=0,
        sequence=0,
        start_sequence=start,
        count=2,
        number=number,
        total=20,
        offset=10 * number,
        data=b"y" * 10,
    )


def test_unreliable_fragments_are_joined_and_bounded():
    peer = connected_peer(held_bytes=100)
    deliver(peer, *(unreliable_fragment(start, 0) for start in range(1, 50)))
    deliver(peer, unreliable_fragment(49, 1), unreliable_fragment(1, 1))
    assert list(peer.events) == [Received(0, b"y" * 20, False)]


def test_unsequenced_window():
    window = UnsequencedWindow()
    assert [window.accept(group) for group in (1, 3, 2, 3, 2, 1)] == [True] * 3 + [False] * 3
    assert window.accept(2000)
    assert not window.accept(3)
    assert window.accept(1999)
    for group in range(2001, 70_000):
        assert window.accept(group & 0xFFFF)


def test_send_window_holds_back():
    link = Link(window=4096, delay=1000).connect()
    for _ in range(50):
        link.client.send(0, bytes(500))
    assert sum(map(len, link.client.poll(link.now))) <= 4096 + 100
    link.run(lambda: len(link.server_events) == 50)


@pytest.mark.parametrize(
    "command",
    [
        wire.SendReliable(channel=50, sequence=1, acknowledge=True, data=b""),
        wire.SendReliable(channel=255, sequence=1, acknowledge=True, data=b""),
        wire.Connect(**cast("Any", dict.fromkeys(wire.Connect.FIELDS, 1))),
        wire.ThrottleConfigure(interval=1, acceleration=1, deceleration=1),
    ],
)
def test_commands_out_of_place_are_refused(command):
    with pytest.raises(EnetError):
        deliver(connected_peer(), command)


def verify(client: EnetClient, **changed: int) -> bytes:
    [asked] = wire.decode_datagram(client.poll(0)[0]).commands
    values = {name: getattr(asked, name) for name in wire.VerifyConnect.FIELDS} | changed
    command = wire.VerifyConnect(sequence=1, acknowledge=True, **values)
    return wire.encode_header(0, 0, 0) + command.encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"connect_id": 9},
        {"throttle_interval": 9},
        {"channels": 0},
        {"channels": 200},
        {"outgoing_peer": 0xFFF},
    ],
)
def test_wrong_verify_is_refused(changed):
    client = EnetClient(1, 2, 0)
    with pytest.raises(EnetError):
        client.receive(verify(client, **changed), 0)
    assert client.events() == []


def test_data_before_verify_is_refused():
    client = EnetClient(1, 2, 0)
    data = wire.encode_header(0, 0, 0) + reliable(1).encode()
    with pytest.raises(EnetError):
        client.receive(data, 0)


def test_server_never_verifies_a_verify():
    link = Link().connect()
    forged = verify(EnetClient(0x1234, 77, 0))
    link.server.receive(CLIENT, forged, link.now)
    assert link.server.events() == []


def test_settings_are_checked():
    with pytest.raises(ValueError, match="mtu"):
        EnetSettings(mtu=100)
