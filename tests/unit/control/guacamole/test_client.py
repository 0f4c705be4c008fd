"""The Guacamole web application's client, against a fake of that application."""

import asyncio
import logging

import httpx
import pytest
from starlette.responses import PlainTextResponse

from earthshine.control.errors import (
    GuacamoleUnavailableError,
    InvalidRequestError,
    NotFoundError,
)
from earthshine.control.guacamole.client import Account, ConnectionSpec, GuacamoleClient
from tests.unit.control.guacamole.fake_guacamole import FakeGuacamole, problem

PASSWORD = "the-administrators-password"
SPEC = ConnectionSpec("Build machine", "vnc", {"hostname": "10.0.0.7", "password": "desk-secret"})


@pytest.fixture
def server():
    return FakeGuacamole(PASSWORD)


def client_of(server, password=PASSWORD):
    transport = httpx.ASGITransport(server.app)
    account = Account("earthshine", password)
    return GuacamoleClient("http://guacamole.test/guacamole/", account, transport=transport)


@pytest.fixture
async def client(server):
    async with client_of(server) as client:
        yield client


async def test_a_connection_is_created_changed_and_deleted(client, server):
    identifier = await client.create(SPEC)
    assert server.connections[identifier]["parameters"] == SPEC.parameters
    assert server.connections[identifier]["parentIdentifier"] == "ROOT"

    await client.update(identifier, ConnectionSpec("Build machine", "rdp", {"port": "3389"}))
    assert server.connections[identifier]["protocol"] == "rdp"

    await client.delete(identifier)
    assert server.connections == {}
    assert server.requests.count(("POST", "tokens")) == 1


async def test_connections_have_names_and_users_are_let_in(client, server):
    identifier = await client.create(SPEC)
    assert await client.names() == {identifier: "Build machine"}
    await client.admit("mia", identifier)
    assert server.users["mia"] == {identifier}
    assert await client.data_source() == "postgresql"
    with pytest.raises(NotFoundError):
        await client.admit("nobody", identifier)


async def test_who_is_connected_can_be_disconnected(client, server):
    server.active["a1"] = {
        "identifier": "a1",
        "connectionIdentifier": "7",
        "startDate": 1_700_000_000_000,
        "remoteHost": "10.0.0.9",
        "username": "mia",
        "connectable": True,
    }
    [active] = await client.active()
    assert (active.username, active.connection_identifier) == ("mia", "7")
    await client.end("a1")
    assert await client.active() == []


async def test_a_forgotten_token_is_renewed_once_for_all_who_notice(client, server):
    await client.create(SPEC)
    server.tokens.clear()
    names = [ConnectionSpec(f"desk {n}", "vnc", {}) for n in range(5)]
    await asyncio.gather(*map(client.create, names))
    assert len(server.connections) == 6
    assert server.requests.count(("POST", "tokens")) == 2


async def test_an_account_without_the_right_is_told_apart_from_an_expired_token(client, server):
    server.may = False
    with pytest.raises(GuacamoleUnavailableError, match="may not do this") as caught:
        await client.create(SPEC)
    assert "create connections" in (caught.value.remedy or "")
    assert server.requests.count(("POST", "tokens")) == 2


async def test_a_wrong_password_gives_words(server):
    async with client_of(server, "wrong") as client:
        with pytest.raises(GuacamoleUnavailableError, match="refused the account") as caught:
            await client.active()
    assert "password in the settings" in (caught.value.remedy or "")


async def test_leaving_signs_out(server):
    async with client_of(server) as client:
        await client.active()
        assert len(server.tokens) == 1
    assert server.tokens == set()


async def test_leaving_does_not_mind_a_server_that_is_gone(server):
    async with client_of(server) as client:
        await client.active()
        client._transport.handle_async_request = _gone


async def _gone(request):
    raise httpx.ConnectError("gone")


async def test_errors_of_the_application(client, server):
    await client.create(SPEC)
    with pytest.raises(InvalidRequestError, match="already exists"):
        await client.create(SPEC)
    with pytest.raises(NotFoundError, match="No such connection"):
        await client.delete("12345")
    server.answer = problem(500, "INTERNAL_ERROR", "Unexpected\x1b[31m internal error.")
    with pytest.raises(GuacamoleUnavailableError, match=r"Unexpected\[31m internal") as caught:
        await client.active()
    assert "status 500" in caught.value.detail


@pytest.mark.parametrize("identifier", ["", ".", ".."])
async def test_an_identifier_cannot_climb_out_of_its_place(client, server, identifier):
    with pytest.raises(NotFoundError):
        await client.delete(identifier)
    assert server.requests == []


async def test_an_identifier_stays_one_part_of_the_path(client, server):
    with pytest.raises(GuacamoleUnavailableError, match="status 404"):
        await client.delete("../../users/earthshine?x=")
    path = b"/guacamole/api/session/data/postgresql/connections/"
    assert server.raw_paths[-1] == path + b"..%2F..%2Fusers%2Fearthshine%3Fx%3D"


async def test_what_is_not_guacamole_is_said_to_be_that(server):
    server.answer = PlainTextResponse("<html>It works!</html>")
    async with client_of(server) as client:
        with pytest.raises(GuacamoleUnavailableError, match="not the Guacamole server"):
            await client.active()


async def test_an_answer_of_great_depth_or_length_is_an_error(server, monkeypatch):
    server.answer = PlainTextResponse('{"authToken":' + "[" * 200_000)
    async with client_of(server) as client:
        with pytest.raises(GuacamoleUnavailableError, match="not the Guacamole server"):
            await client.active()
    server.answer = PlainTextResponse("x" * 5_000_000)
    async with client_of(server) as client:
        with pytest.raises(GuacamoleUnavailableError, match="too long"):
            await client.active()


async def test_a_server_that_is_not_there(unused_tcp_port):
    account = Account("earthshine", PASSWORD)
    async with GuacamoleClient(f"http://127.0.0.1:{unused_tcp_port}/", account) as client:
        with pytest.raises(GuacamoleUnavailableError, match="could not be reached"):
            await client.active()


async def test_no_secret_is_logged_or_shown(server, caplog):
    with caplog.at_level(logging.DEBUG):
        async with client_of(server) as client:
            await client.create(SPEC)
            shown = repr(client._account) + repr(SPEC)
            [token] = server.tokens
        with pytest.raises(GuacamoleUnavailableError) as caught:
            async with client_of(server, "wrong-secret") as client:
                await client.active()
    for text in (caplog.text, shown, str(caught.value)):
        assert token not in text
        assert PASSWORD not in text
        assert "wrong-secret" not in text
        assert "desk-secret" not in text
