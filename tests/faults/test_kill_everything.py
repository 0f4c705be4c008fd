"""Control plane, runner and network break at random while an agent prints; nothing may be lost.

The seed is printed; `EARTHSHINE_FAULT_SEED` repeats a run, `EARTHSHINE_FAULT_MB` changes its size.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.faults.network import BreakableNetwork
from tests.faults.printer import stream
from tests.world import World, free_port, wait_for

MEGABYTES = int(os.environ.get("EARTHSHINE_FAULT_MB", "52"))
SECONDS = 35
OUTPUT = 1
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Faults:
    """The ways in which things break, each repaired before the next."""

    def __init__(self, world: World, network: BreakableNetwork, dice: random.Random) -> None:
        self._world = world
        self._network = network
        self._dice = dice
        self.done: list[str] = []

    def strike(self) -> None:
        fault = self._dice.choice(
            [
                self.kill_control,
                self.stop_control,
                self.kill_runner,
                self.stop_runner,
                self.cut_network,
                self.stall_network,
                self.kill_both,
            ]
        )
        self.done.append(fault.__name__)
        fault()

    def _pause(self, longest: float) -> None:
        time.sleep(self._dice.random() * longest)

    def kill_control(self) -> None:
        self._world.control.stop(signal.SIGKILL)
        self._pause(1.5)
        self._world.start_control()

    def stop_control(self) -> None:
        self._world.control.stop(signal.SIGTERM)
        self._pause(1.0)
        self._world.start_control()

    def kill_runner(self) -> None:
        self._world.runners[0].stop(signal.SIGKILL)
        self._pause(1.5)
        self._world.runners[0].start()

    def stop_runner(self) -> None:
        self._world.runners[0].stop(signal.SIGTERM)
        self._pause(1.0)
        self._world.runners[0].start()

    def cut_network(self) -> None:
        self._network.cut()
        self._pause(1.0)
        self._network.restore()

    def stall_network(self) -> None:
        self._network.stall()
        self._pause(2.0)
        self._network.restore()

    def kill_both(self) -> None:
        self._world.control.stop(signal.SIGKILL)
        self._world.runners[0].stop(signal.SIGKILL)
        self._world.runners[0].start()
        self._world.start_control()


@pytest.mark.serial
@pytest.mark.faults
@pytest.mark.browser
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_whatever_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("EARTHSHINE_FAULT_SEED", time.time_ns() % 10**9))
    with capsys.disabled():  # whatever happens next, the seed is on the screen
        print(f"\nfault seed {seed}: {MEGABYTES} MB")
    dice = random.Random(seed)
    size = MEGABYTES * 10**6
    expected = stream(seed, size)
    port = free_port()
    with sync_playwright() as playwright, BreakableNetwork(port) as network:
        far_url = f"http://127.0.0.1:{network.port}"
        world = World(tmp_path, port=port, control={"EARTHSHINE_PUBLIC_URL": far_url})
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            world.start_control()
            world.runner(url=far_url).start()
            world.wait_runner()
            page = browser.new_page()
            page.goto(f"{world.url}/#sign-in={world.sign_in_code()}")
            wait_for(
                lambda: any(c["name"] == "earthshine_sign_in" for c in page.context.cookies()),
                15,
                "the browser is signed in",
            )
            printer = Path(__file__).with_name("printer.py")
            session = world.api(
                "POST",
                "/sessions",
                {
                    "agent": "command",
                    "command": [
                        sys.executable,
                        str(printer),
                        str(seed),
                        str(size),
                        str(SECONDS),
                    ],
                },
            )
            page.evaluate(Path(__file__).with_name("feed_client.js").read_text(), session["id"])
            faults = Faults(world, network, dice)
            begun = time.monotonic()
            while time.monotonic() - begun < SECONDS * 1.2:
                time.sleep(0.3 + dice.random() * 1.7)
                faults.strike()
            ended = wait_for(
                lambda: page.evaluate("feedClient.ended"), 120, "the browser has seen the end"
            )
            assert ended
            seen = _seen_by_browser(page)
            view = world.wait_state(session["id"], "exited")
            world.control.stop()
        finally:
            browser.close()
            world.close()
    counts = {name: faults.done.count(name) for name in sorted(set(faults.done))}
    with capsys.disabled():
        print(f"faults: {counts}; the browser connected {seen['opened']} times")
        print(f"entries {view['lastSeq']}, network connections {network.accepted}")
    digest = hashlib.sha256(expected).hexdigest()
    assert view["exitCode"] == 0
    assert (seen["bytes"], seen["sha256"]) == (size, digest)
    assert seen["holes"] == []
    assert seen["gaps"] == []
    assert seen["duplicates"] == 0
    _check_database(world.state / "earthshine.db", session["id"], size, digest)
    assert network.accepted > 1, "the network was never used again after a break"
    assert "Traceback" not in world.control.output()
    assert "Traceback" not in world.runners[0].output()


def _seen_by_browser(page: Page) -> dict[str, object]:
    seen: dict[str, object] = page.evaluate(
        """async () => {
          const whole = new Uint8Array(await new Blob(feedClient.chunks).arrayBuffer());
          const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
          const {bytes, duplicates, holes, gaps, opened, closes} = feedClient;
          const sha256 = [...hash].map((b) => b.toString(16).padStart(2, "0")).join("");
          return {bytes, duplicates, holes, gaps, opened, closes, sha256};
        }"""
    )
    return seen


def _check_database(path: Path, session_id: str, size: int, digest: str) -> None:
    with sqlite3.connect(path) as database:
        rows = database.execute(
            "SELECT seq, kind, data FROM events WHERE session_id = ? ORDER BY seq", (session_id,)
        )
        hash_, count, expected_seq = hashlib.sha256(), 0, 1
        for seq, kind, data in rows:
            assert seq == expected_seq
            expected_seq += 1
            if kind == OUTPUT:
                hash_.update(data)
                count += len(data)
    assert (count, hash_.hexdigest()) == (size, digest)
