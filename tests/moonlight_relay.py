"""A bad network as a process: relays a host's ports from 127.0.0.2 to 127.0.0.1 and damages UDP.

``python -m tests.moonlight_relay BASE_PORT`` takes lines of JSON on stdin
(``{"loss": 0.05, "reorder": 0.1, "duplicate": 0.1}``, each a part of all datagrams) and answers
each with the datagrams relayed and dropped so far.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import socket
import sys
from typing import Any

HERE, THERE = "127.0.0.2", "127.0.0.1"
REORDERED_BY = 0.004
"""Seconds a datagram waits so that others overtake it."""
TCP_OFFSETS = (0, -5, 21, *range(22, 38))
UDP_OFFSETS = (9, 10, 11)


class Network:
    def __init__(self) -> None:
        self.random = random.Random(7)
        self.loss = self.reorder = self.duplicate = 0.0
        self.relayed = self.dropped = 0

    def pass_on(self, send: Any) -> None:
        draw = self.random.random
        if draw() < self.loss:
            self.dropped += 1
            return
        self.relayed += 1
        if draw() < self.reorder:
            asyncio.get_running_loop().call_later(REORDERED_BY, send)
        else:
            send()
        if draw() < self.duplicate:
            send()


class UdpRelay:
    """One port. Each client address has a socket of its own towards the host."""

    def __init__(self, network: Network, port: int) -> None:
        self._network = network
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._here = self._socket()
        self._here.bind((HERE, port))
        self._there: dict[Any, socket.socket] = {}
        self._loop.add_reader(self._here, self._from_clients)

    @staticmethod
    def _socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        return sock

    def _from_clients(self) -> None:
        for _ in range(256):
            try:
                data, client = self._here.recvfrom(8192)
            except OSError:
                return
            there = self._there.get(client)
            if there is None:
                there = self._there[client] = self._socket()
                there.connect((THERE, self._port))
                self._loop.add_reader(there, self._from_host, there, client)
            self._network.pass_on(lambda there=there, data=data: self._try(there.send, data))

    def _from_host(self, there: socket.socket, client: Any) -> None:
        for _ in range(256):
            try:
                data = there.recv(8192)
            except OSError:
                return
            self._network.pass_on(lambda data=data: self._try(self._here.sendto, data, client))

    @staticmethod
    def _try(send: Any, *arguments: Any) -> None:
        try:
            send(*arguments)
        except OSError:
            return


async def relay_tcp(port: int, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
    try:
        far, far_out = await asyncio.open_connection(THERE, port)
    except OSError:
        near_out.close()
        return

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()

    await asyncio.gather(copy(near, far_out), copy(far, near_out))


async def main() -> None:
    base = int(sys.argv[1])
    network = Network()
    relays = [UdpRelay(network, base + offset) for offset in UDP_OFFSETS]
    servers = [
        await asyncio.start_server(
            functools.partial(relay_tcp, base + offset),
            HERE,
            base + offset,
        )
        for offset in TCP_OFFSETS
    ]
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("{}", flush=True)
    while line := await commands.readline():
        wanted = json.loads(line)
        for name in ("loss", "reorder", "duplicate"):
            setattr(network, name, wanted.get(name, 0.0))
        print(json.dumps({"relayed": network.relayed, "dropped": network.dropped}), flush=True)
    assert relays
    assert servers


if __name__ == "__main__":
    asyncio.run(main())
