"""Sessions' desktops in an operator's web application, which is a fake here, from demand to end."""

import asyncio
import contextlib
import logging
import socket
import struct
from base64 import b64decode
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from earthshine.control.dialing.service import DialedStream
from earthshine.control.guacamole import application
from earthshine.control.guacamole.client import Account, GuacamoleClient
from earthshine.net.bridge import TransportStream
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import LendRfb
from tests.unit.control.guacamole.fake_guacamole import FakeGuacamole, problem
from tests.unit.control.world import exited, in_own_task

S = "/api/v1/sessions"
ADMINS_PASSWORD = "the-administrators-password"
URL = "http://guacamole.test/guacamole"


@pytest.fixture
def web():
    return FakeGuacamole(ADMINS_PASSWORD)


@pytest.fixture
async def session(here, runner):
    session_id = await runner.run_session(here.member)
    await share(here, session_id, "viewer")
    return session_id


async def share(here, session_id, role):
    path = f"{S}/{session_id}/shares/{here.other.actor.person_id}"
    await here.member.http.put(path, json={"role": role})


@contextlib.asynccontextmanager
async def operated(here, web):
    """The web application beside the server."""
    service = here.plane.guacamole_application
    transport = httpx.ASGITransport(web.app)
    account = Account("earthshine", ADMINS_PASSWORD)
    service._client = GuacamoleClient(URL, account, transport=transport)
    service._url = URL
    async with in_own_task(service.running()):
        yield service


@pytest.fixture
async def box(here, runner, session, web, monkeypatch):
    """What the runner was asked for; its passwords are p0000000, p0000001 and so on."""
    asked: list[Any] = []
    made: list[Any] = []

    async def dial(runner_id, destination):
        near, far = socket.socketpair()
        made.append(await TransportStream.on_socket(far))
        return DialedStream(runner_id, destination, Detached(near, b""))

    async def answer():
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await runner.command(LendRfb)
                password = f"p{len(asked):07}"
                asked.append(frame.payload)
                await runner.done(frame, {"destination": "unix:/door", "password": password})

    monkeypatch.setattr(here.plane.dialing, "dial", dial)
    answering = asyncio.create_task(answer())
    yield asked
    answering.cancel()
    await asyncio.wait([answering])
    for stream in made:
        stream.abort()


@pytest.fixture
async def service(here, web, box):
    async with operated(here, web) as service:
        yield service


async def demand(person, session, status=200):
    answer = await person.http.post(f"{S}/{session}/guac/application")
    assert answer.status_code == status, answer.text
    return answer.json()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def parameters(web):
    [connection] = web.connections.values()
    return connection["parameters"]


async def test_a_connection_is_made_on_demand_for_the_person_of_that_name(
    here, session, web, service, box, caplog
):
    with caplog.at_level(logging.DEBUG):
        made = await demand(here.member, session)
    identifier, kind, source = b64decode(made["url"].rpartition("/")[2]).decode().split("\0")
    assert made["url"].startswith(f"{URL}/#/client/")
    assert (kind, source) == ("c", "postgresql")
    assert web.users == {"mia": {identifier}, "otto": set()}
    found = web.connections[identifier]
    assert (found["name"], found["protocol"]) == (f"Earthshine {session} for mia", "vnc")
    assert found["parameters"]["password"] == "p0000000"
    assert "read-only" not in found["parameters"]
    assert not made["viewOnly"]
    [asked] = box
    assert (asked.view_only, asked.seconds) == (False, application.LEASE_SECONDS)
    for secret in (ADMINS_PASSWORD, "p0000000", *web.tokens):
        assert secret not in str(made)
        assert secret not in caplog.text


async def test_asked_for_again_the_password_is_another_and_the_old_port_closed(
    here, session, web, service, box
):
    first = await demand(here.member, session)
    before = parameters(web)
    second = await demand(here.member, session)
    assert second["url"] == first["url"], "the same connection, updated"
    after = parameters(web)
    assert (before["password"], after["password"]) == ("p0000000", "p0000001")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(before["hostname"], int(before["port"]))
    _, writer = await asyncio.open_connection(after["hostname"], int(after["port"]))
    writer.close()


async def test_it_is_removed_when_it_has_been_used(here, session, web, service, box):
    await demand(here.member, session)
    address = parameters(web)
    _, writer = await asyncio.open_connection(address["hostname"], int(address["port"]))
    # Reset, as by a guacd that is killed; a VNC server would close its end as well.
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    await until(lambda: not web.connections)
    assert len(here.plane.entries) == 0


async def test_it_is_removed_with_the_session(here, runner, session, web, service, box):
    await demand(here.member, session)
    here.plane.entries.end_session(session)  # which the end of a session calls
    await until(lambda: not web.connections)


async def test_it_is_removed_at_the_servers_end(here, session, web, box):
    async with operated(here, web):
        await demand(here.member, session)
        assert web.connections
    assert web.connections == {}
    assert web.tokens == set(), "signed out"


async def test_who_watches_gets_a_view_and_a_new_role_takes_it_away(
    here, session, web, service, box
):
    made = await demand(here.other, session)
    assert made["viewOnly"]
    assert box[0].view_only
    assert parameters(web)["read-only"] == "true"
    await share(here, session, "controller")
    await until(lambda: not web.connections)
    assert not (await demand(here.other, session))["viewOnly"]
    await here.member.http.delete(f"{S}/{session}/shares/{here.other.actor.person_id}")
    await until(lambda: not web.connections)
    await demand(here.other, session, 404)


async def test_each_person_has_their_own(here, session, web, service, box):
    await demand(here.member, session)
    await demand(here.other, session)
    assert len(web.connections) == 2
    assert web.users["mia"] != web.users["otto"]


async def test_whom_guacamole_does_not_know(here, session, web, service, box):
    del web.users["mia"]
    answer = await demand(here.member, session, 502)
    assert answer["detail"] == "Guacamole has no user with the name mia."
    assert answer["remedy"]
    await until(lambda: not web.connections and not len(here.plane.entries))


async def test_an_application_that_fails_says_so_and_nothing_is_left(
    here, session, web, service, box
):
    web.answer = problem(500, "INTERNAL_ERROR", "Out of desks.")
    answer = await demand(here.member, session, 502)
    assert "Out of desks." in answer["detail"]
    await until(lambda: not len(here.plane.entries))


async def test_what_cannot_be_removed_is_removed_later(here, session, web, box, monkeypatch):
    monkeypatch.setattr(application, "RETRY_SECONDS", 0.05)
    async with operated(here, web):
        await demand(here.member, session)
        web.answer = problem(500, "INTERNAL_ERROR", "Not now.")
        here.plane.entries.end_session(session)
        await until(lambda: here.plane.guacamole_application._left)
        web.answer = None
        await until(lambda: not web.connections)


async def test_what_an_earlier_run_left_is_removed_and_nothing_else(here, session, web, box):
    names = {
        "1": f"Earthshine {session} for mia",
        "2": "Earthshine 0123456789 for mia",  # of another server
        "3": "Build machine",
    }
    web.connections = {key: {"name": name, "parameters": {}} for key, name in names.items()}
    async with operated(here, web):
        await until(lambda: "1" not in web.connections)
        assert set(web.connections) == {"2", "3"}


async def test_one_that_is_there_by_that_name_is_taken_over(here, session, web, service, box):
    service._left.add("9")  # it was about to be removed
    web.connections["9"] = {"name": f"Earthshine {session} for mia", "parameters": {}}
    made = await demand(here.member, session)
    assert b64decode(made["url"].rpartition("/")[2]).startswith(b"9\0")
    assert parameters(web)["password"] == "p0000000"
    assert not service._left


async def test_a_mistake_of_ours_is_no_silence(here, session, web, service, box, monkeypatch):
    def mistaken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(service, "_address", mistaken)
    assert "mistake" in (await demand(here.member, session, 502))["detail"]
    await until(lambda: not web.connections)


async def test_without_one_the_remedy_is_named(here, session):
    answer = await demand(here.member, session, 503)
    assert (answer["code"], answer["remedy"]) == ("part-missing", "Set control.guacamole.")


async def test_an_ended_session(here, runner, session, web):
    await runner.logged(session, exited(2))
    async with operated(here, web):
        await demand(here.member, session, 409)
