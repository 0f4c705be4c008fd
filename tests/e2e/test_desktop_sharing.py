"""One desktop, three browsers and an RDP client: who may type, who has control, who is slow.

Nothing is fake: server, runner, TigerVNC, xrdp, xfreerdp and browsers are processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from earthshine.protocols import viewer
from earthshine.runner.desktops import capabilities
from tests.e2e import barcode
from tests.e2e.conftest import PATIENCE_MS, SHOTS, WIDE
from tests.e2e.desktop_page import DesktopPage
from tests.e2e.pages import EarthshinePages
from tests.peers.rdp_client import Screen, screen, xfreerdp
from tests.world import World, running_world, wait_for

MISSING = [
    part.detail
    for part in (
        capabilities.first(capabilities.programs(), capabilities.DISPLAY, "tigervnc"),
        capabilities.first(capabilities.programs(), capabilities.DISPLAY, "xvfb"),
        capabilities.first(capabilities.programs(), capabilities.TERMINAL),
        *capabilities.rdp(),
    )
    if not part.available
]
if shutil.which("xfreerdp") is None:
    MISSING.append("xfreerdp is not installed (Debian package freerdp2-x11)")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.serial,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
WIDTH, HEIGHT = 1024, 700
XTERM = (300, 500)
"""A place inside the xterm that is typed into."""
SLOW = 500_000 // 8
"""Bytes in a second for the slow one."""
SECONDS = 6.0
PATIENT = 40.0
SCRIPT = """
{python} -m tests.e2e.barcode_scene 30 &
xterm -geometry 70x14+500+30 -e 'while :; do head -c 900 /dev/urandom | base64; sleep 0.06; done' &
xterm -geometry 60x12+20+400 -e 'cat > {typed}' &
sleep 100000
"""
FORGE = """
([path, messages]) => new Promise((resolve, reject) => {
  const url = new URL(path, location.href);
  url.protocol = "ws:";
  const socket = new WebSocket(url.href, "earthshine.viewer.v1");
  socket.binaryType = "arraybuffer";
  const told = [];
  socket.onopen = () => messages.forEach((hex) =>
    socket.send(Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16))));
  socket.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    if (bytes[0] !== 0) return;
    const note = JSON.parse(new TextDecoder().decode(bytes.subarray(1)));
    if (note.code) told.push(note.code);
    if (told.length === messages.length) { socket.close(); resolve(told); }
  };
  socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
})
"""
"""Send messages that the page's own program would not send; the codes of what was refused."""


class Person(DesktopPage):
    """Somebody at the desktop, in a browser of their own."""

    def __init__(self, app: EarthshinePages) -> None:
        super().__init__(app)
        self.received = 0

    @classmethod
    def enter(cls, context: BrowserContext, world: World, session_id: str, link: str) -> Person:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        person = cls(EarthshinePages(page, world.url))
        page.on("websocket", person.listen)
        if link:
            page.goto(link)
            page.get_by_label("Your name").fill("Noor")
            page.get_by_role("button", name="Open the session").click()
        else:
            code = world.api("POST", "/sign-in-codes", {})["url"].rpartition("=")[2]
            person.app.sign_in(code)
            person.open(session_id)
        person.show("Desktop")
        person.wait_current(seconds=PATIENT)
        return person

    def listen(self, socket: Any) -> None:
        if "/desktop" in socket.url:
            socket.on("framereceived", self.count)

    def count(self, payload: str | bytes) -> None:
        self.received += len(payload)

    def slow_down(self) -> None:
        line = self.page.context.new_cdp_session(self.page)
        line.send("Network.enable")
        limits = {"downloadThroughput": SLOW, "uploadThroughput": SLOW}
        line.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **limits})

    def type_line(self, typed: Path, text: str) -> None:
        self.click(*XTERM)
        self.expect_control("You have control")
        enter(typed, text, lambda: self.page.keyboard.type(f"{text}\n"))


def enter(typed: Path, text: str, type_it: Callable[[], object]) -> None:
    """Until the line is there: the first letters may come before the window has the focus."""

    def has_come() -> bool:
        type_it()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: text in typed.read_text().splitlines(), 3, text)
        return text in typed.read_text().splitlines()

    wait_for(has_come, 15, typed.read_text)


def rates(people: list[Person], seconds: float) -> list[float]:
    """Different pictures in a second that each has seen, all in the same time."""
    for person in people:
        person.sample()
    people[0].page.wait_for_timeout(seconds * 1000)
    return [
        len({shown for _, shown in one.samples() if shown is not None}) / seconds for one in people
    ]


class RdpClient:
    """xfreerdp in a thread; `shown` is its screen."""

    def __init__(self, connection: dict[str, Any], folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._loop = asyncio.new_event_loop()
        self._leave = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),))
        self.shown: Screen

    @contextlib.contextmanager
    def running(self) -> Iterator[RdpClient]:
        self._thread.start()
        try:
            assert self._ready.wait(PATIENT)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._leave.set)
            self._thread.join(PATIENT)
            self._loop.close()

    async def _live(self) -> None:
        async with (
            screen(WIDTH, HEIGHT) as self.shown,
            xfreerdp(self.shown, self._connection, self._folder),
        ):
            self._ready.set()
            await self._leave.wait()

    def time(self) -> int | None:
        """The barcode on its screen."""
        row = self.shown.grabbed()[barcode.BLOCK // 2, barcode.BLOCK // 2 :: barcode.BLOCK, 1]
        blocks = row[: barcode.BITS + barcode.CHECKS]
        if np.any((blocks > 80) & (blocks < 176)):
            return None
        bits = [int(level >= 176) for level in blocks]
        value = int("".join(map(str, bits[: barcode.BITS])), 2)
        check = bits[barcode.BITS] * 2 + bits[barcode.BITS + 1]
        return value if check == sum(bits[: barcode.BITS]) + 2 & 3 else None

    def is_current(self) -> bool:
        value = self.time()
        return value is not None and (barcode.now() - value) % barcode.PERIOD < 2000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    runtime = tempfile.mkdtemp(prefix="earthshine-test-", dir="/tmp")
    root = Path(__file__).parents[2]
    runner = {
        "XDG_RUNTIME_DIR": runtime,
        "EARTHSHINE_RUNNER_DESKTOP__PROGRAMS": "[]",
        "EARTHSHINE_RUNNER_DESKTOP__AUDIO": "off",
        "EARTHSHINE_RUNNER_DESKTOP__BACKEND": "tigervnc",
        "PYTHONPATH": f"{root}:{root / 'src'}",
    }
    control = {"EARTHSHINE_DESKTOP__ENTRY_PORTS": "[0, 0]"}
    with running_world(tmp_path, runner=runner, control=control) as running:
        yield running
    shutil.rmtree(runtime)


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    return tmp_path / "typed"


@pytest.fixture
def session(world: World, typed: Path) -> str:
    script = SCRIPT.format(python=sys.executable, typed=typed)
    started = world.api(
        "POST",
        "/sessions",
        {
            "runnerId": world.wait_runner()["id"],
            "agent": "command",
            "command": ["bash", "-c", script],
            "folder": str(world.root),
            "title": "Shared",
            "cols": 80,
            "rows": 24,
            "desktop": {"width": WIDTH, "height": HEIGHT},
        },
    )
    wait_for(typed.exists, 30, "the xterm")
    session_id: str = started["id"]
    return session_id


@pytest.fixture
def people(chromium: Browser, world: World, session: str) -> Iterator[list[Person]]:
    """The owner, a guest who may control, and a guest who may watch."""
    with contextlib.ExitStack() as stack:

        def enter(role: str) -> Person:
            link = ""
            if role:
                wanted = {"role": role, "expiresIn": 3600}
                link = world.api("POST", f"/sessions/{session}/links", wanted)["url"]
            context = chromium.new_context(viewport=WIDE, reduced_motion="reduce")
            stack.callback(context.close)
            return Person.enter(context, world, session, link)

        yield [enter(""), enter("controller"), enter("viewer")]


def test_three_browsers_and_an_rdp_client(
    people: list[Person], world: World, session: str, typed: Path, tmp_path: Path
) -> None:
    owner, guest, watcher = people
    connection = world.api("GET", f"/sessions/{session}/rdp-connection")
    with RdpClient(connection, tmp_path).running() as rdp:
        wait_for(rdp.is_current, PATIENT, "a current barcode in xfreerdp")

        # Who has control types; it is handed over; the RDP client sees and types into the same.
        owner.type_line(typed, "from the owner")
        guest.expect_control("owner has control")
        guest.press_button("Take control")
        owner.expect_control("Noor has control")
        guest.type_line(typed, "from a guest")
        rdp.shown.click(*XTERM)
        enter(typed, "from rdp", lambda: rdp.shown.type("from rdp\n"))

        # A page of the watcher's own making is refused by the server, key by key.
        forged: list[viewer.Message] = [
            viewer.TakeControl(),
            viewer.Text(b"evil"),
            viewer.Key(1, ord("e"), 0),
        ]
        path = f"/api/v1/sessions/{session}/desktop"
        messages = [viewer.encode(message).hex() for message in forged]
        assert watcher.page.evaluate(FORGE, [path, messages]) == ["not-allowed"] * len(forged)
        expect(watcher.bar.get_by_role("button", name="Take control")).to_have_count(0)
        assert "evil" not in typed.read_text()

        # One with a slow line changes nothing for the others.
        before = rates([owner, guest], SECONDS)
        watcher.slow_down()
        watcher.page.wait_for_timeout(2000)
        at, began = [one.received for one in people], time.monotonic()
        during = rates([owner, guest], SECONDS)
        took = time.monotonic() - began
        got = [(one.received - was) / took for one, was in zip(people, at, strict=True)]
        print(
            f"\npictures/s of owner and guest: {before}, beside a line of 500 kbit/s {during};"
            f" bytes/s of owner, guest, slow one: {[round(one) for one in got]}"
        )
        assert got[2] < 1.2 * SLOW < got[0], "the line is slow, and too slow for everything"
        assert all(now > 0.7 * then for then, now in zip(before, during, strict=True))
        watcher.wait_current(within_ms=3000)
        assert rdp.is_current()
        if SHOTS:
            owner.page.screenshot(path=f"{SHOTS}/shared-owner.png")
            watcher.page.screenshot(path=f"{SHOTS}/shared-watcher.png")
