"""TLS as GameStream wants it: every certificate is let in, shown, and judged afterwards.

A host asks for the client's certificate and lets each handshake succeed; what the certificate may
do is decided by comparing it byte for byte with those that are paired. The standard library's `ssl`
cannot show a certificate it did not verify, so this drives OpenSSL over memory buffers.

The handshake itself still proves that the peer holds the certificate's private key.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto

from earthshine.net.moonlight.errors import ConnectionFailedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from earthshine.protocols.moonlight.certificates import Identity

CHUNK_BYTES: Final = 16 << 10
_SESSION_CONTEXT: Final = b"earthshine-gamestream"

T = TypeVar("T")


class Stream(Protocol):
    """A byte stream, plain or TLS. Methods raise ConnectionFailedError or OSError."""

    async def read(self) -> bytes:
        """Some bytes, at most a few CHUNK_BYTES; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more."""
        ...

    def close(self) -> None:
        """End the connection; what was written still goes out."""
        ...


class PlainStream:
    """TCP without TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(CHUNK_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


def server_context(identity: Identity) -> SSL.Context:
    """A host's context: TLS 1.2 or newer, asks for a certificate, accepts any or none."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _load(context, identity)
    # Judged by `peer_certificate`; a refusal here would look like a dead host to clients.
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_session_id(_SESSION_CONTEXT)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def client_context(identity: Identity) -> SSL.Context:
    """A client's context: presents ``identity`` and leaves it to the caller to pin the host."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    _load(context, identity)
    context.set_verify(SSL.VERIFY_NONE)
    return context


def _load(context: SSL.Context, identity: Identity) -> None:
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate(x509.load_der_x509_certificate(identity.certificate.der))
    context.use_privatekey(identity.private_key)


class TlsStream:
    """TLS over an asyncio connection. One reader and one writer at a time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: SSL.Context,
        *,
        server: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._tls = SSL.Connection(context, None)
        if server:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()

    async def handshake(self) -> None:
        """Raises ConnectionFailedError or OSError."""
        await self._run(self._tls.do_handshake)

    @property
    def peer_certificate(self) -> bytes | None:
        """DER of what the peer presented; None if nothing."""
        certificate = self._tls.get_peer_certificate(as_cryptography=False)
        if certificate is None:
            return None
        return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)

    async def read(self) -> bytes:
        try:
            return await self._run(lambda: self._tls.recv(CHUNK_BYTES))
        except SSL.ZeroReturnError:
            return b""

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            piece = bytes(view[:CHUNK_BYTES])
            sent = await self._run(lambda piece=piece: self._tls.send(piece))  # type: ignore[misc]
            view = view[sent:]

    def close(self) -> None:
        with contextlib.suppress(SSL.Error):
            self._tls.shutdown()
        with contextlib.suppress(OSError, SSL.Error):
            self._queue_outgoing()
        self._writer.close()

    async def _run(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                result = operation()
            except SSL.WantReadError:
                await self._flush()
                data = await self._reader.read(CHUNK_BYTES)
                if not data:
                    raise ConnectionFailedError("the connection ended inside TLS") from None
                self._tls.bio_write(data)
            except SSL.ZeroReturnError:
                raise
            except SSL.Error as error:
                with contextlib.suppress(OSError):
                    await self._flush()
                raise ConnectionFailedError(f"TLS failed: {_words(error)}") from None
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._queue_outgoing():
            await self._writer.drain()

    def _queue_outgoing(self) -> bool:
        wrote = False
        while True:
            try:
                data = self._tls.bio_read(CHUNK_BYTES)
            except SSL.WantReadError:
                return wrote
            self._writer.write(data)
            wrote = True


def _words(error: SSL.Error) -> str:
    found = error.args[0] if error.args else None
    if isinstance(found, list) and found:
        return str(found[-1][-1])
    return str(error) or "no reason given"
