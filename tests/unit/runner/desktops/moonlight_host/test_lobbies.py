"""Displays that live by themselves, joined and left by several clients."""

from __future__ import annotations

import pytest

from earthshine.protocols.moonlight.input import KeyEvent, TextTyped
from earthshine.runner.desktops.moonlight_host.lobbies import LobbyRequest
from earthshine.runner.desktops.moonlight_host.session import SessionRefusedError
from earthshine.runner.desktops.moonlight_host.stage import StageRequest
from earthshine.runner.desktops.moonlight_host.states import State
from tests.moonlight_guests import Guest

STAGE = StageRequest("room", "room", 160, 96, 30)


@pytest.fixture
def guests(host):
    found = [Guest(host, number) for number in range(2)]
    for guest in found:
        guest.trust()
    return found


async def test_several_clients_see_and_use_one_display(host, provider, guests):
    watching = [await guest.watch() for guest in guests]
    lobby = await host.lobbies.create(LobbyRequest(STAGE))
    for guest, watched in zip(guests, watching, strict=True):
        await host.lobbies.join(lobby, guest.session, None)
        frame = await watched.picture()
        while not frame.idr:
            frame = await watched.picture()
        watched.stream.send(TextTyped(str(guests.index(guest))))
    codec = watching[0].stream.setup.announce.codec
    producer = lobby.stage.producer(codec)
    assert len(producer._receivers) == 2, "one encoder, two viewers"
    for watched in watching:
        await watched.picture()
    assert sorted(event.text for event in lobby.stage.input.events) == ["0", "1"]
    assert all(guest.session.stage.input.events == [] for guest in guests)
    # Back to the own display, with a key frame first, and what is held down is let go.
    watching[0].stream.send(KeyEvent(0x41, down=True))
    await watching[0].picture()
    await host.lobbies.leave(guests[0].session)
    assert lobby.stage.input.events[-1] == KeyEvent(0x41, down=False)
    frame = await watching[0].picture()
    while not frame.idr:
        frame = await watching[0].picture()
    assert guests[0].session.shown is guests[0].session.stage
    assert lobby.members == [guests[1].session]
    for watched in watching:
        await watched.leave()


async def test_a_lobby_outlives_its_clients(host, provider, guests, eventually):
    lobby = await host.lobbies.create(LobbyRequest(STAGE))
    watching = await guests[0].watch()
    await host.lobbies.join(lobby, guests[0].session, None)
    await watching.leave()
    await eventually(lambda: guests[0].session.state is State.PAUSED)
    # Still joined: coming back shows the lobby.
    again = await guests[0].watch()
    assert guests[0].session.lobby is lobby
    await guests[0].game.cancel()
    assert host.lobbies.all == [lobby]
    assert lobby.members == []
    assert not lobby.stage.closed
    await again.leave()


async def test_it_stops_when_everyone_has_left_if_wanted(host, provider, guests):
    lobby = await host.lobbies.create(LobbyRequest(STAGE, stop_when_empty=True))
    for guest in guests:
        await guest.start()
        await host.lobbies.join(lobby, guest.session, None)
    await host.lobbies.leave(guests[0].session)
    assert host.lobbies.all == [lobby]
    await guests[1].game.cancel()
    assert host.lobbies.all == []
    assert lobby.stage.closed


async def test_its_application_may_end_by_itself(host, guests, eventually):
    lobby = await host.lobbies.create(LobbyRequest(STAGE))
    watching = await guests[0].watch()
    await host.lobbies.join(lobby, guests[0].session, None)
    lobby.stage.exit()
    await eventually(lambda: not host.lobbies.all)
    assert guests[0].session.lobby is None
    await watching.picture()
    await watching.leave()


async def test_the_pin_is_asked_for_and_cannot_be_guessed(host, guests):
    lobby = await host.lobbies.create(LobbyRequest(STAGE, pin=(1, 2, 3, 4)))
    await guests[0].start()
    session = guests[0].session
    for wrong in (None, (1, 2, 3), (4, 3, 2, 1)):
        with pytest.raises(SessionRefusedError, match="wrong"):
            await host.lobbies.join(lobby, session, wrong)
    await host.lobbies.join(lobby, session, (1, 2, 3, 4))
    await host.lobbies.leave(session)
    with pytest.raises(SessionRefusedError, match="wrong"):
        await host.lobbies.join(lobby, session, (0, 0, 0, 0))
    with pytest.raises(SessionRefusedError, match="too many"):
        await host.lobbies.join(lobby, session, (1, 2, 3, 4))


async def test_one_at_a_time_if_not_for_several(host, guests):
    lobby = await host.lobbies.create(LobbyRequest(STAGE, multi_user=False))
    for guest in guests:
        await guest.start()
    await host.lobbies.join(lobby, guests[0].session, None)
    with pytest.raises(SessionRefusedError, match="full"):
        await host.lobbies.join(lobby, guests[1].session, None)


@pytest.mark.parametrize("pin", [(), (10,), (-1,), (1,) * 17])
async def test_impossible_pins_are_refused(host, pin):
    with pytest.raises(SessionRefusedError, match="digits"):
        await host.lobbies.create(LobbyRequest(STAGE, pin=pin))
