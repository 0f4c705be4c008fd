"""Wolf's API: our server and our client over the socket, and our client against Wolf's manners."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from earthshine.protocols.moonlight.input import TextTyped, encode_input
from earthshine.runner.desktops.moonlight_host.apps import HostApp
from earthshine.runner.desktops.moonlight_host.host import MoonlightHost
from earthshine.runner.desktops.moonlight_host.settings import HostSettings
from earthshine.runner.desktops.moonlight_host.states import State
from earthshine.runner.desktops.wolf import schemas
from earthshine.runner.desktops.wolf.api import MAX_BODY_BYTES
from earthshine.runner.desktops.wolf.client import WolfClient, WolfError
from earthshine.runner.desktops.wolf.server import WolfServer, WolfSocketError
from tests.moonlight_guests import Guest
from tests.moonlight_world import PatternProvider
from tests.world import free_port


@pytest.fixture
def provider() -> PatternProvider:
    return PatternProvider(sound=False)


@pytest.fixture
async def host(tmp_path: Path, provider: PatternProvider) -> AsyncIterator[MoonlightHost]:
    settings = HostSettings(tmp_path / "host", base_port=free_port())
    async with MoonlightHost(settings, provider, [HostApp("7", "Pattern", "pattern")]) as host:
        yield host
    assert provider.stages == []
    assert not [t for t in threading.enumerate() if t.name.startswith("moonlight-video")]


@pytest.fixture
async def path(host: MoonlightHost, tmp_path: Path) -> AsyncIterator[Path]:
    where = tmp_path / "wolf.sock"
    async with WolfServer(host, where):
        yield where
    assert not where.exists()


@pytest.fixture
async def wolf(path: Path) -> AsyncIterator[WolfClient]:
    async with WolfClient(path) as client:
        yield client


@pytest.fixture
def guest(host: MoonlightHost) -> Guest:
    guest = Guest(host)
    guest.trust()
    return guest


LOBBY = schemas.LobbyCreateRequest(
    name="room",
    video_settings=schemas.LobbyVideo(width=160, height=96, refresh_rate=30),
    runner=schemas.ProcessRunner(type="process", run_cmd="room"),
)


async def test_only_its_owner_can_open_the_socket(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_pairing_through_the_api(host, wolf, eventually):
    guest = Guest(host)
    pairing = asyncio.ensure_future(guest.game.pair("0815"))
    await eventually(lambda: host.desk.waiting)
    [waiting] = await wolf.pending_pairs()
    assert waiting.client_ip == "127.0.0.1"
    with pytest.raises(WolfError, match="pin"):
        await wolf.pair(waiting.pair_secret, "12")
    with pytest.raises(WolfError) as wrong:
        await wolf.pair("0" * 32, "0815")
    assert wrong.value.status == 404
    await wolf.pair(waiting.pair_secret, "0815")
    await pairing
    [client] = await wolf.clients()
    assert int(client.client_id) < 1 << 64
    await wolf.unpair(client.client_id)
    assert await wolf.clients() == []
    with pytest.raises(WolfError) as gone:
        await wolf.unpair(client.client_id)
    assert gone.value.status == 404


async def test_apps_come_and_go(host, wolf, guest):
    process = schemas.ProcessRunner(type="process", run_cmd="xterm")
    await wolf.add_app(schemas.App(title="Terminal", id="42", runner=process))
    assert [app.title for app in await guest.game.apps()] == ["Pattern", "Terminal"]
    assert [app.id for app in await wolf.apps()] == ["7", "42"]
    await wolf.delete_app("42")
    assert [app.id for app in await wolf.apps()] == ["7"]
    with pytest.raises(WolfError, match="no app"):
        await wolf.delete_app("42")


async def test_containers_are_refused_in_words(wolf):
    docker = schemas.DockerRunner(type="docker", name="x", image="y")
    with pytest.raises(WolfError, match="no containers: use a runner of type process"):
        await wolf.add_app(schemas.App(title="Box", id="9", runner=docker))
    with pytest.raises(WolfError, match="no containers"):
        await wolf.create_lobby(LOBBY.model_copy(update={"runner": docker}))


async def test_a_session_starts_before_its_client(host, wolf, guest, provider):
    [client] = await wolf.clients()
    wanted = schemas.StreamSession(
        client_id=client.client_id, app_id="7", video_width=192, video_height=112
    )
    identifier = await wolf.add_session(wanted)
    [session] = await wolf.sessions()
    assert (session.session_id, session.app_id, session.aes_key) == (identifier, "7", "")
    assert int(identifier) < 1 << 64
    # To the client this is something to resume.
    started = await guest.start()
    assert started.resumed
    watching = await guest.watch(started)
    await wolf.session_input(identifier, encode_input(TextTyped("x")))
    assert provider.stages[0].input.events == [TextTyped("x")]
    with pytest.raises(WolfError):
        await wolf.session_input(identifier, b"\0\0\0\0")
    await wolf.pause_session(identifier)
    assert (await watching.stream.over()).graceful
    assert guest.session.state is State.PAUSED
    await watching.leave()
    await wolf.stop_session(identifier)
    assert await wolf.sessions() == []
    with pytest.raises(WolfError) as gone:
        await wolf.stop_session(identifier)
    assert gone.value.status == 404


async def test_a_child_session_shows_its_parents_display(host, wolf, guest, provider):
    watching = await guest.watch()
    child = schemas.ChildRunner(type="child_session", parent_session_id=guest.session.id)
    await wolf.add_app(schemas.App(title="Look on", id="11", runner=child))
    second = Guest(host, 1)
    second.trust()
    also = await second.watch(await second.start(11))
    assert len(provider.stages) == 1
    await second.game.cancel()
    assert not provider.stages[0].closed
    await watching.picture()
    await also.leave()
    await watching.leave()


async def test_programs_in_a_session_really_run(wolf, guest, eventually):
    await guest.start()
    identifier = guest.session.id
    await wolf.start_runner(identifier, "sleep")
    await wolf.start_runner(identifier, "true")
    assert guest.session is not None
    await wolf.start_runner(identifier, "true", stop_stream_when_over=True)
    await eventually(lambda: guest.session is None)


async def test_lobbies_through_the_api(host, wolf, guest, provider):
    lobby_id = await wolf.create_lobby(LOBBY.model_copy(update={"pin": [1, 2], "multi_user": True}))
    [lobby] = await wolf.lobbies()
    assert (lobby.id, lobby.pin_required, lobby.connected_sessions) == (lobby_id, True, [])
    watching = await guest.watch()
    session_id = guest.session.id
    with pytest.raises(WolfError) as wrong:
        await wolf.join_lobby(lobby_id, session_id, (2, 1))
    assert wrong.value.status == 403
    await wolf.join_lobby(lobby_id, session_id, (1, 2))
    [lobby] = await wolf.lobbies()
    assert lobby.connected_sessions == [session_id]
    await watching.picture()
    await wolf.leave_lobby(lobby_id, session_id)
    with pytest.raises(WolfError, match="not in that lobby"):
        await wolf.leave_lobby(lobby_id, session_id)
    with pytest.raises(WolfError, match="PIN"):
        await wolf.stop_lobby(lobby_id)
    await wolf.stop_lobby(lobby_id, (1, 2))
    assert await wolf.lobbies() == []
    await watching.leave()


async def test_events_tell_what_happens(host, wolf, guest):
    names: list[str] = []
    enough = asyncio.Event()

    async def listen() -> None:
        async with WolfClient(wolf._path) as other:
            async for event in other.events():
                names.append(event.name)
                if event.name == "StopStream":
                    enough.set()

    listening = asyncio.ensure_future(listen())
    while not host.events._listeners:
        await asyncio.sleep(0.005)
    watching = await guest.watch()
    await guest.game.cancel()
    await asyncio.wait_for(enough.wait(), 10)
    listening.cancel()
    await asyncio.wait([listening])
    await watching.leave()
    assert names[0] == "StreamSession"
    assert "ResumeStream" in names
    assert names[-1] == "StopStream"
    while host.events._listeners:
        await asyncio.sleep(0.005)


async def test_streaming_without_rtsp(host, wolf, guest, provider):
    """`sessions/start`: keys and ping payload are agreed on elsewhere."""
    key, payload = "00112233445566778899aabbccddeeff", list(range(65, 81))
    [client] = await wolf.clients()
    identifier = await wolf.add_session(
        schemas.StreamSession(
            client_id=client.client_id,
            app_id="7",
            aes_key=key,
            aes_iv="-5",
            video_width=192,
            video_height=112,
        )
    )
    video = {
        "display_mode": {"width": 192, "height": 112, "refreshRate": 30},
        "packet_size": 1024,
        "rtp_secret_payload": payload,
    }
    await wolf.start_session(
        schemas.SessionStartRequest.model_validate(
            {"session_id": identifier, "video_session": video, "audio_session": {}}
        )
    )
    assert guest.session.state is State.ANNOUNCED
    assert guest.session.connection.ping_payload == bytes(payload)
    assert guest.session.connection.keys.key.hex() == key


async def test_settings_of_a_client(host, wolf, guest):
    [client] = await wolf.clients()

    def change(**wanted: object) -> schemas.ClientSettingsRequest:
        body = {"client_id": client.client_id, **wanted}
        return schemas.ClientSettingsRequest.model_validate(body)

    await wolf.change_client(change(settings={"run_uid": 1001}))
    await wolf.change_client(change(app_state_folder="mine", settings={"run_gid": 5}))
    [client] = await wolf.clients()
    assert (client.app_state_folder, client.settings) == ("mine", {"run_uid": 1001, "run_gid": 5})
    with pytest.raises(WolfError, match="elsewhere"):
        await wolf.change_client(change(app_state_folder="../other"))


async def test_profiles_and_their_icons(host, wolf, guest, tmp_path):
    picture = tmp_path / "icon.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    process = schemas.ProcessRunner(type="process", run_cmd="xterm")
    app = schemas.App(title="Shown", id="42", runner=process)
    await wolf.add_profile(
        schemas.Profile(id="p", name="Anna", icon_png_path=str(picture), pin=[1, 2], apps=[app])
    )
    await wolf.add_profile(schemas.Profile(id="moonlight-profile-id", name="hidden", apps=[app]))
    [profile] = await wolf.profiles()
    assert (profile.name, profile.apps[0].title) == ("Anna", "Shown")
    # The hidden one's apps are what clients see.
    assert [one.title for one in await guest.game.apps()] == ["Pattern", "Shown"]
    assert await wolf.icon(str(picture)) == picture.read_bytes()
    await wolf.remove_profile("p")
    assert await wolf.profiles() == []
    with pytest.raises(WolfError, match="no profile"):
        await wolf.remove_profile("p")
    with pytest.raises(WolfError, match="nothing here has that icon"):
        await wolf.icon(str(picture))


async def test_icons_are_no_way_to_read_files(wolf, tmp_path, host):
    secret = tmp_path / "secret"
    secret.write_text("x")
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(wolf._path)), base_url="http://wolf"
    ) as client:
        answer = await client.get("/api/v1/utils/get-icon", params={"icon_path": str(secret)})
        assert answer.status_code == 404
        assert answer.json() == {"success": False, "error": "nothing here has that icon"}


async def test_bad_bodies_end_in_words(path):
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://wolf"
    ) as client:
        for body in (b"", b"{", b"[]", b'{"client_id": 5}', b'{"client_id": ""}'):
            answer = await client.post("/api/v1/unpair/client", content=body)
            assert answer.status_code == 400, body
            assert answer.json()["success"] is False
        large = await client.post("/api/v1/unpair/client", content=bytes(MAX_BODY_BYTES + 1))
        assert large.status_code == 413
        assert (await client.get("/api/v1/nothing")).json()["success"] is False


async def test_the_document_describes_every_route(wolf):
    found = await wolf.openapi()
    assert {"/api/v1/lobbies/create", "/api/v1/pair/client", "/api/v1/events"} <= set(
        found["paths"]
    )


async def test_a_stale_socket_is_replaced_and_a_living_one_is_not(host, path, tmp_path):
    with pytest.raises(WolfSocketError, match="another program"):
        await WolfServer(host, path).__aenter__()
    other = tmp_path / "file"
    other.write_text("precious")
    with pytest.raises(WolfSocketError, match="no socket"):
        await WolfServer(host, other).__aenter__()
    assert other.read_text() == "precious"


class FakeWolf:
    """Answers as Wolf does: HTTP/1.0 without a length, the connection's end is the end."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer: bytes = b""
        self.answer_to: Callable[[bytes], bytes] = lambda _: self.answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        writer.write(self.answer_to(request))
        await writer.drain()
        writer.close()


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[tuple[FakeWolf, WolfClient]]:
    fake = FakeWolf()
    path = tmp_path / "real-wolf.sock"
    server = await asyncio.start_unix_server(fake.serve, path)
    async with WolfClient(path) as client:
        yield fake, client
    server.close()
    await server.wait_closed()


async def test_wolfs_manners(fake):
    server, client = fake
    big = "18446744073709551615"
    body = json.dumps({"success": True, "session_id": big})
    server.answer = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body.encode()
    wanted = schemas.StreamSession(client_id=big, app_id="1")
    assert await client.add_session(wanted) == big
    assert await client.add_session(wanted) == big, "a new connection each time"
    [first, _] = server.requests
    assert b"transfer-encoding" not in first.lower()
    assert b"content-length" in first.lower()
    server.answer = b'HTTP/1.0 500 Error\r\n\r\n{"success": false, "error": "no such client"}'
    with pytest.raises(WolfError, match="no such client") as refused:
        await client.unpair(big)
    assert refused.value.status == 500
    server.answer = b"HTTP/1.0 200 OK\r\n\r\n<html>"
    with pytest.raises(WolfError, match="not JSON"):
        await client.clients()


async def test_routes_of_an_older_wolf_are_found(fake):
    server, client = fake
    today = {b"/pair/pending", b"/pair/client"}
    sent: list[bytes] = []

    def answer(request: bytes) -> bytes:
        sent.append(request.split(b" ")[1].removeprefix(b"/api/v1"))
        if sent[-1] in today:
            return b"HTTP/1.0 404 Not Found\r\n\r\n"
        return b'HTTP/1.0 200 OK\r\n\r\n{"success": true, "requests": []}'

    server.answer_to = answer
    assert await client.pending_pairs() == []
    await client.pair("0" * 32, "1234")
    assert sent == [
        b"/pair/pending", b"/pending-pair-requests", b"/pair/client", b"/pair-client",
    ]  # fmt: skip
    # A refusal in words is no missing route.
    server.answer_to = lambda request: (
        b'HTTP/1.0 404 Not Found\r\n\r\n{"success": false, "error": "no such attempt"}'
    )
    with pytest.raises(WolfError, match="no such attempt"):
        await client.pair("0" * 32, "1234")


async def test_wolfs_events_with_namespaces(fake):
    server, client = fake
    server.answer = (
        b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:keepalive\n\n"
        b'event: wolf::core::events::PairSignal\ndata: {"client_ip": "192.0.2.1"}\n\n'
    )
    found = []
    with pytest.raises(WolfError, match="ended"):
        async for event in client.events():
            found += [event]
    assert [(event.name, event.data) for event in found] == [
        ("PairSignal", {"client_ip": "192.0.2.1"})
    ]


async def test_nobody_there(tmp_path):
    async with WolfClient(tmp_path / "nothing.sock") as client:
        with pytest.raises(WolfError, match="nobody answers"):
            await client.apps()
