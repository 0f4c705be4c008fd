"""Launch, resume, cancel, disconnect: what section by section a client may rely on."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

from earthshine.net.moonlight.client.decoding import AudioDecoder
from earthshine.net.moonlight.client.host import OtherAppError
from earthshine.protocols.moonlight import control
from earthshine.protocols.moonlight.answers import AnswerRefusedError
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.input import (
    BatteryState,
    Button,
    Capability,
    Contact,
    ControllerArrived,
    ControllerBattery,
    ControllerMoved,
    ControllerState,
    ControllerTouched,
    ControllerType,
    HapticsEnabled,
    KeyEvent,
    MotionType,
    MouseButton,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    PenMoved,
    Scrolled,
    ScrolledSideways,
    TextTyped,
    Tool,
    Touched,
)
from earthshine.protocols.moonlight.launch import LaunchRequest
from earthshine.protocols.moonlight.sdp import (
    STEREO_LAYOUT,
    SURROUND_51_LAYOUT,
    Codec,
    Encryption,
)
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.moonlight_host.stage import AccessUnit
from earthshine.runner.desktops.moonlight_host.states import State
from tests.moonlight_guests import WISHES, Guest
from tests.unit.runner.desktops.moonlight_host.conftest import APPS
from tests.world import free_port

RESUMED_MS = 300
LFE = 3
"""Opus gives it the lowest frequencies only."""

EVERY_INPUT = [
    KeyEvent(0x41, down=True),
    KeyEvent(0x41, down=False),
    TextTyped("é"),
    MouseMoved(-3, 4),
    MousePlaced(10, 20, 192, 112),
    MouseButtonEvent(MouseButton.RIGHT, down=True),
    MouseButtonEvent(MouseButton.RIGHT, down=False),
    Scrolled(-60),
    ScrolledSideways(120),
    Touched(Contact.DOWN, 1, 0.5, 0.25),
    Touched(Contact.UP, 1, 0.5, 0.25),
    PenMoved(Contact.DOWN, Tool.PEN, 1, 0.5, 0.5),
    HapticsEnabled(),
    ControllerArrived(0, ControllerType.XBOX, Capability.RUMBLE, Button.A | Button.B),
    ControllerState(0, 1, Button.A, 10, 20, 100, -100, 3, -4),
    ControllerTouched(0, Contact.DOWN, 0, 7, 0.5, 0.5),
    ControllerMoved(0, MotionType.GYROSCOPE, 1.0, -2.0, 0.5),
    ControllerBattery(0, BatteryState.FULL, 100),
]


async def test_launch_shows_the_app_in_the_announced_size(guest, provider):
    watching = await guest.watch()
    assert watching.frames[0].idr
    assert guest.session.state is State.STREAMING
    assert [stage.request.command for stage in provider.stages] == ["pattern"]
    info = await guest.game.info()
    assert (info.busy, info.current_app) == (True, 7)
    await watching.leave()


async def test_size_and_bit_rate_follow_announce(guest, provider):
    watching = await guest.watch(await guest.start(), Wishes(320, 192, 30, 8000))
    [stage] = provider.stages
    assert stage.size == (320, 192)
    wanted = watching.stream.setup.announce.encoder_bitrate_kbps(20)
    assert stage.producer(watching.stream.setup.announce.codec).kbps == wanted
    await watching.leave()


async def test_the_rate_follows_announce_when_the_size_stays(guest, provider, eventually):
    await (await guest.watch()).leave()
    [stage] = provider.stages
    assert (stage.resizes, stage._fps) == (0, 30)
    await eventually(lambda: guest.session.state is State.PAUSED)
    watching = await guest.watch(await guest.start(), replace(WISHES, fps=15))
    assert (stage.resizes, stage._fps) == (1, 15)
    await watching.leave()


async def test_leaving_pauses_and_the_producer_stays(guest, provider, eventually):
    watching = await guest.watch()
    [stage] = provider.stages
    await watching.leave()
    await eventually(lambda: guest.session.state is State.PAUSED)
    assert provider.stages == [stage]
    # Nobody watches: nothing is encoded.
    await eventually(lambda: not stage.producer(Codec.H264).encoding)
    assert (await guest.game.info()).current_app == 7


async def test_resume_gives_an_idr_first_and_soon(guest, provider, eventually):
    watching = await guest.watch()
    took = []
    for _ in range(5):  # the median: other tests may have the machine at the moment
        await watching.leave()
        await eventually(lambda: guest.session.state is State.PAUSED)
        begun = time.monotonic()
        started = await guest.start()
        assert started.resumed
        watching = await guest.watch(started)
        took.append((time.monotonic() - begun) * 1000)
        assert watching.frames[0].idr
        assert watching.frames[0].number == 1
    assert statistics.median(took) < RESUMED_MS, took
    assert provider.started == 1
    await watching.leave()


async def test_resume_while_the_old_stay_still_stands_ends_that_one(guest):
    first = await guest.watch()
    second = await guest.watch(await guest.start())
    over = await first.stream.over()
    assert over.graceful
    assert (await second.picture()).number > 0
    assert guest.session.state is State.STREAMING
    await first.leave()
    await second.leave()


async def test_a_vanished_client_becomes_a_pause(guest, eventually):
    watching = await guest.watch()
    guest_input = guest.session.stage.input
    watching.stream.send(KeyEvent(0x41, down=True))
    watching.stream.send(MouseButtonEvent(MouseButton.LEFT, down=True))
    await eventually(lambda: len(guest_input.events) == 2)
    await watching.vanish()
    await eventually(lambda: guest.session.state is State.PAUSED)
    # What it held down does not stay down.
    assert guest_input.events[2:] == [
        KeyEvent(0x41, down=False),
        MouseButtonEvent(MouseButton.LEFT, down=False),
    ]
    again = await guest.watch()
    assert again.frames[0].idr
    await again.leave()


async def test_cancel_ends_the_app_and_tells_the_client(guest, provider):
    watching = await guest.watch()
    assert await guest.game.cancel()
    assert (await watching.stream.over()).reason == control.GRACEFUL
    assert provider.stages == []
    assert guest.session is None
    assert not (await guest.game.info()).busy
    assert await guest.game.cancel(), "cancelling nothing is no error"
    await watching.leave()


async def test_an_app_that_ends_takes_its_session_along(guest, provider, eventually):
    watching = await guest.watch()
    provider.stages[0].exit()
    assert (await watching.stream.over()).graceful
    await eventually(lambda: guest.session is None)
    await watching.leave()


async def test_another_app_has_to_be_ended_first(guest, provider):
    await guest.start(7)
    with pytest.raises(OtherAppError):
        await guest.start(8)
    await guest.start(8, replace=True)
    assert [stage.request.command for stage in provider.stages] == ["other"]


async def test_launching_what_runs_is_a_resume(guest, provider):
    await guest.start()
    session = guest.session
    info = await guest.game.info()
    keys = guest.game.fresh_keys()
    forgetful = replace(info, busy=False, current_app=0)
    started = await guest.game.start(LaunchRequest(keys, app_id=7, core_version=1), forgetful)
    assert not started.resumed
    assert guest.session is session
    await (await guest.watch(started)).leave()
    assert provider.started == 1


async def test_nothing_to_resume_and_no_such_app_are_refused(guest):
    info = await guest.game.info()
    wanted = LaunchRequest(guest.game.fresh_keys(), app_id=7)
    with pytest.raises(AnswerRefusedError, match="no session"):
        await guest.game.start(wanted, replace(info, busy=True, current_app=7))
    with pytest.raises(AnswerRefusedError, match="no such app"):
        await guest.start(99)


async def test_an_app_that_does_not_start_says_why(guest, provider):
    provider.fail = "there is no display server"
    with pytest.raises(AnswerRefusedError, match="there is no display server"):
        await guest.start()
    assert guest.session is None


async def test_a_client_that_goes_away_while_its_app_starts_leaves_nothing(
    guest, provider, eventually
):
    provider.delay = 0.2
    starting = asyncio.ensure_future(guest.start())
    await asyncio.sleep(0.1)  # the launch has arrived by now, or has not: both must end well
    starting.cancel()
    await asyncio.wait([starting])
    provider.delay = 0
    await eventually(lambda: guest.host.sessions._starting == 0)
    if guest.session is not None:
        await guest.game.cancel()
    assert provider.stages == []


async def test_every_kind_of_input_arrives(guest, eventually):
    watching = await guest.watch()
    for event in EVERY_INPUT:
        watching.stream.send(event)
        await asyncio.sleep(0)
    arrived = guest.session.stage.input.events
    await eventually(lambda: len(arrived) == len(EVERY_INPUT))
    # Channels may overtake each other; within one, order stays.
    assert sorted(map(repr, arrived)) == sorted(map(repr, EVERY_INPUT))
    await watching.leave()


async def test_a_client_that_may_only_look_cannot_type(guest, eventually):
    client = guest.host.pairings.find(guest.identity.certificate.der)
    guest.host.pairings.change(client, view_only=True)
    watching = await guest.watch()
    watching.stream.send(KeyEvent(0x41, down=True))
    counters = guest.session.connection.counters
    await eventually(lambda: counters.refused_inputs == 1)
    assert guest.session.stage.input.events == []
    await watching.leave()


async def test_an_idr_comes_when_asked_for(guest):
    watching = await guest.watch()
    before = watching.stream.figures.idr_frames
    watching.stream.request_idr()
    frame = await watching.picture()
    while not frame.idr:
        frame = await watching.picture()
    assert watching.stream.figures.idr_frames == before + 1
    await watching.leave()


@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.ALL])
@pytest.mark.parametrize("core_version", [0, 1])
async def test_two_clients_behind_one_address_never_mix(host, provider, encryption, core_version):
    """Both are 127.0.0.1; one sees 192x112, the other 320x192, and input stays apart."""
    guests = [Guest(host, number) for number in (0, 1)]
    for guest in guests:
        guest.trust()
    started = [await guest.start(core_version=core_version) for guest in guests]
    sizes = [(192, 112), (320, 192)]
    # The second to be launched connects first.
    watching = {}
    for index in (1, 0):
        wishes = Wishes(*sizes[index], 30, 2000, encryption=encryption)
        watching[index] = await guests[index].watch(started[index], wishes)
    for index, guest in enumerate(guests):
        assert guest.session.stage.size == sizes[index]
        watching[index].stream.send(TextTyped(str(index)))
    first, second = (guest.session.stage for guest in guests)
    assert first is not second
    await watching[0].picture()
    await watching[1].picture()
    await watching[0].leave()
    await watching[1].picture()
    assert guests[1].session.state is State.STREAMING
    await guests[0].game.cancel()
    await watching[1].picture()
    assert second.input.events == [TextTyped("1")]
    assert first.input.events == [TextTyped("0")]
    await watching[1].leave()


async def test_one_encoder_feeds_all_who_watch_the_same_codec(guest, provider):
    watching = await guest.watch()
    [stage] = provider.stages
    codec = watching.stream.setup.announce.codec
    seen: list[AccessUnit] = []
    browser = stage.producer(codec).subscribe(seen.append)
    await watching.picture()
    await watching.picture()
    await asyncio.to_thread(browser.close)
    assert seen[0].key
    assert stage.producer(codec) is stage.producer(codec)
    await watching.leave()


@pytest.mark.parametrize("layout", [STEREO_LAYOUT, SURROUND_51_LAYOUT])
@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.ALL])
async def test_each_channel_of_the_sound_arrives_where_it_belongs(
    guest, provider, eventually, layout, encryption
):
    provider.sound = True
    mask = 0x3 if layout.channels == 2 else 0x3F
    wishes = replace(WISHES, channels=layout.channels, channel_mask=mask, encryption=encryption)
    watching = await guest.watch(await guest.start(), wishes)
    setup = watching.stream.setup
    offered = setup.offer.layout(layout.channels, high_quality=False)
    assert offered == layout
    await eventually(lambda: len(watching.audio) > 80)
    packets = [packet for packet in watching.audio if packet is not None]
    assert len(packets) > len(watching.audio) * 0.95, "late ones, on a machine that is very busy"
    assert len({len(packet) for packet in packets}) == 1
    decoder = AudioDecoder(offered)
    heard = np.concatenate([one for opus in packets for one in decoder.decode(opus)])
    assert heard.shape[1] == layout.channels
    settled = heard[4800:]
    for channel in {*range(layout.channels)} - {LFE}:
        spectrum = np.abs(np.fft.rfft(settled[:, channel]))
        loudest = float(np.argmax(spectrum)) * 48_000 / len(settled)
        assert loudest == pytest.approx(440 + 110 * channel, abs=15), channel
    await watching.leave()


async def test_a_lost_frame_is_answered_by_one_that_avoids_it(guest, provider, eventually):
    provider.invalidates = True
    wishes = Wishes(192, 112, 30, 2000, reference_invalidation=True)
    watching = await guest.watch(await guest.start(), wishes)
    await watching.picture()
    await watching.picture()
    before = guest.session.connection.video.counters.key_frames
    # One frame's packets are thrown away on their way to the client.
    video = watching.stream._video_in
    receive = video.receive
    dropped: list[int] = []

    def drop_one(datagram: bytes):
        frame = int.from_bytes(datagram[20:24], "little")
        if not dropped or frame == dropped[0]:
            dropped.append(frame)
            return []
        return receive(datagram)

    video.receive = drop_one
    await eventually(lambda: watching.stream.figures.invalidations)
    await eventually(lambda: not watching.stream._loss.awaiting)
    sent = guest.session.connection.video.counters
    assert sent.after_invalidation >= 1
    assert sent.key_frames == before, "nobody had to wait for a key frame"
    await watching.leave()


async def test_a_client_that_never_comes_leaves_a_paused_session(tmp_path, provider, eventually):
    settings = HostSettings(tmp_path, base_port=free_port(), handshake_wait=0.1)
    async with MoonlightHost(settings, provider, APPS) as host:
        guest = Guest(host)
        guest.trust()
        await guest.start()
        session = guest.session
        assert session.connection is not None
        await eventually(lambda: session.state is State.PAUSED)
        assert session.connection is None
        assert len(provider.stages) == 1


async def test_a_host_that_insists_on_encryption(tmp_path, provider):
    settings = HostSettings(tmp_path, base_port=free_port(), require_encryption=True)
    async with MoonlightHost(settings, provider, APPS) as host:
        guest = Guest(host)
        guest.trust()
        with pytest.raises(AnswerRefusedError, match="encrypt"):
            await guest.start(core_version=0)
        assert provider.stages == []
        watching = await guest.watch()  # asks for none, and is told to
        assert watching.stream.setup.announce.encryption is Encryption.ALL
        await watching.leave()


async def test_plain_rtsp_has_a_port_per_session_and_gives_it_back(guest, host, eventually):
    started = await guest.start(core_version=0)
    assert not started.url.encrypted
    assert started.url.port in range(host.base_port + 22, host.base_port + 38)
    watching = await guest.watch(started)
    await eventually(lambda: not host.stays._wires.plain_ports.taken)
    await watching.leave()


@pytest.mark.parametrize("core_version", [0, 1], ids=["plain", "encrypted"])
async def test_a_client_comes_over_ipv6(tmp_path, provider, core_version):
    settings = HostSettings(tmp_path, bind="::1", base_port=free_port())
    async with MoonlightHost(settings, provider, APPS) as host:
        guest = Guest(host, address="::1")
        await guest.pair()
        guest.game.pinned = host.identity.certificate
        started = await guest.start(core_version=core_version)
        assert started.url.host == "::1"
        watching = await guest.watch(started)
        assert watching.frames[0].idr
        info = await guest.game.info()
        assert info.local_ip == "127.0.0.1", "clients read an IPv4 address there"
        await watching.leave()


async def test_a_host_for_both_address_families_tells_ipv4_clients_an_ipv4_address(
    tmp_path, provider
):
    settings = HostSettings(tmp_path, bind="::", base_port=free_port())
    async with MoonlightHost(settings, provider, APPS) as host:
        for address in ("127.0.0.1", "::1"):
            guest = Guest(host, address=address)
            guest.trust()
            started = await guest.start()
            assert started.url.host == address
            assert guest.session.address == address
            watching = await guest.watch(started)
            await watching.leave()
            await guest.game.cancel()
