"""An RDP server's desktop in a browser (IronRDP, over RDCleanPath). The password stays here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from earthshine.net.bridge import CHUNK_BYTES, TransportStream
from earthshine.protocols import rdcleanpath
from earthshine.protocols.rdcleanpath import ErrorCode, Failure, Pdu, RdCleanPathError
from earthshine.protocols.rdp import (
    MAX_CONFIRM,
    ClientStream,
    Login,
    NegotiationError,
    RdpError,
    check_confirm,
    connection_request,
    is_connection_request,
    tpkt_length,
)

from .browser import BinaryBrowser, BrowserLeftError
from .outcome import CLOSE_REFUSED, Ending, GatewayError, Part, close_reason, stage, until_one_ends

REQUEST_SECONDS: Final = 10.0
CONFIRM_SECONDS: Final = 10.0
TLS_SECONDS: Final = 10.0
TELL_SECONDS: Final = 3.0
_FORBIDDEN: Final = 403
_BAD_GATEWAY: Final = 502


class AdmissionRefusedError(Exception):
    """The browser's token opens nothing, or not this; the message is for the person."""


@dataclass(frozen=True, slots=True)
class RdpTarget:
    """Where an admitted browser goes, and as whom.

    `fingerprint` is the SHA-256 of the server's certificate where it is known; `tls` decides about
    everything else.
    """

    server: TransportStream
    address: str
    login: Login
    tls: ssl.SSLContext
    view_only: bool
    fingerprint: bytes | None = None


Admit = Callable[[str, str], Awaitable[RdpTarget]]
"""From the browser's token and the destination it asks for to a connected target.

The token alone decides; the destination may at most be compared. Raises AdmissionRefusedError, or
GatewayError where the server cannot be reached.
"""


def tls_context() -> ssl.SSLContext:
    """TLS to desktops on a runner's loopback, which sign their certificates themselves.

    The tunnel vouches for where the stream leads; beyond that, pin with `RdpTarget.fingerprint`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RdpGateway:
    """One viewer of an RDP server."""

    def __init__(
        self,
        browser: BinaryBrowser,
        admit: Admit,
        *,
        steered: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`steered` hears how many bytes of input go to the server, before they do; what it raises
        ends `run`."""
        self._browser = browser
        self._steered = steered
        self._admit = admit
        self._server: TransportStream | None = None
        self._under_tls: TransportStream | None = None
        """Kept: a StreamWriter that is collected closes its transport, and TLS runs on it."""
        self._messages: ClientStream | None = None
        self._wanted: bool | None = None

    async def set_view_only(self, view_only: bool) -> None:
        """From now on. Keys and buttons that a former controller holds down are released."""
        self._wanted = view_only
        if self._messages is None or self._server is None:
            return
        if not view_only or self._messages.view_only:
            self._messages.view_only = view_only
            return
        released = self._messages.take_control()
        if released:
            with contextlib.suppress(OSError):  # the relay notices as well
                await self._server.write(released)

    async def run(self) -> Ending:
        """Serve until either side ends. Raises GatewayError."""
        try:
            try:
                typed = await self._connect()
            except GatewayError as error:
                await self._tell(error)
                raise
            return await until_one_ends(self._to_browser(), self._to_server(typed))
        except BrowserLeftError:
            return Ending.BROWSER
        finally:
            if self._server is not None:
                self._server.abort()

    async def _connect(self) -> bytes:
        """From the browser's request to the answer; what the browser sent behind its request."""
        (destination, token, x224), typed = await self._request()
        if not is_connection_request(x224):
            raise _browser_error("its request has no X.224 connection request in it")
        try:
            target = await self._admit(token, destination)
        except AdmissionRefusedError as error:
            raise _refused(str(error)) from error
        self._server = self._under_tls = target.server
        confirm = await self._negotiate(target.server)
        self._server, certificate = await self._start_tls(target)
        view_only = target.view_only if self._wanted is None else self._wanted
        answer = Pdu(x224=confirm, certificates=(certificate,), server_address=target.address)
        self._messages = ClientStream(target.login, view_only=view_only)
        await self._browser.send_bytes(answer.encode())
        return typed

    async def _request(self) -> tuple[tuple[str, str, bytes], bytes]:
        data = b""
        try:
            async with stage(Part.BROWSER, "its request", REQUEST_SECONDS):
                while (length := rdcleanpath.pdu_length(data)) is None or len(data) < length:
                    data += await self._browser.receive_bytes()
            return rdcleanpath.request(rdcleanpath.decode(data[:length])), data[length:]
        except (RdCleanPathError, RdpError) as error:
            raise _browser_error(str(error)) from error

    async def _negotiate(self, server: TransportStream) -> bytes:
        confirm = b""
        try:
            async with stage(
                Part.RDP_SERVER,
                "its connection confirm",
                CONFIRM_SECONDS,
                remedy="Check that an RDP server listens at this address.",
            ):
                await server.write(connection_request())
                while (length := tpkt_length(confirm)) is None or len(confirm) < length:
                    if (length or 0) > MAX_CONFIRM:
                        raise RdpError("what answers there is not an RDP server")
                    data = await server.read()
                    if not data:
                        raise RdpError("the RDP server closed the connection at once")
                    confirm += data
            if len(confirm) > length:
                raise RdpError("the RDP server spoke before TLS began")
            check_confirm(confirm)
        except NegotiationError as error:
            raise _NegotiationFailedError(str(error), error.confirm) from error
        except RdpError as error:
            raise GatewayError(
                Part.RDP_SERVER,
                f"There is no desktop: {error}.",
                remedy="Check that an RDP server listens at this address.",
            ) from error
        return confirm

    async def _start_tls(self, target: RdpTarget) -> tuple[TransportStream, bytes]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        async with stage(Part.RDP_SERVER, "its side of TLS", TLS_SECONDS):
            try:
                transport = await loop.start_tls(
                    target.server.writer.transport, protocol, target.tls
                )
            except ssl.SSLError as error:
                raise GatewayError(
                    Part.RDP_SERVER, f"TLS with the RDP server failed ({error.reason})."
                ) from error
        if transport is None:
            raise GatewayError(Part.RDP_SERVER, "The RDP server closed the connection during TLS.")
        protocol.connection_made(transport)
        stream = TransportStream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(certificate).digest()
        if target.fingerprint is not None and not hmac.compare_digest(digest, target.fingerprint):
            stream.abort()
            raise GatewayError(
                Part.RDP_SERVER,
                "The RDP server showed another certificate than the one that is known for it.",
                remedy="If it was renewed, store the new certificate's fingerprint.",
            )
        return stream, certificate

    async def _tell(self, error: GatewayError) -> None:
        """Best effort: the client shows that, and in which way, the connection failed."""
        failure = Failure(ErrorCode.GENERAL, http_status=_BAD_GATEWAY)
        x224 = None
        if isinstance(error, _NegotiationFailedError):
            failure, x224 = Failure(ErrorCode.NEGOTIATION), error.confirm
        elif error.part is Part.BROWSER:
            failure = Failure(ErrorCode.GENERAL, http_status=_FORBIDDEN)
        with contextlib.suppress(BrowserLeftError, TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await self._browser.send_bytes(Pdu(failure=failure, x224=x224).encode())

    async def _to_browser(self) -> Ending:
        assert self._server is not None
        try:
            while data := await self._server.read():
                await self._browser.send_bytes(data)
        except BrowserLeftError:
            return Ending.BROWSER
        except OSError as error:
            raise _broken() from error
        return Ending.SERVER

    async def _to_server(self, early: bytes) -> Ending:
        assert self._server is not None
        assert self._messages is not None
        try:
            passed = self._messages.receive(early)
            while True:
                if typed := self._messages.take_typed():
                    self._steered(typed)
                if passed:
                    await self._server.write(passed)
                passed = self._messages.receive(await self._browser.receive_bytes())
        except BrowserLeftError:
            return Ending.BROWSER
        except RdpError as error:
            raise _browser_error(str(error)) from error
        except OSError as error:
            raise _broken() from error


class _NegotiationFailedError(GatewayError):
    """The server's answer to the request for TLS was no; the browser gets to see it."""

    def __init__(self, detail: str, confirm: bytes) -> None:
        super().__init__(
            Part.RDP_SERVER, detail, remedy="Let the RDP server accept TLS (security_layer=tls)."
        )
        self.confirm = confirm


def _broken() -> GatewayError:
    return GatewayError(Part.RDP_SERVER, "The connection to the RDP server broke.")


def _browser_error(words: str) -> GatewayError:
    detail = f"The browser was disconnected: {words}."
    return GatewayError(Part.BROWSER, detail, close=(CLOSE_REFUSED, close_reason(detail)))


def _refused(words: str) -> GatewayError:
    return GatewayError(Part.BROWSER, words, close=(CLOSE_REFUSED, close_reason(words)))
