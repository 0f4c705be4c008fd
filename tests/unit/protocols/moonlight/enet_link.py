"""Two ends of ENet and a link between them, for tests."""

from __future__ import annotations

import random
from typing import Any

from earthshine.protocols.moonlight.enet import (
    Connected,
    EnetClient,
    EnetServer,
    EnetSettings,
)
from earthshine.protocols.moonlight.enet.peer import Peer

CLIENT = ("192.0.2.1", 4000)


class Link:
    """Client and server with a link that loses, doubles and delays, from a seed."""

    def __init__(
        self, seed: int = 0, loss: float = 0.0, delay: int = 5, jitter: int = 0, **more: Any
    ):
        self.random = random.Random(seed)
        self.loss, self.delay, self.jitter = loss, delay, jitter
        self.now = 65000  # so that the 16-bit clock wraps early
        self.server: EnetServer[tuple[str, int]] = EnetServer(EnetSettings(**more))
        self.client = EnetClient(0x1234, 77, self.now, EnetSettings(**more))
        self.flying: list[tuple[int, int, str, bytes]] = []
        self.client_events: list[Any] = []
        self.server_events: list[Any] = []
        self.counter = 0

    def post(self, to: str, data: bytes) -> None:
        copies = 0 if self.random.random() < self.loss else 1
        if copies and self.random.random() < self.loss:
            copies = 2
        for _ in range(copies):
            self.counter += 1
            due = self.now + self.delay + self.random.randint(0, self.jitter)
            self.flying.append((due, self.counter, to, data))

    def step(self) -> None:
        self.now += 1
        arrived = sorted(entry for entry in self.flying if entry[0] <= self.now)
        self.flying = [entry for entry in self.flying if entry[0] > self.now]
        for _, _, to, data in arrived:
            if to == "server":
                self.server.receive(CLIENT, data, self.now)
            else:
                self.client.receive(data, self.now)
        for data in self.client.poll(self.now):
            self.post("server", data)
        for _, data in self.server.poll(self.now):
            self.post("client", data)
        self.client_events += self.client.events()
        self.server_events += [event.event for event in self.server.events()]

    def run(self, until: Any, limit: int = 60_000) -> None:
        for _ in range(limit):
            self.step()
            if until():
                return
        raise AssertionError("the link did not get there")

    def connect(self) -> Link:
        self.run(lambda: self.client_events and self.server_events)
        assert self.client_events.pop(0) == Connected(77)
        assert self.server_events.pop(0) == Connected(77)
        return self

    @property
    def peer(self) -> Peer:
        return self.server.peer(1)


def connect_datagram(connect_id: int, data: int = 77) -> bytes:
    [datagram] = EnetClient(connect_id, data, 0).poll(0)
    return datagram
