"""Real agent CLIs, with homes of their own and nothing but the scripted model API to talk to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL = HERE.parents[2] / "scripts" / "agent-clis"
INSTALL_TIMEOUT = 540.0
FOREIGN = ("ANTHROPIC_", "CLAUDE", "CODEX_", "OPENAI_")
"""Variables of whoever runs the tests that would make the agents use somebody's account."""


@pytest.fixture(scope="session")
def agent_path() -> str:
    """A PATH with the agents and the Node they run on. Skips where they cannot be installed."""
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        done = subprocess.run(
            [str(INSTALL)],
            check=False,
            env={**os.environ, "PATH": own},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"agent CLIs: npm did not finish within {INSTALL_TIMEOUT:.0f} s")
    if done.returncode:
        pytest.skip(f"agent CLIs: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return f"{HERE / 'node_modules' / '.bin'}{os.pathsep}{own}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything of a module's control plane, runner and agent is."""
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(scope="module")
def work(root: Path) -> Path:
    """The folder the agent works in."""
    folder = root / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def environment(root: Path, agent_path: str) -> Iterator[dict[str, str]]:
    """What every agent needs, for the runner; each module adds where the model is."""
    home = root / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        yield {"HOME": str(home), "PATH": agent_path}
