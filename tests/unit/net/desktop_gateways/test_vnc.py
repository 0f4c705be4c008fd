"""The VNC gateway between a scripted server and a fake browser, under both event loops."""

import asyncio
import struct

import pytest

from earthshine.net.desktop_gateways import Ending, Part, VncGateway, vnc
from earthshine.protocols.rfb import VERSION, vnc_response
from tests.unit.net.desktop_gateways.world import ending, failure, running

INIT = struct.pack(">HH16sI", 640, 480, bytes(16), 4) + b"desk"
CHALLENGE = bytes(range(16))
KEY_DOWN, KEY_UP = b"\x04\x01\0\0\0\0\0A", b"\x04\x00\0\0\0\0\0A"
REQUEST = b"\x03\x01\0\0\0\0\x04\0\x03\0"


def gateway_of(here, *, view_only=False, password="secret"):
    return VncGateway(here.near, here.browser, password=password, view_only=view_only)


async def admit(here, early=b""):
    """The server's side, until it has shown its desktop."""
    await here.far.write(VERSION)
    await here.expect(VERSION)
    await here.far.write(b"\x01\x02")
    await here.expect(b"\x02")
    await here.far.write(CHALLENGE)
    await here.expect(vnc_response(b"secret", CHALLENGE))
    await here.far.write(bytes(4) + INIT + early)
    await here.expect(b"\x01")


async def greet(here, typed=b""):
    """The browser's side."""
    assert await here.browser.hear() == VERSION
    here.browser.say(VERSION, b"\x01", b"\x01" + typed)
    assert await here.browser.hear_bytes(2 + 4 + len(INIT)) == b"\x01\x01" + bytes(4) + INIT


async def test_a_desktop_is_shown_and_steered(here):
    async with running(gateway_of(here).run) as task:
        await admit(here, early=b"\0early")
        await greet(here, typed=REQUEST)
        await here.expect(REQUEST)
        assert await here.browser.hear() == b"\0early"
        here.browser.say(KEY_DOWN[:3], KEY_DOWN[3:])
        await here.expect(KEY_DOWN)
        await here.far.write(b"pixels")
        assert await here.browser.hear() == b"pixels"
        here.browser.leave()
        assert await ending(task) is Ending.BROWSER
    assert await here.ends() == b""


async def test_the_server_may_end_it(here):
    async with running(gateway_of(here).run) as task:
        await admit(here)
        await greet(here)
        await here.far.write_eof()
        assert await ending(task) is Ending.SERVER


async def test_a_viewer_watches(here):
    async with running(gateway_of(here, view_only=True).run):
        await admit(here)
        await greet(here)
        here.browser.say(KEY_DOWN + REQUEST)
        await here.expect(REQUEST)


async def test_control_changes_hands_and_no_key_stays_down(here):
    gateway = gateway_of(here)
    async with running(gateway.run):
        await admit(here)
        await greet(here)
        here.browser.say(KEY_DOWN)
        await here.expect(KEY_DOWN)
        await gateway.set_view_only(True)
        await here.expect(KEY_UP)
        here.browser.say(KEY_DOWN + REQUEST)
        await here.expect(REQUEST)
        await gateway.set_view_only(False)
        here.browser.say(KEY_DOWN)
        await here.expect(KEY_DOWN)


async def test_a_wrong_password_reaches_the_viewer_in_words(here):
    async with running(gateway_of(here).run) as task:
        await here.far.write(VERSION + b"\x01\x02" + CHALLENGE)
        await here.far.write(b"\0\0\0\1\0\0\0\x04nope")
        assert await here.browser.hear() == VERSION
        here.browser.say(VERSION)
        told = await here.browser.hear()
        error = await failure(task)
    assert told[:1] == b"\0"
    assert told[5:].decode() == error.detail == "The VNC server refused the password. (nope)."
    assert error.part is Part.VNC_SERVER
    assert "password" in str(error.remedy)
    assert error.close[0] == 1011
    assert "secret" not in repr(error)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "ended the connection before its version"),
        (VERSION, "before its security types"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not a VNC server"),
        (VERSION + b"\x01\x13", "allow VncAuth"),
    ],
)
async def test_a_server_that_is_of_no_use(here, said, words):
    async with running(gateway_of(here).run) as task:
        await here.far.write(said)
        await here.far.write_eof()
        here.browser.say(VERSION)
        error = await failure(task)
    assert words in error.detail
    assert error.remedy or "before" in error.detail


async def test_a_silent_server(here, monkeypatch):
    monkeypatch.setattr(vnc, "SERVER_SECONDS", 0.05)
    async with running(gateway_of(here).run) as task:
        await here.far.write(VERSION)
        here.browser.say(VERSION)
        error = await failure(task)
    assert error.detail == "The VNC server did not send its security types within 0.05 s."


async def test_a_silent_browser(here, monkeypatch):
    monkeypatch.setattr(vnc, "BROWSER_SECONDS", 0.05)
    async with running(gateway_of(here).run) as task:
        await admit(here)
        error = await failure(task)
    assert error.part is Part.BROWSER
    assert await here.ends() == b""


async def test_a_browser_that_leaves_early(here):
    async with running(gateway_of(here).run) as task:
        await admit(here)
        here.browser.leave()
        assert await ending(task) is Ending.BROWSER


async def test_a_broken_server(here):
    async with running(gateway_of(here).run) as task:
        await admit(here)
        await greet(here)
        here.far.abort()
        error = await failure(task)
    assert error.detail == "The connection to the VNC server broke."


async def test_a_browser_that_breaks_the_rules(here):
    async with running(gateway_of(here).run) as task:
        await admit(here)
        await greet(here)
        here.browser.say(b"\x63")
        error = await failure(task)
    assert (error.part, error.close[0]) == (Part.BROWSER, 1008)
    assert "unknown type 99" in error.close[1]


async def test_a_slow_browser_slows_the_server(here):
    async with running(gateway_of(here).run):
        await admit(here)
        await greet(here)
        here.browser.reads.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await here.far.write(bytes(1 << 20))
        here.browser.reads.set()
        assert await here.browser.hear()
