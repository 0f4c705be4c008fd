"""Pairing over HTTP: requests of clients on one side, the person who types the PIN on the other."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.answers import build_answer
from earthshine.protocols.moonlight.pairing_host import (
    ClientName,
    ClientPaired,
    PairingEvent,
    PairingFailed,
    PairingHost,
    PairingLimits,
    PhaseAnswered,
    PinRequested,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from earthshine.net.moonlight.http_server import Asked
    from earthshine.protocols.moonlight.certificates import Certificate, Identity
    from earthshine.protocols.moonlight.query import Request

MAX_UNIQUE_ID: Final = 64
LONGEST_SLEEP: Final = 3600.0
_REFUSAL: Final = build_answer([("paired", "0")])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A client that shows its PIN and waits. ``attempt`` is what `PairingDesk.enter_pin` wants."""

    attempt: str
    address: str
    device_name: str
    fingerprint: str


class PairingDesk:
    """Drives `PairingHost`. ``store(certificate, device name)`` keeps a newly paired client.

    `enter_pin` pairs a stranger with this machine: call it only for somebody who may do that.
    """

    def __init__(
        self,
        identity: Identity,
        entropy: Callable[[int], bytes],
        store: Callable[[Certificate, str], Awaitable[None]],
        clock: Callable[[], float],
        *,
        limits: PairingLimits | None = None,
        on_waiting: Callable[[Waiting], None] = lambda _: None,
    ) -> None:
        self._engine = PairingHost(identity, entropy, limits)
        self._store = store
        self._clock = clock
        self._on_waiting = on_waiting
        self._answers: dict[ClientName, asyncio.Future[bytes]] = {}
        self._names: dict[ClientName, str] = {}
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> list[Waiting]:
        """Who waits for a PIN, oldest first."""
        return [_waiting(event) for event in self._engine.waiting]

    async def pair(self, asked: Asked, request: Request, *, known: bool) -> bytes:
        """Answer one ``/pair`` request; phase 1 waits for the PIN.

        Cancelled when the client goes away: then its attempt is forgotten.
        """
        client = ClientName(asked.address, request.parameters.get("uniqueid", "")[:MAX_UNIQUE_ID])
        events = self._engine.receive(client, request, self._clock(), certificate_known=known)
        waits = any(isinstance(event, PinRequested) for event in events)
        own = None
        if not waits:
            # The last answer for this client is this request's; earlier ones are for a phase 1
            # that still waits on another connection.
            own = next(
                (
                    event
                    for event in reversed(events)
                    if isinstance(event, PhaseAnswered) and event.client == client
                ),
                None,
            )
        await self._handle([event for event in events if event is not own])
        if own is not None:
            return own.xml
        if not waits:
            return _REFUSAL
        return await self._wait(client)

    async def enter_pin(self, attempt: str, pin: str) -> None:
        """Raises PinError (not four digits; the attempt stays) and PairingError (nobody waits)."""
        await self._handle(self._engine.enter_pin(attempt, pin, self._clock()))

    async def refuse(self, attempt: str) -> None:
        """Send the client away."""
        await self._handle(self._engine.refuse(attempt, self._clock()))

    async def forget(self, address: str, unique_id: str) -> None:
        """The client says that its attempt failed. One that still waits for its PIN stays: clients
        share unique ids and addresses, so this may be another's word."""
        client = ClientName(address, unique_id[:MAX_UNIQUE_ID])
        if client not in self._answers:
            await self._handle(self._engine.abandon(client))

    async def run(self) -> None:
        """Ends attempts whose time is over, until cancelled."""
        while True:
            due = self._engine.next_expiry
            wait = LONGEST_SLEEP if due is None else max(due - self._clock(), 0.01)
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                await self._handle(self._engine.expire(self._clock()))

    async def _wait(self, client: ClientName) -> bytes:
        future = self._answers[client] = asyncio.get_running_loop().create_future()
        self._changed.set()
        try:
            answer: bytes = await future
        except asyncio.CancelledError:
            await self._handle(self._engine.abandon(client))
            raise
        finally:
            if self._answers.get(client) is future:
                del self._answers[client]
        return answer

    async def _handle(self, events: list[PairingEvent]) -> None:
        for event in events:
            match event:
                case PinRequested():
                    self._names[event.client] = event.device_name
                    log.info("a client waits for its PIN", extra={"address": event.client.address})
                    self._on_waiting(_waiting(event))
                case PhaseAnswered():
                    self._release(event.client, event.xml)
                case ClientPaired():
                    # On disk before the answer goes out: phase 5 follows at once.
                    name = self._names.pop(event.client, "")
                    await self._store(event.certificate, name)
                    log.info("a client was paired", extra={"address": event.client.address})
                case PairingFailed():
                    if event.client not in self._answers:
                        self._names.pop(event.client, None)
                    log.info(
                        "pairing failed: %s",
                        event.failure.value,
                        extra={"address": event.client.address},
                    )
        self._changed.set()

    def _release(self, client: ClientName, xml: bytes) -> None:
        future = self._answers.get(client)
        if future is not None and not future.done():
            future.set_result(xml)


def _waiting(event: PinRequested) -> Waiting:
    return Waiting(event.attempt, event.client.address, event.device_name, event.fingerprint)
