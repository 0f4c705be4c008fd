from __future__ import annotations

import asyncio
from functools import partial

import pytest
import uvicorn
from uvicorn.server import ServerState

from earthshine.net.takeover import MAX_HEAD_BYTES, TakeoverProtocol


class _ClaimsNothing(TakeoverProtocol):
    def claims(self, request):
        return False


async def _hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port():
    config = uvicorn.Config(_hello, http=_ClaimsNothing, ws="none", lifespan="off", log_config=None)
    config.load()
    factory = partial(_ClaimsNothing, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_head_without_end_is_refused_and_not_kept(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: here\r\nendless: ")
    with pytest.raises(ConnectionError):
        for _ in range(1000):
            writer.write(b"a" * MAX_HEAD_BYTES)
            await writer.drain()
    writer.close()
    del reader


async def test_a_head_just_over_the_limit_is_answered_with_431(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"GET / HTTP/1.1\r\nhost: here\r\nlong: "
    writer.write(head)
    writer.write(b"a" * (MAX_HEAD_BYTES - len(head) + 1))
    assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_ordinary_requests_on_one_connection_pass(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(20):
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\nlong: " + b"a" * 8000 + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
    writer.close()
