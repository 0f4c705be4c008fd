"""The `earthshine` command against a running server: what scripts and people get."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, running_world, wait_for

COMMAND = [sys.executable, "-m", "earthshine.cli"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("cli")) as it:
        yield it


def environment(world: World) -> dict[str, str]:
    return world.environment(EARTHSHINE_STATE_DIR=str(world.state))


def earthshine(
    world: World, *arguments: str, code: int = 0, **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(world),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )
    assert done.returncode == code, done.stderr
    return done


def start(world: World, *arguments: str) -> str:
    return earthshine(world, "session", "start", *arguments).stdout.strip()


def test_start_logs_and_list_show_one_session_from_begin_to_end(world: World) -> None:
    session = start(world, "--", "bash", "-c", "echo one; echo two; exit 4")
    followed = earthshine(world, "session", "logs", "-f", session)
    assert followed.stdout.splitlines() == ["one", "two"]
    assert earthshine(world, "session", "logs", session).stdout == followed.stdout
    listed = earthshine(world, "session", "list", "--state", "ended", "--json").stdout
    (view,) = [one for one in json.loads(listed) if one["id"] == session]
    assert (view["state"], view["exitCode"]) == ("exited", 4)


def test_logs_as_json_lines_begin_behind_a_cursor(world: World) -> None:
    session = start(world, "--", "echo", "hello")
    earthshine(world, "session", "logs", "-f", session)
    lines = earthshine(world, "session", "logs", "--json", session).stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0]["kind"] == "started"
    assert entries[-1]["kind"] == "exited"
    rest = earthshine(world, "session", "logs", "--json", "--after", "1", session).stdout
    assert rest.splitlines() == lines[1:]


def test_send_types_and_stop_ends(world: World) -> None:
    session = start(world, "--", "cat")
    earthshine(world, "session", "send", session, "a line for the cat")
    wait_for(
        lambda: "a line for the cat" in earthshine(world, "session", "logs", session).stdout,
        10,
        "the cat's answer",
    )
    earthshine(world, "session", "stop", session)
    assert world.wait_state(session, "exited")["signal"] is not None
    refused = earthshine(world, "session", "send", session, "too late", code=1)
    assert "has ended" in refused.stderr


def test_an_unknown_session_is_a_clear_error_with_its_own_exit_code(world: World) -> None:
    for arguments in (("logs", "nothing"), ("stop", "nothing"), ("send", "nothing", "x")):
        failed = earthshine(world, "session", *arguments, code=4)
        assert "There is no such session" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_an_agent_that_is_not_there_fails_with_what_to_do(world: World) -> None:
    failed = earthshine(world, "session", "start", "--", "no-such-program", code=1)
    assert "no-such-program was not found" in failed.stderr


def test_without_a_server_the_command_says_how_to_start_one(world: World, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "session", "list"],
        env=world.environment(EARTHSHINE_STATE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 6
    assert "earthshine up" in done.stderr


def test_a_token_that_is_not_valid_is_refused_in_words(world: World) -> None:
    wrong = {"EARTHSHINE_URL": world.url, "EARTHSHINE_TOKEN": "wrong"}
    done = subprocess.run(
        [*COMMAND, "session", "list"],
        env=environment(world) | wrong,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
    assert "not signed in" in done.stderr


def test_sign_in_prints_a_link(world: World) -> None:
    assert earthshine(world, "sign-in").stdout.startswith(f"{world.url}/#sign-in=")


def test_doctor_reports_as_json(world: World) -> None:
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"],
        env=environment(world),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert findings["Python"]["ok"]
    needed = [one for one in findings.values() if one["needed"] and not one["ok"]]
    assert done.returncode == (1 if needed else 0)


class Terminal:
    """A PTY with `earthshine session attach` in it."""

    def __init__(self, world: World, session: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            argv = [*COMMAND, "session", "attach", session]
            os.execve(argv[0], argv, environment(world))
        self.seen = b""

    def wait(self, text: bytes, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.fd, 65536)

    def type(self, data: bytes) -> None:
        os.write(self.fd, data)

    def exit_code(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_attach_is_a_terminal_and_leaves_without_ending_the_agent(world: World) -> None:
    session = start(world)
    terminal = Terminal(world, session)
    terminal.wait(b"$ " if os.geteuid() else b"# ")
    terminal.type(b"echo $((20 + 3)); stty size\r")
    terminal.wait(b"\r23\r\n")
    terminal.type(b"\x1d")
    terminal.type(b"d")
    terminal.wait(b"left; the session goes on")
    assert terminal.exit_code() == 0
    assert world.session(session)["state"] == "running"
    again = Terminal(world, session)
    again.wait(b"\r23\r\n")  # all of it is there again
    again.type(b"exit 9\r")
    again.wait(b"ended with code 9")
    assert again.exit_code() == 9


def test_attach_comes_back_after_the_server_was_gone(world: World) -> None:
    session = start(world)
    terminal = Terminal(world, session)
    terminal.type(b"echo before-$((1 + 1))\r")
    terminal.wait(b"before-2")
    assert world.control.stop() == 0
    terminal.wait(b"connecting again")
    world.start_control()
    world.wait_runner()
    terminal.type(b"echo after-$((2 + 2))\r")
    terminal.wait(b"after-4", 30)
    terminal.type(b"\x1d")
    terminal.type(b"d")
    terminal.wait(b"left")
    assert terminal.exit_code() == 0
    assert terminal.seen.count(b"\rbefore-2\r\n") == 1


# --- signing in from a machine without a browser -------------------------------------------------


def elsewhere(world: World, root: Path) -> dict[str, str]:
    """The environment of another machine: it knows no server, and has no keyring."""
    return world.environment(
        EARTHSHINE_STATE_DIR=str(root / "nothing"),
        XDG_CONFIG_HOME=str(root / "config"),
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
    )


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def log_in(world: World, environment: dict[str, str], *, approve: bool) -> tuple[int, str, str]:
    """Run `earthshine login`, and decide as the owner."""
    program = subprocess.Popen(
        [*COMMAND, "login", world.url],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    code = None
    for line in program.stdout:
        code = code or re.search(r"[B-Z]{4}-[B-Z]{4}", line)
        if code:
            break
    assert code is not None
    asked = world.api("GET", f"/device-flow/{code[0]}")
    assert asked["clientName"].startswith("earthshine on ")
    assert "admin" not in asked["scopes"]
    world.api("POST", f"/device-flow/{code[0]}", {"approve": approve})
    output, errors = program.communicate(timeout=30)
    return program.returncode, output, errors


def test_login_logout_and_tokens(world: World, tmp_path: Path) -> None:
    there = elsewhere(world, tmp_path)
    status, output, errors = log_in(world, there, approve=True)
    assert status == 0, errors
    assert f"Signed in to {world.url} as owner" in output
    kept = tmp_path / "config" / "earthshine" / "login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    secret = json.loads(kept.read_text())["token"]
    assert secret not in output
    assert run(there, "session", "list").returncode == 0

    made = run(there, "token", "new", "ci", "--scope", "read", "--days", "3")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    listed = json.loads(run(there, "token", "list", "--json").stdout)
    (info,) = [one for one in listed if one["name"] == "ci"]
    assert info["scopes"] == ["read"]
    assert token not in json.dumps(listed)
    with_token = there | {"EARTHSHINE_URL": world.url, "EARTHSHINE_TOKEN": token}
    assert run(with_token, "session", "list").returncode == 0
    refused = run(with_token, "session", "start", "--", "true")
    assert refused.returncode == 5
    assert "lacks the scope control" in refused.stderr
    assert run(there, "token", "end", info["id"]).returncode == 0
    assert run(with_token, "session", "list").returncode == 5
    assert run(there, "token", "new", "more", "--scope", "admin").returncode == 5

    assert "Signed out" in run(there, "logout").stdout
    assert not kept.exists()
    assert run(there, "session", "list").returncode == 6
    leftover = there | {"EARTHSHINE_URL": world.url, "EARTHSHINE_TOKEN": secret}
    assert run(leftover, "session", "list").returncode == 5
    assert "not signed in anywhere" in run(there, "logout").stdout


def test_login_that_somebody_refuses(world: World, tmp_path: Path) -> None:
    status, _, errors = log_in(world, elsewhere(world, tmp_path), approve=False)
    assert status == 5
    assert "refused" in errors
    assert not (tmp_path / "config" / "earthshine" / "login.json").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("earth.example", "https://"),
        ("http://earth.example", "without TLS"),
        ("http://127.0.0.1:1", "does not answer"),
    ],
)
def test_login_at_what_is_no_server(world: World, tmp_path: Path, url: str, words: str) -> None:
    done = run(elsewhere(world, tmp_path), "login", url)
    assert done.returncode in (1, 6)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_restarts_leave_one_sign_in_of_the_command_line(tmp_path: Path) -> None:
    world = World(tmp_path)

    def tokens() -> list[str]:
        return [one["id"] for one in world.api("GET", "/me/tokens")["tokens"]]

    try:
        world.start_control()
        before = tokens()
        assert len(before) == 1
        for _ in range(2):
            world.control.stop()
            world.start_control()
            assert tokens() == before
    finally:
        world.close()
