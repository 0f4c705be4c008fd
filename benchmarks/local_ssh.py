"""An sshd of our own on a loopback port, with keys of its own, ended by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalSsh:
    """How to reach it: `command` is the beginning of an ssh command line, up to the host."""

    command: list[str]
    pid: int


def free_port() -> int:
    """A loopback port that nothing uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(port: int, seconds: float = 10) -> None:
    """Until something listens. Raises RuntimeError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@contextlib.contextmanager
def local_sshd(folder: Path) -> Iterator[LocalSsh]:
    """Start it, end it. Raises FileNotFoundError where OpenSSH's server is not installed."""
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nAllowTcpForwarding yes\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-q", "-f", str(config)])
    try:
        wait_for_port(port)
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": f"{folder}/known",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        command = ["ssh", "-F", "none", "-i", str(folder / "user"), "-p", str(port), *flags]
        yield LocalSsh(command, server.pid)
    finally:
        server.terminate()
        server.wait()
