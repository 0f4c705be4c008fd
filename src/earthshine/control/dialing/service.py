"""Dialling: a connected socket to one address on a runner.

The app composes it: `DialService` is the gate for `net.upgrade`, `run` belongs into the app's task
group, and the runner's socket hands `DialFailed` reports to `dial_failed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import prometheus_client
from prometheus_client import Histogram

from earthshine.control.errors import (
    DialFailedError,
    InvalidRequestError,
    RunnerUnavailableError,
    TooManyError,
)
from earthshine.control.origin import serving
from earthshine.control.throttle import Check, Throttle
from earthshine.net.handover import Detached, Handover
from earthshine.net.relay import Relay, Stream, reset
from earthshine.net.upgrade import DialBackRefusedError, DialBackRequest, Seat
from earthshine.protocols.revdial import (
    DIAL_ID_BYTES,
    SPARE,
    TICKET_ENTROPY_BYTES,
    BadDestinationError,
    BadPreambleError,
    Destination,
    Dial,
    DialFailed,
    DialFault,
    DialSpares,
    Grant,
    Preamble,
    RevdialError,
    TicketBook,
    TicketFault,
    TicketRefusedError,
    decode_status,
    dial_id_from,
    encode_preamble,
    parse_destination,
)

from .registry import ConnectionRegistry, RunnerLink
from .spares import SparePools

logger = logging.getLogger(__name__)

DIAL_BACK_SECONDS: Final = 20.0
ASK_SECONDS: Final = 10.0
SPARE_SECONDS: Final = 8.0
"""The runner's 5 s for its destination and some way; then the spare counts as dead."""
SWEEP_SECONDS: Final = 5.0
MAX_PENDING_PER_RUNNER: Final = 100
MAX_STREAMS_PER_RUNNER: Final = 1000

DIALS = prometheus_client.Counter(
    "earthshine_dials", "Reverse dials, by how they ended", ["outcome"]
)
DIAL_SECONDS = Histogram(
    "earthshine_dial_seconds",
    "Time until a reverse dial was connected",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
REFUSED = prometheus_client.Counter(
    "earthshine_dial_backs_refused", "Data connections that were not taken, by reason", ["reason"]
)

VerifyRunner = Callable[[str], Awaitable[str | None]]
"""Takes the value of an Authorization header; the runner's id, or None."""

_REMEDIES: Final = {
    DialFault.REFUSED: "Start the program that should listen there, then try again.",
    DialFault.TIMED_OUT: "The program may be busy or stopped; look at it in the terminal.",
    DialFault.NOT_FOUND: "Check the name or path.",
    DialFault.NOT_PERMITTED: "Allow this destination in the runner's policy if it is meant.",
    DialFault.BUSY: "Close some connections to this runner and try again.",
    DialFault.DIAL_BACK: "Check that the runner can open new connections to this server.",
}


class DialedStream:
    """A connected stream to an address on a runner.

    Either `join` it to an entry socket, or `take` its socket; whoever takes it keeps this object
    as long as the socket is in use, because revoking the runner ends streams through it.
    """

    def __init__(self, runner_id: str, destination: str, connection: Detached) -> None:
        self.on_end: Callable[[DialedStream], None] | None = None
        self.runner_id = runner_id
        self.destination = destination
        self._connection = connection
        self._relayed: Stream | None = None

    def take(self) -> Detached:
        """The socket, and bytes that were read from it already."""
        return self._connection

    def join(self, relay: Relay, entry: Detached, *, to_entry: bytes = b"") -> Stream:
        """Relay between `entry` (end a) and this stream (end b). Raises RelayError.

        `to_entry` goes to the entry before anything else.
        """
        mine = self._connection
        self._relayed = relay.join(
            entry.sock, mine.sock, to_a=to_entry + mine.early, to_b=entry.early
        )
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            # In the relay's thread, which may outlive the loop. Until then this keeps the object,
            # and with it the runner's hold on the stream.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end)

        self._relayed.done.add_done_callback(ended)
        return self._relayed

    def _end(self) -> None:
        if self.on_end is not None:
            self.on_end(self)
            self.on_end = None

    def abort(self) -> None:
        """End the stream at once, whoever uses it."""
        if self._relayed is not None:
            self._relayed.abort()
            return
        try:
            self._connection.sock.shutdown(2)
        except OSError:
            return  # closed by whoever took it

    def close(self) -> None:
        """For a stream that nobody took: reset it."""
        if self._relayed is None:
            reset(self._connection.sock)


class _Slot:
    """Where one plain dial waits for its own data connection."""

    keeps_loop = False

    def __init__(self, runner_id: str, address: str) -> None:
        self.runner_id = runner_id
        self.address = address
        self.arrival: asyncio.Future[Detached] = asyncio.get_running_loop().create_future()

    def take(self, connection: Handover) -> None:
        connection.abort()

    def take_socket(self, connection: Detached) -> None:
        if self.arrival.done():
            reset(connection.sock)  # whoever asked has left
        else:
            self.arrival.set_result(connection)

    def leave(self) -> None:
        """The caller has gone; what has arrived, or still arrives, is closed."""
        if not self.arrival.done():
            self.arrival.cancel()
        elif not self.arrival.cancelled() and self.arrival.exception() is None:
            reset(self.arrival.result().sock)


@dataclass(frozen=True, slots=True)
class _SpareSeat:
    pools: SparePools
    runner_id: str
    keeps_loop: bool = True

    def take(self, connection: Handover) -> None:
        self.pools.put(self.runner_id, connection)

    def take_socket(self, connection: Detached) -> None:
        reset(connection.sock)


class DialService:
    """Dials through runners, and admits the data connections they dial back."""

    def __init__(
        self,
        registry: ConnectionRegistry,
        verify: VerifyRunner,
        *,
        throttle: Throttle | None = None,
        dial_back_timeout: float = DIAL_BACK_SECONDS,
        spares: bool = True,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.registry = registry
        self._verify = verify
        self._dial_back_timeout = dial_back_timeout
        self._with_spares = spares
        self._throttle = throttle or Throttle()
        self._revocations: Counter[str] = Counter()
        """How often each runner was revoked: a dial under way must not outlive it."""
        self._clock = clock
        self._entropy = entropy
        self._tickets = TicketBook()
        self._slots: dict[str, _Slot] = {}
        self._pending: dict[str, int] = {}
        self._streams: dict[str, weakref.WeakSet[DialedStream]] = {}
        self.spares = SparePools(clock)

    async def run(self) -> None:
        """Close what has gone stale, until cancelled; then everything is closed."""
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                self.spares.sweep()
                self._tickets.forget_expired(self._clock())
                self._streams = {key: those for key, those in self._streams.items() if those}
        finally:
            self.close()

    def close(self) -> None:
        """End all dials, spares and streams. For shutdown."""
        self.spares.close()
        for slot in list(self._slots.values()):
            _fail(slot, _shutting_down())
        for streams in list(self._streams.values()):
            for stream in list(streams):
                stream.abort()

    # --- Dialling ---------------------------------------------------------------------------------

    async def dial(self, runner_id: str, destination: Destination | str) -> DialedStream:
        """Connect to an address on a runner.

        Waits up to the grace period for a runner that has just dropped. Raises
        InvalidRequestError (not an address), RunnerUnavailableError, TooManyError (dials of one
        runner are limited whoever asks for them), or
        DialFailedError whose stage is "ask", "dial-back" or "destination".
        """
        address = _canonical(destination)
        self._throttle.spend(Check.DIAL, account=runner_id)
        pending = self._pending.get(runner_id, 0)
        if pending >= MAX_PENDING_PER_RUNNER:
            raise TooManyError(f"{pending} dials to runner {runner_id} are under way.")
        if len(self._streams.get(runner_id, ())) >= MAX_STREAMS_PER_RUNNER:
            raise TooManyError(f"Runner {runner_id} carries its limit of streams.")
        self._pending[runner_id] = pending + 1
        started = self._clock()
        revocations = self._revocations[runner_id]
        outcome = "abandoned"
        try:
            link = await self.registry.wait(runner_id)
            stream, kind = await self._connect(link, runner_id, address)
            if self._revocations[runner_id] != revocations:
                stream.close()
                raise _revoked(runner_id)
            outcome = "connected"
            DIAL_SECONDS.labels(kind).observe(self._clock() - started)
            streams = self._streams.setdefault(runner_id, weakref.WeakSet())
            streams.add(stream)
            stream.on_end = streams.discard
        except DialFailedError as error:
            outcome = error.stage
            raise
        except RunnerUnavailableError:
            outcome = "wait"
            raise
        else:
            return stream
        finally:
            DIALS.labels(outcome).inc()
            self._pending[runner_id] -= 1
            if not self._pending[runner_id]:
                del self._pending[runner_id]

    async def _connect(
        self, link: RunnerLink, runner_id: str, address: str
    ) -> tuple[DialedStream, str]:
        while (spare := self.spares.take(runner_id)) is not None:
            connection = await self._use_spare(spare, address)
            if connection is None:
                continue
            try:
                await self._ask_spares(link, runner_id)
            except BaseException:
                reset(connection.sock)
                raise
            return DialedStream(runner_id, address, connection), "spare"
        connection = await self._plain(link, runner_id, address)
        return DialedStream(runner_id, address, connection), "plain"

    async def _use_spare(self, spare: Handover, address: str) -> Detached | None:
        """None if the spare turns out to be dead. DialFailedError if the destination is."""
        try:
            async with asyncio.timeout(SPARE_SECONDS):
                dial_id = dial_id_from(self._entropy(DIAL_ID_BYTES))
                spare.write(encode_preamble(Preamble(dial_id, address)))
                fault = decode_status(await spare.read_exactly(1))
            if fault is None:
                return spare.detach()
        except (OSError, TimeoutError, BadPreambleError) as error:
            logger.debug("a spare connection was dead: %s", error)
            spare.abort()
            return None
        except BaseException:
            spare.abort()
            raise
        spare.abort()
        raise _destination_failed(address, fault, "")

    async def _plain(self, link: RunnerLink, runner_id: str, address: str) -> Detached:
        dial_id = dial_id_from(self._entropy(DIAL_ID_BYTES))
        slot = self._slots[dial_id] = _Slot(runner_id, address)
        arrived = False
        try:
            ticket = self._issue(Grant(dial_id, runner_id, address))
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await link.send_control(Dial(dial_id, ticket, address))
            except (OSError, TimeoutError):
                raise DialFailedError(
                    f"The connection to runner {runner_id} broke while asking it to dial.",
                    stage="ask",
                    remedy="Try again in a moment; the runner reconnects by itself.",
                ) from None
            await self._ask_spares(link, runner_id)
            try:
                async with asyncio.timeout(self._dial_back_timeout):
                    connection = await slot.arrival
            except TimeoutError:
                raise DialFailedError(
                    f"Runner {runner_id} was asked to dial back and did not within "
                    f"{self._dial_back_timeout:.0f} s.",
                    stage="dial-back",
                    remedy=_REMEDIES[DialFault.DIAL_BACK],
                ) from None
            arrived = True
            return connection
        finally:
            del self._slots[dial_id]
            if not arrived:
                slot.leave()
                self._tickets.withdraw(dial_id=dial_id)

    async def _ask_spares(self, link: RunnerLink, runner_id: str) -> None:
        """Best effort: a dial does not fail for want of spares."""
        count = self.spares.dialled(runner_id) if self._with_spares else 0
        if not count:
            return
        try:
            tickets = [
                self._issue(Grant(dial_id_from(self._entropy(DIAL_ID_BYTES)), runner_id, SPARE))
                for _ in range(count)
            ]
            async with asyncio.timeout(ASK_SECONDS):
                await link.send_control(DialSpares(tickets))
        except (OSError, TimeoutError, TooManyError) as error:
            logger.debug("spares could not be asked for: %s", error)

    def _issue(self, grant: Grant) -> str:
        try:
            return self._tickets.issue(
                grant, entropy=self._entropy(TICKET_ENTROPY_BYTES), now=self._clock()
            )
        except RevdialError as error:
            raise TooManyError(f"Cannot dial now: {error}.") from error

    # --- What runners do --------------------------------------------------------------------------

    async def admit(self, request: DialBackRequest) -> Seat:
        """The gate for data connections. Raises DialBackRefusedError."""
        try:
            with serving(request.address):
                self._throttle.spend(Check.DIAL)
                runner_id = await self._verify(request.authorization)
        except TooManyError as error:
            REFUSED.labels("throttled").inc()
            raise DialBackRefusedError(HTTPStatus.TOO_MANY_REQUESTS, error.detail) from None
        if runner_id is None:
            REFUSED.labels("token").inc()
            raise DialBackRefusedError(HTTPStatus.UNAUTHORIZED, "the runner's token is not valid")
        try:
            grant = self._tickets.redeem(
                request.ticket,
                runner_id=runner_id,
                destination=request.destination,
                now=self._clock(),
            )
        except TicketRefusedError as error:
            REFUSED.labels(error.why.name.lower()).inc()
            stolen = error.why in {TicketFault.OTHER_RUNNER, TicketFault.OTHER_DESTINATION}
            status = HTTPStatus.FORBIDDEN if stolen else HTTPStatus.GONE
            raise DialBackRefusedError(status, error.why.value) from None
        if grant.destination == SPARE:
            return _SpareSeat(self.spares, runner_id)
        slot = self._slots.get(grant.dial_id)
        if slot is None:
            REFUSED.labels("nobody_waits").inc()
            raise DialBackRefusedError(HTTPStatus.GONE, "nobody waits for this connection")
        return slot

    def dial_failed(self, runner_id: str, report: DialFailed) -> None:
        """A runner reports that a dial came to nothing. Reports on others' dials are ignored."""
        slot = self._slots.get(report.dial_id)
        if slot is None or slot.runner_id != runner_id:
            return
        if report.fault is DialFault.DIAL_BACK:
            _fail(
                slot,
                DialFailedError(
                    f"The runner could not dial back: {report.detail[:200] or 'no reason given'}.",
                    stage="dial-back",
                    remedy=_REMEDIES[DialFault.DIAL_BACK],
                ),
            )
        else:
            _fail(slot, _destination_failed(slot.address, report.fault, report.detail))

    async def revoke(self, runner_id: str) -> None:
        """The runner may not be here any more: end its dials, spares, streams and link at once."""
        self._revocations[runner_id] += 1
        self._tickets.withdraw(runner_id=runner_id)
        self.spares.drop(runner_id)
        for slot in list(self._slots.values()):
            if slot.runner_id == runner_id:
                _fail(slot, _revoked(runner_id))
        for stream in list(self._streams.pop(runner_id, ())):
            stream.abort()
        await self.registry.revoke(runner_id)


def _canonical(destination: Destination | str) -> str:
    try:
        return str(parse_destination(str(destination)))
    except BadDestinationError as error:
        raise InvalidRequestError(f"This is not an address: {error}.") from error


def _fail(slot: _Slot, error: Exception) -> None:
    if not slot.arrival.done():
        slot.arrival.set_exception(error)


def _destination_failed(address: str, fault: DialFault, detail: str) -> DialFailedError:
    words = {
        DialFault.REFUSED: "Nothing listens at {} on the runner's machine.",
        DialFault.TIMED_OUT: "{} on the runner's machine did not answer in time.",
        DialFault.NOT_FOUND: "{} does not exist on the runner's machine.",
        DialFault.NOT_PERMITTED: "The runner does not permit connections to {}.",
        DialFault.BUSY: "The runner carries its limit of streams and cannot connect to {}.",
    }
    text = words.get(fault, "The runner could not connect to {}.").format(address)
    if detail:
        text += f" ({detail[:200]})"
    return DialFailedError(text, stage="destination", remedy=_REMEDIES.get(fault))


def _revoked(runner_id: str) -> RunnerUnavailableError:
    return RunnerUnavailableError(f"Runner {runner_id} has been revoked.")


def _shutting_down() -> RunnerUnavailableError:
    return RunnerUnavailableError("The server is shutting down.", remedy="Try again in a moment.")
