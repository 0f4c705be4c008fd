"""A secret on its way through real processes, looked for everywhere but in the agent."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World, running_world, wait_for

VALUE = "sk-live-7d0b5c1e-do-not-show"
AGENT = (
    'printf "%s" "$API_KEY" | sha256sum; echo "it is <$API_KEY>"; '
    # In two writes, and then the beginning of one that never ends.
    'printf "%s" "${API_KEY:0:9}"; printf "%s\\n" "${API_KEY:9}"; printf "sk-l"; '
    'echo "$$" > pid; read line; exit 3'
)


@pytest.fixture(scope="module", params=["redacting", "not redacting"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    runner = {"EARTHSHINE_LOG": "DEBUG"}
    if request.param == "not redacting":
        runner["EARTHSHINE_RUNNER_REDACT_SECRETS"] = "false"
    root = tmp_path_factory.mktemp("secrets")
    with running_world(root, runner=runner, control={"EARTHSHINE_LOG": "DEBUG"}) as it:
        it.api("PUT", "/me/secrets/API_KEY", {"value": VALUE})
        yield it


def printed(world: World, session_id: str) -> str:
    import base64

    entries = world.api("GET", f"/sessions/{session_id}/events?limit=1000")["events"]
    return b"".join(
        base64.b64decode(entry["data"]) for entry in entries if entry["kind"] == "output"
    ).decode()


def files_with(root: Path, what: bytes) -> list[str]:
    found = []
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                if what in path.read_bytes():
                    found.append(str(path.relative_to(root)))
    return found


def processes_with(name: str, what: bytes) -> list[int]:
    """Processes whose /proc entry of this name holds `what`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if what in (entry / name).read_bytes():
                    found.append(int(entry.name))
    return found


def test_a_secret_is_in_the_agents_environment_and_nowhere_else(
    world: World, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    redacting = "not redacting" not in request.node.name
    session = world.api(
        "POST",
        "/sessions",
        {"agent": "command", "command": ["bash", "-c", AGENT], "folder": str(tmp_path)},
    )["id"]
    digest = hashlib.sha256(VALUE.encode()).hexdigest()
    text = wait_for(
        lambda: (text := printed(world, session)).endswith("sk-l") and text,
        20,
        lambda: f"the agent's words, also the last ones: {printed(world, session)!r}",
    )
    assert digest in text, "the agent has it"
    shown = "[redacted API_KEY]" if redacting else VALUE
    assert f"it is <{shown}>" in text
    assert text.count(shown) == 2, "also where it came in pieces"

    agent = int((tmp_path / "pid").read_text())
    assert agent in processes_with("environ", VALUE.encode())
    assert set(processes_with("environ", VALUE.encode())) == {agent}
    assert processes_with("cmdline", VALUE.encode()) == []
    while_it_runs = files_with(world.root, VALUE.encode())

    world.api("POST", f"/sessions/{session}/input", {"data": "DQ=="})
    assert world.wait_state(session, "exited")["exitCode"] == 3
    afterwards = files_with(world.root, VALUE.encode())
    if redacting:
        assert while_it_runs == []
        assert afterwards == []
    else:
        # The same search finds it where output is stored: it would have found it above.
        assert any("earthshine.db" in name for name in afterwards)
        assert all("earthshine.db" in name or "spool" in name for name in while_it_runs)
    assert VALUE not in world.control.output() + world.runners[0].output()
    records = world.api("GET", f"/audit?session={session}")["records"]
    assert "secret-used" in {record["kind"] for record in records}
    assert VALUE not in str(world.api("GET", "/audit?limit=500"))
    assert (world.state / "secrets-key").stat().st_mode & 0o777 == 0o600
