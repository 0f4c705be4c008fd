"""Display servers: isolated, reachable with their authority file only, and gone without a trace."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from earthshine.runner.desktops import resize, x11
from earthshine.runner.desktops.backends import Display, DisplaySpec, choose
from earthshine.runner.desktops.backends.display import LOCK, SOCKET
from earthshine.runner.desktops.vncpassword import encipher, new_password, write_passwords
from earthshine.runner.desktops.x11 import DisplayError

Opener = Callable[..., Awaitable[Display]]
SERVERS = ("tigervnc", "xvfb")


@pytest.mark.parametrize("backend", SERVERS)
async def test_a_display_is_up_when_start_returns(
    backend: str, open_display: Opener, connect: Callable[[Display], Any]
) -> None:
    display = await open_display(backend)
    assert display.environment == {
        "DISPLAY": f":{display.number}",
        "XAUTHORITY": str(display.authority),
    }
    connection = connect(display)
    assert resize.set_size(connection, 800, 600) == (800, 600)
    assert x11.screen_size(connection) == (800, 600)


@pytest.mark.parametrize("backend", SERVERS)
async def test_only_its_authority_file_opens_a_display(
    backend: str, open_display: Opener, runtime: Path
) -> None:
    display = await open_display(backend)
    assert display.authority is not None
    assert stat.S_IMODE(display.authority.stat().st_mode) == 0o600
    assert await shows_its_layout(display.environment)
    assert not await shows_its_layout({**display.environment, "XAUTHORITY": str(runtime / "other")})


async def shows_its_layout(variables: dict[str, str]) -> bool:
    """Whether a program of X's own gets in."""
    program = await asyncio.create_subprocess_exec(
        "setxkbmap", "-print", env={**os.environ, **variables}, stdout=-3, stderr=-3
    )
    return await program.wait() == 0


@pytest.mark.parametrize("backend", SERVERS)
async def test_no_secret_is_on_the_command_line(backend: str, open_display: Opener) -> None:
    display = await open_display(backend)
    assert display.pid is not None
    command = " ".join(psutil.Process(display.pid).cmdline())
    assert display.spec.cookie.hex() not in command
    assert " -ac" not in command


@pytest.mark.parametrize("backend", SERVERS)
async def test_a_stopped_display_leaves_no_trace(
    backend: str, open_display: Opener, runtime: Path
) -> None:
    display = await open_display(backend)
    number, pid = display.number, display.pid
    assert pid is not None
    await display.stop()
    assert not psutil.pid_exists(pid)
    assert not Path(LOCK.format(number)).exists()
    assert not Path(SOCKET.format(number)).exists()
    assert not list(runtime.glob("*.sock"))


@pytest.mark.parametrize("backend", SERVERS)
async def test_a_killed_display_is_noticed_and_leaves_no_trace(
    backend: str, open_display: Opener
) -> None:
    display = await open_display(backend)
    number, pid = display.number, display.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(display.crashed, 10) == -signal.SIGKILL
    await display.stop()
    assert not Path(LOCK.format(number)).exists()
    assert not Path(SOCKET.format(number)).exists()


async def test_a_restarted_display_keeps_its_number_and_cookie(
    open_display: Opener, connect: Callable[[Display], Any]
) -> None:
    first = await open_display("xvfb")
    number, cookie = first.number, first.spec.cookie
    await first.stop()
    second = await open_display("xvfb", number=number, cookie=cookie)
    assert second.number == number
    assert x11.screen_size(connect(second))


async def test_a_taken_number_gives_way_to_a_free_one(open_display: Opener, tmp_path: Path) -> None:
    first = await open_display("xvfb")
    second = await open_display("tigervnc", number=first.number, runtime=tmp_path)
    assert second.number != first.number


async def test_servers_that_number_their_extensions_differently(
    open_display: Opener, connect: Callable[[Display], Any], tmp_path: Path
) -> None:
    displays = [await open_display("xvfb"), await open_display("tigervnc", runtime=tmp_path)]
    watches = []
    for display in displays * 2:
        connection = connect(display)
        watches.append((connection, x11.DamageWatch(connection)))
    for connection, watch in watches:
        connection.screen().root.clear_area(0, 0, 10, 10)
        watch.take()
        root = connection.screen().root
        root.fill_rectangle(root.create_gc(foreground=123), 5, 6, 20, 30)
        assert x11.Rectangle(5, 6, 20, 30) in watch.take()
        while connection.pending_events():
            kinds = {type(connection.next_event()).__name__}
            assert kinds == {"DamageNotify"}


async def test_a_server_that_cannot_start_says_why(open_display: Opener) -> None:
    with pytest.raises(DisplayError, match="Xvfb did not start") as failure:
        await open_display("xvfb", programs={"xvfb": "/bin/false"})
    assert failure.value.remedy


async def test_a_missing_server_names_its_package(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(runtime))
    with pytest.raises(DisplayError) as failure:
        choose(DisplaySpec(backend="auto", runtime=runtime, width=800, height=600, environment={}))
    assert failure.value.remedy == "apt-get install tigervnc-standalone-server"


async def test_attaching_leaves_the_display_as_it_was(
    open_display: Opener, runtime: Path, connect: Callable[[Display], Any]
) -> None:
    owner = await open_display("xvfb")
    guest = await open_display("attach", attach_to=owner.name, authority=owner.authority)
    assert guest.environment == owner.environment
    await guest.stop()
    assert x11.screen_size(connect(owner))


async def test_an_attached_display_that_goes_counts_as_crashed(open_display: Opener) -> None:
    owner = await open_display("xvfb")
    guest = await open_display("attach", attach_to=owner.name, authority=owner.authority)
    await owner.stop()
    await asyncio.wait_for(guest.crashed, 10)


# --- RFB -----------------------------------------------------------------------------------------


def rfb_accepts(path: Path, password: str) -> bool:
    """Speak RFB 3.8 up to the result of VNC authentication (RFC 6143 sections 7.1 and 7.2)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        stream = client.makefile("rb")
        assert stream.read(12) == b"RFB 003.008\n"
        client.sendall(b"RFB 003.008\n")
        count = stream.read(1)[0]
        assert stream.read(count) == b"\x02"  # VNC authentication, and nothing else
        client.sendall(b"\x02")
        client.sendall(encipher(password.encode(), stream.read(16)))
        (result,) = struct.unpack(">I", stream.read(4))
        return bool(result == 0)


async def test_rfb_takes_the_password_of_the_moment(open_display: Opener) -> None:
    display = await open_display("tigervnc")
    assert display.rfb_path is not None
    first, second, watch = new_password(), new_password(), new_password()
    display.set_passwords(first, watch)
    assert await asyncio.to_thread(rfb_accepts, display.rfb_path, first)
    assert await asyncio.to_thread(rfb_accepts, display.rfb_path, watch)
    display.set_passwords(second, watch)
    assert not await asyncio.to_thread(rfb_accepts, display.rfb_path, first)
    assert await asyncio.to_thread(rfb_accepts, display.rfb_path, second)


async def test_rfb_lets_nobody_in_before_a_password_is_set(open_display: Opener) -> None:
    display = await open_display("tigervnc")
    assert display.rfb_path is not None
    assert not await asyncio.to_thread(rfb_accepts, display.rfb_path, "        ")
    assert stat.S_IMODE(display.rfb_path.stat().st_mode) == 0o600


async def test_rfb_on_a_loopback_port_only_where_asked_for(open_display: Opener) -> None:
    display = await open_display("tigervnc", rfb_port=True)
    assert display.pid is not None
    ports = psutil.Process(display.pid).net_connections("tcp")
    assert {(c.laddr.ip, c.laddr.port) for c in ports} <= {
        ("127.0.0.1", display.rfb_port),
        ("::1", display.rfb_port),
    }
    assert ports
    await display.stop()
    display = await open_display("tigervnc")
    assert display.pid is not None
    assert not psutil.Process(display.pid).net_connections("tcp")


def test_a_password_that_vnc_would_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 ASCII characters"):
        write_passwords(tmp_path / "p", "longer than eight", new_password())
