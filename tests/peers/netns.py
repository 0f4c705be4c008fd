"""A runner behind NAT, for real: Linux network namespaces, veth pairs and nftables.

    with nat_world() as net:
        serve_on(net.control_address)                  # in this process, on the host
        runner = net.runner_ns.popen(["earthshine", "runner", ...])
        net.cut()                                      # packets vanish, as on a dead network
        net.restore()

The host (where the test and the control plane run) has `control_address`. Between it and the
runner's namespace stands a router that masquerades: the runner reaches the control plane, nothing
reaches the runner. `delay_ms` adds that much to each direction, by netem where the kernel has it,
else by a pair of TUN devices with a thread between them (tens of MB/s at most).

Needs root, iproute2 and nftables; `why_not()` says what is missing. Everything made here is removed
at the end, and what an earlier, killed run left behind is removed at the start.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import re
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_serial = itertools.count()
_NAME = re.compile(r"es-(\d+)-\d+-(nat|run)")
STOP_SECONDS = 5.0


class NetnsError(Exception):
    """A command failed while the network was built."""


def sh(*argv: str, check: bool = True) -> str:
    """Run a command of iproute2 or nftables; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise NetnsError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def why_not() -> str | None:
    """Why network namespaces cannot be used here, or None if they can."""
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian packages iproute2, nftables)"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    name = f"es-{os.getpid()}-{next(_serial)}-nat"
    try:
        sh("ip", "netns", "add", name)
        try:
            sh("ip", "netns", "exec", name, "nft", "add", "table", "ip", "probe")
        finally:
            sh("ip", "netns", "del", name, check=False)
    except NetnsError as error:
        return f"network namespaces are not permitted here: {error}"
    return None


class Namespace:
    """A network namespace; `popen` starts programs in it, and they end with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started: list[subprocess.Popen[Any]] = []

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in here; it keeps its process id."""
        return ["ip", "netns", "exec", self.name, *argv]

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Like subprocess.Popen."""
        process = subprocess.Popen(self.argv(argv), **options)
        self._started.append(process)
        return process

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Like subprocess.run."""
        return subprocess.run(self.argv(argv), check=options.pop("check", False), **options)

    def ip(self, *arguments: str) -> str:
        """`ip` in this namespace."""
        return sh("ip", "-n", self.name, *arguments)

    def stop(self) -> None:
        """End what was started here, by process id."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        self._started.clear()


class NatWorld:
    """The host, a router with NAT, and the runner's namespace behind it."""

    def __init__(self, nat_ns: Namespace, runner_ns: Namespace, net: int) -> None:
        self.nat_ns = nat_ns
        self.runner_ns = runner_ns
        self.control_address = f"198.18.{net}.1"
        """Where the runner reaches the host. Bind the control plane to it, or to all addresses."""
        self.nat_address = f"198.18.{net}.2"
        """What the control plane sees as the runner's address."""
        self.runner_address = f"10.77.{net}.2"
        """The runner's own; not reachable from the host."""
        self._delay: _DelayLink | None = None
        self._netem: list[tuple[str | None, str]] = []

    def cut(self) -> None:
        """Drop everything between runner and control plane, without telling either."""
        self._nft("add chain inet es cut { type filter hook forward priority -10; policy drop; }")

    def restore(self) -> None:
        """Undo `cut`; connections that were open go on if they still live."""
        self._nft("delete chain inet es cut")

    def set_delay(self, ms: float) -> None:
        """Milliseconds added to each direction; only where `nat_world` was given a delay."""
        if self._delay is not None:
            self._delay.seconds = ms / 1000
            return
        if not self._netem:
            raise NetnsError("this network was made without a delay")
        for namespace, device in self._netem:
            where = ["-n", namespace] if namespace else []
            sh("tc", *where, "qdisc", "replace", "dev", device, "root", "netem",
               "delay", f"{ms}ms", "limit", "100000")  # fmt: skip

    def _nft(self, command: str) -> None:
        sh("ip", "netns", "exec", self.nat_ns.name, "nft", command)


@contextlib.contextmanager
def nat_world(*, delay_ms: float = 0.0) -> Iterator[NatWorld]:
    """Build the network; see the module's text. Raises NetnsError."""
    _sweep()
    serial = next(_serial)
    prefix = f"es-{os.getpid()}-{serial}"
    net = _free_net(serial)
    nat, runner = Namespace(f"{prefix}-nat"), Namespace(f"{prefix}-run")
    world = NatWorld(nat, runner, net)
    outside = f"es{os.getpid() % 100000}o{serial}"
    try:
        for namespace in (nat, runner):
            sh("ip", "netns", "add", namespace.name)
            namespace.ip("link", "set", "lo", "up")
        _outside_link(world, outside, net, delay_ms)
        # Else the host would look for it by its default route, where anybody may answer.
        sh("ip", "route", "replace", "unreachable", f"10.77.{net}.0/24")
        sh("ip", "link", "add", "in0", "netns", nat.name, "type", "veth",
           "peer", "name", "eth0", "netns", runner.name)  # fmt: skip
        nat.ip("addr", "add", f"10.77.{net}.1/24", "dev", "in0")
        nat.ip("link", "set", "in0", "up")
        runner.ip("addr", "add", f"{world.runner_address}/24", "dev", "eth0")
        runner.ip("link", "set", "eth0", "up")
        runner.ip("route", "add", "default", "via", f"10.77.{net}.1")
        nat.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
        for command in (
            "add table inet es",
            "add chain inet es out { type nat hook postrouting priority 100; }",
            "add rule inet es out oifname out0 masquerade",
            "add chain inet es pass { type filter hook forward priority 0; policy drop; }",
            "add rule inet es pass ct state established,related accept",
            "add rule inet es pass iifname in0 oifname out0 accept",
        ):
            world._nft(command)
        yield world
    finally:
        runner.stop()
        nat.stop()
        if world._delay is not None:
            world._delay.close()
        sh("ip", "link", "del", outside, check=False)
        sh("ip", "route", "del", "unreachable", f"10.77.{net}.0/24", check=False)
        for namespace in (runner, nat):
            sh("ip", "netns", "del", namespace.name, check=False)


def _outside_link(world: NatWorld, outside: str, net: int, delay_ms: float) -> None:
    """Between the host and the router: `outside` here, `out0` there."""
    nat = world.nat_ns
    if delay_ms and not _has_netem():
        world._delay = _DelayLink(outside, nat, delay_ms / 1000)
    else:
        sh("ip", "link", "add", outside, "type", "veth",
           "peer", "name", "out0", "netns", nat.name)  # fmt: skip
    sh("ip", "addr", "add", f"{world.control_address}/30", "dev", outside)
    sh("ip", "link", "set", outside, "up")
    nat.ip("addr", "add", f"{world.nat_address}/30", "dev", "out0")
    nat.ip("link", "set", "out0", "up")
    if delay_ms and world._delay is None:
        world._netem = [(None, outside), (nat.name, "out0")]
        world.set_delay(delay_ms)


def _has_netem() -> bool:
    name = f"es{os.getpid() % 100000}p{next(_serial)}"
    try:
        sh("ip", "link", "add", name, "type", "dummy")
    except NetnsError:
        return False
    try:
        sh("tc", "qdisc", "add", "dev", name, "root", "netem", "delay", "1ms")
    except NetnsError:
        return False
    finally:
        sh("ip", "link", "del", name, check=False)
    return True


def _free_net(serial: int) -> int:
    taken = sh("ip", "-4", "addr", "show")
    for offset in range(250):
        net = (os.getpid() + serial + offset) % 250 + 1
        if f"198.18.{net}." not in taken:
            return net
    raise NetnsError("no free network in 198.18.0.0/16")


def _sweep() -> None:
    """Remove what a run that was killed has left."""
    for line in sh("ip", "netns", "list", check=False).splitlines():
        match = _NAME.match(line)
        if match and not Path(f"/proc/{match[1]}").exists():
            sh("ip", "netns", "del", match[0], check=False)


class _DelayLink:
    """Two TUN devices, one in each namespace, and a thread that passes packets on later."""

    _TUNSETIFF = 0x400454CA
    _IFF_TUN_NO_PI = 0x0001 | 0x1000
    MAX_PACKETS = 20_000

    def __init__(self, outside: str, nat: Namespace, seconds: float) -> None:
        self.seconds = seconds
        self._ends = [self._open(outside), self._open(f"{outside}x")]
        sh("ip", "link", "set", f"{outside}x", "netns", nat.name, "name", "out0")
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="delay-link", daemon=True)
        self._thread.start()

    def _open(self, name: str) -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, self._TUNSETIFF, struct.pack("16sH", name.encode(), self._IFF_TUN_NO_PI))
        return fd

    def _run(self) -> None:
        poll = select.epoll()
        for fd in (*self._ends, self._stop):
            poll.register(fd, select.EPOLLIN)
        waiting: list[tuple[float, int, int, bytes]] = []
        order = itertools.count()
        while True:
            timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else -1
            ready = {fd for fd, _ in poll.poll(timeout)}
            if self._stop in ready:
                return
            for fd in ready:
                to = self._ends[1] if fd == self._ends[0] else self._ends[0]
                with contextlib.suppress(OSError):  # nothing more to read, or the device is down
                    while len(waiting) < self.MAX_PACKETS:
                        packet = os.read(fd, 65536)
                        due = time.monotonic() + self.seconds
                        heapq.heappush(waiting, (due, next(order), to, packet))
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, to, packet = heapq.heappop(waiting)
                with contextlib.suppress(OSError):
                    os.write(to, packet)

    def close(self) -> None:
        """End the thread and remove the devices."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for fd in (*self._ends, self._stop):
            os.close(fd)
