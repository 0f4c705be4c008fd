"""ENet: recorded sessions datagram by datagram in both roles, and two ends over a bad link."""

import random
from typing import Any, cast

import pytest

from earthshine.protocols.moonlight.enet import (
    Connected,
    Delivery,
    Disconnected,
    EnetClient,
    EnetError,
    EnetServer,
    EnetSettings,
    PeerEvent,
    Reason,
    Received,
    wire,
)
from earthshine.protocols.moonlight.enet.channel import Budget, Channel, UnsequencedWindow, Verdict
from earthshine.protocols.moonlight.enet.peer import MAX_EVENTS, MAX_QUEUED, Peer, State

SESSIONS = ["v2", "legacy", "host_terminate", "host_terminate_error", "host_disconnect"]
SESSIONS += ["retransmit", "loss_feedback"]
CLIENT = ("192.0.2.1", 4000)
# The recorded host waited 200 ms before it sent anything again, and its pings had a rhythm of its
# own.
REPLAY = EnetSettings(min_resend_ms=200, ping_interval_ms=None)


@pytest.fixture(params=SESSIONS)
def session(request, recording):
    sessions = recording("enet_control.json")["sessions"]
    return next(s for s in sessions if s["name"] == request.param)


def unwrap(previous: int, wrapped: int) -> int:
    """The first time not before ``previous`` whose low 16 bits are ``wrapped``."""
    return previous + ((wrapped - previous) & 0xFFFF)


def payloads(datagram: Any) -> list[tuple[int, bytes, str]]:
    wire_bytes = bytes.fromhex(datagram["hex"])
    return [
        (
            command["channel"],
            wire_bytes[command["data_offset"] : command["data_offset"] + command["data_length"]],
            command["command"],
        )
        for command in datagram["commands"]
        if "data_offset" in command
    ]


# -- the wire -------------------------------------------------------------------------------------


def test_every_recorded_datagram_is_read_and_written_back(session):
    for recorded in session["datagrams"]:
        data = bytes.fromhex(recorded["hex"])
        datagram = wire.decode_datagram(data)
        head = wire.encode_header(datagram.peer, datagram.session, datagram.sent_time)
        assert head + b"".join(command.encode() for command in datagram.commands) == data
        assert datagram.peer == recorded["header"]["peer"]
        assert datagram.sent_time == recorded["header"].get("sent_time")
        for command, expected in zip(datagram.commands, recorded["commands"], strict=True):
            assert (command.channel, command.sequence) == (expected["channel"], expected["seq"])
            assert (0x80 * command.acknowledge | 0x40 * command.unsequenced) == expected["flags"]


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "",
        "00",
        "8000",
        "c0000000" + "85ff0001",
        "80000000" + "85ff00",
        "80000000" + "80000000",
        "80000000" + "8d000000",
        "80000000" + "82ff0001" + "00" * 43,
        "80000000" + "86000001" + "0005" + "00" * 4,
        "0000" + "85ff0001",
        "80000000" + "05ff0001" * 257,
        "80000000" + "00" * 4096,
    ],
)
def test_malformed_datagrams_are_refused(hexadecimal):
    with pytest.raises(EnetError):
        wire.decode_datagram(bytes.fromhex(hexadecimal))


# -- the server against recorded clients --------------------------------------------------------


class HostReplay:
    """Drives an `EnetServer` the way the recorded host was driven."""

    def __init__(self, session: Any):
        self.session = session
        self.server: EnetServer[tuple[str, int]] = EnetServer(REPLAY)
        self.now = session["datagrams"][1]["header"]["sent_time"]
        self.expected = b""
        self.seen: set[tuple[int, int]] = set()
        self.sent_messages: set[int] = set()

    def run(self) -> list[PeerEvent]:
        events: list[PeerEvent] = []
        recorded = self.session["datagrams"]
        for number, datagram in enumerate(recorded):
            data = bytes.fromhex(datagram["hex"])
            if datagram["dir"] == "c2h":
                if not datagram.get("lost"):
                    self.server.receive(CLIENT, data, self.now)
                    events += self.server.events()
                continue
            self.now = unwrap(self.now, datagram["header"]["sent_time"])
            self.command(datagram)
            self.expected += data if not self.expected else data[wire.HEADER_BYTES :]
            following = recorded[number + 1] if number + 1 < len(recorded) else datagram
            if self.same_turn(datagram, following):
                continue  # two datagrams within one millisecond: ours is one
            assert [sent for _, sent in self.server.poll(self.now)] == [self.expected], number
            self.expected = b""
        return events

    @staticmethod
    def same_turn(datagram: Any, following: Any) -> bool:
        return (
            following is not datagram
            and following["dir"] == "h2c"
            and following["header"]["sent_time"] == datagram["header"]["sent_time"]
        )

    def command(self, recorded: Any) -> None:
        """What the recorded host was told to do: send, ping, or disconnect."""
        for command in recorded["commands"]:
            key = (command["channel"], command["seq"])
            if command["command"] in ("ACKNOWLEDGE", "VERIFY_CONNECT") or key in self.seen:
                continue
            self.seen.add(key)
            if command["command"] == "PING":
                self.server.peer(1).ping()
            elif command["command"] == "DISCONNECT":
                self.server.peer(1).disconnect(command["data"])
        for channel, data, _ in payloads(recorded):
            if recorded["commands"][0]["seq"] not in self.sent_messages:
                self.sent_messages.add(recorded["commands"][0]["seq"])
                self.server.peer(1).send(channel, data)


def delivered_to_host(session: Any) -> list[tuple[int, bytes]]:
    """What the recorded client sent, per channel in order, each message once."""
    found: dict[int, dict[Any, bytes]] = {}
    for recorded in session["datagrams"]:
        if recorded["dir"] != "c2h":
            continue
        commands = [c for c in recorded["commands"] if "data_offset" in c]
        for command, (channel, data, kind) in zip(commands, payloads(recorded), strict=True):
            number = command.get("unreliable_seq", command.get("group", 0))
            found.setdefault(channel, {})[(kind, command["seq"], number)] = data
    return sorted(
        ((channel, data) for channel, messages in found.items() for data in messages.values()),
    )


def test_server_answers_like_the_recording(session):
    events = [event.event for event in HostReplay(session).run()]
    assert events[0] == Connected(session["connect_data"])
    received = [(e.channel, e.data) for e in events if isinstance(e, Received)]
    expected = delivered_to_host(session)
    assert sorted(received) == expected
    ended = [event for event in events if isinstance(event, Disconnected)]
    reason = Reason.BY_US if session["name"] == "host_disconnect" else Reason.BY_PEER
    assert ended == [Disconnected(reason)]
    assert events[-1] == ended[0]


def test_messages_arrive_in_order_per_channel(session):
    events = [event.event for event in HostReplay(session).run()]
    numbers: dict[int, list[int]] = {}
    for event in events:
        if isinstance(event, Received) and event.reliable:
            control_sequence = int.from_bytes(event.data[4:8], "little")
            numbers.setdefault(event.channel, []).append(control_sequence)
    assert all(values == sorted(set(values)) for values in numbers.values())


# -- the client against recorded hosts --------------------------------------------------------


def acknowledged(recorded: Any) -> set[tuple[int, int]]:
    return {
        (c["channel"], c["acked_seq"])
        for c in recorded["commands"]
        if c["command"] == "ACKNOWLEDGE"
    }


def reliable_keys(recorded: Any) -> set[tuple[int, int]]:
    return {(c["channel"], c["seq"]) for c in recorded["commands"] if c["flags"] & 0x80}


class ClientReplay:
    """Drives an `EnetClient` the way the recorded client was driven.

    The recording shows when the host saw things, not when the client did. So a datagram of the host
    reaches the client just before the client acknowledges it, and an acknowledgement only when the
    client does not repeat the acknowledged command any more.
    """

    def __init__(self, session: Any):
        self.datagrams = session["datagrams"]
        first = self.datagrams[0]
        self.now = first["header"]["sent_time"]
        connect = first["commands"][0]
        settings = EnetSettings(ping_interval_ms=None, min_resend_ms=1, max_resend_ms=1)
        connect_id = int(connect["connect_id"], 16)
        self.client = EnetClient(connect_id, connect["data"], self.now, settings)
        self.seen = {(255, 1)}
        self.waiting: list[Any] = []

    def run(self) -> list[Any]:
        events: list[Any] = []
        for index, recorded in enumerate(self.datagrams):
            if recorded["dir"] == "h2c":
                self.waiting += [] if recorded.get("lost") else [recorded]
                continue
            if "sent_time" in recorded["header"]:
                self.now = unwrap(self.now, recorded["header"]["sent_time"])
            from_here = [d for d in self.datagrams[index:] if d["dir"] == "c2h"]
            self.hear(recorded, set().union(*map(reliable_keys, from_here)))
            self.command(recorded)
            assert self.client.poll(self.now) == [bytes.fromhex(recorded["hex"])], recorded["n"]
            events += self.client.events()
        self.hear(None, set())
        return events + self.client.events()

    def hear(self, recorded: Any, repeated: set[tuple[int, int]]) -> None:
        """Receive what the client had received when it sent ``recorded`` (None: everything)."""
        waiting, self.waiting = self.waiting, []
        for datagram in waiting:
            wanted = reliable_keys(datagram)
            heard = recorded is None or wanted <= acknowledged(recorded)
            if heard and not acknowledged(datagram) & repeated:
                self.client.receive(bytes.fromhex(datagram["hex"]), self.now)
            else:
                self.waiting.append(datagram)

    def command(self, recorded: Any) -> None:
        data = payloads(recorded)
        for command in recorded["commands"]:
            kind, key = command["command"], (command["channel"], command["seq"])
            message = data.pop(0) if "data_offset" in command else None
            if command["flags"] & 0x80:
                if key in self.seen:
                    continue
                self.seen.add(key)
            if message is not None:
                self.client.send(message[0], message[1], DELIVERIES[kind])
            elif kind == "PING":
                self.client.peer.ping()
            elif kind == "BANDWIDTH_LIMIT":
                self.client.peer.announce_bandwidth()
            elif kind == "DISCONNECT" and command["flags"] & 0x80:
                self.client.peer.disconnect()
            elif kind == "DISCONNECT":
                self.client.peer.disconnect_now()


DELIVERIES = {
    "SEND_RELIABLE": Delivery.RELIABLE,
    "SEND_UNRELIABLE": Delivery.UNRELIABLE,
    "SEND_UNSEQUENCED": Delivery.UNSEQUENCED,
}


@pytest.mark.parametrize("session", [n for n in SESSIONS if n != "retransmit"], indirect=True)
def test_client_sends_like_the_recording(session):
    if session["name"] == "host_disconnect":
        # This client did not hear the first DISCONNECT; neither may the replay.
        datagrams = [dict(d) for d in session["datagrams"]]
        next(d for d in datagrams if d["commands"][0]["command"] == "DISCONNECT")["lost"] = True
        session = session | {"datagrams": datagrams}
    events = ClientReplay(session).run()
    assert events[0] == Connected(session["connect_data"])
    received = [(event.channel, event.data) for event in events if isinstance(event, Received)]
    sent = [
        (channel, data)
        for recorded in session["datagrams"]
        if recorded["dir"] == "h2c"
        for channel, data, _ in payloads(recorded)
    ]
    assert received == sent
    assert isinstance(events[-1], Disconnected)


# -- two ends, a link between them ------------------------------------------------------------


class Link:
    """Client and server with a link that loses, doubles and delays, from a seed."""

    def __init__(
        self, seed: int = 0, loss: float = 0.0, delay: int = 5, jitter: int = 0, **more: Any
    ):
        self.random = random.Random(seed)
        self.loss, self.delay, self.jitter = loss, delay, jitter
        self.now = 65000  # so that the 16-bit clock wraps early
        self.server: EnetServer[tuple[str, int]] = EnetServer(EnetSettings(**more))
        self.client = EnetClient(0x1234, 77, self.now, EnetSettings(**more))
        self.flying: list[tuple[int, int, str, bytes]] = []
        self.client_events: list[Any] = []
        self.server_events: list[Any] = []
        self.counter = 0

    def post(self, to: str, data: bytes) -> None:
        copies = 0 if self.random.random() < self.loss else 1
        if copies and self.random.random() < self.loss:
            copies = 2
        for _ in range(copies):
            self.counter += 1
            due = self.now + self.delay + self.random.randint(0, self.jitter)
            self.flying.append((due, self.counter, to, data))

    def step(self) -> None:
        self.now += 1
        arrived = sorted(entry for entry in self.flying if entry[0] <= self.now)
        self.flying = [entry for entry in self.flying if entry[0] > self.now]
        for _, _, to, data in arrived:
            if to == "server":
                self.server.receive(CLIENT, data, self.now)
            else:
                self.client.receive(data, self.now)
        for data in self.client.poll(self.now):
            self.post("server", data)
        for _, data in self.server.poll(self.now):
            self.post("client", data)
        self.client_events += self.client.events()
        self.server_events += [event.event for event in self.server.events()]

    def run(self, until: Any, limit: int = 60_000) -> None:
        for _ in range(limit):
            self.step()
            if until():
                return
        raise AssertionError("the link did not get there")

    def connect(self) -> "Link":
        self.run(lambda: self.client_events and self.server_events)
        assert self.client_events.pop(0) == Connected(77)
        assert self.server_events.pop(0) == Connected(77)
        return self

    @property
    def peer(self) -> Peer:
        return self.server.peer(1)


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


def connect_datagram(connect_id: int, data: int = 77) -> bytes:
    [datagram] = EnetClient(connect_id, data, 0).poll(0)
    return datagram


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


# -- limits ---------------------------------------------------------------------------------------


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
