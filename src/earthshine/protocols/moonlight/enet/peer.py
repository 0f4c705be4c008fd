"""One ENet connection: states, acknowledgements, retransmission, pings and the end.

======================  ===========================================================================
CONNECTING              client sent CONNECT, waits for VERIFY_CONNECT
ACCEPTING               server sent VERIFY_CONNECT, waits for its acknowledgement
CONNECTED
DRAINING                closes once everything queued is acknowledged
DISCONNECTING           sent DISCONNECT, waits for its acknowledgement
CLOSED                  over; repeats its acknowledgement of a DISCONNECT for a while
======================  ===========================================================================

Every command that wants it is acknowledged, doubles included; what cannot be kept is not, and comes
again. A command is sent again after RTT + 4 x variance, doubling each time. A peer that
acknowledges nothing for ``timeout_ms`` is lost.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.enet.channel import (
    MAX_MESSAGE_BYTES,
    Budget,
    Channel,
    UnsequencedWindow,
    Verdict,
)
from earthshine.protocols.moonlight.enet.events import (
    Connected,
    Delivery,
    Disconnected,
    EnetEvent,
    EnetSettings,
    Reason,
    Received,
)
from earthshine.protocols.moonlight.enet.wire import (
    COMMAND_BYTES,
    CONNECTION_CHANNEL,
    HEADER_BYTES,
    MIN_MTU,
    Acknowledge,
    BandwidthLimit,
    Command,
    Connect,
    Disconnect,
    EnetError,
    Ping,
    SendFragment,
    SendReliable,
    SendUnreliable,
    SendUnreliableFragment,
    SendUnsequenced,
    VerifyConnect,
    encode_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from earthshine.protocols.moonlight.enet.wire import Datagram

MAX_QUEUED = 4096
"""Commands waiting to be sent or acknowledged; sending more raises `EnetError`."""
MAX_ACKNOWLEDGEMENTS = 1024
MAX_EVENTS = 4096
"""Events nobody has taken yet; at this number messages are refused until they are."""
MAX_COMMANDS_PER_DATAGRAM = 32
MIN_WINDOW = 4096

_FRAGMENT_BYTES = COMMAND_BYTES + SendFragment.LAYOUT.size
_SEND_BYTES = COMMAND_BYTES + SendUnreliable.LAYOUT.size


class State(enum.Enum):
    """See the module's table."""

    CONNECTING = enum.auto()
    ACCEPTING = enum.auto()
    CONNECTED = enum.auto()
    DRAINING = enum.auto()
    DISCONNECTING = enum.auto()
    CLOSED = enum.auto()


_OPEN = (State.CONNECTED, State.DRAINING)


@dataclass(slots=True)
class _Outgoing:
    command: Command
    encoded: bytes
    first_sent: int = -1
    sent: int = -1
    resend_after: int = 0

    @property
    def reliable(self) -> bool:
        return self.command.acknowledge

    @property
    def key(self) -> tuple[int, int]:
        return self.command.channel, self.command.sequence


class Peer:
    """A connection seen from one end. The endpoints create it; drivers use the endpoints."""

    def __init__(
        self,
        state: State,
        settings: EnetSettings,
        now: int,
        *,
        always_send_time: bool,
    ) -> None:
        self.state = state
        self.remote_id = 0
        self.sessions = (0, 0)
        """(in datagrams received, in datagrams sent)"""
        self.mtu = settings.mtu
        self.window = settings.window
        self.events: deque[EnetEvent] = deque()
        self.connect_data = 0
        self.expected_verify: Connect | None = None
        self._settings = settings
        self._always_send_time = always_send_time
        self._channels = [Channel() for _ in range(settings.channels)]
        self._connection = Channel()
        self._unsequenced = UnsequencedWindow()
        self._sent_group = 0
        self._budget = Budget(settings.held_bytes)
        self._acknowledgements: deque[Acknowledge] = deque()
        self._queue: deque[_Outgoing] = deque()
        self._in_flight: dict[tuple[int, int], _Outgoing] = {}
        self._in_flight_bytes = 0
        self._rtt = settings.first_rtt_ms
        self._variance = 0
        self._measured = False
        self._last_ping = now
        self._now = now
        self._closed_at: int | None = None
        self._handlers: dict[type[Command], Callable[[Command], Verdict]] = {
            Acknowledge: self._acknowledged,
            VerifyConnect: self._verified,
            Disconnect: self._disconnected,
            Ping: self._ignored,
            BandwidthLimit: self._ignored,
            SendReliable: self._reliable,
            SendFragment: self._fragment,
            SendUnreliable: self._unreliable,
            SendUnreliableFragment: self._unreliable_fragment,
            SendUnsequenced: self._unsequenced_message,
        }

    # -- what the application wants ---------------------------------------------------------------

    @property
    def rtt_ms(self) -> int:
        """Smoothed round trip time; the assumed first value until something was measured."""
        return self._rtt

    @property
    def channel_count(self) -> int:
        """Channels both ends agreed on."""
        return len(self._channels)

    def limit_channels(self, count: int) -> None:
        """Agree on fewer channels."""
        del self._channels[max(count, 1) :]

    def send(self, channel: int, data: bytes, delivery: Delivery = Delivery.RELIABLE) -> None:
        """Queue a message of at most `MAX_MESSAGE_BYTES`; `poll` sends it.

        A channel the peer does not have becomes channel 0. Raises `EnetError` when not connected,
        when the message is too large for its delivery, or when `MAX_QUEUED` commands wait.
        """
        if self.state is not State.CONNECTED:
            raise EnetError("not connected")
        if channel >= len(self._channels):
            channel = 0
        limit = self.mtu - HEADER_BYTES - _SEND_BYTES
        if len(data) <= limit:
            self._queue_whole(channel, data, delivery)
        elif delivery is not Delivery.RELIABLE or len(data) > MAX_MESSAGE_BYTES:
            raise EnetError(f"a message of {len(data)} bytes is too large")
        else:
            self._queue_fragments(channel, data)

    def ping(self) -> None:
        """Queue a PING."""
        self._queue_connection(Ping, acknowledge=True)

    def announce_bandwidth(self) -> None:
        """Queue a BANDWIDTH_LIMIT without limits, as the C library does after a second."""
        self._queue_connection(BandwidthLimit, acknowledge=True)

    def disconnect(self, data: int = 0) -> None:
        """Say goodbye and wait for the acknowledgement; what is still queued is dropped."""
        if self.state in _OPEN:
            self._queue.clear()
            self._in_flight.clear()
            self._in_flight_bytes = 0
            self.state = State.DISCONNECTING
            self._queue_connection(Disconnect, acknowledge=True, data=data)
        elif self.state not in (State.DISCONNECTING, State.CLOSED):
            self._close(Disconnected(Reason.BY_US))

    def disconnect_later(self) -> None:
        """Like `disconnect` once everything queued was acknowledged."""
        if self.state is State.CONNECTED:
            self.state = State.DRAINING

    def disconnect_now(self, data: int = 0) -> None:
        """Say goodbye without waiting."""
        if self.state is State.CLOSED:
            return
        self._queue.clear()
        self._queue_connection(Disconnect, unsequenced=True, data=data)
        goodbye = self._queue.pop()
        self._close(Disconnected(Reason.BY_US))
        self._queue.append(goodbye)

    # -- what comes in ----------------------------------------------------------------------------

    def receive(self, datagram: Datagram, now: int) -> None:
        """Handle the commands of a datagram from this peer. Raises `EnetError`."""
        self._now = now
        for command in datagram.commands:
            self._handle(command, datagram.sent_time)

    def _handle(self, command: Command, sent_time: int | None) -> None:
        if self.state is State.CLOSED and not isinstance(command, Disconnect):
            return
        handler = self._handlers.get(type(command))
        if handler is None:
            raise EnetError("command does not belong in a connection")
        if command.channel != CONNECTION_CHANNEL and command.channel >= len(self._channels):
            raise EnetError("command is for a channel that does not exist")
        verdict = handler(command)
        if command.acknowledge and verdict is not Verdict.REFUSED:
            assert sent_time is not None
            if len(self._acknowledgements) < MAX_ACKNOWLEDGEMENTS:
                self._acknowledgements.append(
                    Acknowledge(
                        channel=command.channel,
                        sequence=command.sequence,
                        received_sequence=command.sequence,
                        received_time=sent_time,
                    )
                )

    def _acknowledged(self, command: Command) -> Verdict:
        assert isinstance(command, Acknowledge)
        self._measure((self._now - command.received_time) & 0xFFFF)
        done = self._in_flight.pop((command.channel, command.received_sequence), None)
        if done is None:
            return Verdict.DUPLICATE
        self._in_flight_bytes -= len(done.encoded)
        if self.state is State.ACCEPTING and isinstance(done.command, VerifyConnect):
            self.state = State.CONNECTED
            self.events.append(Connected(self.connect_data))
        elif self.state is State.DISCONNECTING and isinstance(done.command, Disconnect):
            self._close(Disconnected(Reason.BY_US))
        return Verdict.ACCEPTED

    def _verified(self, command: Command) -> Verdict:
        assert isinstance(command, VerifyConnect)
        asked = self.expected_verify
        if asked is None:
            return Verdict.REFUSED
        if self.state is not State.CONNECTING:
            return Verdict.DUPLICATE
        if any(getattr(command, name) != getattr(asked, name) for name in _ECHOED):
            raise EnetError("VERIFY_CONNECT does not answer this CONNECT")
        if not 1 <= command.channels <= asked.channels or command.outgoing_peer >= 0xFFF:
            raise EnetError("VERIFY_CONNECT is out of range")
        self._drop_in_flight((CONNECTION_CHANNEL, asked.sequence))
        self.remote_id = command.outgoing_peer
        self.sessions = (command.incoming_session & 3, command.outgoing_session & 3)
        self.mtu = min(self.mtu, max(command.mtu, MIN_MTU))
        self.window = max(min(self.window, command.window), MIN_WINDOW)
        self.limit_channels(command.channels)
        self.state = State.CONNECTED
        self.events.append(Connected(asked.data))
        return Verdict.ACCEPTED

    def _disconnected(self, command: Command) -> Verdict:
        assert isinstance(command, Disconnect)
        if self.state is not State.CLOSED:
            self._close(Disconnected(Reason.BY_PEER, command.data))
        return Verdict.ACCEPTED

    def _ignored(self, _: Command) -> Verdict:
        return Verdict.ACCEPTED

    def _reliable(self, command: Command) -> Verdict:
        assert isinstance(command, SendReliable)
        channel = self._data_channel(command)
        if self._crowded:
            return Verdict.REFUSED
        verdict = channel.accept(command, self._budget)
        self._deliver(command.channel, channel.deliver(self._budget))
        return verdict

    def _fragment(self, command: Command) -> Verdict:
        assert isinstance(command, SendFragment)
        channel = self._data_channel(command)
        if self._crowded:
            return Verdict.REFUSED
        verdict = channel.accept_fragment(command, self._budget)
        self._deliver(command.channel, channel.deliver(self._budget))
        return verdict

    def _unreliable(self, command: Command) -> Verdict:
        assert isinstance(command, SendUnreliable)
        ready = self._data_channel(command).accept_unreliable(command, self._budget)
        self._deliver(command.channel, ((data, False) for data in ready))
        return Verdict.ACCEPTED

    def _unreliable_fragment(self, command: Command) -> Verdict:
        assert isinstance(command, SendUnreliableFragment)
        channel = self._data_channel(command)
        ready = channel.accept_unreliable_fragment(command, self._budget)
        self._deliver(command.channel, ((data, False) for data in ready))
        return Verdict.ACCEPTED

    def _unsequenced_message(self, command: Command) -> Verdict:
        assert isinstance(command, SendUnsequenced)
        self._data_channel(command)
        if self._unsequenced.accept(command.group):
            self._deliver(command.channel, [(command.data, False)])
        return Verdict.ACCEPTED

    def _data_channel(self, command: Command) -> Channel:
        if self.state is State.CONNECTING:
            raise EnetError("data before the connection is verified")
        if command.channel == CONNECTION_CHANNEL:
            raise EnetError("data on the connection's own channel")
        if self.state is State.ACCEPTING:
            # The acknowledgement of VERIFY_CONNECT was lost, but only who got it can send data.
            self._drop_in_flight((CONNECTION_CHANNEL, 1))
            self.state = State.CONNECTED
            self.events.append(Connected(self.connect_data))
        return self._channels[command.channel]

    @property
    def _crowded(self) -> bool:
        return len(self.events) >= MAX_EVENTS

    def _deliver(self, channel: int, messages: Iterable[tuple[bytes, bool]]) -> None:
        for data, reliable in messages:
            if reliable or not self._crowded:
                self.events.append(Received(channel, data, reliable))

    def _measure(self, sample: int) -> None:
        if sample >= 0x8000:
            return
        sample = max(sample, 1)
        if not self._measured:
            self._measured, self._rtt, self._variance = True, sample, (sample + 1) // 2
            return
        difference = sample - self._rtt
        self._variance += (abs(difference) - self._variance) // 4
        self._rtt += difference // 8

    # -- what goes out ----------------------------------------------------------------------------

    def poll(self, now: int) -> list[bytes]:
        """Datagrams to send now. Call after every receive and send, and at `next_wakeup`."""
        self._now = now
        self._check_lost(now)
        if self.state is not State.CLOSED:
            self._drain()
            self._resend(now)
            self._keep_alive(now)
        return self._flush(now)

    def next_wakeup(self) -> int | None:
        """When `poll` has something to do at the latest; None when only input can change that."""
        if self.state is State.CLOSED:
            return None if self._closed_at is None else self._closed_at + self._settings.linger_ms
        times = [entry.sent + entry.resend_after for entry in self._in_flight.values()]
        interval = self._settings.ping_interval_ms
        if interval is not None and not self._in_flight and self.state is State.CONNECTED:
            times.append(self._last_ping + interval)
        return min(times, default=None)

    def finished(self, now: int) -> bool:
        """Whether the connection is over and need not be remembered any longer."""
        if self._closed_at is None:
            return False
        return not self._queue and now - self._closed_at >= self._settings.linger_ms

    def queue_connect(self, command: Connect) -> None:
        """Queue the CONNECT of a client."""
        self.expected_verify = command
        self._connection.next_reliable()
        self._enqueue(command)

    def queue_verify(self, command: VerifyConnect) -> None:
        """Queue the VERIFY_CONNECT of a server."""
        self._connection.next_reliable()
        self._enqueue(command)

    def _queue_connection(
        self,
        kind: type[Command],
        *,
        acknowledge: bool = False,
        unsequenced: bool = False,
        **fields: int,
    ) -> None:
        command = kind(
            sequence=self._connection.next_reliable(),
            acknowledge=acknowledge,
            unsequenced=unsequenced,
            **fields,
        )
        self._enqueue(command)

    def _queue_whole(self, channel: int, data: bytes, delivery: Delivery) -> None:
        numbers = self._channels[channel]
        command: Command
        if delivery is Delivery.RELIABLE:
            self._check_room(1)
            sequence = numbers.next_reliable()
            command = SendReliable(channel=channel, sequence=sequence, acknowledge=True, data=data)
        elif delivery is Delivery.UNRELIABLE:
            self._check_room(1)
            command = SendUnreliable(
                channel=channel,
                sequence=numbers.sent_reliable,
                unreliable_sequence=numbers.next_unreliable(),
                data=data,
            )
        else:
            self._check_room(1)
            self._sent_group = (self._sent_group + 1) & 0xFFFF
            command = SendUnsequenced(
                channel=channel, unsequenced=True, group=self._sent_group, data=data
            )
        self._enqueue(command)

    def _queue_fragments(self, channel: int, data: bytes) -> None:
        size = self.mtu - HEADER_BYTES - _FRAGMENT_BYTES
        count = -(-len(data) // size)
        self._check_room(count)
        numbers = self._channels[channel]
        start = (numbers.sent_reliable + 1) & 0xFFFF
        for number in range(count):
            self._enqueue(
                SendFragment(
                    channel=channel,
                    sequence=numbers.next_reliable(),
                    acknowledge=True,
                    start_sequence=start,
                    count=count,
                    number=number,
                    total=len(data),
                    offset=number * size,
                    data=data[number * size : (number + 1) * size],
                )
            )

    def _check_room(self, count: int) -> None:
        if len(self._queue) + len(self._in_flight) + count > MAX_QUEUED:
            raise EnetError(f"more than {MAX_QUEUED} commands are waiting")

    def _enqueue(self, command: Command) -> None:
        self._queue.append(_Outgoing(command, command.encode()))

    def _drain(self) -> None:
        if self.state is State.DRAINING and not self._queue and not self._in_flight:
            self.disconnect()

    def _check_lost(self, now: int) -> None:
        limits = {
            State.DISCONNECTING: self._settings.disconnect_wait_ms,
            State.ACCEPTING: self._settings.accept_timeout_ms,
        }
        limit = limits.get(self.state, self._settings.timeout_ms)
        if any(now - entry.first_sent >= limit for entry in self._in_flight.values()):
            own = self.state is State.DISCONNECTING
            self._close(Disconnected(Reason.BY_US if own else Reason.LOST))

    def _resend(self, now: int) -> None:
        due = [e for e in self._in_flight.values() if now - e.sent >= e.resend_after]
        for entry in reversed(due):
            self._drop_in_flight(entry.key)
            entry.resend_after = min(entry.resend_after * 2, self._settings.max_resend_ms)
            self._queue.appendleft(entry)

    def _keep_alive(self, now: int) -> None:
        interval = self._settings.ping_interval_ms
        idle = self.state is State.CONNECTED and not self._in_flight and not self._queue
        if interval is not None and idle and now - self._last_ping >= interval:
            self.ping()

    def _flush(self, now: int) -> list[bytes]:
        datagrams: list[bytes] = []
        blocked: list[_Outgoing] = []
        while self._acknowledgements or self._queue:
            commands, timed = self._fill(now, blocked)
            if not commands:
                break
            time = now & 0xFFFF if timed or self._always_send_time else None
            head = encode_header(self.remote_id, self.sessions[1], time)
            datagrams.append(head + b"".join(commands))
        self._queue.extendleft(reversed(blocked))
        return datagrams

    def _fill(self, now: int, blocked: list[_Outgoing]) -> tuple[list[bytes], bool]:
        """Commands of the next datagram, and whether one of them wants an acknowledgement."""
        commands: list[bytes] = []
        room, timed = self.mtu - HEADER_BYTES, False
        while self._acknowledgements and len(commands) < MAX_COMMANDS_PER_DATAGRAM:
            encoded = self._acknowledgements.popleft().encode()
            commands.append(encoded)
            room -= len(encoded)
        while self._queue and len(commands) < MAX_COMMANDS_PER_DATAGRAM:
            entry = self._queue[0]
            if len(entry.encoded) > room:
                break
            self._queue.popleft()
            if entry.reliable and not self._fly(entry, now):
                blocked.append(entry)
                continue
            timed |= entry.reliable
            commands.append(entry.encoded)
            room -= len(entry.encoded)
        return commands, timed

    def _fly(self, entry: _Outgoing, now: int) -> bool:
        """Count a reliable command as sent; false when the window is full."""
        if self._in_flight and self._in_flight_bytes + len(entry.encoded) > self.window:
            return False
        if entry.first_sent < 0:
            entry.first_sent = now
            entry.resend_after = min(
                max(self._rtt + 4 * self._variance, self._settings.min_resend_ms),
                self._settings.max_resend_ms,
            )
        entry.sent = now
        self._in_flight[entry.key] = entry
        self._in_flight_bytes += len(entry.encoded)
        self._last_ping = now if isinstance(entry.command, Ping) else self._last_ping
        return True

    def _drop_in_flight(self, key: tuple[int, int]) -> None:
        entry = self._in_flight.pop(key, None)
        if entry is not None:
            self._in_flight_bytes -= len(entry.encoded)

    def _close(self, event: Disconnected) -> None:
        known = self.state is not State.ACCEPTING
        self.state = State.CLOSED
        self._closed_at = self._now
        self._queue.clear()
        self._in_flight.clear()
        self._in_flight_bytes = 0
        if known:  # nobody was told of a connection that never came about
            self.events.append(event)


_ECHOED = ("throttle_interval", "throttle_acceleration", "throttle_deceleration", "connect_id")
