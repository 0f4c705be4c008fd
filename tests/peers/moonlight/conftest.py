"""A host in a process of its own, and a real GameStream client to try it with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.moonlight_processes import HostProcess, running_host

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
INSTALL = ROOT / "scripts" / "moonlight-client"
INSTALL_TIMEOUT = 300.0


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


@pytest.fixture(scope="module")
def game_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    codecs = ["H264", "HEVC", "AV1"]
    with running_host(tmp_path_factory.mktemp("moonlight"), codecs=codecs) as host:
        yield host
