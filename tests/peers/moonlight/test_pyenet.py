"""Our ENet drivers against the C library, in both roles."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from earthshine.net.moonlight import datagrams
from earthshine.net.moonlight.enet import EnetHost, EnetPeer, now_ms
from earthshine.protocols.moonlight.enet import (
    Connected,
    Disconnected,
    EnetClient,
    EnetEvent,
    Reason,
    Received,
)

pytestmark = pytest.mark.pair
PEER = Path(__file__).with_name("enet_peer.py")
MESSAGES = 300
DATA = 0xCAFE1234


async def start(python: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        python, str(PEER), *arguments, stdout=asyncio.subprocess.PIPE
    )


async def line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    return found


async def test_their_client_at_our_host(foreign_python: str) -> None:
    happened: list[EnetEvent] = []
    asked: list[int] = []

    def event(peer: int, event: EnetEvent) -> None:
        happened.append(event)
        if isinstance(event, Received):
            host.send(peer, 0, event.data)

    def admit(_: Any, data: int) -> bool:
        asked.append(data)
        return True

    host = EnetHost(event, admit)
    sock = datagrams.bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    await host.start(sock)
    client = await start(foreign_python, "client", str(port), str(DATA), str(MESSAGES))
    assert await line(client) == {"connected": True}
    assert await line(client) == {"heard": MESSAGES}
    assert await line(client) == {"disconnected": True}
    await client.wait()
    assert asked == [DATA]
    assert happened[0] == Connected(DATA)
    assert happened[-1] == Disconnected(Reason.BY_PEER)
    numbers = [int(e.data.partition(b":")[0]) for e in happened if isinstance(e, Received)]
    assert sorted(numbers) == list(range(MESSAGES))
    host.close()


async def test_our_client_at_their_host(foreign_python: str) -> None:
    server = await start(foreign_python, "server", str(MESSAGES))
    port = (await line(server))["port"]
    echoes: list[int] = []
    enough = asyncio.Event()

    def event(event: EnetEvent) -> None:
        if isinstance(event, Received):
            echoes.append(int(event.data.partition(b":")[0]))
            if len(echoes) == MESSAGES:
                enough.set()

    peer = EnetPeer(EnetClient(77, DATA, now_ms()), event)
    await peer.connect("127.0.0.1", port)
    assert await line(server) == {"connected": DATA}
    for number in range(MESSAGES):
        peer.send(number % 48, b"%d:" % number + b"x" * (number * 37 % 2000))
    assert await line(server) == {"heard": MESSAGES}
    await asyncio.wait_for(enough.wait(), 20)
    assert sorted(echoes) == list(range(MESSAGES))
    await peer.leave()
    assert await line(server) == {"disconnected": True}
    await server.wait()
