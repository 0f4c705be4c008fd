"""The two roles of an ENet connection, to be driven by whoever owns the UDP socket.

Server and client work alike: hand in datagrams with `receive`, take events with `events`, and send
what `poll` returns; after every step `next_wakeup` says when to poll again at the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from earthshine.protocols.moonlight.enet.events import (
    MAX_WINDOW,
    Delivery,
    EnetEvent,
    EnetSettings,
)
from earthshine.protocols.moonlight.enet.peer import MIN_WINDOW, Peer, State
from earthshine.protocols.moonlight.enet.wire import (
    MIN_MTU,
    NO_PEER,
    NO_SESSION,
    Connect,
    EnetError,
    VerifyConnect,
    decode_datagram,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MAX_PEERS = 64
MAX_HALF_OPEN = 16

_THROTTLE = (5000, 2, 2)

AddressT = TypeVar("AddressT", bound="Hashable")


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """An event of the connection ``peer``: a number never used twice by one server."""

    peer: int
    event: EnetEvent


@dataclass(slots=True)
class _Slot(Generic[AddressT]):
    """A place in the peer table. Session numbers outlive the connection that used them."""

    incoming_session: int = NO_SESSION
    outgoing_session: int = NO_SESSION
    peer: Peer | None = None
    address: AddressT | None = None
    number: int = 0
    connect_id: int = 0


class EnetServer(Generic[AddressT]):
    """A table of connections on one UDP socket. ``AddressT`` is any hashable address.

    ``admit(address, connect data)`` decides before anything is remembered about a peer; at most
    `MAX_PEERS` connections exist and `MAX_HALF_OPEN` of them may be unfinished.
    """

    def __init__(
        self,
        settings: EnetSettings | None = None,
        *,
        admit: Callable[[AddressT, int], bool] | None = None,
        max_peers: int = MAX_PEERS,
    ) -> None:
        self._settings = settings or EnetSettings()
        self._admit = admit
        self._slots: list[_Slot[AddressT]] = [_Slot() for _ in range(max_peers)]
        self._numbers: dict[int, _Slot[AddressT]] = {}
        self._next_number = 1

    def receive(self, address: AddressT, data: bytes, now: int) -> None:
        """Take in one datagram. Raises `EnetError` for a malformed one, which may be ignored.

        Datagrams that belong to no connection are dropped silently.
        """
        datagram = decode_datagram(data)
        if datagram.peer == NO_PEER:
            first = datagram.commands[0] if datagram.commands else None
            if isinstance(first, Connect) and first.acknowledge:
                self._connect(address, first, now)
            return
        if datagram.peer >= len(self._slots):
            return
        slot = self._slots[datagram.peer]
        peer = slot.peer
        if peer is None or slot.address != address or datagram.session != peer.sessions[0]:
            return
        peer.receive(datagram, now)

    def events(self) -> list[PeerEvent]:
        """Everything that happened since the last call, in order per connection."""
        found: list[PeerEvent] = []
        for number, slot in self._numbers.items():
            assert slot.peer is not None
            while slot.peer.events:
                found.append(PeerEvent(number, slot.peer.events.popleft()))
        return found

    def poll(self, now: int) -> list[tuple[AddressT, bytes]]:
        """Datagrams to send now."""
        out: list[tuple[AddressT, bytes]] = []
        for number, slot in list(self._numbers.items()):
            assert slot.peer is not None
            assert slot.address is not None
            out += [(slot.address, data) for data in slot.peer.poll(now)]
            if slot.peer.finished(now) and not slot.peer.events:
                del self._numbers[number]
                slot.peer = slot.address = None
        return out

    def next_wakeup(self) -> int | None:
        """When to poll again at the latest."""
        peers = (slot.peer for slot in self._numbers.values())
        times = [time for peer in peers if peer and (time := peer.next_wakeup()) is not None]
        return min(times, default=None)

    def peer(self, number: int) -> Peer:
        """The connection of that number. Raises `EnetError` when there is none any more."""
        slot = self._numbers.get(number)
        if slot is None or slot.peer is None:
            raise EnetError("no such connection")
        return slot.peer

    def address(self, number: int) -> AddressT:
        """Where that connection's datagrams go. Raises `EnetError`."""
        slot = self._numbers.get(number)
        if slot is None or slot.address is None:
            raise EnetError("no such connection")
        return slot.address

    def _connect(self, address: AddressT, asked: Connect, now: int) -> None:
        for slot in self._numbers.values():
            if slot.address == address and slot.connect_id == asked.connect_id:
                return
        if not 1 <= asked.channels <= 255 or asked.outgoing_peer >= NO_PEER:
            raise EnetError("CONNECT is out of range")
        slots = [slot for slot in self._slots if slot.peer is None]
        accepting = sum(
            1 for slot in self._slots if slot.peer and slot.peer.state is State.ACCEPTING
        )
        if not slots or accepting >= MAX_HALF_OPEN:
            return
        if self._admit is not None and not self._admit(address, asked.data):
            return
        self._accept(slots[0], address, asked, now)

    def _accept(self, slot: _Slot[AddressT], address: AddressT, asked: Connect, now: int) -> None:
        settings = self._settings
        slot.outgoing_session = _next_session(asked.incoming_session, slot.outgoing_session)
        slot.incoming_session = _next_session(asked.outgoing_session, slot.incoming_session)
        peer = Peer(State.ACCEPTING, settings, now, always_send_time=True)
        peer.remote_id = asked.outgoing_peer
        peer.sessions = (slot.incoming_session, slot.outgoing_session)
        peer.mtu = max(min(settings.mtu, asked.mtu), MIN_MTU)
        peer.window = max(min(settings.window, asked.window), MIN_WINDOW)
        peer.limit_channels(asked.channels)
        peer.connect_data = asked.data
        peer.queue_verify(
            VerifyConnect(
                sequence=1,
                acknowledge=True,
                outgoing_peer=self._slots.index(slot),
                incoming_session=slot.outgoing_session,
                outgoing_session=slot.incoming_session,
                mtu=peer.mtu,
                window=max(min(MAX_WINDOW, asked.window), MIN_WINDOW),
                channels=peer.channel_count,
                in_bandwidth=0,
                out_bandwidth=0,
                throttle_interval=asked.throttle_interval,
                throttle_acceleration=asked.throttle_acceleration,
                throttle_deceleration=asked.throttle_deceleration,
                connect_id=asked.connect_id,
            )
        )
        slot.peer, slot.address, slot.connect_id = peer, address, asked.connect_id
        slot.number = self._next_number
        self._numbers[slot.number] = slot
        self._next_number += 1


class EnetClient:
    """One connection to one server.

    ``connect_id`` is a random u32, ``connect_data`` the u32 the host gave in RTSP. The driver
    passes in only datagrams from the server's address.
    """

    def __init__(
        self,
        connect_id: int,
        connect_data: int,
        now: int,
        settings: EnetSettings | None = None,
    ) -> None:
        settings = settings or EnetSettings()
        self._peer = Peer(State.CONNECTING, settings, now, always_send_time=False)
        self._peer.remote_id = NO_PEER
        interval, acceleration, deceleration = _THROTTLE
        self._peer.queue_connect(
            Connect(
                sequence=1,
                acknowledge=True,
                outgoing_peer=0,
                incoming_session=NO_SESSION,
                outgoing_session=NO_SESSION,
                mtu=settings.mtu,
                window=settings.window,
                channels=settings.channels,
                in_bandwidth=0,
                out_bandwidth=0,
                throttle_interval=interval,
                throttle_acceleration=acceleration,
                throttle_deceleration=deceleration,
                connect_id=connect_id,
                data=connect_data,
            )
        )

    @property
    def peer(self) -> Peer:
        """The connection, for pings, disconnection and measurements."""
        return self._peer

    def receive(self, data: bytes, now: int) -> None:
        """Take in one datagram. Raises `EnetError` for a malformed one, which may be ignored."""
        datagram = decode_datagram(data)
        if datagram.peer != 0:
            return
        if self._peer.state is not State.CONNECTING and datagram.session != self._peer.sessions[0]:
            return
        self._peer.receive(datagram, now)

    def send(self, channel: int, data: bytes, delivery: Delivery = Delivery.RELIABLE) -> None:
        """See `Peer.send`."""
        self._peer.send(channel, data, delivery)

    def events(self) -> list[EnetEvent]:
        """Everything that happened since the last call, in order."""
        found = list(self._peer.events)
        self._peer.events.clear()
        return found

    def poll(self, now: int) -> list[bytes]:
        """Datagrams to send now."""
        return self._peer.poll(now)

    def next_wakeup(self) -> int | None:
        """When to poll again at the latest."""
        return self._peer.next_wakeup()


def _next_session(asked: int, old: int) -> int:
    """ENet's rule for a fresh session number, one that differs from the slot's last."""
    session = (old if asked == NO_SESSION else asked) + 1 & 3
    return session + 1 & 3 if session == old else session
