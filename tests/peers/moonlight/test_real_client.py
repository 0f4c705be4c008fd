"""A client built on the C library that all Moonlight clients share, against our host.

It is a process with an environment of its own; nothing of Earthshine is loaded in it.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.long import LONG
from tests.moonlight_processes import PIN, HostProcess, running_host
from tests.world import wait_for

pytestmark = pytest.mark.serial
CLIENT = Path(__file__).with_name("real_client.py")
FRAMES = 45
TOO_LATE = 1000
"""Milliseconds: most of what is measured is the client's own thread and decoder."""


class RealClient:
    def __init__(self, python: str, folder: Path, host: HostProcess) -> None:
        self._command = [python, str(CLIENT), str(folder), str(host.port)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> list[dict[str, Any]]:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 0, err[-3000:]
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def client(
    foreign_python: str, game_host: HostProcess, tmp_path_factory: pytest.TempPathFactory
) -> RealClient:
    client = RealClient(foreign_python, tmp_path_factory.mktemp("client"), game_host)
    assert client("pair", PIN)[-1] == {"paired": True}
    return client


def clocks_are_right(said: list[dict[str, Any]]) -> None:
    pictures = [line for line in said if "clock" in line]
    assert len(pictures) == FRAMES
    assert all(line["clock"] is not None for line in pictures)
    clocks = [line["clock"] for line in pictures]
    assert clocks == sorted(clocks)
    assert all(0 <= line["now"] - line["clock"] < TOO_LATE for line in pictures)


def test_lists_what_the_host_offers(client: RealClient) -> None:
    assert client("list") == [{"apps": [[7, "Pattern"], [8, "Other"]]}]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_sees_the_picture_hears_the_tones_and_quits(client: RealClient, codec: str) -> None:
    said = client("stream", "Pattern", str(FRAMES), codec)
    clocks_are_right(said)
    [heard] = [line["tones"] for line in said if "tones" in line]
    assert heard == pytest.approx([440, 550], abs=10)
    assert client("quit") == [{"quit": True}]


def test_resumes_after_a_cut(client: RealClient, game_host: HostProcess) -> None:
    cut = client.start("stream", "Pattern", "1000000")
    assert cut.stdout is not None
    assert "clock" in cut.stdout.readline()
    cut.send_signal(signal.SIGKILL)
    cut.communicate()
    # The host has not even noticed yet that the client is gone.
    clocks_are_right(client("stream", "Pattern", str(FRAMES)))
    # Another app takes the first one's place, as people expect of this client.
    clocks_are_right(client("stream", "Other", str(FRAMES)))
    assert client("quit") == [{"quit": True}]


def test_its_input_arrives(client: RealClient, game_host: HostProcess) -> None:
    client("stream", "Pattern", "5")
    # The library moves the mouse to and fro by itself when a stream begins.
    wait_for(lambda: "MouseMoved(dx=1, dy=1)" in game_host.input(), 5, "input")
    client("quit")


def test_a_stranger_is_told_to_pair(
    foreign_python: str, game_host: HostProcess, tmp_path: Path, client: RealClient
) -> None:
    stranger = RealClient(foreign_python, tmp_path, game_host)
    process = stranger.start("pair", "1111")  # the host's person types another PIN
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "PIN" in err


@pytest.fixture(scope="module")
def runner_client(
    foreign_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealClient]:
    """Paired with a runner whose app is on a display of its own."""
    with running_host(tmp_path_factory.mktemp("runner"), module="tests.moonlight_runner") as host:
        client = RealClient(foreign_python, tmp_path_factory.mktemp("client"), host)
        assert client("pair", PIN)[-1] == {"paired": True}
        yield client


@pytest.mark.parametrize(
    "codec", ["h264", pytest.param("hevc", marks=LONG), pytest.param("av1", marks=LONG)]
)
def test_sees_a_real_display(runner_client: RealClient, codec: str) -> None:
    said = runner_client("stream", "Pattern", str(FRAMES), codec)
    pictures = [line for line in said if "clock" in line]
    assert len(pictures) == FRAMES
    # The application starts when the stream does, and takes a moment.
    readable = [line for line in pictures if line["clock"] is not None]
    assert len(readable) > FRAMES / 2
    clocks = [line["clock"] for line in readable]
    assert clocks == sorted(clocks)
    late = statistics.median(line["now"] - line["clock"] for line in readable)
    assert 0 <= late < TOO_LATE
    assert runner_client("quit") == [{"quit": True}]
