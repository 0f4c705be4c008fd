"""The control plane as `earthshine serve` runs it, in this process."""

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket

import httpx
import pytest
from pydantic import SecretStr

from earthshine.control import server, tls
from earthshine.control.certificates import self_made
from earthshine.control.origin import KnowsOrigin, current_origin
from earthshine.control.server import (
    Server,
    ServerConfigurationError,
    listen,
    runner_token,
    secrets_key,
    write_secret,
)
from earthshine.control.settings import ControlSettings
from earthshine.control.tls import ServerTls
from earthshine.net.pinning import client_context


@pytest.fixture
def settings(tmp_path):
    return ControlSettings(
        port=0, preview_port=0, state_dir=tmp_path / "state", public_url="", shutdown_grace=1
    )


async def test_it_serves_signs_in_and_stops_on_a_signal(settings, no_blocking):
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Server(settings).run(ready.set_result))
    done, _ = await asyncio.wait([task, ready], timeout=20, return_when="FIRST_COMPLETED")
    if task in done:
        await task
    running = ready.result()
    access = json.loads((settings.state_dir / "cli.json").read_text())
    assert access["url"] == running.own_url
    for name in ("cli.json", "runner-token", "earthshine.db"):
        assert (settings.state_dir / name).stat().st_mode & 0o777 == 0o600
    code = running.sign_in_url.partition("#sign-in=")[2]
    async with httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/api/v1/sign-in", json={"code": code})
        assert answer.status_code == 200
        assert answer.json()["previewEnabled"] is True
        assert (await client.get("/readyz")).status_code == 200
        headers = {"authorization": f"Bearer {access['token']}"}
        assert (await client.get("/api/v1/me", headers=headers)).json()["name"] == "owner"
        assert "server" not in answer.headers
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        await task


@contextlib.asynccontextmanager
async def serving(settings):
    """The server in this process; what it says when it is ready."""
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Server(settings).run(ready.set_result))
    done, _ = await asyncio.wait([task, ready], timeout=20, return_when="FIRST_COMPLETED")
    if task in done:
        await task
    try:
        yield ready.result()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await task


async def test_with_a_certificate_of_its_own(settings, no_blocking, monkeypatch, eventually):
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.01)
    settings = settings.model_copy(update={"tls_self_made": True})
    async with serving(settings) as running:
        assert running.url.startswith("https://127.0.0.1:")
        assert running.needs_pin
        access = json.loads((settings.state_dir / "cli.json").read_text())
        assert access["pin"] == running.tls_fingerprint == running.own_pin
        headers = {"authorization": f"Bearer {access['token']}"}
        context = client_context(access["pin"])
        async with httpx.AsyncClient(base_url=running.url, verify=context) as client:
            answer = await client.get("/api/v1/me", headers=headers)
            assert answer.json()["name"] == "owner"
            assert "strict-transport-security" not in answer.headers, "it would lock people out"
        # Another key, as if from files that somebody replaced.
        await asyncio.to_thread(self_made, settings.state_dir / "other", [])
        for name in ("certificate.pem", "key.pem"):
            (settings.state_dir / "other" / name).replace(settings.state_dir / "tls" / name)
        await eventually(lambda: running.tls_fingerprint != access["pin"])
        await eventually(
            lambda: (
                json.loads((settings.state_dir / "cli.json").read_text())["pin"]
                == running.tls_fingerprint
            )
        )


async def test_behind_a_proxy_runners_see_another_certificate(settings):
    networks = [ipaddress.ip_network("10.0.0.0/8")]
    settings = settings.model_copy(update={"tls_self_made": True, "trusted_proxies": networks})
    async with serving(settings) as running:
        assert not running.needs_pin
        assert running.tls_fingerprint


async def test_who_a_request_is_from_is_the_trusted_proxys_word(settings, monkeypatch):
    seen = []
    original = KnowsOrigin.__call__

    async def spy(self, scope, receive, send):
        await original(self, scope, receive, send)
        seen.append(current_origin().address)

    monkeypatch.setattr(KnowsOrigin, "__call__", spy)
    forged = {"x-forwarded-for": "203.0.113.7"}
    for networks in ([], [ipaddress.ip_network("127.0.0.1/32")]):
        configured = settings.model_copy(update={"trusted_proxies": networks})
        async with serving(configured) as running, httpx.AsyncClient() as client:
            assert (await client.get(f"{running.url}/healthz", headers=forged)).is_success
    assert seen == ["127.0.0.1", "203.0.113.7"]


async def test_a_certificate_that_cannot_be_used(settings, tmp_path):
    files = {"tls_certificate": tmp_path / "c.pem", "tls_key": tmp_path / "k.pem"}
    with pytest.raises(ServerConfigurationError, match=r"c\.pem cannot be read"):
        await Server(settings.model_copy(update=files)).run(lambda _: None)
    made = settings.model_copy(update={"tls_self_made": True})
    (settings.state_dir / "tls").mkdir(parents=True)
    (settings.state_dir / "tls" / "key.pem").write_text("damaged")
    with pytest.raises(ServerConfigurationError, match=r"key\.pem is no private key"):
        await Server(made).run(lambda _: None)


@pytest.mark.parametrize(
    ("url", "own", "strict"),
    [
        ("https://earth.example", False, True),
        ("https://earth.example", True, False),
        ("https://localhost:7180", False, False),
        ("http://earth.example", False, False),
    ],
)
def test_when_browsers_are_told_to_stay_with_tls(url, own, strict, tmp_path):
    known = ServerTls(*self_made(tmp_path, []), is_self_made=True) if own else None
    assert server._is_strict(url, known) is strict


async def test_a_port_in_use_is_said_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerConfigurationError, match=f"port {port}.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours(host):
    with pytest.raises(ServerConfigurationError, match="cannot listen"):
        listen(host, 0)


def test_the_runners_token_is_made_once(settings):
    token, path = runner_token(settings)
    assert runner_token(settings) == (token, path)
    assert len(token) >= 32
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    configured = settings.model_copy(update={"runner_token_file": settings.state_dir / "other"})
    assert runner_token(configured)[0] != token


def test_a_token_file_that_cannot_be_read(settings, tmp_path):
    configured = settings.model_copy(update={"runner_token_file": tmp_path})
    with pytest.raises(ServerConfigurationError, match="cannot be read"):
        runner_token(configured)


def test_a_secret_is_written_whole_or_not(tmp_path, monkeypatch):
    path = tmp_path / "new" / "secret"
    write_secret(path, "one")
    assert path.read_text() == "one"
    (path.parent / "secret.new").write_text("left behind")
    write_secret(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret"]
    assert server.BACKLOG > 0


# --- the key for secrets -------------------------------------------------------------------------

KEY = bytes(range(32))


def test_a_key_for_secrets_is_made_once_and_for_us_alone(settings):
    first = secrets_key(settings)
    path = settings.state_dir / "secrets-key"
    assert len(first) == 32
    assert secrets_key(settings) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_from_the_environment_or_a_file_elsewhere(settings, tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    assert secrets_key(settings.model_copy(update={"secrets_key_file": path})) == KEY
    given = settings.model_copy(update={"secrets_key": SecretStr(KEY.hex())})
    assert secrets_key(given) == KEY
    assert not (settings.state_dir / "secrets-key").exists()
    assert KEY.hex() not in repr(given)


def test_a_configured_key_that_is_missing_open_to_others_or_no_key(settings, tmp_path):
    path = tmp_path / "key"
    elsewhere = settings.model_copy(update={"secrets_key_file": path})
    with pytest.raises(ServerConfigurationError, match="cannot be read"):
        secrets_key(elsewhere)
    assert not path.exists(), "a new one would open nothing"
    path.write_text(KEY.hex())
    path.chmod(0o644)
    with pytest.raises(ServerConfigurationError, match="chmod 600"):
        secrets_key(elsewhere)
    path.write_text("not-a-key")
    path.chmod(0o600)
    with pytest.raises(ServerConfigurationError, match="openssl rand") as caught:
        secrets_key(elsewhere)
    assert "not-a-key" not in str(caught.value)
    given = settings.model_copy(update={"secrets_key": SecretStr("short")})
    with pytest.raises(ServerConfigurationError, match="EARTHSHINE_SECRETS_KEY"):
        secrets_key(given)
