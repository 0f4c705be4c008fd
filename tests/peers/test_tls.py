"""Everything over TLS with a certificate of the server's own, between real processes."""

import base64
import contextlib
import json
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from earthshine.control.certificates import self_made
from earthshine.net.pinning import client_context
from tests.world import Program, World, free_port, running_world, wait_for

OTHER = "sha256:" + "A" * 43
SELF_MADE = {"EARTHSHINE_TLS_SELF_MADE": "true"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("tls"), control=SELF_MADE) as world:
        yield world


def output(world: World, session_id: str) -> bytes:
    found = world.api("GET", f"/sessions/{session_id}/events?limit=1000")["events"]
    return b"".join(base64.b64decode(e["data"]) for e in found if e["kind"] == "output")


def start(world: World, *argv: str) -> str:
    view = world.api("POST", "/sessions", {"agent": "command", "command": list(argv)})
    return str(view["id"])


def test_a_session_is_steered_through_a_pinned_connection(here):
    assert here.url.startswith("https://")
    session = start(here, "sh", "-c", "read line; echo got-$line")
    here.api("POST", f"/sessions/{session}/input", {"data": base64.b64encode(b"hello\r").decode()})
    here.wait_state(session, "exited")
    assert b"got-hello" in output(here, session)


def test_a_port_is_reached_by_reverse_dial_over_tls(here, tmp_path):
    (tmp_path / "page.txt").write_text("x" * 300_000)
    port = free_port()
    session = start(
        here, sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1",
        "--directory", str(tmp_path),
    )  # fmt: skip
    opened = here.api("POST", f"/sessions/{session}/previews", {"port": port})
    parts = urlsplit(opened["url"])
    assert parts.scheme == "https"
    # No resolver here: the name is *.localhost, the address 127.0.0.1.
    base = f"https://127.0.0.1:{parts.port}"
    with httpx.Client(
        base_url=base, headers={"host": parts.netloc}, verify=client_context(here.pin)
    ) as browser:
        entered = browser.post(
            "/.earthshine/enter", data={"ticket": opened["ticket"]}, headers={"origin": here.url}
        )
        assert entered.status_code == 303, entered.text
        cookie = entered.headers["set-cookie"].partition(";")[0]

        def served() -> bool:
            answer = browser.get("/page.txt", headers={"cookie": cookie})
            return answer.status_code == 200 and answer.text == "x" * 300_000

        wait_for(served, 10, "the page")
    here.api("POST", f"/sessions/{session}/kill", {})


def test_a_runner_with_the_wrong_pin_refuses_and_says_why(here):
    stranger = here.runner("stranger", EARTHSHINE_RUNNER_PIN=OTHER)
    stranger.start()
    try:
        wait_for(lambda: "not the server that was pinned" in stranger.output(), 20, "its words")
        said = stranger.output()
        assert here.pin in said, "what was shown, to compare with what the operator says"
        assert OTHER in said
        assert "set EARTHSHINE_RUNNER_PIN" in said
        assert "nothing was sent" in said
    finally:
        stranger.stop()
    assert [r["name"] for r in here.api("GET", "/runners")["runners"]] == ["runner"]


def test_a_runner_without_a_pin_does_not_believe_the_certificate(here):
    trusting = here.runner("trusting", EARTHSHINE_RUNNER_PIN="")
    trusting.start()
    try:
        wait_for(lambda: "is not trusted here" in trusting.output(), 20, "its words")
        assert "EARTHSHINE_RUNNER_PIN" in trusting.output()
    finally:
        trusting.stop()


def test_the_command_line_knows_the_server_by_its_key(here):
    done = subprocess.run(
        [sys.executable, "-m", "earthshine.cli", "session", "list", "--json"],
        env=here.environment(EARTHSHINE_STATE_DIR=str(here.state)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), (list, dict))


def test_after_a_restart_it_is_the_same_server(here):
    before = here.pin
    here.control.stop()
    here.start_control()
    assert here.pin == before
    here.wait_runner()


def test_the_local_runner_follows_when_the_key_changes(tmp_path):
    """`earthshine up`: its own runner is told the pin, and the new one when the files change."""
    world = World(tmp_path, control=SELF_MADE)
    up = Program(
        ["up", "--port", str(world.port), "--state-dir", str(tmp_path)],
        tmp_path / "up.log",
        world.environment(**SELF_MADE, EARTHSHINE_PREVIEW_MODE="off", EARTHSHINE_RUNNER_NAME="up"),
    )
    up.start()
    try:
        world.wait_ready()
        first = world.wait_runner("up", 30)
        before = world.pin
        self_made(tmp_path / "other", [])
        for name in ("certificate.pem", "key.pem"):
            (tmp_path / "other" / name).replace(world.state / "tls" / name)
        assert world.pin != before

        def follows() -> bool:
            with contextlib.suppress(httpx.TransportError):
                runners = world.api("GET", "/runners")["runners"]
                return runners[0]["state"] == "connected" and "code 0" in up.output()
            return False

        wait_for(follows, 30, up.output)
        assert world.wait_runner("up", 30)["id"] == first["id"]
    finally:
        up.stop()


def test_plain_http_to_a_network_address_is_refused_with_what_to_do(tmp_path):
    world = World(tmp_path)
    runner = world.runner(url="http://192.0.2.1:7180", EARTHSHINE_RUNNER_TOKEN="x")
    runner.start()
    wait_for(lambda: not runner.is_running(), 20, "it ends")
    assert "not protected by TLS" in runner.output()
    assert "EARTHSHINE_RUNNER_ALLOW_PLAIN_HTTP" in runner.output()


def test_serve_is_production_and_refuses_plain_http_on_a_network(tmp_path):
    world = World(
        tmp_path,
        host="192.0.2.1",
        control={
            "EARTHSHINE_PUBLIC_URL": "http://192.0.2.1:7180",
            "EARTHSHINE_ALLOW_PLAIN_HTTP": "true",
        },
    )
    world.control.start()
    wait_for(lambda: not world.control.is_running(), 20, "it ends")
    assert "in production public_url must begin with https:" in world.control.output()
