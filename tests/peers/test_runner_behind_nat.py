"""A real runner behind a real NAT: everything reaches it, though nothing can connect to it."""

from __future__ import annotations

import base64
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.peers.netns import NatWorld, nat_world, why_not
from tests.world import World, free_port, wait_for

REASON = why_not()
pytestmark = [
    pytest.mark.pair,
    pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}"),
]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, NatWorld]]:
    """A control plane here, a runner behind the NAT."""
    with nat_world() as net:
        port = free_port()
        url = f"http://{net.control_address}:{port}"
        world = World(
            tmp_path_factory.mktemp("nat"),
            host=net.control_address,
            port=port,
            control={
                "EARTHSHINE_PUBLIC_URL": url,
                "EARTHSHINE_MODE": "development",
                "EARTHSHINE_ALLOW_PLAIN_HTTP": "true",
                "EARTHSHINE_PREVIEW_PORTS": "[0, 0]",
            },
        )
        try:
            world.start_control()
            world.runner("far", prefix=tuple(net.runner_ns.argv([]))).start()
            world.wait_runner("far")
            yield world, net
        finally:
            world.close()


def output(world: World, session_id: str) -> bytes:
    """Everything that is stored of what the terminal printed."""
    found, after = b"", 0
    while True:
        page = world.api("GET", f"/sessions/{session_id}/events?limit=1000&after={after}")
        if not page["events"]:
            return found
        after = page["events"][-1]["seq"]
        found += b"".join(
            base64.b64decode(e["data"]) for e in page["events"] if e["kind"] == "output"
        )


def start(world: World, *argv: str) -> str:
    view = world.api("POST", "/sessions", {"agent": "command", "command": list(argv)})
    assert view["state"] in ("queued", "running"), view["reason"]
    return str(view["id"])


def test_the_control_plane_cannot_connect_to_the_runners_machine(
    far: tuple[World, NatWorld],
) -> None:
    _, net = far
    for address in (net.runner_address, net.nat_address):
        with socket.socket() as sock:
            sock.settimeout(0.5)
            assert sock.connect_ex((address, 22)) != 0


def test_an_agent_works_there_and_is_steered_from_here(far: tuple[World, NatWorld]) -> None:
    world, net = far
    session = start(world, "bash", "-c", "hostname -I; read line; echo got-$line; exit 5")
    wait_for(lambda: net.runner_address.encode() in output(world, session), 10, "its address")
    typed = {"data": base64.b64encode(b"hello\r").decode()}
    world.api("POST", f"/sessions/{session}/input", typed)
    view = world.wait_state(session, "exited")
    assert view["exitCode"] == 5
    assert b"got-hello" in output(world, session)


def test_a_port_of_the_agents_machine_is_reached_by_reverse_dial(
    far: tuple[World, NatWorld], tmp_path: Path
) -> None:
    world, _ = far
    (tmp_path / "page.txt").write_text("served behind the NAT")
    port = free_port()
    session = start(
        world, sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1",
        "--directory", str(tmp_path),
    )  # fmt: skip
    opened = world.api("POST", f"/sessions/{session}/previews", {"port": port})
    parts = urlsplit(opened["url"])
    with httpx.Client(base_url=f"{parts.scheme}://{parts.netloc}") as browser:
        entered = browser.post(
            "/.earthshine/enter", data={"ticket": opened["ticket"]}, headers={"origin": world.url}
        )
        assert entered.status_code == 303

        def served() -> bool:
            answer = browser.get("/page.txt")
            return answer.status_code == 200 and answer.text == "served behind the NAT"

        wait_for(served, 10, "the page")
        assert httpx.get(f"{parts.scheme}://{parts.netloc}/page.txt").status_code in (401, 403)
    world.api("POST", f"/sessions/{session}/kill", {})


def test_output_made_while_the_network_was_dead_arrives_afterwards(
    far: tuple[World, NatWorld],
) -> None:
    world, net = far
    count = 3000
    session = start(
        world, "bash", "-c", f"for i in $(seq {count}); do echo line-$i-; sleep 0.001; done"
    )
    wait_for(lambda: b"line-10-" in output(world, session), 10, "first lines")
    net.cut()
    time.sleep(2)  # the time that is lost to the dead network is the point
    net.restore()
    world.wait_state(session, "exited", 60)
    numbers = [int(n) for n in re.findall(rb"line-(\d+)-", output(world, session))]
    assert numbers == list(range(1, count + 1))


def test_a_runner_with_a_wrong_token_is_told_so(
    far: tuple[World, NatWorld], tmp_path: Path
) -> None:
    world, net = far
    wrong = tmp_path / "token"
    wrong.write_text("not-the-token")
    wrong.chmod(0o600)
    stranger = world.runner(
        "stranger",
        prefix=tuple(net.runner_ns.argv([])),
        EARTHSHINE_RUNNER_TOKEN="not-the-token",  # the environment wins over the file
    )
    stranger.start()
    try:
        wait_for(
            lambda: "does not accept this runner's token" in stranger.output(), 10, "its words"
        )
    finally:
        stranger.stop()
    names = [runner["name"] for runner in world.api("GET", "/runners")["runners"]]
    assert names == ["far"]
