"""The runner's side of reverse dial: connect to a local destination, dial back, relay.

`start(command, tasks)` for every `Dial` and `DialSpares` that arrives. The task group must outlive
the control connection: streams go on while that one reconnects, and end with the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from earthshine.net.handover import (
    ConnectionEndedError,
    Handover,
    connect_tcp,
    connect_unix,
    send_now,
)
from earthshine.net.relay import Relay, RelayError, reset
from earthshine.net.upgrade import DialBackRefusedError, DialBackRequest, Endpoint, dial_back
from earthshine.protocols.revdial import (
    MAX_SPARES_PER_COMMAND,
    PREAMBLE_HEADER_BYTES,
    SPARE,
    BadDestinationError,
    BadPreambleError,
    Destination,
    Dial,
    DialFailed,
    DialFault,
    DialSpares,
    UnixDestination,
    decode_preamble,
    encode_status,
    parse_destination,
    preamble_length,
)
from earthshine.runner.policy.rules import PolicyRefusedError

logger = logging.getLogger(__name__)

LOCAL_SECONDS: Final = 5.0
DIAL_BACK_SECONDS: Final = 20.0
SPARE_LIFE_SECONDS: Final = 300.0
"""The control plane ends idle spares sooner; this is for one that has vanished."""
MAX_STREAMS: Final = 512
MAX_SPARES: Final = 8

_DIAL_BACK_ERRORS: Final = (OSError, TimeoutError, DialBackRefusedError, RelayError, ValueError)

Policy = Callable[[Destination], bool]
"""Whether this machine lets the control plane connect to a destination. May raise
PolicyRefusedError, to say why not."""


def local_policy(socket_folder: Path | None = None) -> Policy:
    """Loopback addresses, the name `localhost`, and UNIX sockets inside `socket_folder`."""

    def permits(destination: Destination) -> bool:
        if isinstance(destination, UnixDestination):
            if socket_folder is None:
                return False
            # Resolved, so that a link inside the folder cannot point out of it.
            return Path(destination.path).resolve().is_relative_to(socket_folder.resolve())
        if destination.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(destination.host).is_loopback
        except ValueError:
            return False

    return permits


class DestinationError(Exception):
    """The local destination cannot be connected to."""

    def __init__(self, fault: DialFault, detail: str = "") -> None:
        super().__init__(detail or fault.value)
        self.fault = fault
        self.detail = detail


class DialBack:
    """Answers the control plane's dials. One for a runner; belongs to one event loop.

    `authorization` gives the value of the Authorization header, `report` sends a DialFailed over
    the control connection (it may raise OSError when that one is down; the report is then lost and
    the control plane's own timeout speaks).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        authorization: Callable[[], str],
        relay: Relay,
        report: Callable[[DialFailed], Awaitable[None]],
        *,
        policy: Policy | None = None,
        local_timeout: float = LOCAL_SECONDS,
        dial_back_timeout: float = DIAL_BACK_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._authorization = authorization
        self._relay = relay
        self._report = report
        self._policy = policy or local_policy()
        self._local_timeout = local_timeout
        self._dial_back_timeout = dial_back_timeout
        self._active = 0
        self._spares = 0

    @property
    def active(self) -> int:
        """Dials under way and streams open."""
        return self._active

    def start(self, command: Dial | DialSpares, tasks: asyncio.TaskGroup) -> None:
        """Answer a command in `tasks`; returns at once."""
        if isinstance(command, Dial):
            tasks.create_task(self.handle(command, tasks))
            return
        for ticket in command.tickets[:MAX_SPARES_PER_COMMAND]:
            tasks.create_task(self._spare(ticket, tasks))

    async def handle(self, command: Dial, tasks: asyncio.TaskGroup) -> None:
        """Answer one dial; returns when its stream has ended. Raises nothing but cancellation.

        `tasks` gets the copying that framed connections need.
        """
        if self._active >= MAX_STREAMS:
            await self._tell(command.dial_id, DialFault.BUSY, "")
            return
        self._active += 1
        try:
            await self._answer(command, tasks)
        except DestinationError as error:
            await self._tell(command.dial_id, error.fault, error.detail)
        except _DIAL_BACK_ERRORS as error:
            reason = str(error) or "timed out"
            logger.info("dialling back failed: %s", reason)
            await self._tell(command.dial_id, DialFault.DIAL_BACK, reason)
        finally:
            self._active -= 1

    async def _answer(self, command: Dial, tasks: asyncio.TaskGroup) -> None:
        target = await self._connect(command.destination)
        try:
            connection = await self._dial_back(command.ticket, command.destination, tasks)
        except BaseException:
            target.abort()
            raise
        await self._carry(connection, target)

    async def _spare(self, ticket: str, tasks: asyncio.TaskGroup) -> None:
        """Dial a spare and serve what it is used for. The control plane sees failures itself."""
        if self._spares >= MAX_SPARES:
            return
        self._spares += 1
        try:
            connection = await self._dial_back(ticket, SPARE, tasks)
            try:
                destination = await _read_preamble(connection)
            except BaseException:
                connection.abort()
                raise
        except (*_DIAL_BACK_ERRORS, BadPreambleError) as error:
            logger.debug("a spare connection ended: %s", error)
            return
        finally:
            self._spares -= 1
        try:
            await self._serve_spare(connection, destination)
        except _DIAL_BACK_ERRORS as error:
            logger.debug("a spare connection broke while it was put to use: %s", error)
        finally:
            connection.abort()

    async def _dial_back(self, ticket: str, destination: str, tasks: asyncio.TaskGroup) -> Handover:
        request = DialBackRequest(self._authorization(), ticket, destination)
        return await dial_back(
            self._endpoint, request, timeout=self._dial_back_timeout, tasks=tasks
        )

    async def _serve_spare(self, connection: Handover, destination: str) -> None:
        if self._active >= MAX_STREAMS:
            _decline(connection, DialFault.BUSY)
            return
        self._active += 1
        try:
            target = await self._connect(destination)
        except DestinationError as error:
            _decline(connection, error.fault)
        else:
            await self._carry(connection, target, greeting=encode_status(None))
        finally:
            self._active -= 1

    async def _connect(self, text: str) -> Handover:
        """Raises DestinationError."""
        try:
            destination = parse_destination(text)
        except BadDestinationError as error:
            raise DestinationError(DialFault.BAD_DESTINATION, str(error)) from None
        try:
            permitted = self._policy(destination)
        except PolicyRefusedError as error:
            logger.warning("refused: %s", error.detail, extra={"rule": error.rule})
            detail = f"{error.code}: {error.detail}"
            raise DestinationError(DialFault.NOT_PERMITTED, detail) from None
        if not permitted:
            raise DestinationError(DialFault.NOT_PERMITTED)
        try:
            async with asyncio.timeout(self._local_timeout):
                return await _open(destination)
        except TimeoutError:
            raise DestinationError(DialFault.TIMED_OUT) from None
        except ConnectionRefusedError:
            raise DestinationError(DialFault.REFUSED) from None
        except (FileNotFoundError, socket.gaierror):
            raise DestinationError(DialFault.NOT_FOUND) from None
        except OSError as error:
            raise DestinationError(DialFault.UNREACHABLE, error.strerror or "") from None

    async def _carry(self, connection: Handover, target: Handover, greeting: bytes = b"") -> None:
        """Join the two and wait for the end; on cancellation both are reset."""
        try:
            near = connection.detach()
        except BaseException:
            target.abort()
            connection.abort()
            raise
        try:
            far = target.detach()
            if greeting:
                send_now(near.sock, greeting)
        except ConnectionEndedError:
            reset(near.sock)
            target.abort()
            raise
        stream = self._relay.join(near.sock, far.sock, to_a=far.early, to_b=near.early)
        try:
            await stream.wait()
        finally:
            stream.abort()

    async def _tell(self, dial_id: str, fault: DialFault, detail: str) -> None:
        with contextlib.suppress(OSError):
            await self._report(DialFailed(dial_id, fault, detail[:500]))


async def _open(destination: Destination) -> Handover:
    if isinstance(destination, UnixDestination):
        return await connect_unix(destination.path)
    if destination.host != "localhost":
        return await connect_tcp(destination.host, destination.port)
    # Not through the resolver: development servers listen on either, and the name must stay local.
    try:
        return await connect_tcp("127.0.0.1", destination.port)
    except ConnectionRefusedError:
        try:
            return await connect_tcp("::1", destination.port)
        except OSError:
            raise ConnectionRefusedError from None


async def _read_preamble(connection: Handover) -> str:
    async with asyncio.timeout(SPARE_LIFE_SECONDS):
        header = await connection.read_exactly(PREAMBLE_HEADER_BYTES)
        return decode_preamble(await connection.read_exactly(preamble_length(header))).destination


def _decline(connection: Handover, fault: DialFault) -> None:
    connection.write(encode_status(fault))
    connection.transport.close()
