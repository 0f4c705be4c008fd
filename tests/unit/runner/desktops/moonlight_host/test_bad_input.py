"""Whatever comes in on whichever port: the host goes on, and the log has no traceback."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import psutil
import pytest

from earthshine.net.moonlight.enet import EnetPeer, now_ms
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.rtsp import RtspClient
from earthshine.protocols.moonlight.control_cipher import ControlCipher, IvScheme
from earthshine.protocols.moonlight.enet import EnetClient
from earthshine.protocols.moonlight.rtsp import (
    Headers,
    Role,
    RtspCipher,
    RtspError,
    RtspRequest,
)
from tests.moonlight_guests import Guest

DATAGRAMS = 3000


def spray(port: int, seed: int) -> None:
    draw = random.Random(seed)
    recorded = [bytes.fromhex("8fff000082ff0001"), b"PING", bytes(20), bytes(48)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(DATAGRAMS):
            if draw.random() < 0.5:
                data = bytearray(draw.randbytes(draw.randrange(0, 1400)))
            else:
                data = bytearray(draw.choice(recorded) + draw.randbytes(draw.randrange(0, 60)))
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            sock.sendto(data, ("127.0.0.1", port))


async def test_random_datagrams_on_every_udp_port(host, caplog):
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch()
    process = psutil.Process()
    before = process.memory_info().rss
    for offset in (9, 10, 11):
        await asyncio.to_thread(spray, host.base_port + offset, offset)
    await watching.picture()
    await watching.picture()
    assert process.memory_info().rss - before < 32 << 20
    assert "Traceback" not in caplog.text
    await watching.leave()


async def test_random_bytes_on_every_tcp_port(host, caplog):
    draw = random.Random(5)
    for offset in (0, -5, 21):
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.base_port + offset)
            writer.write(draw.randbytes(draw.randrange(1, 3000)))
            if writer.can_write_eof():
                writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 12)
            writer.close()
    guest = Guest(host)
    guest.trust()
    await (await guest.watch()).leave()
    assert "Traceback" not in caplog.text


async def test_rtsp_with_another_key_gets_no_answer(host):
    guest = Guest(host)
    guest.trust()
    started = await guest.start()
    cipher = RtspCipher(bytes(16), Role.CLIENT)
    stranger = RtspClient("127.0.0.1", started.url.port, cipher)
    request = RtspRequest("OPTIONS", "x", Headers((("CSeq", "1"),)))
    with pytest.raises(RtspError, match="closed"):
        await stranger.exchange(request)
    # It did not disturb the one who has the key.
    await (await guest.watch(started)).leave()


async def test_control_packets_that_do_not_decrypt_are_counted_and_dropped(host, eventually):
    guest = Guest(host)
    guest.trust()
    watching = await guest.watch()
    forged = ControlCipher(bytes(16), Role.CLIENT, IvScheme.V2).seal(bytes(8))
    assert watching.stream._control is not None
    for data in (forged, b"", b"\x01\x00", bytes(2000)):
        watching.stream._control.send(0, data)
    counters = guest.session.connection.counters
    await eventually(lambda: counters.damaged >= 3)
    await watching.picture()
    await watching.leave()


async def test_connect_data_that_was_not_given_out_opens_nothing(host):
    peer = EnetPeer(EnetClient(1, 12345, now_ms()), lambda _: None)
    with pytest.raises((TimeoutError, ConnectionFailedError)):
        async with asyncio.timeout(1):
            await peer.connect("127.0.0.1", host.base_port + 10)
    peer.close()
