"""The host as the runner composes it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from earthshine.net.moonlight.client.host import GameHost
from earthshine.net.moonlight.client.known import KnownHost, KnownHosts
from earthshine.runner import moonlight
from earthshine.runner.desktops.moonlight_host.configuration import (
    MoonlightApp,
    MoonlightSettings,
)
from earthshine.runner.desktops.settings import DesktopSettings
from earthshine.runner.desktops.wolf.client import WolfClient
from tests.moonlight_guests import identity
from tests.world import free_port


class _DoneError(Exception):
    """Ends the runner's task group."""


async def test_a_host_with_its_api(tmp_path: Path) -> None:
    settings = MoonlightSettings(
        name="Workshop",
        base_port=free_port(),
        apps=[MoonlightApp(title="Terminal", command="xterm")],
    )
    with pytest.raises(ExceptionGroup) as group:
        async with asyncio.TaskGroup() as tasks:
            async with moonlight.serving(
                settings, tmp_path, DesktopSettings(), lambda _: None, tasks
            ) as host:
                game = GameHost("127.0.0.1", host.base_port, identity(0), None, secrets.token_bytes)
                assert (await game.info()).hostname == "Workshop"
                async with WolfClient(tmp_path / "moonlight" / "wolf.sock") as wolf:
                    assert [app.title for app in await wolf.apps()] == ["Terminal"]
            raise _DoneError
    assert group.group_contains(_DoneError)


async def test_ports_that_are_taken_are_named(tmp_path: Path) -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    settings = MoonlightSettings(base_port=port, max_hosts=1)
    with pytest.raises(ExceptionGroup) as group:
        async with (
            asyncio.TaskGroup() as tasks,
            moonlight.serving(settings, tmp_path, DesktopSettings(), lambda _: None, tasks),
        ):
            pass
    found = group.group_contains(
        moonlight.MoonlightConfigurationError, match=f"{port}.*choose another base port"
    )
    assert found
    taken.close()
    await taken.wait_closed()


async def test_a_host_that_cannot_announce_itself_serves_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    settings = MoonlightSettings(base_port=free_port(), discoverable=True)
    with pytest.raises(ExceptionGroup) as group:
        async with asyncio.TaskGroup() as tasks:
            async with moonlight.serving(
                settings, tmp_path, DesktopSettings(), lambda _: None, tasks
            ) as host:
                game = GameHost("127.0.0.1", host.base_port, identity(0), None, secrets.token_bytes)
                assert (await game.info()).hostname
            raise _DoneError
    assert group.group_contains(_DoneError)
    assert "clients will not find this host by themselves" in caplog.text
    assert "earthshine[discovery]" in caplog.text


def test_codecs_are_known_ones() -> None:
    assert MoonlightSettings().codecs == "auto"
    assert MoonlightSettings.model_validate({"codecs": ["av1"]}).codecs == ["av1"]
    for wrong in ("h264", ["vp8"], [1]):
        with pytest.raises(ValidationError):
            MoonlightSettings.model_validate({"codecs": wrong})


def test_known_hosts_are_kept(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path)
    known.add(KnownHost("192.0.2.1", 47989, identity(0).certificate, "x"))
    again = KnownHosts(tmp_path)
    found = again.find("192.0.2.1", 47989)
    assert found is not None
    assert found.certificate == identity(0).certificate
    again.remove("192.0.2.1", 47989)
    assert KnownHosts(tmp_path).find("192.0.2.1", 47989) is None
