"""The run: each contender, each scene, in the same Chromium."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from Xlib import X, display

from benchmarks.desktop import page as looking
from benchmarks.desktop.contenders import (
    CONTENDERS,
    HEIGHT,
    MARK,
    ROOT,
    WIDTH,
    Contender,
    MissingError,
)
from tests.e2e import barcode

SCENES = ("typing", "scrolling", "motion")
SECONDS = 10.0
PAUSE = 1.0
"""Seconds of stillness that a scene begins with: no contender says when its last repair is sent."""
FRESH = 0.5
"""Seconds that the scene runs before the page is loaded again: the load is timed amid changes."""
SETTLE = 3.0
"""After a scene, for its last frame and for exact pixels."""
VIEW = (1480, 900)
"""Of the browser's window: the desktop at its own size fits beside a user interface."""
CHROMIUM = "/usr/bin/chromium"


def run(seconds: float = SECONDS, visits: int = 5) -> dict[str, Any]:
    """Every contender that is on this machine; `missing` says which are not, and why."""
    found: dict[str, Any] = {"size": [WIDTH, HEIGHT], "seconds": seconds, "contenders": {}}
    found["missing"] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        found["chromium"] = browser.version
        text = Path(folder) / "text"
        text.write_bytes(_text(browser).tobytes())
        for number, (name, start) in enumerate(CONTENDERS.items()):
            home = Path(folder) / str(number)
            home.mkdir()
            try:
                with start(home) as contender:
                    print(f"  {name}", file=sys.stderr, flush=True)
                    found["contenders"][name] = _contend(browser, contender, text, seconds, visits)
            except MissingError as error:
                found["missing"][name] = str(error)
        browser.close()
    return found


def quick() -> dict[str, Any]:
    """Short scenes, few visits."""
    return run(3.0, 2)


class Scene:
    """The scene's program, on a contender's display."""

    def __init__(self, environment: dict[str, str], text: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if k != MARK}
        kept["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
        self.environment = environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.desktop.scene", str(text), str(WIDTH), str(HEIGHT)],
            env=kept | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def begin(self, name: str, seconds: float) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{name} {seconds}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, int]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the scene has ended")
        told: dict[str, int] = json.loads(line)
        return told

    def pixels(self) -> bytes:
        """What stands on the display now, as RGBX rows without those of the barcode."""
        before = {key: os.environ.get(key) for key in self.environment}
        os.environ.update(self.environment)
        try:
            connection = display.Display()
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
        root = connection.screen().root
        rows = []
        for top in range(barcode.BLOCK, HEIGHT, 40):
            height = min(40, HEIGHT - top)
            rows.append(root.get_image(0, top, WIDTH, height, X.ZPixmap, 0xFFFFFFFF).data)
        connection.close()
        pixels = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 4)
        return pixels[:, [2, 1, 0, 3]].tobytes()

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


def _text(browser: Browser) -> np.ndarray:
    """Text with smooth edges, as browsers draw it: rows of BGRX, three screens tall."""
    shown = browser.new_page(viewport={"width": WIDTH, "height": 3 * HEIGHT})
    shown.goto(Path(__file__).with_name("text.html").as_uri())
    picture = shown.screenshot()
    shown.close()
    decoder = av.CodecContext.create("png", "r")
    frame = decoder.decode(av.Packet(picture))[0]
    return np.ascontiguousarray(frame.to_ndarray(format="bgra"))


def _contend(
    browser: Browser, contender: Contender, text: Path, seconds: float, visits: int
) -> dict[str, Any]:
    scene = Scene(contender.environment, text)
    exact = scene.pixels()
    context = browser.new_context(viewport={"width": VIEW[0], "height": VIEW[1]})
    looking.watch(context)
    try:
        page, opened = _open(context, contender, scene)
        looking.refer(page, exact)
        scenes = {name: _play(page, contender, scene, name, seconds) for name in SCENES}
        refreshed = [_refresh(page, scene) for _ in range(visits)]
        return {"scenes": scenes, "opened_ms": opened, "refreshed_ms": refreshed}
    finally:
        context.close()
        scene.end()


def _open(context: BrowserContext, contender: Contender, scene: Scene) -> tuple[Page, int]:
    """The first visit warms the browser's cache and signs in; the second one is measured."""
    page = context.new_page()
    scene.begin("ticking", 6)
    contender.open(page)
    looking.wait_current(page, 0)
    scene.answer()
    scene.begin("ticking", 6)
    again = context.new_page()
    began = barcode.now()
    again.goto(page.url, wait_until="commit")
    opened = looking.wait_current(again, began) - began
    scene.answer()
    page.close()
    return again, opened


def _refresh(page: Page, scene: Scene) -> int:
    """Milliseconds from asking for it until a picture drawn since is shown."""
    scene.begin("ticking", 4)
    time.sleep(FRESH)
    began = barcode.now()
    page.reload(wait_until="commit")
    took = looking.wait_current(page, began) - began
    scene.answer()
    return took


def _play(
    page: Page, contender: Contender, scene: Scene, name: str, seconds: float
) -> dict[str, Any]:
    time.sleep(PAUSE)
    looking.begin(page)
    processes, sent, clock = _cpu(contender), _sent(contender.port), time.monotonic()
    scene.begin(name, seconds)
    told = scene.answer()
    looking.ended(page, told["last"])
    spent = _cpu(contender) - processes
    took = time.monotonic() - clock
    carried = _sent(contender.port) - sent
    page.wait_for_timeout(SETTLE * 1000)
    found = looking.found(page)
    seen = dict(found["seen"])
    last, exact = seen.pop(told["last"], None), found["exact"]
    delays = sorted(at - value for value, at in seen.items())
    return {
        "frames_drawn": told["frames"],
        "frames_seen": len(delays),
        "delay_p50_ms": statistics.median(delays) if delays else None,
        "delay_p95_ms": delays[len(delays) * 95 // 100] if delays else None,
        "last_frame_ms": None if last is None else last - told["last"],
        "exact_ms": None if exact is None else exact - told["last"],
        "inexact_pixels": found["off"],
        "settled_kB": round((_sent(contender.port) - sent - carried) / 1000),
        "kB_s": round(carried / took / 1000, 1),
        "cores": round(spent / took, 3),
    }


def _sent(port: int) -> int:
    """Bytes that everything connected to `port` was sent."""
    told = subprocess.run(
        ["ss", "-tinH", "state", "established", f"( sport = :{port} )"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return sum(
        int(part.removeprefix("bytes_sent:"))
        for part in told.split()
        if part.startswith("bytes_sent:")
    )


def _cpu(contender: Contender) -> float:
    """Seconds that the contender's processes have used, with those they started."""
    known: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _belongs(process, contender.folder):
            known[process.pid] = process
            for child in _children(process):
                known[child.pid] = child
    return sum(map(_seconds, known.values()))


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        marked = process.environ().get(MARK) == str(folder)
        return marked or any(str(folder) in part for part in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
