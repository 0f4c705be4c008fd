"""Host, bad network and viewer as three processes, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.world import free_port, wait_for

ROOT = Path(__file__).parents[1]
PIN = "4321"

CODECS = ("H264", "HEVC", "AV1")
ENCRYPTIONS = {"none": (0, 0), "control": (7, 0), "all": (7, 7)}
"""name -> (what the host offers, what the client wants)"""
NETWORKS: dict[str, dict[str, float]] = {
    "clean": {},
    "2 % lost": {"loss": 0.02},
    "5 % lost": {"loss": 0.05},
    "reordered": {"reorder": 0.1},
    "doubled": {"duplicate": 0.1},
}
BLOCKS = {
    1: {"app": 7, "fps": 30, "kbps": 4000, "packet_size": 1392, "pictures": 24},
    4: {"app": 9, "fps": 6, "kbps": 10_000, "packet_size": 160, "pictures": 9},
}
"""Small packets make four blocks of a frame that is not so large."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


class HostProcess:
    """`tests.moonlight_world` as a process; it types `PIN` for whoever wants to pair.

    ``module``: another program that takes the same arguments.
    """

    def __init__(
        self, root: Path, *, module: str = "tests.moonlight_world", **options: Any
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.port = free_port()
        self.input_file = root / "input"
        ready = root / "ready"
        ready.unlink(missing_ok=True)
        arguments = {
            "state_dir": str(root / "host"),
            "port": self.port,
            "ready_file": str(ready),
            "input_file": str(self.input_file),
            "pin": PIN,
            **options,
        }
        self.log = root / "host.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(arguments)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        wait_for(ready.exists, 60, lambda: f"the host listens: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(30) == 0, self.log.read_text()[-3000:]
        finally:
            self.process.kill()
            self.process.wait()

    def input(self) -> list[str]:
        return self.input_file.read_text().splitlines() if self.input_file.exists() else []


@contextmanager
def running_host(root: Path, **options: Any) -> Iterator[HostProcess]:
    host = HostProcess(root, **options)
    try:
        yield host
    finally:
        host.stop()


class Talker:
    """A process that answers each line of JSON with one."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                text=True,
            )
        self._hear()

    def __call__(self, **said: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()[-3000:]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


@dataclass(frozen=True)
class Case:
    """One row of the matrix."""

    codec: str
    encryption: str
    rtsp: str
    blocks: int
    network: str

    def __str__(self) -> str:
        return f"{self.codec}, {self.encryption}, {self.rtsp}, {self.blocks}, {self.network}"


ALL_CASES = [
    Case(*values)
    for values in itertools.product(CODECS, ENCRYPTIONS, ("plain", "encrypted"), BLOCKS, NETWORKS)
]


class Arena:
    """Two hosts (one that offers no encryption), each behind a network, each with a viewer."""

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        self._wires: dict[int, tuple[Talker, Talker]] = {}
        for offered in (0, 7):
            folder = root / str(offered)
            host = stack.enter_context(
                running_host(folder, codecs=list(CODECS), noise=True, encryption=offered)
            )
            network = Talker(folder / "relay.log", "tests.moonlight_relay", str(host.port))
            stack.callback(network.stop)
            viewer = Talker(
                folder / "viewer.log",
                "tests.moonlight_viewer",
                str(folder),
                "127.0.0.2",
                str(host.port),
                PIN,
            )
            stack.callback(viewer.stop)
            self._wires[offered] = (network, viewer)

    @staticmethod
    def _size(case: Case) -> dict[str, int]:
        found = dict(BLOCKS[case.blocks])
        if case.blocks == 4 and case.encryption == "all":
            found["packet_size"] += 32  # encryption takes that much from each packet
        return found

    def run(self, case: Case) -> dict[str, Any]:
        offered, wanted = ENCRYPTIONS[case.encryption]
        network, viewer = self._wires[offered]
        network(**NETWORKS[case.network])
        try:
            return viewer(
                codec=case.codec,
                encryption=wanted,
                plain_rtsp=case.rtsp == "plain",
                quit=True,
                seconds=30,
                **self._size(case),
            )
        finally:
            network()


@contextmanager
def running_arena(root: Path) -> Iterator[Arena]:
    with contextlib.ExitStack() as stack:
        yield Arena(root, stack)


# SVT-AV1 leaves blocks of its own picture stale now and then, network or not.
TOLERATED_UNREADABLE = {"H264": 0.0, "HEVC": 0.0, "AV1": 0.25}


def faults(case: Case, found: dict[str, Any]) -> list[str]:
    """What was not as promised; empty if all was."""
    figures = found["figures"]
    encryption = {"none": 0, "control": 1, "all": 7}[case.encryption]
    wrong = {
        "too few pictures": not found["enough"],
        "unreadable clocks": found["unreadable"]
        > found["pictures"] * TOLERATED_UNREADABLE[case.codec],
        "pictures out of order": not found["in_order"],
        "another codec": found["codec"] != case.codec,
        "another encryption": found["encryption"] != encryption,
        "another RTSP": found["encrypted_rtsp"] != (case.rtsp == "encrypted"),
        "decoding failed": found["decode_failures"] > 0,
        "packets that cannot be": figures["refused_packets"] > 0,
        "frames too small for four blocks": case.blocks == 4
        and found["largest_frame"] < 3 * 212 * (found["packet_size"] - 16),
        "nothing was recovered": "lost" in case.network
        and case.blocks == 4
        and not figures["recovered_packets"],
    }
    return [words for words, is_so in wrong.items() if is_so]
