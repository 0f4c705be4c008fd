"""The thin drivers: pacing, offload, budgets, and what a stream measures about itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from earthshine.net.moonlight import datagrams
from earthshine.net.moonlight.budget import ADDRESSES_REMEMBERED, AddressBudget
from earthshine.net.moonlight.client.figures import Figures
from earthshine.net.moonlight.connections import Listener, connect
from earthshine.net.moonlight.datagrams import BURST_PACKETS, MAX_SPREAD, FrameSender
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.receiving import DatagramReader
from earthshine.protocols.moonlight.video import FrameDatagrams


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def pair():
    """A receiving and a sending socket."""
    here = datagrams.bind("127.0.0.1", 0)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setblocking(False)
    yield here, out
    here.close()
    out.close()


def packets(count: int, size: int = 1024) -> FrameDatagrams:
    return FrameDatagrams(b"".join(bytes([n % 256]) * size for n in range(count)), size, ())


def received(here: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(here.recv(4096))
    except BlockingIOError:
        return found


@pytest.mark.parametrize("segment", [True, False])
@pytest.mark.parametrize("count", [1, 2, BURST_PACKETS, BURST_PACKETS + 1, 100])
def test_every_packet_arrives_by_itself_and_in_order(pair, segment, count):
    here, out = pair
    clock = Clock()
    sender = FrameSender(out, segment=segment, sleep=clock.sleep, clock=clock)
    frame = packets(count)
    sender.send(frame, here.getsockname(), 1 / 60)
    assert received(here) == [bytes(packet) for packet in frame]
    assert sender.dropped == 0


def test_a_large_frame_is_spread_and_a_small_one_is_not(pair):
    here, out = pair
    clock = Clock()
    sender = FrameSender(out, sleep=clock.sleep, clock=clock)
    sender.send(packets(BURST_PACKETS), here.getsockname(), 1 / 60)
    assert clock.slept == []
    sender.send(packets(10 * BURST_PACKETS), here.getsockname(), 1 / 60)
    assert len(clock.slept) == 9
    assert sum(clock.slept) <= MAX_SPREAD / 60


def test_without_offload_it_goes_packet_by_packet(pair):
    here, out = pair

    class Old:
        """A kernel that cannot cut bursts. Not a real one."""

        def sendmsg(self, *_: Any) -> int:
            raise OSError(5, "no such option")

        def sendto(self, data: Any, address: Any) -> int:
            return int(out.sendto(data, address))

    sender = FrameSender(Old(), sleep=lambda _: None)  # type: ignore[arg-type]
    sender.send(packets(40), here.getsockname(), 1 / 60)
    sender.send(packets(3), here.getsockname(), 1 / 60)
    assert len(received(here)) == 43


def test_a_budget_fills_again_with_time():
    budget = AddressBudget(rate=1, burst=3)
    assert [budget.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert budget.take("b", 0)
    assert not budget.take("a", 0.5)
    assert budget.take("a", 1.6)


def test_a_budget_remembers_a_limited_number_of_addresses():
    budget = AddressBudget(rate=1, burst=1)
    for number in range(ADDRESSES_REMEMBERED * 3):
        budget.take(str(number), 0)
    assert len(budget._buckets) == ADDRESSES_REMEMBERED


def test_figures():
    figures = Figures()
    for index in range(100):
        late = 0.010 if index % 2 else 0.0
        figures.arrived(index / 60 + late, index * 1500, 20)
    figures.seconds, figures.video_bytes = 2.0, 250_000
    found = figures.as_json()
    assert found["host_latency_ms"] == pytest.approx(2.0)
    assert found["jitter_ms"] == pytest.approx(10, abs=1)
    assert found["bitrate_kbps"] == 1000


async def test_connecting_fails_in_words():
    with pytest.raises(ConnectionFailedError, match="cannot connect to 127"):
        await connect("127.0.0.1", 9, 2)


async def test_a_connection_that_fails_ends_no_others(caplog):
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    port = sock.getsockname()[1]

    async def serve(reader: Any, writer: Any, _: str) -> None:
        if await reader.read(1) == b"x":
            raise RuntimeError("a fault of ours")
        writer.write(b"fine")
        await writer.drain()

    async with asyncio.TaskGroup() as tasks:
        listener = Listener(sock, serve, tasks)
        await listener.start()
        for sent, expected in ((b"x", b""), (b"y", b"fine")):
            reader, writer = await connect("127.0.0.1", port, 2)
            writer.write(sent)
            assert await reader.read() == expected
            writer.close()
        await listener.close()
    assert "a fault of ours" in caplog.text


async def test_a_reader_can_be_closed_by_what_it_reads(pair):
    here, out = pair
    heard: list[bytes] = []

    def receive(data: bytes, _: Any) -> None:
        heard.append(data)
        reader.close()

    reader = DatagramReader(here, receive)
    out.sendto(b"one", here.getsockname())
    out.sendto(b"two", here.getsockname())
    while not heard:
        await asyncio.sleep(0.001)
    assert heard == [b"one"]
    reader.close()
