"""The door to a desktop's TigerVNC: whoever comes has a password of their own, good once.

A VNC server knows two passwords at a time, for whoever connects. So the door, which everybody
passes, listens to the handshake (RFC 6143, 7.1 and 7.2.2), recognises from the answer to the
server's challenge whose password it is, and puts exactly that one in force for the moment in which
the server judges the answer. Nobody's password is valid at any other time, and the server itself
refuses, and logs, what was never offered, was used before, or came too late. What follows the
handshake is not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from earthshine.net.entry import entry_socket
from earthshine.net.handover import (
    ConnectionEndedError,
    Detached,
    Handover,
    adopt_socket,
    connect_unix,
)
from earthshine.net.relay import Relay, RelayError, Stream
from earthshine.protocols.rfb import CHALLENGE_BYTES, VERSION, Security, vnc_response
from earthshine.runner.desktops.backends.tigervnc import password_file
from earthshine.runner.desktops.keeper import Desktop, DesktopError
from earthshine.runner.desktops.vncpassword import new_password, write_passwords

OFFER_SECONDS: Final = 30.0
"""How long an offer waits for its client."""
MAX_OFFERS: Final = 64
"""Offers of one desktop that wait for their clients."""
MAX_CLIENTS: Final = 100
"""Connections through one door."""
HANDSHAKE_SECONDS: Final = 15.0
VERDICT_SECONDS: Final = 5.0
"""How long the server may take to judge a password; others wait meanwhile."""
MAX_KNOCKING: Final = 3
"""Connections that the server has not accepted yet: its socket's queue is short, and the kernel
refuses what is beyond."""
SOCKET: Final = "door.sock"
_OLD: Final = b"RFB 003.007\n"
"""Before this version the server alone chooses the security type."""
_PASSED: Final = bytes(4)
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Offer:
    """A password that lets one client in, once. `view_only`: the server itself drops its input."""

    password: str = field(repr=False)
    view_only: bool
    expires: float
    """On the monotonic clock."""
    stream: Stream | None = field(default=None, repr=False)
    withdrawn: bool = False


class Door:
    """The door to one desktop."""

    def __init__(
        self, desktop: Desktop, relay: Relay, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.desktop = desktop
        self._relay = relay
        self._clock = clock
        self._offers: list[Offer] = []
        self._clients = 0
        self._knocking = asyncio.Semaphore(MAX_KNOCKING)
        self._judging = asyncio.Lock()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return self._clients

    def offer(self, *, view_only: bool = False, seconds: float = OFFER_SECONDS) -> Offer:
        """A fresh password. Raises DesktopError."""
        self._forget_expired()
        if len(self._offers) >= MAX_OFFERS:
            raise DesktopError(
                "too-many-viewers",
                f"{MAX_OFFERS} VNC connections to this desktop are awaited already",
                "try again in half a minute",
            )
        offer = Offer(new_password(), view_only, self._clock() + seconds)
        self._offers.append(offer)
        return offer

    def withdraw(self, offer: Offer) -> None:
        """Not good any more; whoever came with it is cut off."""
        offer.withdrawn = True
        if offer in self._offers:
            self._offers.remove(offer)
        if offer.stream is not None:
            offer.stream.abort()

    async def admit(self, client: Detached) -> None:
        """Serve one client until it has gone. Its socket is taken over. Never raises."""
        try:
            await self._serve(client)
        except (OSError, TimeoutError, RelayError, DesktopError) as error:
            log.info("a VNC client was not let in: %s", str(error) or "it was too slow")
        except Exception:  # one bad client must not end the runner
            log.exception("letting a VNC client in failed")

    async def _serve(self, client: Detached) -> None:
        near = await adopt_socket(client.sock, client.early)
        far = None
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                async with self._knocking:
                    far = await connect_unix(self._rfb())
                    near.write(await far.read_exactly(len(VERSION)))
                offer, verdict = await self._introduce(near, far)
            stream = self._join(near, far, verdict)
        finally:
            near.abort()  # harmless where the relay has the sockets
            if far is not None:
                far.abort()
        if offer is None:
            await self._see_out(stream)
        else:
            await self._stay(offer, stream)

    async def _see_out(self, stream: Stream) -> None:
        """Whoever was refused hears the server's reason, and goes."""
        try:
            async with asyncio.timeout(VERDICT_SECONDS):
                await stream.wait()
        finally:
            stream.abort()

    async def _stay(self, offer: Offer, stream: Stream) -> None:
        offer.stream = stream
        self._count(+1)
        try:
            if offer.withdrawn:
                stream.abort()
            await stream.wait()
        finally:
            stream.abort()
            self._count(-1)

    def _count(self, change: int) -> None:
        self._clients += change
        self.desktop.watching(self._clients)

    def _rfb(self) -> str:
        path = self.desktop.status.rfb_path
        if path is None:
            raise DesktopError("no-vnc", "the display does not serve VNC now")
        if self._clients >= MAX_CLIENTS:
            raise DesktopError("too-many-viewers", f"{MAX_CLIENTS} VNC clients are connected")
        return path

    def _join(self, near: Handover, far: Handover, verdict: bytes) -> Stream:
        server = far.detach()
        try:
            client = near.detach()
        except ConnectionEndedError:
            server.sock.close()
            raise
        return self._relay.join(
            client.sock, server.sock, to_a=verdict + server.early, to_b=client.early
        )

    async def _introduce(self, client: Handover, server: Handover) -> tuple[Offer | None, bytes]:
        """Pass on the handshake from the client's version to the verdict; whose password it was."""
        version = await client.read_exactly(len(VERSION))
        server.write(version)
        if version < _OLD:
            chosen = int.from_bytes(await _passed(server, client, 4))
        else:
            count = await _passed(server, client, 1)
            await _passed(server, client, count[0])
            chosen = (await _passed(client, server, 1))[0]
        if chosen != Security.VNC_AUTH:
            raise ConnectionEndedError("it does not want VNC authentication")
        challenge = await _passed(server, client, CHALLENGE_BYTES)
        response = await client.read_exactly(CHALLENGE_BYTES)
        async with self._judging:
            offer = self._take(challenge, response)
            path = password_file(self._rfb())
            try:
                await asyncio.to_thread(write_passwords, path, *_passwords(offer))
                async with asyncio.timeout(VERDICT_SECONDS):
                    server.write(response)
                    verdict = await server.read_exactly(len(_PASSED))
            finally:
                await asyncio.to_thread(write_passwords, path, *_passwords(None))
        if verdict != _PASSED:
            log.warning("a VNC password was refused: it was never offered, or used, or is too old")
            offer = None
        return offer, verdict

    def _take(self, challenge: bytes, response: bytes) -> Offer | None:
        """The offer whose password this answer proves; it is used up."""
        self._forget_expired()
        found = None
        for offer in self._offers:
            expected = vnc_response(offer.password.encode(), challenge)
            if hmac.compare_digest(expected, response):
                found = offer
        if found is not None:
            self._offers.remove(found)
        return found

    def _forget_expired(self) -> None:
        now = self._clock()
        self._offers = [offer for offer in self._offers if offer.expires > now]


def _passwords(offer: Offer | None) -> tuple[str, str]:
    """For steering, and for watching; without an offer nobody knows either."""
    if offer is None:
        return new_password(), new_password()
    other = new_password()
    return (other, offer.password) if offer.view_only else (offer.password, other)


async def _passed(source: Handover, target: Handover, count: int) -> bytes:
    data = await source.read_exactly(count)
    target.write(data)
    return data


class Doors:
    """The doors of this runner's desktops, each a UNIX socket. `begin` before anything else."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._doors: dict[str, Door] = {}
        self._paths: dict[Door, str] = {}
        self._opening = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Connections are served in `tasks`."""
        self._tasks = tasks

    def serves(self, path: str) -> bool:
        """Whether this is the door of a desktop here."""
        return path in self._paths.values()

    def path(self, door: Door) -> str:
        """Where clients knock."""
        return self._paths[door]

    async def of(self, desktop: Desktop) -> Door:
        """The door of a desktop that runs. Raises DesktopError."""
        assert self._tasks is not None
        async with self._opening:
            rfb = desktop.status.rfb_path
            if rfb is None:
                raise DesktopError(
                    "no-vnc",
                    "this desktop's display does not serve VNC",
                    "set runner.desktop.backend to tigervnc, and start a new session",
                )
            path = str(Path(rfb).with_name(SOCKET))
            known = self._doors.get(desktop.desktop_id)
            if known is not None and known.desktop is desktop and self._paths.get(known) == path:
                return known
            door = Door(desktop, self._relay)
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._tasks.create_task(self._keep_open(door, path, opened))
            try:
                await opened
            except OSError as error:
                raise DesktopError(
                    "storage", f"no socket can be made for the desktop: {error.strerror}"
                ) from None
            return door

    async def _keep_open(self, door: Door, path: str, opened: asyncio.Future[None]) -> None:
        """Until its desktop has ended."""
        desktop = door.desktop
        try:
            await asyncio.to_thread(Path(path).unlink, missing_ok=True)
            async with entry_socket(path, door.admit):
                self._doors[desktop.desktop_id] = door
                self._paths[door] = path
                opened.set_result(None)
                await desktop.until(lambda status: status.phase == "ended", None)
        except OSError as error:
            if opened.done():
                raise
            opened.set_exception(error)
        finally:
            self._paths.pop(door, None)
            if self._doors.get(desktop.desktop_id) is door:
                del self._doors[desktop.desktop_id]
            with contextlib.suppress(OSError):
                await asyncio.to_thread(Path(path).unlink, missing_ok=True)
