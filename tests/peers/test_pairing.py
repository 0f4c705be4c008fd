"""Pairing with real processes: a server here, a machine behind a NAT, and what ends it again."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.peers.netns import NatWorld, nat_world, why_not
from tests.world import Program, World, free_port, wait_for

REASON = why_not()
pytestmark = [
    pytest.mark.pair,
    pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}"),
]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, NatWorld]]:
    """A control plane here that lets only paired runners in."""
    with nat_world() as net:
        port = free_port()
        url = f"https://{net.control_address}:{port}"
        world = World(
            tmp_path_factory.mktemp("pairing"),
            host=net.control_address,
            port=port,
            control={
                "EARTHSHINE_PUBLIC_URL": url,
                "EARTHSHINE_TLS_SELF_MADE": "true",
                "EARTHSHINE_PREVIEW_MODE": "off",
                "EARTHSHINE_RUNNER_TOKEN_ENABLED": "false",
            },
        )
        try:
            world.start_control()
            yield world, net
        finally:
            world.close()


class Machine:
    """Another machine: state folders of its own, commands that run behind the NAT."""

    def __init__(self, world: World, net: NatWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.state = world.root / name
        self._prefix = tuple(net.runner_ns.argv([]))
        self._environment = world.environment(
            XDG_DATA_HOME=str(world.root / f"{name}-data"),
            EARTHSHINE_RUNNER_STATE_DIR=str(self.state),
        )

    def program(self, *arguments: str) -> Program:
        log = self.world.root / f"{self.name}-{len(self.world.runners)}.log"
        program = Program(["runner", *arguments], log, self._environment, self._prefix)
        self.world.runners.append(program)
        return program

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._prefix, sys.executable, "-m", "earthshine.cli", "runner", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self._environment, timeout=60, check=False
        )

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer


def steps(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.output().splitlines() if line.startswith("{")]


def pair(far: tuple[World, NatWorld], name: str, **how: bool) -> tuple[Machine, str]:
    """A machine that has been paired, and its runner id."""
    world, net = far
    made = world.api("POST", "/pairings", {"shared": False, **how})
    words = made["command"].split()
    assert words[:3] == ["earthshine", "runner", "pair"]
    machine = Machine(world, net, name)
    pairing = machine.program("pair", *words[3:], "--name", name, "--json")
    pairing.start()
    seen = wait_for(
        lambda: (p := world.api("GET", f"/pairings/{made['id']}"))["machine"] and p,
        20,
        lambda: f"presented: {pairing.output()}",
    )
    (said,) = wait_for(lambda: steps(pairing), 10, "the fingerprint on the machine")
    assert said == {"state": "presented", "fingerprint": seen["machine"]["fingerprint"]}
    assert (seen["machine"]["name"], seen["machine"]["address"]) == (name, net.nat_address)
    world.api("POST", f"/pairings/{made['id']}/confirm", {"fingerprint": said["fingerprint"]})
    wait_for(lambda: not pairing.is_running(), 20, "the end of pairing")
    assert pairing.stop() == 0, pairing.output()
    assert steps(pairing)[-1]["state"] == "paired"
    return machine, steps(pairing)[-1]["runnerId"]


def echoing(world: World, runner_id: str) -> str:
    """A session that has answered what was typed."""
    body = {"agent": "command", "command": ["cat"], "runnerId": runner_id}
    session: str = world.api("POST", "/sessions", body)["id"]
    typed = {"data": base64.b64encode(b"hello\r").decode()}
    world.wait_state(session, "running")
    world.api("POST", f"/sessions/{session}/input", typed)

    def echoed() -> bool:
        events = world.api("GET", f"/sessions/{session}/events")["events"]
        output = [base64.b64decode(e["data"]) for e in events if e["kind"] == "output"]
        return b"".join(output).count(b"hello") >= 2  # the terminal's echo, and cat's

    wait_for(echoed, 15, "what was typed comes back")
    return session


def test_a_paired_machine_works_and_is_revoked_within_a_second(
    far: tuple[World, NatWorld], record_property: Any
) -> None:
    world, _ = far
    machine, runner_id = pair(far, "far")
    status = machine.status()
    assert (status["paired"], status["store"], status["runnerId"]) == (True, "file", runner_id)
    runner = machine.program()
    runner.start()
    view = world.wait_runner("far")
    assert (view["id"], view["credential"], view["shared"]) == (runner_id, "device", False)
    assert view["fingerprint"] == status["fingerprint"]
    session = echoing(world, runner_id)

    feed = f"{world.url.replace('http', 'ws')}/api/v1/sessions/{session}/feed"
    with connect(feed, additional_headers=world.headers, ssl=world.verify) as viewer:  # type: ignore[arg-type]
        revoked = time.monotonic()
        answer = world.api("POST", f"/runners/{runner_id}/revoke", {})
        assert answer["revoked"], answer
        wait_for(lambda: world.session(session)["state"] == "failed", 1, "the session's end")
        while '"failed"' not in str(viewer.recv(timeout=1)):
            pass
        wait_for(lambda: sockets_of(runner.pid) == [], 1, "no connection any more")
        took = time.monotonic() - revoked
    record_property("seconds until nothing was open", round(took, 3))
    print(f"revoked: nothing open after {took:.3f} s")
    assert took < 1
    assert world.session(session)["reason"]["code"] == "runner-revoked"
    wait_for(lambda: not runner.is_running(), 10, lambda: f"its end: {runner.output()}")
    assert runner.stop() == 5
    assert "runner pair" in runner.output()
    again = machine.run()
    assert again.returncode == 5, "it does not even try again"
    assert "does not take this runner" in again.stderr


def sockets_of(pid: int) -> list[str]:
    """Inodes of a process's established TCP connections."""
    try:
        links = [str(p.readlink()) for p in Path(f"/proc/{pid}/fd").iterdir()]
        table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return []
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    established = [line.split() for line in table if line.split()[3] == "01"]
    return [fields[9] for fields in established if fields[9] in mine]


def test_killed_and_restarted_on_both_ends_it_comes_back(far: tuple[World, NatWorld]) -> None:
    world, _ = far
    machine, runner_id = pair(far, "sturdy")
    runner = machine.program()
    runner.start()
    world.wait_runner("sturdy")
    session = echoing(world, runner_id)
    world.control.stop(signal.SIGKILL)  # session and access tokens are gone with it
    world.start_control()
    world.wait_runner("sturdy", 40)
    runner.stop(signal.SIGKILL)
    runner.start()
    world.wait_runner("sturdy", 40)
    assert world.session(session)["state"] == "running"
    world.api("POST", f"/sessions/{session}/kill", {})


def test_a_copy_of_the_machine_ends_both(far: tuple[World, NatWorld], tmp_path: Path) -> None:
    """Key and token copied while the runner goes on: the second use of a token gives it away."""
    import shutil

    world, net = far
    machine, runner_id = pair(far, "copied")
    copy = Machine(world, net, "copy")
    shutil.copytree(machine.state, copy.state)
    shutil.copytree(world.root / "copied-data", world.root / "copy-data")
    world.control.stop(signal.SIGKILL)  # so that both need their refresh token
    world.start_control()
    runner = machine.program()
    runner.start()
    world.wait_runner("copied", 40)
    thief = copy.program()
    thief.start()
    wait_for(lambda: not thief.is_running(), 20, "the copy is turned away")
    assert thief.stop() == 5, thief.output()
    wait_for(lambda: not runner.is_running(), 20, "and so is the runner")
    view = world.api("GET", f"/runners/{runner_id}")
    assert view["revoked"]
    assert "used twice" in view["revokedReason"], "the owner is told why"


def test_a_copied_state_folder_is_of_no_use(far: tuple[World, NatWorld]) -> None:
    import shutil

    world, net = far
    machine, runner_id = pair(far, "backed-up")
    stranger = Machine(world, net, "stranger")
    shutil.copytree(machine.state, stranger.state)
    refused = stranger.run()
    assert refused.returncode == 1
    assert "sealed on another machine" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not world.api("GET", f"/runners/{runner_id}")["revoked"]


def test_unpairing_ends_it_on_both_sides(far: tuple[World, NatWorld]) -> None:
    world, _ = far
    machine, runner_id = pair(far, "leaving")
    done = machine.run("unpair")
    assert done.returncode == 0, done.stderr
    assert machine.status() == {"paired": False}
    assert world.api("GET", f"/runners/{runner_id}")["revoked"]
    assert machine.run().returncode == 1


@pytest.mark.parametrize("answer", ["y", "n"])
def test_from_the_command_line_a_person_is_asked(far: tuple[World, NatWorld], answer: str) -> None:
    world, net = far
    command = [sys.executable, "-m", "earthshine.cli", "pair", "new"]
    environment = world.environment(EARTHSHINE_STATE_DIR=str(world.state), PYTHONUNBUFFERED="1")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        said = ""
        while "earthshine runner pair" not in (line := asking.stdout.readline()):
            assert line, said
            said += line
        machine = Machine(world, net, f"asked-{answer}")
        pairing = machine.program("pair", *line.split()[3:], "--name", f"asked-{answer}", "--json")
        pairing.start()
        (step,) = wait_for(lambda: steps(pairing), 20, "the fingerprint on the machine")
        said, _ = asking.communicate(answer + "\n", timeout=30)
    assert step["fingerprint"] in said
    wait_for(lambda: not pairing.is_running(), 20, "the end of pairing")
    if answer == "y":
        assert (asking.returncode, pairing.stop()) == (0, 0)
        assert machine.status()["paired"]
    else:
        assert (asking.returncode, pairing.stop()) == (5, 5)
        assert "You refused it" in pairing.output()


def test_a_false_server_gets_no_code(far: tuple[World, NatWorld]) -> None:
    world, net = far
    made = world.api("POST", "/pairings", {})
    url, code = made["command"].split()[3:]
    wrong = f"{url.partition('#')[0]}#sha256:{'A' * 43}"
    refused = Machine(world, net, "careful").run("pair", wrong, code)
    assert refused.returncode != 0
    assert "pinned" in refused.stderr
    assert world.api("GET", f"/pairings/{made['id']}")["state"] == "waiting"


def test_the_static_token_opens_nothing_here(far: tuple[World, NatWorld], tmp_path: Path) -> None:
    world, _ = far
    token = (world.state / "runner-token").read_text().strip()
    answer = httpx.get(
        f"{world.url}/api/clients/stream",
        headers={
            "Authorization": f"Bearer {token}",
            "Earthshine-Runner": "runner0001",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        },
        verify=world.verify,
    )
    assert answer.status_code == 401
