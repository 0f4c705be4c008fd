"""ENet: recorded sessions, datagram by datagram in both roles."""

from typing import Any

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
