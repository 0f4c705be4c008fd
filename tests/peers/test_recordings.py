"""A desktop recorded from end to end, and files sent and fetched; all processes are real.

The agent draws a barcode that shows the time. What was recorded across a cut network and a killed
runner is decoded again, and each picture's own time compared with where the recording has it.
"""

from __future__ import annotations

import io
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from earthshine.runner.desktops import capabilities
from tests.faults.network import BreakableNetwork
from tests.unit.runner.desktops import barcode
from tests.world import World, free_port, wait_for

av = pytest.importorskip("av", reason="PyAV reads the recordings back")
MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
pytestmark = [pytest.mark.pair, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]
SCRIPT = f"""
echo "$EARTHSHINE_FILES" > where
{sys.executable} {barcode.__file__} 10 1000000 &
while sleep 0.5; do date; done
"""
SETTINGS = {
    "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
    "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
    "EARTHSHINE_RUNNER_RECORDING__PIECE_SECONDS": "1",
    "EARTHSHINE_RUNNER_FILES__MAX_FILE": str(64 * 1024**2),
}
LATE = 250
"""Milliseconds that a picture may be off its time: capturing takes a frame or two. Beside other
work some come later; nine in ten must not."""
CUT_PIECES = 4
"""Seconds, at least, for which the network is cut."""
GAP = 2500
"""Milliseconds without a picture: what is above means that a piece is missing."""
LOST = 4000
"""What a killed runner may lose: the piece that it was writing, and what was on its way there."""


class Scene:
    """A world behind a network that can be cut, and a session with a desktop in it."""

    def __init__(self, world: World, network: BreakableNetwork, session: str, folder: Path) -> None:
        self.world = world
        self.network = network
        self.session = session
        self.folder = folder

    def recordings(self) -> dict[str, Any]:
        told: dict[str, Any] = self.world.api("GET", f"/sessions/{self.session}/desktop/recordings")
        return told

    def record(self, *, on: bool) -> dict[str, Any]:
        state: dict[str, Any] = self.world.api(
            "POST", f"/sessions/{self.session}/desktop/recording", {"on": on}
        )
        return state

    def pieces(self) -> int:
        return sum(one["pieces"] for one in self.recordings()["recordings"])

    def url(self, path: str) -> str:
        return f"{self.world.url}/api/v1/sessions/{self.session}{path}"

    @property
    def waiting(self) -> list[Path]:
        """What the runner still has."""
        return list((self.world.root / "runner" / "recordings").glob("*/*/*.piece"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("recordings")
    folder = root / "work"
    folder.mkdir()
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    port = free_port()
    with BreakableNetwork(port) as network:
        far = f"http://127.0.0.1:{network.port}"
        world = World(root, port=port, control={"EARTHSHINE_PUBLIC_URL": far})
        try:
            world.start_control()
            world.runner("runner", far, (), XDG_RUNTIME_DIR=runtime, **SETTINGS).start()
            world.wait_runner()
            answer = world.api(
                "POST",
                "/sessions",
                {
                    "agent": "command",
                    "command": ["bash", "-c", SCRIPT],
                    "folder": str(folder),
                    "desktop": {"width": 640, "height": 480, "record": True},
                },
            )
            world.wait_state(answer["id"], "running")
            yield Scene(world, network, answer["id"], folder)
        finally:
            world.close()
            shutil.rmtree(runtime)


def pictures(file: bytes) -> list[tuple[int, int]]:
    """Of each picture its place in the file, and the time that it shows, in milliseconds."""
    found = []
    with av.open(io.BytesIO(file)) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            shown = barcode.read(rows[: frame.height, : frame.width])
            if shown is not None:
                found.append((round(float(frame.time) * 1000), shown))
    return found


def milliseconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000


@pytest.mark.timeout(120)
def test_what_is_recorded_arrives_whole_whatever_breaks(scene: Scene) -> None:
    world = scene.world
    assert world.session(scene.session)["recorded"]["by"] == "owner"
    wait_for(lambda: scene.pieces() >= 2, 30, "pieces of a recording")

    scene.network.cut()  # the display, and its recording, go on
    wait_for(lambda: len(scene.waiting) >= CUT_PIECES, 20, "pieces that wait")
    cut = time.time() * 1000
    scene.network.restore()
    wait_for(lambda: not scene.waiting, 30, "all fetched after the cut")

    before = scene.pieces()
    world.runners[0].stop(signal.SIGKILL)
    killed = time.time() * 1000
    world.runners[0].start()
    world.wait_runner()
    wait_for(lambda: scene.pieces() > before + 2, 30, "it goes on with the next runner")
    assert world.session(scene.session)["recorded"] is not None

    assert scene.record(on=False)["on"] is False
    wait_for(lambda: not scene.waiting, 30, "all fetched")
    assert world.session(scene.session)["recorded"] is None
    told = scene.recordings()
    assert told["state"]["on"] is False
    assert len(told["recordings"]) == 2, "another one begins with another runner"

    ahead = time.time() * 1000 - time.monotonic() * 1000  # from the barcode's clock to ours
    errors: list[float] = []
    for one in told["recordings"]:
        path = f"/desktop/recordings/{one['id']}?pieces={one['pieces']}"
        answer = httpx.get(scene.url(path), headers=world.headers)
        assert answer.headers["content-type"] == "video/mp4"
        assert len(answer.content) == int(answer.headers["content-length"]) > one["size"]
        began = milliseconds(one["startedAt"])
        shown = pictures(answer.content)
        assert len(shown) > 10
        errors += [
            (began + at - ahead - time_shown + barcode.MODULUS // 2) % barcode.MODULUS
            - barcode.MODULUS // 2
            for at, time_shown in shown
        ]
        gaps = [after - at for (at, _), (after, _) in itertools.pairwise(shown)]
        assert max(gaps) < GAP, "nothing is missing, also not while the network was cut"
        assert abs(one["duration"] - shown[-1][0]) < 2000
        seqs = [place["seq"] for place in one["index"]]
        assert seqs == sorted(seqs)
        assert seqs[-1] > seqs[0]
    first = told["recordings"][0]
    began, length = milliseconds(first["startedAt"]), first["duration"]
    assert began < cut < began + length
    assert killed - (began + length) < LOST, "a killed runner loses a second or two"
    late = [error for error in errors if not -LATE < error < LATE]
    print(
        f"\n{len(errors)} pictures, {np.median(errors):.0f} ms from their times "
        f"(at most {max(map(abs, errors)):.0f}); lost {killed - began - length:.0f} ms to the kill"
    )
    assert len(late) < len(errors) // 10, late


def test_files_come_and_go(scene: Scene) -> None:
    world = scene.world
    where = Path((scene.folder / "where").read_text().strip())
    content = os.urandom(20 * 1024**2 + 17)
    headers = {**world.headers, "Content-Type": "application/octet-stream"}
    answer = httpx.put(scene.url("/files/a b%20ü.bin"), content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "a b ü.bin"
    assert (where / "a b ü.bin").read_bytes() == content
    again = httpx.put(scene.url("/files/a b ü.bin"), content=b"x", headers=headers)
    assert again.status_code == 409
    assert "Replace" in again.json()["remedy"]
    replaced = httpx.put(
        scene.url("/files/a b ü.bin"), params={"replace": True}, content=b"new", headers=headers
    )
    assert replaced.status_code == 201
    (where / "made-by-the-agent").write_bytes(content)
    (where / "link").symlink_to("/etc/passwd")
    listed = httpx.get(scene.url("/files"), headers=world.headers).json()
    assert [one["name"] for one in listed["files"]] == ["a b ü.bin", "made-by-the-agent"]
    assert listed["unlisted"] == 1
    assert listed["folder"] == str(where)
    fetched = httpx.get(scene.url("/files/made-by-the-agent"), headers=world.headers)
    assert fetched.content == content
    assert fetched.headers["content-disposition"].startswith("attachment")
    assert httpx.get(scene.url("/files/link"), headers=world.headers).status_code == 404
    large = httpx.put(
        scene.url("/files/large"), content=bytes(64 * 1024**2 + 1), headers=headers, timeout=30
    )
    assert large.status_code == 422, large.text
    assert "64 MiB" in large.json()["detail"]
    records = world.api("GET", f"/sessions/{scene.session}/audit")["records"]
    told = [(one["kind"], one["details"]) for one in records if one["kind"].startswith("file-")]
    assert told == [
        ("file-downloaded", {"name": "made-by-the-agent", "size": len(content)}),
        ("file-uploaded", {"name": "a b ü.bin", "size": 3}),
        ("file-uploaded", {"name": "a b ü.bin", "size": len(content)}),
    ]


def test_an_upload_that_breaks_off_leaves_nothing(scene: Scene) -> None:
    where = Path((scene.folder / "where").read_text().strip())
    before = {entry.name for entry in where.iterdir()}

    def unfinished() -> list[Path]:
        return list(where.glob(".earthshine-*"))

    def body() -> Iterator[bytes]:
        yield bytes(1024**2)
        wait_for(unfinished, 10, "the file is on its way")
        raise RuntimeError("the sender dies")

    headers = {
        **scene.world.headers,
        "Content-Type": "application/octet-stream",
        "Content-Length": str(8 * 1024**2),
    }
    with pytest.raises(RuntimeError):
        httpx.put(scene.url("/files/half"), content=body(), headers=headers)
    wait_for(lambda: not unfinished(), 10, "nothing is left")
    assert {entry.name for entry in where.iterdir()} == before
