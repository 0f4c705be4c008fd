"""Streams to runners: revoking the runner ends them as long as they are in use."""

import asyncio
import gc
import socket
import weakref

import pytest

from earthshine.control.desktops.reaching import RunnerStream
from earthshine.control.dialing.service import DialedStream
from earthshine.net.bridge import TransportStream
from earthshine.net.handover import Detached


class FakeDialing:
    """Gives one end of a socket pair, and remembers the stream as weakly as the real one."""

    def __init__(self):
        self.near, self.far = socket.socketpair()
        self.streams: weakref.WeakSet[DialedStream] = weakref.WeakSet()

    async def dial(self, runner_id, destination):
        stream = DialedStream(runner_id, destination, Detached(self.near, b"early"))
        self.streams.add(stream)
        return stream


@pytest.fixture
def dialing():
    made = FakeDialing()
    yield made
    made.far.close()


async def test_a_stream_in_use_can_be_revoked(dialing):
    stream = await RunnerStream.dial(dialing, "runner0001", "unix:/door")
    gc.collect()
    [dialed] = dialing.streams
    assert await stream.read() == b"early"
    dialed.abort()
    async with asyncio.timeout(5):
        assert await stream.read() == b""
    stream.abort()


async def test_one_that_is_over_is_forgotten(dialing):
    stream = await RunnerStream.dial(dialing, "runner0001", "unix:/door")
    far = await TransportStream.on_socket(dialing.far.dup())
    await far.write(b" and late")
    got = b""
    while got != b"early and late":
        got += await stream.read()
    stream.abort()
    far.abort()
    del stream
    gc.collect()
    assert not dialing.streams
