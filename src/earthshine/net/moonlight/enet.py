"""ENet over a UDP socket: timers and datagrams for the engines of `protocols.moonlight.enet`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, cast

from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.protocols.moonlight.enet import (
    Connected,
    Delivery,
    Disconnected,
    EnetClient,
    EnetError,
    EnetEvent,
    EnetServer,
    EnetSettings,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

Address = tuple[str, int]

CONNECT_SECONDS: Final = 10.0
LEAVE_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


def now_ms() -> int:
    """Milliseconds of the monotonic clock, as the engines count."""
    return time.monotonic_ns() // 1_000_000


class _Driver(asyncio.DatagramProtocol):
    """What both roles share: after each step take events, send, and set the next timer."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stepping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        # Not an isinstance check: asyncio's own transport is none, by class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def error_received(self, exc: Exception) -> None:
        """An ICMP message about some earlier datagram; timers notice a peer that is gone."""
        log.debug("control socket: %s", exc)

    def close(self) -> None:
        """Let go of the socket without another word."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def step(self) -> None:
        """Send what is due, hand out events. Call after everything the engine was told."""
        if self._stepping or self._transport is None:
            return
        self._stepping = True
        try:
            # Handlers of events say things themselves: a second round sends those.
            for _ in range(2):
                self._send(now_ms())
                self._hand_out()
            self._send(now_ms())
        finally:
            self._stepping = False
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._next_wakeup()
        if due is not None and self._transport is not None:
            wait = max(due - now_ms(), 1) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self.step)

    def _send(self, now: int) -> None:
        raise NotImplementedError

    def _hand_out(self) -> None:
        raise NotImplementedError

    def _next_wakeup(self) -> int | None:
        raise NotImplementedError


class EnetHost(_Driver):
    """The server role. ``on_event(peer number, event)`` is called on the event loop.

    ``admit(address, connect data)`` decides about a CONNECT before anything is remembered.
    """

    def __init__(
        self,
        on_event: Callable[[int, EnetEvent], None],
        admit: Callable[[Address, int], bool],
        settings: EnetSettings | None = None,
    ) -> None:
        super().__init__()
        self._on_event = on_event
        self._engine: EnetServer[Address] = EnetServer(settings, admit=admit)

    async def start(self, sock: socket.socket) -> None:
        """Take over a bound UDP socket."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=sock)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """From the socket."""
        try:
            self._engine.receive(addr[:2], data, now_ms())
        except EnetError as error:
            log.debug("malformed control datagram: %s", error)
        self.step()

    def send(self, peer: int, channel: int, data: bytes) -> bool:
        """Reliably; false when that peer is not connected any more."""
        try:
            self._engine.peer(peer).send(channel, data)
        except EnetError:
            return False
        self.step()
        return True

    def disconnect(self, peer: int, *, later: bool = False) -> None:
        """Say goodbye; ``later``: only after everything queued was acknowledged."""
        try:
            found = self._engine.peer(peer)
        except EnetError:
            return
        if later:
            found.disconnect_later()
        else:
            found.disconnect()
        self.step()

    def round_trip_ms(self, peer: int) -> int | None:
        """Smoothed round trip time; None when that peer is gone."""
        try:
            return self._engine.peer(peer).rtt_ms
        except EnetError:
            return None

    def _send(self, now: int) -> None:
        transport = self._transport
        for address, data in self._engine.poll(now):
            if transport is not None:
                transport.sendto(data, address)

    def _hand_out(self) -> None:
        for entry in self._engine.events():
            self._on_event(entry.peer, entry.event)

    def _next_wakeup(self) -> int | None:
        return self._engine.next_wakeup()


class EnetPeer(_Driver):
    """The client role: one connection."""

    def __init__(self, engine: EnetClient, on_event: Callable[[EnetEvent], None]) -> None:
        super().__init__()
        self._engine = engine
        self._on_event = on_event
        self._connected = asyncio.Event()
        self._over = asyncio.Event()

    async def connect(self, host: str, port: int) -> None:
        """Raises ConnectionFailedError when the host does not let us in."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, remote_addr=(host, port))
        except OSError as error:
            raise ConnectionFailedError(f"no control connection: {error}") from None
        self.step()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            self.close()
            raise ConnectionFailedError(
                f"{host} did not accept the control connection on UDP port {port}: "
                "is the port reachable?"
            ) from None
        if self._over.is_set():
            self.close()
            raise ConnectionFailedError(f"{host} refused the control connection")

    @property
    def round_trip_ms(self) -> int:
        """Smoothed round trip time."""
        return self._engine.peer.rtt_ms

    def datagram_received(self, data: bytes, addr: Address) -> None:  # noqa: ARG002
        """From the socket, which only takes datagrams of this host."""
        try:
            self._engine.receive(data, now_ms())
        except EnetError as error:
            log.debug("malformed control datagram: %s", error)
        self.step()

    def send(self, channel: int, data: bytes, delivery: Delivery = Delivery.RELIABLE) -> None:
        """Raises EnetError when not connected or too much waits."""
        self._engine.send(channel, data, delivery)
        self.step()

    async def leave(self) -> None:
        """Say goodbye, wait a little for the answer, and close."""
        self._engine.peer.disconnect_later()
        self.step()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._over.wait()
        except TimeoutError:
            log.debug("the host did not acknowledge our goodbye")
        self.close()

    def leave_now(self) -> None:
        """Say goodbye without waiting, and close."""
        self._engine.peer.disconnect_now()
        self.step()
        self.close()

    def _send(self, now: int) -> None:
        transport = self._transport
        for data in self._engine.poll(now):
            if transport is not None:
                transport.sendto(data)

    def _hand_out(self) -> None:
        for event in self._engine.events():
            if isinstance(event, Connected):
                self._connected.set()
            elif isinstance(event, Disconnected):
                self._over.set()
                self._connected.set()
            self._on_event(event)

    def _next_wakeup(self) -> int | None:
        return self._engine.next_wakeup()
