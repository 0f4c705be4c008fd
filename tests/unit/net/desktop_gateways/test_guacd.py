"""The Guacamole gateway between a scripted guacd and a fake browser, under both event loops."""

import asyncio

import pytest

from earthshine.net.desktop_gateways import Ending, GuacamoleGateway, Part, guacd
from earthshine.protocols.guacamole import (
    Instruction,
    NewConnection,
    RunningConnection,
    Screen,
    Viewer,
)
from tests.unit.net.desktop_gateways.world import ending, failure, running

ID = "$dead1065-ac56-44c4-ba14-3dfa42a1c629"
ARGS = b"4.args,13.VERSION_1_3_0,8.password;"
READY = Instruction("ready", (ID,)).to_guacd()
VNC = NewConnection("vnc", {"password": "secret"})


def gateway_of(here, connection=VNC, *, view_only=False):
    viewer = Viewer(Screen(1024, 768), image=("image/png",), read_only=view_only)
    return GuacamoleGateway(here.near, here.browser, connection, viewer, tunnel_id="5ce5cd9c")


def connect(password="secret"):
    says = [
        Instruction("size", ("1024", "768", "96")),
        Instruction("audio"),
        Instruction("video"),
        Instruction("image", ("image/png",)),
        Instruction("connect", ("VERSION_1_3_0", password)),
    ]
    return b"".join(one.to_guacd() for one in says)


async def opened(here, early=b""):
    await here.expect(b"6.select,3.vnc;")
    await here.far.write(ARGS)
    await here.expect(connect())
    await here.far.write(READY + early)
    assert await here.browser.hear() == "0.,8.5ce5cd9c;"


async def test_a_desktop_is_shown_and_steered(here):
    gateway = gateway_of(here)
    async with running(gateway.run) as task:
        await opened(here, early="4.name,1.🛰;".encode())
        assert await gateway.connected == ID
        assert await here.browser.hear() == "4.name,2.🛰;"
        here.browser.say("0.,4.ping,1.1;3.key,2.65,1.1;")
        assert await here.browser.hear() == "0.,4.ping,1.1;"
        await here.expect(b"3.key,2.65,1.1;")
        await here.far.write(b"4.sync,")
        await here.far.write(b"1.1;0.,1.x;3.nop;")
        assert await here.browser.hear() == "4.sync,1.1;3.nop;"
        here.browser.leave()
        assert await ending(task) is Ending.BROWSER
    assert await here.ends() == b"10.disconnect;"


async def test_a_viewer_joins_and_watches(here):
    gateway = gateway_of(here, RunningConnection(ID), view_only=True)
    async with running(gateway.run):
        await here.expect(Instruction("select", (ID,)).to_guacd())
        await here.far.write(ARGS)
        await here.expect(connect(""))
        await here.far.write(READY)
        assert await here.browser.hear() == "0.,8.5ce5cd9c;"
        here.browser.say("3.key,2.65,1.1;4.sync,1.1;")
        await here.expect(b"4.sync,1.1;")


async def test_control_changes_hands_and_no_key_stays_down(here):
    gateway = gateway_of(here)
    async with running(gateway.run):
        await opened(here)
        here.browser.say("3.key,2.65,1.1;5.mouse,1.3,1.4,1.1;")
        await here.expect(b"3.key,2.65,1.1;5.mouse,1.3,1.4,1.1;")
        await gateway.set_view_only(True)
        await here.expect(b"3.key,2.65,1.0;5.mouse,1.3,1.4,1.0;")
        here.browser.say("3.key,2.65,1.1;3.nop;")
        await here.expect(b"3.nop;")


async def test_a_wrong_password_has_words_and_closes_with_its_number(here):
    async with running(gateway_of(here).run) as task:
        await opened(here)
        await here.far.write(b"5.error,14.Auth. failure.,3.519;")
        assert await here.browser.hear() == "5.error,14.Auth. failure.,3.519;"
        error = await failure(task)
    assert error.part is Part.DESKTOP
    assert "password is wrong" in error.detail
    assert error.close == (1011, "519")
    assert error.remedy


@pytest.mark.parametrize("goodbye", [b"10.disconnect;", b""])
async def test_guacd_may_end_it(here, goodbye):
    async with running(gateway_of(here).run) as task:
        await opened(here)
        await here.far.write(b"4.sync,1.1;" + goodbye)
        await here.browser.hear()
        await here.far.write_eof()
        assert await ending(task) is Ending.SERVER


@pytest.mark.parametrize("goodbye", [b"10.disconnect;", b""])
async def test_an_end_before_the_first_picture_is_a_failure(here, goodbye):
    async with running(gateway_of(here).run) as task:
        await opened(here)
        await here.far.write(b"3.nop;" + goodbye)
        await here.far.write_eof()
        error = await failure(task)
    assert await here.browser.hear() == "3.nop;"
    assert here.browser.has_heard_all()
    assert error.close == (1011, "519")


async def test_no_picture_at_all(here, monkeypatch):
    monkeypatch.setattr(guacd, "SHOW_SECONDS", 0.05)
    async with running(gateway_of(here).run) as task:
        await opened(here)
        await here.far.write(b"3.nop;")
        error = await failure(task)
    assert error.detail == "The desktop behind guacd showed nothing within 0.05 s."
    assert error.close == (1011, "514")


async def test_patience_is_for_the_first_picture_only(here, monkeypatch):
    monkeypatch.setattr(guacd, "SHOW_SECONDS", 0.2)
    async with running(gateway_of(here).run) as task:
        await opened(here, early=b"4.sync,1.1;")
        await here.browser.hear()
        done, _ = await asyncio.wait({task}, timeout=0.4)
        assert not done


@pytest.mark.parametrize(
    ("answer", "awaited"), [(b"", "the answer to `select`"), (ARGS, "the connection's id")]
)
async def test_guacd_without_the_plugin_says_nothing(here, monkeypatch, answer, awaited):
    monkeypatch.setattr(guacd, "HANDSHAKE_SECONDS", 0.05)
    gateway = gateway_of(here)
    async with running(gateway.run) as task:
        await here.far.write(answer)
        error = await failure(task)
    assert error.detail == f"guacd did not send {awaited} for vnc within 0.05 s."
    assert error.remedy == "Check that guacd has its plugin for vnc installed."
    assert error.close == (1011, "514")
    assert gateway.connected.cancelled()


@pytest.mark.parametrize("answer", [b"", ARGS, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff"])
async def test_what_is_not_guacd(here, answer):
    async with running(gateway_of(here).run) as task:
        await here.far.write(answer)
        await here.far.write_eof()
        error = await failure(task)
    assert error.part is Part.GUACD
    assert error.close == (1011, "515")


async def test_an_error_before_ready(here):
    async with running(gateway_of(here).run) as task:
        await here.far.write(ARGS + b"5.error,0.,3.771;")
        error = await failure(task)
    assert error.close == (1008, "771")


async def test_a_browser_that_breaks_the_rules(here):
    async with running(gateway_of(here).run) as task:
        await opened(here)
        here.browser.say("4.sync,1.1")
        error = await failure(task)
    assert (error.part, error.close) == (Part.BROWSER, (1008, "768"))


async def test_names_that_guacd_does_not_know(here):
    gateway = gateway_of(here, NewConnection("vnc", {"passwort": "x"}))
    async with running(gateway.run):
        await here.far.write(ARGS)
        await here.expect(b"6.select,3.vnc;" + connect(""))
    assert gateway.unused_parameters == {"passwort"}
