"""A control plane and runners as separate processes, for tests that want the real thing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from earthshine.net.pinning import client_context, fingerprint

DESKTOP_HOLDER = "earthshine.runner.desktops.holder"
READY = re.compile(r"https?://\S+/#sign-in=(\S+)")


def free_port() -> int:
    """A port that nothing listens on, outside the range from which connections take theirs."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], Any], seconds: float, what: str | Callable[[], str]) -> Any:
    """Poll until `condition` gives something true; fails after `seconds`, saying `what`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    words = what if isinstance(what, str) else what()
    raise AssertionError(f"not within {seconds} s: {words}")


class Program:
    """One `earthshine` process; its output goes to a file."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        environment: dict[str, str],
        prefix: tuple[str, ...] = (),
    ) -> None:
        self._arguments = [*prefix, sys.executable, "-m", "earthshine.cli", *arguments]
        self._environment = environment
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, env=self._environment
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"it did not end: {self.log.read_text()[-3000:]}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class World:
    """State folders under `root`, a control plane on a fixed port, one runner or more."""

    def __init__(
        self,
        root: Path,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        control: dict[str, str] | None = None,
    ) -> None:
        self.root = root
        self.port = port or free_port()
        self.preview_port = free_port()
        self.host = host
        self.scheme = "https" if "EARTHSHINE_TLS_SELF_MADE" in (control or {}) else "http"
        self.url = f"{self.scheme}://{host}:{self.port}"
        self.state = root / "control"
        self._control_environment = control or {}
        self.control = self._control()
        self.runners: list[Program] = []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("EARTHSHINE_")}
        home = {
            "XDG_STATE_HOME": str(self.root / "xdg-state"),
            "XDG_DATA_HOME": str(self.root / "xdg-data"),
            "XDG_CONFIG_HOME": str(self.root / "xdg-config"),
            "SHELL": "/bin/bash",
        }
        return {**kept, **home, **more}

    def _control(self) -> Program:
        return Program(
            [
                "serve",
                "--host",
                self.host,
                "--port",
                str(self.port),
                "--state-dir",
                str(self.state),
            ],
            self.root / "control.log",
            self.environment(
                EARTHSHINE_PREVIEW_PORT=str(self.preview_port), **self._control_environment
            ),
        )

    def runner(
        self, name: str = "runner", url: str = "", prefix: tuple[str, ...] = (), **more: str
    ) -> Program:
        """A runner that is not started yet."""
        trust = {"EARTHSHINE_RUNNER_PIN": self.pin} if self.pin else {}
        if self.host != "127.0.0.1":
            trust["EARTHSHINE_RUNNER_ALLOW_PLAIN_HTTP"] = "true"
        program = Program(
            [
                "runner",
                "--url",
                url or self.url,
                "--name",
                name,
                "--token-file",
                str(self.state / "runner-token"),
                "--state-dir",
                str(self.root / name),
            ],
            self.root / f"{name}.log",
            self.environment(XDG_DATA_HOME=str(self.root / f"{name}-data"), **(trust | more)),
            prefix,
        )
        self.runners.append(program)
        return program

    def start_control(self) -> None:
        self.control.start()
        self.wait_ready()

    def wait_ready(self, seconds: float = 60) -> None:
        def ready() -> bool:
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=2, verify=self.verify)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        wait_for(ready, seconds, lambda: f"control plane ready: {self.control.output()[-2000:]}")
        wait_for((self.state / "cli.json").exists, 5, "token for the command line")

    def sign_in_code(self) -> str:
        """The newest one-time code that the server printed."""
        return str(wait_for(lambda: READY.findall(self.control.output()), 5, "sign-in link")[-1])

    @property
    def token(self) -> str:
        return str(json.loads((self.state / "cli.json").read_text())["token"])

    @property
    def pin(self) -> str:
        """The key of a control plane that made its own; empty before it has."""
        made = self.state / "tls" / "certificate.pem"
        known = made.exists() and fingerprint(ssl.PEM_cert_to_DER_cert(made.read_text()))
        return known or ""

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How HTTP clients know the control plane."""
        return client_context(self.pin) if self.pin else True

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def api(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """A call under /api/v1; asserts success, or the status asked for."""
        response = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            json=body,
            headers=self.headers,
            timeout=40,
            verify=self.verify,
        )
        if status is None:
            assert response.is_success, response.text
        else:
            assert response.status_code == status, response.text
        return response.json() if response.content else None

    def wait_runner(self, name: str = "runner", seconds: float = 60) -> dict[str, Any]:
        def connected() -> Any:
            runners = self.api("GET", "/runners")["runners"]
            return [r for r in runners if r["name"] == name and r["state"] == "connected"]

        found: dict[str, Any] = wait_for(connected, seconds, f"runner {name} connected")[0]
        return found

    def session(self, session_id: str) -> dict[str, Any]:
        view: dict[str, Any] = self.api("GET", f"/sessions/{session_id}")
        return view

    def wait_state(self, session_id: str, state: str, seconds: float = 20) -> dict[str, Any]:
        wait_for(
            lambda: self.session(session_id)["state"] == state,
            seconds,
            lambda: f"session {state}: {self.session(session_id)}",
        )
        return self.session(session_id)

    def holders(self, module: str = "earthshine.runner.holder") -> list[int]:
        """Process ids of the holders of this world's sessions, or of its desktops."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if f"{module}\0" in command and str(self.root) in command:
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """End everything that this world started, the agents too; no log has a secret of it."""
        for program in [*self.runners, self.control]:
            program.stop(signal.SIGKILL)
        for pid in self.holders():
            _end_holder(pid)
        desktops = self.holders(DESKTOP_HOLDER)
        for pid in desktops:  # which takes down what is in the display
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if desktops:
            wait_for(lambda: not self.holders(DESKTOP_HOLDER), 20, "no desktop left")
        told = [log.name for log in self.root.rglob("*.log") if self._tells(log)]
        assert told == [], "a secret is in a log"

    def secrets(self) -> list[str]:
        """What lies in files of this world that no log may hold."""
        found = []
        for name in ("runner-token", "secrets-key", "cli.json"):
            with contextlib.suppress(OSError):
                text = (self.state / name).read_text().strip()
                found.append(json.loads(text)["token"] if name == "cli.json" else text)
        return found

    def _tells(self, log: Path) -> bool:
        text = log.read_text(errors="replace")
        return any(secret in text for secret in self.secrets())


def _end_holder(pid: int) -> None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    for one in [pid, *map(int, children)]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def running_world(
    root: Path, *, runner: dict[str, str] | None = None, **options: Any
) -> Iterator[World]:
    """A world with its control plane and one runner connected."""
    world = World(root, **options)
    try:
        world.start_control()
        world.runner("runner", "", (), **(runner or {})).start()
        world.wait_runner()
        yield world
    finally:
        world.close()
