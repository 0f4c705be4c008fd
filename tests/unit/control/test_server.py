"""The control plane as `earthshine serve` runs it, in this process."""

import asyncio
import json
import os
import signal
import socket

import httpx
import pytest
from pydantic import SecretStr

from earthshine.control import server
from earthshine.control.server import (
    Server,
    ServerConfigurationError,
    listen,
    runner_token,
    secrets_key,
    write_secret,
)
from earthshine.control.settings import ControlSettings


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
