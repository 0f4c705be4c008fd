"""RTSP over TCP: one connection per message, for host and client."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.connections import connect
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.protocols.moonlight.rtsp import (
    MAX_RESPONSE_BYTES,
    MessageReader,
    RtspCipher,
    RtspError,
    RtspRequest,
    RtspResponse,
    SealedMessage,
    parse_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 10.0
"""How long a refused connection is tried again: a host may open its port late."""
RETRY_EVERY: Final = 0.1
ANSWER_SECONDS: Final = 15.0
CHUNK_BYTES: Final = 16 << 10


class RtspServer:
    """Serves connections of a `Listener`. ``answer(message, address)`` gives bytes, or None to
    close without a word."""

    def __init__(self, answer: Callable[[bytes | SealedMessage, str], bytes | None]) -> None:
        self._answer = answer

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        """One connection. Raises OSError, TimeoutError, RtspError."""
        messages = MessageReader()
        async with asyncio.timeout(REQUEST_SECONDS):
            message = None
            while message is None:
                data = await reader.read(CHUNK_BYTES)
                if not data:
                    return
                message = messages.feed(data)
            answer = self._answer(message, address)
            if answer is not None:
                writer.write(answer)
                await writer.drain()


class RtspClient:
    """Exchanges messages with one host; ``cipher`` when the session URL said ``rtspenc``."""

    def __init__(self, host: str, port: int, cipher: RtspCipher | None) -> None:
        self._host = host
        self._port = port
        self._cipher = cipher

    async def exchange(self, request: RtspRequest) -> RtspResponse:
        """Raises ConnectionFailedError or RtspError."""
        plain = request.encode()
        reader, writer = await self._connect()
        try:
            writer.write(self._cipher.seal(plain) if self._cipher else plain)
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await _whole(reader)
        except TimeoutError:
            raise ConnectionFailedError(f"{self._host} did not answer RTSP in time") from None
        except OSError as error:
            raise ConnectionFailedError(f"the RTSP connection broke: {error}") from None
        finally:
            writer.close()
        if isinstance(message, SealedMessage):
            if self._cipher is None:
                raise RtspError("the host encrypts RTSP without having said so")
            message = self._cipher.open(message)
        elif self._cipher is not None:
            raise RtspError("the host answered in plain text on an encrypted session")
        return parse_response(message)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return await connect(self._host, self._port, CONNECT_SECONDS)
            except ConnectionFailedError:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(RETRY_EVERY)


async def _whole(reader: asyncio.StreamReader) -> bytes | SealedMessage:
    messages = MessageReader(MAX_RESPONSE_BYTES, until_close=True)
    while data := await reader.read(CHUNK_BYTES):
        message = messages.feed(data)
        if message is not None:
            return message
    return messages.close()
