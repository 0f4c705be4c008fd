"""A control plane and a runner as processes of their own, and a viewer that costs little itself."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.local_ssh import free_port
from earthshine.protocols import feed
from earthshine.protocols.events import Event


class Plane:
    """Where to reach it, and the processes' ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EARTHSHINE_")}
        environment |= {
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "EARTHSHINE_LOG": "WARNING",
            "EARTHSHINE_PREVIEW_PORT": "0",
        }
        self._environment = environment
        self.control = self._start(
            "serve", "--port", str(self.port), "--state-dir", str(folder / "control")
        )
        self.runner: subprocess.Popen[bytes] | None = None
        self._until(self._ready, "the control plane")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "earthshine.cli", *arguments],
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip

    def start_runner(self) -> None:
        """One runner, connected."""
        self.runner = self._start(
            "runner", "--url", self.url, "--token-file", str(self.token_file),
            "--state-dir", str(self.folder / "runner"),
        )  # fmt: skip
        self._until(
            lambda: any(r["state"] == "connected" for r in self.api("GET", "/runners")["runners"]),
            "the runner",
        )

    @property
    def token_file(self) -> Path:
        """The static runner token."""
        return self.folder / "control" / "runner-token"

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            up = httpx.get(f"{self.url}/readyz").status_code == 200
            return up and (self.folder / "control" / "cli.json").exists()
        return False

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not start; see {self.folder}")
            time.sleep(0.05)

    @property
    def token(self) -> str:
        """A bearer token for the API."""
        return str(json.loads((self.folder / "control" / "cli.json").read_text())["token"])

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call under /api/v1."""
        response = httpx.request(
            method, f"{self.url}/api/v1{path}", json=body, timeout=60,
            headers={"Authorization": f"Bearer {self.token}"},
        )  # fmt: skip
        response.raise_for_status()
        return response.json() if response.content else None

    def command(self, *argv: str) -> str:
        """A session that runs a command; its id."""
        body = {"agent": "command", "command": list(argv)}
        view = self.api("POST", "/sessions", body)
        if view["state"] == "failed":
            raise RuntimeError(view["reason"])
        return str(view["id"])

    def close(self) -> None:
        """End the processes."""
        for process in (self.runner, self.control):
            if process is not None:
                process.terminate()
                process.wait()


@contextlib.contextmanager
def plane(*, runner: bool = True) -> Iterator[Plane]:
    """A plane in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="earthshine-bench-") as name:
        it = Plane(Path(name))
        try:
            if runner:
                it.start_runner()
            yield it
        finally:
            it.close()


class Viewer:
    """The feed over a blocking socket, with as little Python in between as possible."""

    def __init__(self, plane: Plane, session_id: str, after: int = 0) -> None:
        self._sock = socket.create_connection(("127.0.0.1", plane.port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        self._sock.sendall(
            f"GET /api/v1/sessions/{session_id}/feed?after={after} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{plane.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {feed.SUBPROTOCOL}\r\n"
            f"Authorization: Bearer {plane.token}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._sock.recv(65536)
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(head.decode())
        self._buffer = bytearray(rest)

    def message(self) -> tuple[int, bytes]:
        """The next message: WebSocket opcode (1 text, 2 binary) and payload (RFC 6455)."""
        while True:
            head = self._take(2)
            length = head[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._take(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._take(8))
            payload = self._take(length)
            opcode = head[0] & 0x0F
            if opcode == 9:
                self._send(10, payload)
            elif opcode == 8:
                raise EOFError(payload)
            else:
                return opcode, payload

    def events(self) -> Iterator[Event]:
        """Entries as they come."""
        while True:
            opcode, payload = self.message()
            if opcode == 2:
                yield from feed.records(payload)

    def until_live(self) -> None:
        """Read the replay to its end."""
        while True:
            opcode, payload = self.message()
            if opcode == 1 and b'"type":"live"' in payload:
                return

    def type(self, data: bytes) -> None:
        """Typed input."""
        self._send(2, data)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self._sock.recv(max(262144, count - len(self._buffer)))
            if not data:
                raise EOFError
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = b"\0\0\0\0"  # allowed, and it leaves the payload as it is
        size = len(payload)
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size)
        self._sock.sendall(head + mask + payload)
