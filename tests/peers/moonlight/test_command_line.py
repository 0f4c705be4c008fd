"""`earthshine moonlight` as people and scripts run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.moonlight_processes import ROOT, HostProcess, environment, running_host
from tests.world import wait_for

pytestmark = [pytest.mark.pair, pytest.mark.timeout(300)]
COMMAND = [sys.executable, "-m", "earthshine.cli", "moonlight"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    root = tmp_path_factory.mktemp("host")
    with running_host(root, wolf=str(root / "wolf.sock"), pin=None) as host:
        yield host


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


def start(*arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def earthshine(*arguments: Any, code: int = 0) -> str:
    process = start(*arguments)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, (out, err)
    assert "Traceback" not in err
    return out if code == 0 else err


def test_a_visit(host: HostProcess, folder: Path) -> None:
    there, mine = f"127.0.0.1:{host.port}", ("--folder", folder)
    socket = ("--socket", host.root / "wolf.sock")
    assert "pair first" in earthshine("list", there, *mine, code=5)
    assert "nobody waits" in earthshine("accept", *socket)
    assert "nobody waits" in earthshine("accept", "1234", *socket, code=1)

    pairing = start("pair", there, *mine, "--pin", "0815", "--json")
    wait_for(lambda: "127.0.0.1" in earthshine("accept", *socket), 20, "somebody waits")
    assert "accepted" in earthshine("accept", "0815", *socket)
    out, err = pairing.communicate(timeout=20)
    assert json.loads(out) == {"paired": True, "name": "Earthshine"}, err

    found = json.loads(earthshine("list", there, *mine, "--json"))
    assert [app["title"] for app in found["apps"]] == ["Pattern", "Other"]
    assert "--headless" in earthshine("stream", there, *mine, code=2)
    assert "no app Nothing; it has: Pattern, Other" in earthshine(
        "stream", there, *mine, "--headless", "--app", "Nothing", code=4
    )
    watch = ("stream", there, *mine, "--headless", "--seconds", 1.5, "--size", "640x360", "--json")
    figures = json.loads(earthshine(*watch, "--app", "Pattern", "--type", "hé"))
    assert figures["frames"] > 10
    assert figures["decoded"] > 10
    assert (figures["decode_failures"], figures["lost"], figures["resumed"]) == (0, 0, False)
    assert {"TextTyped(text='h')", "TextTyped(text='é')"} <= set(host.input())
    # Without a name it is what runs; another app has to be asked for with --replace.
    assert json.loads(earthshine(*watch))["resumed"]
    assert "runs on this host; quit it first" in earthshine(*watch, "--app", "Other", code=6)
    replaced = json.loads(earthshine(*watch, "--app", "Other", "--replace", "--quit"))
    assert (replaced["app"], replaced["resumed"]) == ("Other", False)
    found = json.loads(earthshine("list", there, *mine, "--json"))
    assert not any(app["running"] for app in found["apps"])
    assert json.loads(earthshine("quit", there, *mine, "--json")) == {"cancelled": True}


def test_a_host_that_is_not_there(folder: Path) -> None:
    assert "cannot connect" in earthshine("list", "127.0.0.1:9", "--folder", folder, code=6)
    words = earthshine("pair", "127.0.0.1:9", "--folder", folder, "--pin", "1111", code=6)
    assert "cannot connect" in words
    assert "not HOST" in earthshine("list", "a:http", "--folder", folder, code=2)
    assert "nobody answers" in earthshine("accept", "--socket", folder / "none", code=6)
