"""ENet: two ends over a bad link, and the table of connections a server keeps."""

import random

import pytest

from earthshine.protocols.moonlight.enet import (
    Connected,
    Delivery,
    Disconnected,
    EnetClient,
    EnetError,
    EnetServer,
    Reason,
    Received,
    wire,
)
from earthshine.protocols.moonlight.enet.channel import Budget, Channel, Verdict
from tests.unit.protocols.moonlight.enet_link import CLIENT, Link, connect_datagram


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("seed", [1, 2])
def test_reliable_messages_arrive_once_and_in_order(loss, seed):
    link = Link(seed, loss, jitter=20).connect()
    sent = [(n % 3, n.to_bytes(2, "big") * (1 + n % 40)) for n in range(200)]
    for channel, data in sent:
        link.client.send(channel, data)
        link.peer.send(channel, data)
    link.run(lambda: len(link.server_events) >= 200 and len(link.client_events) >= 200)
    for events in (link.server_events, link.client_events):
        for channel in range(3):
            got = [event.data for event in events if event.channel == channel]
            assert got == [data for c, data in sent if c == channel]


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_large_messages_are_cut_and_joined(loss):
    link = Link(3, loss, jitter=10).connect()
    big = random.Random(1).randbytes(50_000)
    link.client.send(1, b"before")
    link.client.send(1, big)
    link.client.send(1, b"after")
    link.run(lambda: len(link.server_events) == 3)
    assert [event.data for event in link.server_events] == [b"before", big, b"after"]


def test_unreliable_messages_may_be_lost_but_never_come_late_or_twice():
    link = Link(4, 0.2, jitter=30).connect()
    for n in range(300):
        link.client.send(0x20, n.to_bytes(2, "big"), Delivery.UNRELIABLE)
        link.client.send(0, n.to_bytes(2, "big"), Delivery.UNSEQUENCED)
        link.step()
    for _ in range(200):
        link.step()
    sensors = [int.from_bytes(e.data, "big") for e in link.server_events if e.channel == 0x20]
    status = [int.from_bytes(e.data, "big") for e in link.server_events if e.channel == 0]
    assert sensors == sorted(set(sensors))
    assert len(set(status)) == len(status)
    assert min(len(sensors), len(status)) > 50


def test_unreliable_waits_for_the_reliable_message_it_follows():
    channel, budget = Channel(), Budget(1000)
    early = wire.SendUnreliable(channel=0, sequence=1, unreliable_sequence=1, data=b"u")
    assert channel.accept_unreliable(early, budget) == []
    first = wire.SendReliable(channel=0, sequence=1, data=b"r")
    assert channel.accept(first, budget) is Verdict.ACCEPTED
    assert channel.deliver(budget) == [(b"r", True), (b"u", False)]
    assert channel.accept_unreliable(early, budget) == []
    assert budget.left == 1000


@pytest.mark.parametrize("side", ["client", "server"])
def test_goodbye_is_heard(side):
    link = Link(5, 0.3).connect()
    peer = link.client.peer if side == "client" else link.peer
    peer.send(0, b"last words")
    peer.disconnect_later()
    link.run(lambda: link.client_events[-1:] and link.server.next_wakeup() is None)
    mine, other = (link.client_events, link.server_events)
    if side == "server":
        mine, other = other, mine
    assert mine == [Disconnected(Reason.BY_US)]
    assert other == [Received(0, b"last words", True), Disconnected(Reason.BY_PEER)]


def test_disconnect_now_is_one_unsequenced_datagram():
    link = Link().connect()
    link.client.peer.disconnect_now(9)
    [datagram] = link.client.poll(link.now)
    [command] = wire.decode_datagram(datagram).commands
    assert isinstance(command, wire.Disconnect)
    assert (command.unsequenced, command.acknowledge) == (True, False)
    link.server.receive(CLIENT, datagram, link.now)
    assert [e.event for e in link.server.events()] == [Disconnected(Reason.BY_PEER, 9)]
    assert link.client.events() == [Disconnected(Reason.BY_US)]
    link.client.peer.disconnect_now()
    assert link.client.poll(link.now) == []


def test_silent_peer_is_lost_and_forgotten():
    link = Link().connect()
    link.loss = 1.0
    link.run(lambda: link.client_events and link.server_events)
    assert link.client_events == link.server_events == [Disconnected(Reason.LOST)]
    link.run(lambda: link.server.next_wakeup() is None)
    with pytest.raises(EnetError):
        link.server.peer(1)
    with pytest.raises(EnetError):
        link.server.address(1)


def test_goodbye_without_answer_ends_after_two_seconds():
    link = Link().connect()
    link.loss = 1.0
    start = link.now
    link.client.peer.disconnect()
    link.run(lambda: link.client_events)
    assert link.client_events == [Disconnected(Reason.BY_US)]
    assert link.now - start < 2100


def test_idle_connection_is_kept_alive_by_pings():
    link = Link().connect()
    for _ in range(30_000):
        link.step()
    assert link.client_events == link.server_events == []
    assert 9 <= link.client.peer.rtt_ms <= 12
    wakeup = link.client.next_wakeup()
    assert wakeup is not None
    assert wakeup - link.now <= 500


def test_wakeups_are_enough():
    """Polling only when told to loses nothing."""
    link = Link(loss=1.0)
    times = []
    for _ in range(20_000):
        link.now += 1
        wakeup = link.client.next_wakeup()
        if (wakeup is None or link.now >= wakeup) and link.client.poll(link.now):
            times.append(link.now)
    assert len(times) >= 5
    assert link.client.events() == [Disconnected(Reason.LOST)]


# -- the server's table ---------------------------------------------------------------------------


def test_connect_is_answered_once():
    server: EnetServer[str] = EnetServer()
    server.receive("a", connect_datagram(1), 0)
    assert len(server.poll(0)) == 1
    server.receive("a", connect_datagram(1), 1)
    assert server.poll(1) == []


def test_only_admitted_connections_are_remembered():
    server: EnetServer[str] = EnetServer(admit=lambda address, data: (address, data) == ("a", 77))
    for address, data in (("a", 78), ("b", 77)):
        server.receive(address, connect_datagram(1, data), 0)
    assert server.poll(0) == []
    server.receive("a", connect_datagram(1, 77), 0)
    assert len(server.poll(0)) == 1


def test_half_open_connections_are_limited_and_expire_silently():
    server: EnetServer[int] = EnetServer()
    for number in range(100):
        server.receive(number, connect_datagram(number), 0)
    assert len(server.poll(0)) == 16
    for now in range(0, 15_000, 50):
        server.poll(now)
    assert server.next_wakeup() is None
    assert server.events() == []
    server.receive(1, connect_datagram(1), 15_000)
    assert len(server.poll(15_000)) == 1


def test_forged_connect_costs_its_victim_little():
    server: EnetServer[str] = EnetServer()
    server.receive("victim", connect_datagram(1), 0)
    sent = [data for now in range(0, 20_000, 10) for _, data in server.poll(now)]
    assert 2 <= len(sent) <= 7


def test_session_numbers_change_when_a_place_is_used_again():
    server: EnetServer[str] = EnetServer(max_peers=1)
    seen = []
    for number in range(4):
        now = number * 20_000
        server.receive("a", connect_datagram(number), now)
        [(_, answer)] = server.poll(now)
        [verify] = wire.decode_datagram(answer).commands
        assert isinstance(verify, wire.VerifyConnect)
        seen.append(verify.incoming_session)
        for later in range(now, now + 15_000, 100):
            server.poll(later)
    assert seen == [0, 1, 2, 3]


def test_strangers_cannot_speak_for_a_connection():
    link = Link().connect()
    link.client.peer.disconnect_now()
    [goodbye] = link.client.poll(link.now)
    link.server.receive(("198.51.100.9", 1), goodbye, link.now)
    other_session = bytes([goodbye[0] | 0x10]) + goodbye[1:]
    link.server.receive(CLIENT, other_session, link.now)
    no_such_place = bytes([0x00, 0x3F]) + goodbye[2:]
    link.server.receive(CLIENT, no_such_place, link.now)
    assert link.server.events() == []


def test_two_clients_do_not_mix():
    server: EnetServer[str] = EnetServer()
    clients = {name: EnetClient(n, n, 0) for n, name in enumerate("ab", 1)}
    for now in range(5):
        for name, client in clients.items():
            for data in client.poll(now):
                server.receive(name, data, now)
        for address, data in server.poll(now):
            clients[address].receive(data, now)
    assert [(e.peer, e.event) for e in server.events()] == [(1, Connected(1)), (2, Connected(2))]
    server.peer(2).send(0, b"for b")
    [(address, data)] = server.poll(6)
    assert address == server.address(2) == "b"
    clients["b"].receive(data, 6)
    assert Received(0, b"for b", True) in clients["b"].events()
    assert Received(0, b"for b", True) not in clients["a"].events()
