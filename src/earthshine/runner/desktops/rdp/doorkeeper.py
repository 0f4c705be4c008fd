"""Between xrdp and a display's TigerVNC: asks for a one-time password, and filters what is typed.

TigerVNC knows two passwords at a time; here every connection has its own, which opens the desktop
once. Whoever only watches has keys, buttons and clipboard dropped here, whatever the client does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from earthshine.net.bridge import CHUNK_BYTES, TransportStream
from earthshine.protocols.rfb import CHALLENGE_BYTES, ClientMessages, RfbError, ServerInit
from earthshine.protocols.rfb_door import DoorHandshake, DoorStage
from earthshine.runner.desktops.rdp.display import DisplayGoneError
from earthshine.runner.desktops.rdp.offers import Offer, Offers, WrongPasswordError

DOOR_SECONDS: Final = 15.0
"""How long a client may take to say its password and to ask for the desktop."""
WRONG_SECONDS: Final = 1.0
"""How long a wrong password waits for its answer: offers end long before 47 bits are guessed."""
MAX_AT_DOOR: Final = 8
"""Clients without a password so far."""
MAX_INSIDE: Final = 32
BACKLOG: Final = 16
Connected = tuple[TransportStream, ServerInit, bytes]
"""A stream behind its handshake, the desktop, and what came early."""
log = logging.getLogger(__name__)


class Doorkeeper:
    """Guards one desktop. `open`, then `close`; connections live in the task group given."""

    def __init__(
        self,
        desktop_id: str,
        connect: Callable[[], Awaitable[Connected]],
        offers: Offers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` opens the desktop, or raises DisplayGoneError."""
        self._desktop_id = desktop_id
        self._connect = connect
        self._offers = offers
        self._clock = clock
        self._at_door = 0
        self._inside: dict[str, _Session] = {}
        self._server: asyncio.Server | None = None
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def inside(self) -> int:
        """Connections that show the desktop."""
        return len(self._inside)

    async def open(self, tasks: asyncio.TaskGroup) -> int:
        """Listen on a port of loopback; which one. Raises OSError."""
        self._tasks = tasks
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, limit=CHUNK_BYTES, backlog=BACKLOG
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Listen no more. Connections end with the task group."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def adjust(self, offer_id: str, *, view_only: bool) -> None:
        """What this offer's holder may do, from now on. Keys that they hold down are released."""
        offer = self._offers.get(offer_id)
        if offer is not None:
            offer.view_only = view_only
        if session := self._inside.get(offer_id):
            await session.set_view_only(view_only)

    def withdraw(self, offer_id: str) -> None:
        """The offer's holder is put out, or does not get in."""
        self._offers.withdraw(offer_id)
        if session := self._inside.get(offer_id):
            session.abort()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = TransportStream(reader, writer)
        if self._tasks is None or self._server is None or self._at_door >= MAX_AT_DOOR:
            client.abort()
            return
        self._at_door += 1
        self._tasks.create_task(self._attend(client))

    async def _attend(self, client: TransportStream) -> None:
        """One connection, whatever comes: a bad one must not end the others."""
        extra = {"desktop": self._desktop_id}
        try:
            try:
                async with asyncio.timeout(DOOR_SECONDS):
                    session = await self._let_in(client)
            finally:
                self._at_door -= 1
            if session is not None:
                await self._show(session)
        except WrongPasswordError as error:
            log.warning(
                "an RDP password was refused: %s", error, extra={**extra, "offer": error.offer_id}
            )
        except DisplayGoneError as error:
            log.warning("RDP found no display: %s", error, extra=extra)
        except TimeoutError:
            log.info("an RDP client did not say its password in time", extra=extra)
        except (OSError, RfbError) as error:
            log.info("an RDP connection ended: %s", error, extra=extra)
        except Exception:
            log.exception("showing a desktop by RDP failed", extra=extra)
        finally:
            client.abort()

    async def _let_in(self, client: TransportStream) -> _Session | None:
        door = DoorHandshake(secrets.token_bytes(CHALLENGE_BYTES))
        await client.write(door.begin())
        while door.stage is not DoorStage.JUDGEMENT:
            if not await _fed(door, client):
                return None
        try:
            offer = self._offers.redeem(door.challenge, door.response, self._clock())
        except WrongPasswordError as error:
            await asyncio.sleep(WRONG_SECONDS)
            await client.write(door.refuse(f"The password was refused: {error}."))
            raise
        try:
            if len(self._inside) >= MAX_INSIDE:
                raise DisplayGoneError(f"{MAX_INSIDE} connections show this desktop already")
            server, desktop, early = await self._connect()
        except DisplayGoneError as error:
            await client.write(door.refuse(f"There is no desktop: {error}."))
            raise
        try:
            return await self._shown(door, client, server, desktop, early, offer)
        except BaseException:
            server.abort()
            raise

    async def _shown(
        self,
        door: DoorHandshake,
        client: TransportStream,
        server: TransportStream,
        desktop: ServerInit,
        early: bytes,
        offer: Offer,
    ) -> _Session:
        await client.write(door.accept(desktop))
        while door.stage is not DoorStage.DONE:
            if not await _fed(door, client):
                raise ConnectionResetError("the client left")
        session = _Session(client, server, offer)
        await session.greet(early, door.early)
        return session

    async def _show(self, session: _Session) -> None:
        offer_id = session.offer.offer_id
        extra = {"desktop": self._desktop_id, "offer": offer_id}
        self._inside[offer_id] = session
        log.info(
            "an RDP client is in (%s)", "watches" if session.view_only else "steers", extra=extra
        )
        try:
            await session.relay()
        finally:
            del self._inside[offer_id]
            log.info("an RDP client has left", extra=extra)


class _Session:
    """One client inside."""

    def __init__(self, client: TransportStream, server: TransportStream, offer: Offer) -> None:
        self.offer = offer
        self._client = client
        self._server = server
        # The display's size is not this client's to choose: others see it too.
        self._messages = ClientMessages(view_only=offer.view_only, fixed_size=True)

    @property
    def view_only(self) -> bool:
        return self._messages.view_only

    async def greet(self, from_server: bytes, from_client: bytes) -> None:
        """What each side said behind its handshake."""
        if from_server:
            await self._client.write(from_server)
        if passed := self._messages.receive(from_client):
            await self._server.write(passed)

    async def set_view_only(self, view_only: bool) -> None:
        if not view_only or self._messages.view_only:
            self._messages.view_only = view_only
        elif released := self._messages.take_control():
            with contextlib.suppress(OSError):  # the relay notices as well
                await self._server.write(released)

    async def relay(self) -> None:
        """Until either side ends. Raises OSError, RfbError."""
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._to_server())
                directions.create_task(self._to_client())
        except* _OverError:
            pass
        except* (OSError, RfbError) as errors:
            raise errors.exceptions[0] from None
        finally:
            self.abort()

    def abort(self) -> None:
        self._client.abort()
        self._server.abort()

    async def _to_server(self) -> None:
        while data := await self._client.read():
            if passed := self._messages.receive(data):
                await self._server.write(passed)
        if released := self._messages.take_control():  # a client that is gone holds no keys
            await self._server.write(released)
            await self._server.close()
        raise _OverError

    async def _to_client(self) -> None:
        while data := await self._server.read():
            await self._client.write(data)
        raise _OverError


class _OverError(Exception):
    """One direction has ended."""


async def _fed(door: DoorHandshake, client: TransportStream) -> bool:
    data = await client.read()
    if not data:
        return False
    if answer := door.receive(data):
        await client.write(answer)
    return True
