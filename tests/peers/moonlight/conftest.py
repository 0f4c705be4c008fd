"""A host in a process of its own, and a real GameStream client to try it with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.world import free_port, wait_for

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
INSTALL = ROOT / "scripts" / "moonlight-client"
INSTALL_TIMEOUT = 300.0
PIN = "4321"


@pytest.fixture(scope="session")
def foreign_python() -> str:
    """A Python that has the real client and pyenet. Skips where they cannot be installed."""
    try:
        done = subprocess.run(
            [str(INSTALL)], check=False, capture_output=True, text=True, timeout=INSTALL_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"Moonlight client: not installed within {INSTALL_TIMEOUT:.0f} s")
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        pytest.skip(f"Moonlight client: {words[-1]}")
    return str(HERE / ".venv" / "bin" / "python")


class HostProcess:
    """`tests.moonlight_world` as a process; it types `PIN` for whoever wants to pair."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.port = free_port()
        self.input_file = root / "input"
        ready = root / "ready"
        ready.unlink(missing_ok=True)
        arguments = {
            "state_dir": str(root / "host"),
            "port": self.port,
            "ready_file": str(ready),
            "input_file": str(self.input_file),
            "pin": PIN,
            **options,
        }
        self.log = root / "host.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.moonlight_world", json.dumps(arguments)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            )
        wait_for(ready.exists, 30, lambda: f"the host listens: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0, self.log.read_text()[-3000:]
        finally:
            self.process.kill()
            self.process.wait()

    def input(self) -> list[str]:
        return self.input_file.read_text().splitlines() if self.input_file.exists() else []


@contextmanager
def running_host(root: Path, **options: Any) -> Iterator[HostProcess]:
    host = HostProcess(root, **options)
    try:
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def game_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    codecs = ["H264", "HEVC", "AV1"]
    with running_host(tmp_path_factory.mktemp("moonlight"), codecs=codecs) as host:
        yield host
