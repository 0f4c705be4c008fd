"""A session recorded, given files and seen again in the browser; nothing is fake.

The desktop shows a barcode that tells the time, the terminal prints it. Wherever one scrubs to,
both have to show the time of that place.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from earthshine.runner.desktops import capabilities
from tests.e2e.conftest import PHONE
from tests.e2e.pages import EarthshinePages
from tests.unit.runner.desktops import barcode
from tests.world import World, running_world, wait_for

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY, capabilities.TERMINAL)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
SCRIPT = f"""
{sys.executable} {barcode.__file__} 10 1000000 &
xterm -geometry 70x18+40+80 -e 'while sleep 0.2; do date +%T.%N; done' &
while read -t 0.2 line || true; do
  read up _ < /proc/uptime
  echo "tick $up $line"
  line=
done
"""
STATE = """([width, height]) => {
  const page = document.querySelector("es-replay-page");
  const video = page.querySelector("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const { player, line, terminal } = page;
  return {
    position: player.position, from: line.from, to: line.to, playing: player.playing,
    seeking: video.seeking || player.seeking,
    drawing: page.drawing || page.rewind !== undefined,
    pixels: Array.from(context.getImageData(0, 0, width, height).data),
    text: terminal.text(),
  };
}"""
DRAG = """() => {
  window.dropped = new DataTransfer();
  window.dropped.items.add(new File([new Uint8Array(3_000_000).fill(65)], "plan ü.txt"));
  window.drag = (type) => document.querySelector("es-session-page .stage").dispatchEvent(
    new DragEvent(type, { dataTransfer: window.dropped, bubbles: true, cancelable: true }));
  for (const type of ["dragenter", "dragover"]) window.drag(type);
}"""
DROP = "() => window.drag('drop')"
SPANS = "() => document.querySelector('es-replay-page').line.spans.map((s) => [s.from, s.to])"
TERMINAL_LATE = 900
"""Milliseconds, in the middle of all places looked at: the agent prints five times a second."""
PICTURE_LATE = 450
STARVED = 2500
"""At any one place: programs that draw and print may have to wait on a machine that is busy."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    runner = {
        "XDG_RUNTIME_DIR": runtime,
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
        "EARTHSHINE_RUNNER_RECORDING__PIECE_SECONDS": "1",
    }
    with running_world(tmp_path_factory.mktemp("replay"), runner=runner) as world:
        yield world
    shutil.rmtree(runtime)


class Replay:
    """The replay page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def state(self) -> dict[str, Any]:
        """The position, and what video and terminal show there."""
        told: dict[str, Any] = self.page.evaluate(STATE, [barcode.WIDTH, barcode.HEIGHT])
        return told

    def settled(self) -> dict[str, Any]:
        """Once the video has arrived where it was sent, and the terminal is drawn."""
        deadline = time.monotonic() + 10
        while True:
            told = self.state()
            if not told["seeking"] and not told["drawing"]:
                return told
            assert time.monotonic() < deadline, told["text"][-300:]
            time.sleep(0.05)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)


def picture(told: dict[str, Any]) -> int | None:
    pixels = np.array(told["pixels"], np.uint8).reshape(barcode.HEIGHT, barcode.WIDTH, 4)
    return barcode.read(pixels[:, :, 1])


def tick(told: dict[str, Any]) -> float:
    """The time that the terminal printed last, in milliseconds of CLOCK_MONOTONIC."""
    # What is typed meanwhile may stand in the middle of a line.
    return float(re.findall(r"^tick (\d+\.\d\d)\b", told["text"], re.MULTILINE)[-1]) * 1000


def check(told: dict[str, Any]) -> tuple[float | None, float]:
    """How late picture and terminal are at the position, in milliseconds.

    A barcode may be caught half drawn; then there is nothing to say of the picture.
    """
    at = told["position"] - (time.time() - time.monotonic()) * 1000
    printed = at - tick(told)
    assert -200 < printed < STARVED, f"the terminal is {printed:.0f} ms off"
    shown = picture(told)
    if shown is None:
        return None, printed
    half = barcode.MODULUS // 2
    late = (at - shown + half) % barcode.MODULUS - half
    assert abs(late) < STARVED, f"the picture is {late:.0f} ms off"
    return late, printed


@pytest.mark.timeout(180)
def test_record_send_files_and_see_it_again(
    page: Page, chromium: Browser, world: World, tmp_path: Path, shots: Path
) -> None:
    app = EarthshinePages(page, world.url)
    app.sign_in(world.sign_in_code())
    answer = world.api(
        "POST",
        "/sessions",
        {
            "agent": "command",
            "command": ["bash", "-c", SCRIPT],
            "title": "Mend the checkout form",
            "folder": str(tmp_path),
            "desktop": {"width": 800, "height": 500},
        },
    )
    session = answer["id"]
    world.wait_state(session, "running")
    page.goto(f"{world.url}/sessions/{session}")

    # Recording is begun in the browser, and seen.
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Record the desktop").click()
    expect(page.locator("es-session-bar .recorded")).to_contain_text("Rec")
    page.screenshot(path=shots / "session-recorded.png")

    # A file is dropped on the page.
    page.evaluate(DRAG)
    expect(page.locator("es-drop-zone .veil")).to_contain_text("Drop to send")
    page.screenshot(path=shots / "drop.png")
    page.evaluate(DROP)
    transfers = page.locator("es-drop-zone es-transfers")
    expect(transfers).to_contain_text("Copy its path")
    folder = world.root / "runner" / "files" / session
    assert (folder / "plan ü.txt").read_bytes() == b"A" * 3_000_000
    page.evaluate(DROP)  # once more: nothing is overwritten without saying
    expect(transfers).to_contain_text("already")
    page.screenshot(path=shots / "file-exists.png")
    transfers.get_by_role("button", name="Keep both").click()
    wait_for((folder / "plan ü (2).txt").exists, 10, "the second file")
    (folder / "made by the agent.log").write_text("all well\n")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Files").click()
    files = page.locator("es-files-dialog")
    expect(files).to_contain_text("made by the agent.log")
    page.screenshot(path=shots / "files.png")
    with page.expect_download() as download:
        files.get_by_role("link", name="Download made by the agent.log").click()
    assert download.value.path().read_text() == "all well\n"
    page.keyboard.press("Escape")

    world.api("POST", f"/sessions/{session}/prompt", {"text": "use the larger button"})
    recordings = f"/sessions/{session}/desktop/recordings"
    wait_for(
        lambda: sum(r["pieces"] for r in world.api("GET", recordings)["recordings"]) > 5,
        40,
        "pieces",
    )
    world.api("POST", f"/sessions/{session}/kill", {})
    world.wait_state(session, "exited")
    wait_for(
        lambda: not list((world.root / "runner" / "recordings").glob("*/*/*.piece")),
        20,
        "all fetched",
    )

    # Seen again, after its end.
    page.goto(f"{world.url}/sessions/{session}/replay")
    replay = Replay(page)
    page.locator("es-replay-line .slider").wait_for()
    begin = replay.settled()
    check(begin)
    expect(page.locator("es-replay-line .mark[data-kind=prompted]")).to_have_count(1)
    expect(page.locator("es-replay-line .mark[data-kind=exited]")).to_have_count(1)

    replay.press("Space")
    wait_for(lambda: replay.state()["position"] > begin["position"] + 1_500, 20, "it plays")
    replay.press("Space")
    played = replay.settled()
    assert not played["playing"]
    lates = [check(played)]

    slider = page.locator("es-replay-line .slider")
    box = slider.bounding_box()
    assert box is not None
    spans = page.evaluate(SPANS)
    length = begin["to"] - begin["from"]
    for share in (0.8, 0.3, 0.62, 0.1):  # there and back
        at = spans[0][0] + share * (spans[0][1] - spans[0][0])
        x = box["x"] + (at - begin["from"]) / length * box["width"]
        page.mouse.click(x, box["y"] + box["height"] * 0.6)
        told = replay.settled()
        assert abs(told["position"] - at) < length * 0.02 + 20
        lates.append(check(told))
    page.mouse.move(10, 10)
    page.screenshot(path=shots / "replay-wide.png")
    before = replay.state()["position"]
    replay.press("ArrowRight")
    assert replay.settled()["position"] == pytest.approx(min(before + 5_000, begin["to"]), abs=50)
    replay.press("ArrowUp")
    expect(page.locator("es-replay-keys .latest")).to_contain_text("wrote: use the larger button")
    page.screenshot(path=shots / "replay-mark.png")
    told = replay.settled()
    lates.append(check(told))
    print(f"\npicture and terminal are late by, in ms: {lates}")
    pictures = [late for late, _ in lates if late is not None]
    assert len(pictures) >= 4, "pictures that can be read"
    assert abs(np.median(pictures)) < PICTURE_LATE
    assert np.median([printed for _, printed in lates]) < TERMINAL_LATE

    # On a phone.
    context = chromium.new_context(
        viewport=PHONE,
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
        storage_state=page.context.storage_state(),
    )
    phone = context.new_page()
    phone.goto(f"{world.url}/sessions/{session}/replay")
    small = Replay(phone)
    phone.locator("es-replay-line .slider").wait_for()
    small.settled()
    target = phone.locator("es-replay-line .slider").bounding_box()
    assert target is not None
    phone.touchscreen.tap(target["x"] + target["width"] * 0.7, target["y"] + target["height"] / 2)
    small.settled()
    phone.screenshot(path=shots / "replay-phone.png")
    phone.set_viewport_size({"width": 844, "height": 390})
    small.settled()
    phone.screenshot(path=shots / "replay-phone-sideways.png")
    phone.set_viewport_size(PHONE)
    phone.goto(f"{world.url}/sessions/{session}")
    phone.locator("es-session-bar").wait_for()
    phone.get_by_role("button", name="More", exact=True).click()
    phone.get_by_role("menuitem", name="Files").click()
    phone.locator("es-files-dialog .row").first.wait_for()
    phone.screenshot(path=shots / "files-phone.png")
    context.close()
