"""The RDP gateway between a scripted TLS server and a fake browser, under both event loops."""

import asyncio
import contextlib
import hashlib
import json
import ssl
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from earthshine.net.bridge import TransportStream
from earthshine.net.desktop_gateways import (
    AdmissionRefusedError,
    Ending,
    Part,
    RdpGateway,
    RdpTarget,
    rdp,
    tls_context,
)
from earthshine.protocols.rdcleanpath import Pdu, decode
from earthshine.protocols.rdp import Login, connection_request, with_deep_colour, with_login
from tests.peers.desktop_servers import self_signed
from tests.unit.net.desktop_gateways.world import SECONDS, ending, failure, running

RECORDED = json.loads((Path(__file__).parents[3] / "data/rdp/ironrdp.json").read_text())
REQUEST = bytes.fromhex(RECORDED["request"])
INITIAL, INFO = (bytes.fromhex(RECORDED[name]) for name in ("connect_initial", "client_info"))
LOGIN = Login("ada", "secret")
OPENED = with_deep_colour(INITIAL) + with_login(INFO, LOGIN)
CONFIRM = bytes.fromhex("030000130ed00000123400") + struct.pack("<BBHI", 2, 0, 8, 1)
PIXELS = b"\x00\x08pixels"
"""A fast-path message of the server's."""
KEY_DOWN, KEY_UP = b"\x04\x04\x00\x1e", b"\x04\x04\x01\x1e"
ADDRESS = "127.0.0.1:3389"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """DER, and a server's TLS context."""
    made, key = self_signed()
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(key + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return made.public_bytes(Encoding.DER), context


def gateway_of(here, *, view_only=False, fingerprint=None):
    async def admit(token, destination):
        if token != "opens-this-desktop":
            raise AdmissionRefusedError("This link has been used.")
        tls = tls_context()
        return RdpTarget(here.near, ADDRESS, LOGIN, tls, view_only, fingerprint)

    return RdpGateway(here.browser, admit)


async def secure(here, certificate):
    """The server's side, until TLS stands; the stream inside it."""
    await here.expect(connection_request())
    await here.far.write(CONFIRM)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    async with asyncio.timeout(SECONDS):
        transport = await loop.start_tls(
            here.far.writer.transport, protocol, certificate[1], server_side=True
        )
    assert transport is not None
    protocol.connection_made(transport)
    return TransportStream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


def failed(message):
    """The error that the browser is told."""
    failure = decode(message).failure
    assert failure is not None
    return failure


async def expect(server, data):
    async with asyncio.timeout(SECONDS):
        assert await server.reader.readexactly(len(data)) == data


async def test_a_desktop_is_shown_and_steered(here, certificate):
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST[:7], REQUEST[7:] + INITIAL)
        server = await secure(here, certificate)
        answer = decode(await here.browser.hear())
        assert answer == Pdu(x224=CONFIRM, certificates=(certificate[0],), server_address=ADDRESS)
        here.browser.say(INFO)
        await expect(server, OPENED)
        here.browser.say(KEY_DOWN)
        await expect(server, KEY_DOWN)
        await server.write(PIXELS)
        assert await here.browser.hear() == PIXELS
        here.browser.leave()
        assert await ending(task) is Ending.BROWSER
        server.abort()


async def test_control_changes_hands_and_no_key_stays_down(here, certificate):
    gateway = gateway_of(here)
    async with running(gateway.run):
        here.browser.say(REQUEST + INITIAL + INFO + KEY_DOWN)
        server = await secure(here, certificate)
        await expect(server, OPENED + KEY_DOWN)
        await gateway.set_view_only(True)
        await expect(server, KEY_UP)
        here.browser.say(KEY_DOWN + bytes.fromhex(RECORDED["confirm_active"]))
        await expect(server, bytes.fromhex(RECORDED["confirm_active"]))
        server.abort()


async def test_control_taken_while_it_connects(here, certificate):
    gateway = gateway_of(here)
    async with running(gateway.run):
        await gateway.set_view_only(True)
        active = bytes.fromhex(RECORDED["confirm_active"])
        here.browser.say(REQUEST + INITIAL + INFO + KEY_DOWN + active)
        server = await secure(here, certificate)
        await expect(server, OPENED + active)
        server.abort()


async def test_a_certificate_that_is_known(here, certificate):
    digest = hashlib.sha256(certificate[0]).digest()
    async with running(gateway_of(here, fingerprint=digest).run):
        here.browser.say(REQUEST)
        server = await secure(here, certificate)
        assert decode(await here.browser.hear()).failure is None
        server.abort()


async def test_a_certificate_that_is_not(here, certificate):
    digest = hashlib.sha256(b"another").digest()
    async with running(gateway_of(here, fingerprint=digest).run) as task:
        here.browser.say(REQUEST + INITIAL + INFO)
        with contextlib.suppress(ConnectionError):  # it may leave before the server has noticed
            server = await secure(here, certificate)
            assert await server.read() == b""
        assert failed(await here.browser.hear()).http_status == 502
        error = await failure(task)
    assert "another certificate" in error.detail


async def test_a_used_link_gives_words_and_connects_to_nothing(here):
    async with running(gateway_of(here).run) as task:
        here.browser.say(
            Pdu(destination="x:1", proxy_auth="no", x224=connection_request()).encode()
        )
        assert failed(await here.browser.hear()).http_status == 403
        error = await failure(task)
    assert error.detail == error.close[1] == "This link has been used."
    assert error.part is Part.BROWSER


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1", b"\x30\x83\xff\xff\xff", Pdu().encode(), Pdu(x224=b"x").encode(),
     Pdu(destination="x:1", proxy_auth="opens-this-desktop", x224=b"hello").encode()],
)  # fmt: skip
async def test_a_browser_that_asks_for_something_else(here, said):
    async with running(gateway_of(here).run) as task:
        here.browser.say(said)
        error = await failure(task)
    assert (error.part, error.close[0]) == (Part.BROWSER, 1008)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection at once"),
        (b"SSH-2.0-OpenSSH\r\n", "not RDP"),
        (b"\x03\0\xff\xff", "not an RDP server"),
        (bytes.fromhex("030000130ed000001234000300080005000000"), "network level"),
    ],
)
async def test_a_server_that_is_of_no_use(here, answer, words):
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST)
        await here.expect(connection_request())
        await here.far.write(answer)
        await here.far.write_eof()
        told = await here.browser.hear()
        error = await failure(task)
    assert error.part is Part.RDP_SERVER
    assert words in error.detail
    assert error.remedy
    assert failed(told).code == (2 if words == "network level" else 1)
    assert (decode(told).x224 == answer) is (words == "network level")


async def test_silence_at_each_stage(here, monkeypatch):
    monkeypatch.setattr(rdp, "REQUEST_SECONDS", 0.05)
    async with running(gateway_of(here).run) as task:
        assert "browser did not send its request" in (await failure(task)).detail


@pytest.mark.parametrize("stage", ["confirm", "TLS"])
async def test_a_silent_server(here, monkeypatch, stage):
    monkeypatch.setattr(rdp, "CONFIRM_SECONDS", 0.1)
    monkeypatch.setattr(rdp, "TLS_SECONDS", 0.1)
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST)
        if stage == "TLS":
            await here.far.write(CONFIRM)
        error = await failure(task)
    assert error.part is Part.RDP_SERVER
    assert f"{stage} within 0.1 s" in error.detail


async def test_tls_that_fails(here):
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST)
        await here.expect(connection_request())
        await here.far.write(CONFIRM)
        assert await here.far.read()
        await here.far.write(b"this is not TLS at all, not even a little")
        error = await failure(task)
    assert error.detail == "TLS with the RDP server failed (WRONG_VERSION_NUMBER)."


async def test_a_server_that_speaks_too_early(here):
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST)
        await here.far.write(CONFIRM + b"x")
        error = await failure(task)
    assert "spoke before TLS" in error.detail


async def test_the_server_may_end_it(here, certificate):
    async with running(gateway_of(here).run) as task:
        here.browser.say(REQUEST)
        server = await secure(here, certificate)
        await server.close()
        assert await ending(task) is Ending.SERVER
