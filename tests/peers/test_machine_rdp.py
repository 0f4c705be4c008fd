"""RDP to a runner's machine itself: its own xrdp, and a password set by a real chpasswd.

Runner and xrdp share namespaces in which /etc is a copy: users and passwords of this machine are
not touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers import desktop_servers
from tests.peers.desktop_servers import PASSWORD, USER, Desktop
from tests.peers.rdp_client import Screen, screen, xfreerdp
from tests.world import World, free_port, wait_for

NEEDED = (
    "xrdp", "xrdp-sesman", "Xorg", "Xvfb", "openbox", "xterm", "xprop", "unshare", "openssl",
    "chpasswd", "xfreerdp",
)  # fmt: skip
WHY_NOT = desktop_servers.missing(*NEEDED) or (
    "another /etc needs root" if os.geteuid() != 0 else None
)
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1/etc" /etc
mount -t tmpfs none /run
mkdir -p /run/xrdp/sockdir
chmod 3777 /run/xrdp/sockdir
xrdp-sesman -n -c /etc/xrdp/sesman.ini >> "$1/log" 2>&1 &
xrdp -n -c /etc/xrdp/xrdp.ini >> "$1/log" 2>&1 &
shift
exec "$@"
"""
SIZE = (640, 480)


@dataclass
class Machine:
    """A runner's machine with an xrdp of its own."""

    world: World
    runner_id: str
    folder: Path
    desktop: Desktop

    def connection(self) -> dict[str, Any]:
        path = f"/external-agents/runners/{self.runner_id}/rdp-connection"
        found: dict[str, Any] = self.world.api("GET", path)
        return found

    def is_typed(self, shown: Screen, text: str) -> bool:
        """Type it; the first letters may be lost while the screen is still being made."""
        shown.click(SIZE[0] // 2, SIZE[1] // 2)
        shown.type(f"{text}\n")
        with contextlib.suppress(AssertionError):
            self.desktop.wait_typed(text)
        return text in self.desktop.text().splitlines()

    @property
    def log(self) -> str:
        return (self.folder / "sesman.log").read_text()

    def refused(self) -> int:
        """How often it has refused a password."""
        return self.log.count("AUTHFAIL")

    def refuses_more_than(self, times: int) -> bool:
        return self.refused() > times

    def remove_traces(self) -> None:
        """What its X servers leave behind when they are killed."""
        ini = (self.folder / "etc" / "xrdp" / "sesman.ini").read_text()
        [first] = re.findall(r"^X11DisplayOffset=([0-9]+)$", ini, re.MULTILINE)
        for number in range(int(first), int(first) + 3):
            Path(f"/tmp/.X{number}-lock").unlink(missing_ok=True)
            Path(f"/tmp/.X11-unix/X{number}").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="earthshine-xrdp-", dir="/var/tmp"))
    world = World(
        tmp_path_factory.mktemp("machine"), control={"EARTHSHINE_DESKTOP__ENTRY_PORTS": "[0, 0]"}
    )
    try:
        folder.chmod(0o711)
        home = folder / "home"
        home.mkdir(0o700)
        os.chown(home, desktop_servers.USER_ID, desktop_servers.USER_ID)
        port = free_port()
        certificate = desktop_servers._configure(folder, port)
        desktop_servers._add_user(folder, home)
        shutil.copytree("/etc", folder / "etc", symlinks=True)
        for name in ("passwd", "shadow"):
            shutil.copy2(folder / name, folder / "etc" / name)
        shutil.rmtree(folder / "etc" / "xrdp")
        (folder / "xrdp").rename(folder / "etc" / "xrdp")
        world.start_control()
        world.runner(
            "machine",
            "",
            (
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", ENTER, "enter", str(folder)),
            ),
            EARTHSHINE_RUNNER_RDP__USER=USER,
            EARTHSHINE_RUNNER_RDP__PORT=str(port),
            EARTHSHINE_RUNNER_MODE="production",
            RDP_PASSWORD=PASSWORD,
        ).start()
        runner = world.wait_runner("machine")
        wait_for(lambda: desktop_servers.is_listening(port), 20, "xrdp")
        machine = Machine(world, runner["id"], folder, Desktop(port, home / "typed", certificate))
        yield machine
        world.close()
        machine.remove_traces()
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


async def test_an_admin_sees_the_machines_desktop_with_a_password_of_its_own(
    machine: Machine, tmp_path: Path
) -> None:
    connection = machine.connection()
    assert (connection["user"], connection["viewOnly"]) == (USER, False)
    assert connection["password"] not in connection["file"]
    async with screen(*SIZE) as shown:
        async with xfreerdp(shown, connection, tmp_path) as client:
            machine.desktop.wait_focus()
            wait_for(lambda: shown.grabbed().std() > 10, 20, client.output)
            wait_for(
                partial(machine.is_typed, shown, "typed on the machine"), 30, machine.desktop.text
            )
        again = machine.connection()
        assert again["password"] != connection["password"]
        for old in (PASSWORD, connection["password"]):
            refused = machine.refused()
            async with xfreerdp(shown, again, tmp_path, password=old):
                wait_for(partial(machine.refuses_more_than, refused), 20, lambda: machine.log)
    told = machine.world.control.output() + machine.world.runners[0].output()
    assert not any(one in told for one in (PASSWORD, connection["password"], again["password"]))


def test_nobody_else_gets_one(machine: Machine) -> None:
    added = machine.world.api("POST", "/people", {"name": "otto"})
    code = added["link"]["url"].rpartition("=")[2]
    url = machine.world.url
    with httpx.Client(base_url=url, headers={"Origin": url}) as client:
        assert client.post("/api/v1/sign-in", json={"code": code}).is_success
        path = f"/api/v1/external-agents/runners/{machine.runner_id}/rdp-connection"
        assert client.get(path).status_code == 403


def test_in_production_it_does_not_start_without_a_first_password(
    machine: Machine, tmp_path: Path
) -> None:
    runner = machine.world.runner(
        "careless", EARTHSHINE_RUNNER_RDP__USER="nobody", EARTHSHINE_RUNNER_MODE="production"
    )
    machine.world.runners.remove(runner)
    runner.start()
    wait_for(lambda: not runner.is_running(), 30, runner.output)
    assert "RDP_PASSWORD" in runner.output()
    assert runner.stop(signal.SIGTERM) != 0
