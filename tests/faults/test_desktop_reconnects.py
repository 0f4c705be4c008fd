"""Everything between a desktop and the page that shows it breaks at random; the picture comes back.

Real processes, a real browser. The desktop draws the time; after each fault the canvas must show
the current time soon after a connection is possible again, and it is never black. Twelve faults
always; two hundred with EARTHSHINE_TEST_LONG=1. The seed is printed; `EARTHSHINE_FAULT_SEED`
repeats a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, sync_playwright

from earthshine.runner.desktops import capabilities
from tests.e2e import barcode
from tests.e2e.barcode import PERIOD
from tests.e2e.conftest import CHROMIUM, WIDE
from tests.e2e.desktop_page import SEEN, DesktopPage
from tests.e2e.pages import EarthshinePages
from tests.faults.network import BreakableNetwork
from tests.world import DESKTOP_HOLDER, World, free_port, wait_for

MISSING = [
    part.detail
    for role in (capabilities.DISPLAY,)
    if not (part := capabilities.first(capabilities.programs(), role)).available
]
LONG = "EARTHSHINE_TEST_LONG" in os.environ
EMPTIES = "the display is killed"
"""A new one is black in truth until the first program has drawn on it again."""
STEPS = 200 if LONG else 12
WITHIN = 1.0 if LONG else 3.0
"""Seconds in which the current picture comes back: well under one, on a machine of its own."""
AFTERWARDS = 0.5
"""Seconds for which the canvas is watched after that."""
OLD_MS = 1000
"""A picture older than this is not the current one."""
LOOK_MS = 40
PATIENCE = 40.0
STARTS = 180.0
"""Seconds that the control plane may take to start where all tests share the machine."""
ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("EARTHSHINE_FAULT_SEED", time.time_ns() % 10**9))
WATCH = f"""
  // Does the canvas show a time, and how old is it?
  (() => {{
    const read = {barcode.READ};
    window.looks = [];
    window.shown = () => read({SEEN});
    const look = () => {{
      const seen = window.shown();
      const old = seen === null ? null : (Date.now() % {PERIOD} - seen + {PERIOD}) % {PERIOD};
      window.looks.push([Date.now() / 1000, old]);
    }};
    setInterval(look, {LOOK_MS});
  }})();
"""
Looks = list[tuple[float, int | None]]
"""When the canvas was looked at, and how old its picture was in ms; None: no picture."""


def nothing() -> None: ...


def reload(page: Page) -> None:
    page.reload(wait_until="commit")


@dataclass
class Fault:
    """One way to break things; a connection is possible again when `prepare` returns."""

    name: str
    prepare: Callable[[], object]
    act: Callable[[], object] = nothing
    """Done when the time has begun."""
    weight: int = 4
    """How often it is taken beside the others."""
    fresh: bool = False
    """The page is another one: its canvas has nothing to keep."""
    rebuilds: bool = False
    """The display or its encoder starts anew, which takes its time: that is only reported."""


@dataclass
class Found:
    """What the faults of one kind did."""

    seconds: list[float] = field(default_factory=list)
    late: int = 0
    looks: int = 0
    blank: int = 0
    old: int = 0

    def add(self, fault: Fault, seconds: float, before: Looks, after: Looks) -> None:
        """`before`: looks until the current picture was back, `after`: from then on."""
        self.seconds.append(max(0.0, seconds))
        self.late += not fault.rebuilds and seconds > WITHIN
        self.looks += len(before) + len(after)
        # A page that has just been loaded has no picture at first.
        blank = after if fault.fresh else [*before, *after]
        self.blank += sum(old is None for _, old in blank)
        self.old += sum(old is not None and old > OLD_MS for _, old in after)

    def line(self, name: str) -> str:
        ordered = sorted(self.seconds)
        middle, worst = ordered[len(ordered) // 2], ordered[-1]
        return (
            f"{name:<26}{len(ordered):>4} x, back after {middle:.2f} s, at most {worst:.2f} s, "
            f"{self.late} late; {self.looks} looks: {self.blank} blank, {self.old} old afterwards"
        )


class Desk:
    """A session with a desktop, and everything between it and a page that can break."""

    def __init__(self, root: Path, dice: random.Random) -> None:
        self._dice = dice
        runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
        scene = f"{sys.executable} -m tests.e2e.barcode_scene 30"
        runner = {
            "XDG_RUNTIME_DIR": runtime,
            "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": json.dumps([scene]),
            "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        }
        self._stack = contextlib.ExitStack()
        port = free_port()
        self.near = self._stack.enter_context(BreakableNetwork(port))
        self._far = self._stack.enter_context(BreakableNetwork(port))
        far_url = f"http://127.0.0.1:{self._far.port}"
        self.world = World(root, port=port, control={"EARTHSHINE_PUBLIC_URL": far_url})
        self._stack.callback(shutil.rmtree, runtime)
        self._stack.callback(self.world.close)
        self.world.start_control()
        self.world.runner("runner", far_url, (), **runner).start()
        self.world.wait_runner()
        wish = {
            "agent": "command",
            "command": ["sleep", "100000"],
            "folder": str(root),
            "desktop": {"width": 640, "height": 480},
        }
        self.session_id = self.world.api("POST", "/sessions", wish)["id"]
        self.world.wait_state(self.session_id, "running")

    def close(self) -> None:
        self.near.restore()
        self._far.restore()
        self._stack.close()

    def faults(self, page: Page) -> list[Fault]:
        return [
            Fault("the page is loaded again", nothing, lambda: reload(page), fresh=True),
            Fault("the browser's line is cut", self._near_cut),
            Fault("the browser's line hangs", self._near_stalled),
            Fault("the runner's line is cut", self._far_cut),
            Fault("the runner is stopped", lambda: self._runner_ends(signal.SIGTERM)),
            Fault("the runner is killed", lambda: self._runner_ends(signal.SIGKILL)),
            Fault("the server is stopped", lambda: self._control_ends(signal.SIGTERM), weight=1),
            Fault("the server is killed", lambda: self._control_ends(signal.SIGKILL), weight=1),
            Fault("server and runner end", self._both_end, weight=1),
            # Once each: what crashes five times in ten minutes is given up.
            Fault("the encoder is killed", lambda: self._kill("worker"), rebuilds=True, weight=0),
            Fault(EMPTIES, lambda: self._kill("Xtigervnc"), rebuilds=True, weight=0),
        ]

    def _pause(self, longest: float) -> None:
        time.sleep(self._dice.random() * longest)

    def _near_cut(self) -> None:
        self.near.cut()
        self._pause(1.5)
        self.near.restore()

    def _near_stalled(self) -> None:
        self.near.stall()
        self._pause(1.5)
        self.near.restore()

    def _far_cut(self) -> None:
        with self._new_connection():
            self._far.cut()
            self._pause(1.0)
            self._far.restore()

    def _runner_ends(self, number: int) -> None:
        with self._new_connection():
            self.world.runners[0].stop(number)
            self._pause(1.0)
            self.world.runners[0].start()

    def _control_ends(self, number: int) -> None:
        with self._new_connection():
            self.world.control.stop(number)
            self._pause(1.0)
            self._start_control()

    def _both_end(self) -> None:
        with self._new_connection():
            self.world.control.stop(signal.SIGKILL)
            self.world.runners[0].stop(signal.SIGKILL)
            self.world.runners[0].start()
            self._start_control()

    def _start_control(self) -> None:
        self.world.control.start()
        self.world.wait_ready(STARTS)

    @contextlib.contextmanager
    def _new_connection(self) -> Iterator[None]:
        """Ends once the runner has connected anew."""
        before = self.world.wait_runner()["since"]
        yield
        wait_for(
            lambda: self.world.wait_runner("runner", STARTS)["since"] != before,
            STARTS,
            "the runner's new connection",
        )

    def _kill(self, name: str) -> None:
        (holder,) = self.world.holders(DESKTOP_HOLDER)
        for child in psutil.Process(holder).children():
            if any(name in word for word in child.cmdline()[:3]):
                child.kill()
                return
        raise AssertionError(f"no {name} runs")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, random.Random(SEED))
    yield made
    made.close()


@pytest.fixture
def page(desk: Desk) -> Iterator[Page]:
    """A browser that reaches the control plane only through `desk.near`."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    detour = f"MAP 127.0.0.1:{desk.world.port} 127.0.0.1:{desk.near.port}"
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules={detour}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = browser.new_context(viewport=WIDE)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(WATCH)
        yield page
        browser.close()
        assert errors == []


def current(page: Page, after: float) -> float:
    """Waits until the canvas shows a time after this one that is current; when that was.

    All in seconds since the epoch.
    """
    handle = page.wait_for_function(
        f"""after => {{
          const seen = window.shown?.();
          if (seen === undefined || seen === null) return null;
          const since = (earlier, later) => (later - earlier + {PERIOD}) % {PERIOD};
          const fresh = since(after % {PERIOD}, seen) < {PERIOD} / 2;
          const old = since(seen, Date.now() % {PERIOD});
          return fresh && old < {OLD_MS} ? {{ at: Date.now() }} : null;
        }}""",
        arg=int(after * 1000),
        timeout=PATIENCE * 1000,
    )
    return float(handle.evaluate("it => it.at")) / 1000


@pytest.mark.serial
@pytest.mark.faults
@pytest.mark.browser
@pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
@pytest.mark.timeout(200 + STEPS * 20)
def test_the_picture_comes_back_whatever_breaks(
    desk: Desk, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():  # whatever happens next, the seed is on the screen
        print(f"\nfault seed {SEED}: {STEPS} faults")
    dice = random.Random(SEED + 1)
    page.goto(f"{desk.world.url}/#sign-in={desk.world.sign_in_code()}")
    app = EarthshinePages(page, desk.world.url)
    app.sessions()
    desktop = DesktopPage(app).open(desk.session_id)
    desktop.show("Desktop")
    current(page, time.time())
    faults = desk.faults(page)
    found: dict[str, Found] = defaultdict(Found)
    # Each kind once, as far as they go, then at random.
    order = dice.sample(faults, len(faults))
    more = dice.choices(faults, [fault.weight for fault in faults], k=STEPS)
    order = [*order, *more][:STEPS]
    for fault in order:
        page.evaluate("() => { window.looks.length = 0; }")
        begun = time.time()
        fault.prepare()
        possible = time.time()
        fault.act()
        came = current(page, possible)
        with capsys.disabled():
            print(f"  {fault.name}: {possible - begun:.1f} s, then back in {came - possible:.2f} s")
        page.wait_for_timeout(AFTERWARDS * 1000)
        looks: Looks = page.evaluate("() => window.looks.splice(0)")
        before = [look for look in looks if look[0] < came]
        found[fault.name].add(fault, came - possible, before, looks[len(before) :])
    with capsys.disabled():
        for name, result in sorted(found.items()):
            print(f"  {result.line(name)}")
    blank = {name for name, result in found.items() if result.blank}
    assert blank <= {EMPTIES}, "no picture for a while"
    assert [name for name, result in found.items() if result.old] == [], "an old picture stays"
    assert [name for name, result in found.items() if result.late] == [], "it came late"
