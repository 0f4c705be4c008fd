"""The desktop in the browser: pixels on the canvas, input at the desktop, breaks without black."""

import base64
import contextlib
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from earthshine.protocols import viewer
from earthshine.protocols.viewer import Key, Pointer, ReleaseAll, Text, Wheel
from tests.e2e import barcode
from tests.e2e.conftest import PATIENCE_MS, WIDE
from tests.e2e.desktop_page import VIEW, DesktopPage
from tests.e2e.desktop_world import DesktopWorld
from tests.e2e.fake_desktop import FakeDesktop, opus, png
from tests.e2e.pages import EarthshinePages

pytestmark = pytest.mark.browser
BOX = (96, 64, 200, 120)
"""A part of the screen: x, y, width, height."""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[DesktopWorld]:
    it = DesktopWorld(tmp_path_factory.mktemp("plane"))
    with it.running():
        yield it


@pytest.fixture
def fake(world: DesktopWorld) -> FakeDesktop:
    """The desktop's process; what tests do to it goes through `world.do`."""
    return world.fresh()


@pytest.fixture
def session(world: DesktopWorld, fake: FakeDesktop) -> str:
    return world.session()


def opened(page: Page, world: DesktopWorld, session: str, person=None) -> DesktopPage:
    app = EarthshinePages(page, world.url)
    app.sign_in(world.code(person or world.here.member))
    return DesktopPage(app).open(session)


@pytest.fixture
def desktop(page: Page, world: DesktopWorld, session: str) -> DesktopPage:
    """Mia's view of her session's desktop."""
    shown = opened(page, world, session)
    shown.wait_current()
    return shown


@pytest.fixture
def steering(desktop: DesktopPage) -> DesktopPage:
    """The same, with control taken by a click."""
    desktop.click(300, 200)
    desktop.expect_control("You have control")
    return desktop


@pytest.fixture
def other_page(chromium: Browser) -> Iterator[Page]:
    """Somebody else's browser."""
    context = chromium.new_context(viewport=WIDE, color_scheme="dark", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def fresh_ages(samples: list[tuple[int, int | None]]) -> Iterator[int]:
    """How old each picture was when the page first read it, in milliseconds."""
    last = None
    for now, value in samples:
        if value is not None and value != last and last is not None:
            yield now - value
        last = value


# --- pictures ------------------------------------------------------------------------------------


def test_the_picture_is_the_current_one(desktop: DesktopPage, shots: Path) -> None:
    first = desktop.wait_picture()
    assert desktop.wait_picture(newer_than=first) > first
    desktop.sample()
    desktop.page.wait_for_timeout(2000)  # to see how old pictures are
    ages = sorted(age for age in fresh_ages(desktop.samples()))
    print(f"drawn at the desktop until read here, ms: p50 {ages[len(ages) // 2]}, of {len(ages)}")
    desktop.page.screenshot(path=shots / "desktop.png")


def test_every_frame_is_said_to_be_seen(
    desktop: DesktopPage, fake: FakeDesktop, wait_until
) -> None:
    [consumer] = fake.consumers.values()
    wait_until(lambda: len(consumer.seen) > 60)
    assert consumer.skipped == 0
    gaps = {
        later - earlier for earlier, later in zip(consumer.seen, consumer.seen[1:], strict=False)
    }
    assert gaps == {1}


def test_the_last_picture_before_stillness_shows(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop
) -> None:
    world.do(lambda: setattr(fake, "moving", False))
    for _ in range(5):
        desktop.page.wait_for_timeout(150)  # stillness is what this is about
        before = barcode.now()
        world.do(fake.produce)
        desktop.wait_picture(newer_than=before - 1, seconds=0.6)


def test_exact_pixels_are_exact_and_stay(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop, wait_until
) -> None:
    x, y, width, height = BOX
    exact = np.dstack([fake.screen[y : y + height, x : x + width], np.full((height, width), 255)])
    wanted = exact.astype(np.uint8).ravel().tolist()
    assert desktop.pixels(*BOX) != wanted, "video does not keep every pixel"
    world.do(lambda: fake.settle(BOX))
    wait_until(lambda: desktop.pixels(*BOX) == wanted)
    desktop.wait_picture(newer_than=desktop.wait_picture())
    assert desktop.pixels(*BOX) == wanted, "frames that change something else leave them alone"

    world.do(lambda: fake.paint((x + 40, y + 40, 64, 32), (200, 30, 30)))
    wait_until(lambda: desktop.pixels(x + 60, y + 52, 1, 1)[0] > 150)
    assert desktop.pixels(x, y, width, 20) == wanted[: width * 20 * 4], "outside it, they stay"


def test_exact_pixels_of_before_do_not_cover_what_is_new(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop, wait_until
) -> None:
    def settle_then_paint_at_once() -> None:
        fake.settle(BOX)
        fake.paint(BOX, (20, 160, 40))
        fake.produce()

    for _ in range(5):
        world.do(lambda: fake.paint(BOX, (200, 30, 30)))
        wait_until(lambda: desktop.pixels(150, 100, 1, 1)[0] > 150)
        world.do(settle_then_paint_at_once)
        wait_until(lambda: desktop.pixels(150, 100, 1, 1)[1] > 120)
        desktop.wait_picture(newer_than=desktop.wait_picture())
        assert desktop.pixels(150, 100, 1, 1)[1] > 120


def test_another_size(desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop) -> None:
    desktop.sample()
    world.do(lambda: fake.resize(800, 500))
    desktop.wait_size(800, 500)
    desktop.wait_current()
    assert all(value is not None for _, value in desktop.samples())


def test_the_desktop_takes_my_windows_size(
    steering: DesktopPage, world: DesktopWorld, fake: FakeDesktop, wait_until
) -> None:
    steering.menu("Desktop takes my window's size")
    wait_until(lambda: fake.size != (640, 400))
    room = steering.page.locator("es-desktop-view .room").bounding_box()
    assert room is not None
    assert abs(fake.size[0] - room["width"]) < 2
    assert abs(fake.size[1] - room["height"]) < 2
    steering.wait_size(*fake.size)
    steering.page.set_viewport_size({"width": 1000, "height": 700})
    wait_until(lambda: fake.size[0] < 400)


# --- breaks --------------------------------------------------------------------------------------


def test_a_break_shows_no_black(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop, wait_until
) -> None:
    desktop.sample()
    for cut in range(1, 4):
        world.do(fake.cut)
        wait_until(lambda cut=cut: fake.attached == cut + 1)
        desktop.wait_current()
    samples = desktop.samples()
    assert len(samples) > 20
    assert all(value is not None for _, value in samples)


def test_twenty_refreshes(desktop: DesktopPage, fake: FakeDesktop) -> None:
    chance = random.Random(20)
    waits = []
    for _ in range(20):
        desktop.page.wait_for_timeout(chance.uniform(0, 600))  # at any moment of a page's life
        desktop.page.reload(wait_until="commit")
        begun = barcode.now()
        desktop.wait_current()
        waits.append(barcode.now() - begun)
    print(f"first current picture after a refresh, ms: {sorted(waits)}")
    assert len(fake.consumers) == 1


def test_a_refresh_shows_a_picture_before_the_page(desktop: DesktopPage) -> None:
    desktop.page.add_init_script("""
      new MutationObserver((changes) => {
        for (const { addedNodes, removedNodes } of changes) {
          for (const node of addedNodes) {
            if (node.dataset?.early === undefined) continue;
            const { x, y, width, height } = node.getBoundingClientRect();
            window.early = { spot: [x, y, width, height], gone: false };
          }
          for (const node of removedNodes) {
            if (node.dataset?.early !== undefined) window.early.gone = true;
          }
        }
      }).observe(document, { childList: true, subtree: true });
    """)
    desktop.wait_current()
    desktop.page.reload(wait_until="commit")
    desktop.page.wait_for_function("() => window.early?.gone")
    early = desktop.page.evaluate("() => window.early")
    box = desktop.canvas.bounding_box()
    assert box is not None
    assert early["spot"] == pytest.approx([box["x"], box["y"], box["width"], box["height"]], abs=1)
    desktop.wait_current()


def test_a_decoder_that_fails_goes_on_with_a_key_frame(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop, wait_until
) -> None:
    desktop.sample()
    cut_short = viewer.Video(viewer.FrameFlag.KEY, 999_998, 0, 0, b"\0\0\0\1\x67\x42")
    no_picture = b"\0\0\0\1\x67\x42\xc0\x33" + bytes(20)
    another_codec = viewer.Video(viewer.FrameFlag.KEY, 999_999, 0, 0, no_picture)
    for broken in (cut_short, another_codec):
        world.do(partial(fake.say, broken))
        wait_until(lambda: viewer.KeyFrameWanted() in fake.wishes)
        fake.wishes.clear()
        desktop.wait_picture(newer_than=barcode.now() + 300)  # behind the key frame
    assert all(value is not None for _, value in desktop.samples())


def test_nobody_looks(desktop: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    hide = """hidden => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    desktop.page.evaluate(hide, True)
    wait_until(lambda: fake.wishes[-1] == viewer.Watch(video="none"))
    desktop.page.evaluate(hide, False)
    wait_until(lambda: fake.wishes[-1] == viewer.Watch(video="h264"))
    desktop.wait_current()


def test_a_slow_viewer_slows_nobody(
    desktop: DesktopPage, other_page: Page, world: DesktopWorld, session: str, fake: FakeDesktop
) -> None:
    world.share(session, "viewer")
    slow = opened(other_page, world, session, world.here.other)
    slow.wait_current()
    desktop.sample()
    slow.page.evaluate("() => { const end = Date.now() + 3000; while (Date.now() < end); }")
    slow.wait_current()
    skipped = [consumer.skipped for consumer in fake.consumers.values()]
    assert skipped[0] * 4 < skipped[1], "they share two processors here"
    values = [value for _, value in desktop.samples()]
    assert len(set(values)) > 40, "the other one saw all the while"


def test_no_webcodecs_means_stills(
    page: Page, world: DesktopWorld, session: str, fake: FakeDesktop, wait_until
) -> None:
    page.add_init_script("delete window.VideoDecoder")
    desktop = opened(page, world, session)
    desktop.wait_current()
    assert fake.wishes[0] == viewer.Watch(video="stills")
    expect(desktop.app.notices.first).to_contain_text("you see stills")
    wanted = fake.screen[200, 100:140].tolist()
    flat = desktop.pixels(100, 200, 40, 1)
    assert [flat[at : at + 3] for at in range(0, 160, 4)] == wanted, "stills as PNG are exact"


def test_a_desktop_that_failed_says_why(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop
) -> None:
    world.do(lambda: fake.set_state("failed", "There is no X server.", "Install `tigervnc`."))
    expect(desktop.said).to_contain_text("The desktop has failed")
    expect(desktop.said).to_contain_text("Install tigervnc.")
    assert desktop.time() is not None, "the last picture stays"


def test_a_runner_that_cannot_says_why(
    page: Page, world: DesktopWorld, session: str, fake: FakeDesktop
) -> None:
    world.refuse = ("desktop-missing", "This machine has no display server.")
    desktop = opened(page, world, session)
    expect(desktop.said).to_contain_text("This machine has no display server.")
    expect(desktop.said.get_by_role("button", name="Try now")).to_be_visible()
    world.refuse = None
    with contextlib.suppress(PlaywrightError):  # it tries by itself as well
        desktop.said.get_by_role("button", name="Try now").click(timeout=3000)
    desktop.wait_current()


# --- input ---------------------------------------------------------------------------------------


def keys(fake: FakeDesktop) -> list[tuple[int, int, int]]:
    return [(it.down, it.keysym, it.key) for it in fake.input if isinstance(it, Key)]


def test_keys_by_meaning_and_by_place(steering: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    steering.page.keyboard.type("aB")
    steering.page.keyboard.press("Enter")
    steering.page.keyboard.press("F5")
    steering.page.keyboard.press("Control+k")
    wanted = [
        *[(1, 0x61, 30), (0, 0x61, 30)],
        *[(1, 0x42, 48), (0, 0x42, 48)],
        *[(1, 0xFF0D, 28), (0, 0xFF0D, 28)],
        *[(1, 0xFFC2, 63), (0, 0xFFC2, 63)],
        *[(1, 0xFFE3, 29), (1, 0x6B, 37), (0, 0x6B, 37), (0, 0xFFE3, 29)],
    ]
    wait_until(lambda: len(keys(fake)) == len(wanted))
    assert keys(fake) == wanted
    expect(steering.app.palette).to_be_hidden()


def test_text_from_an_input_method(steering: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    line = steering.page.context.new_cdp_session(steering.page)
    compose = {"selectionStart": 1, "selectionEnd": 1}
    line.send("Input.imeSetComposition", {"text": "に", **compose})
    line.send("Input.imeSetComposition", {"text": "日", **compose})
    line.send("Input.insertText", {"text": "日本"})
    line.send("Input.insertText", {"text": "é😀"})
    wait_until(lambda: Text("é😀".encode()) in fake.input)
    assert [it.data.decode() for it in fake.input if isinstance(it, Text)] == ["日本", "é😀"]
    assert keys(fake) == []


def test_keys_go_up_when_the_focus_goes(
    steering: DesktopPage, fake: FakeDesktop, wait_until
) -> None:
    steering.page.keyboard.down("Shift")
    steering.page.keyboard.down("a")
    wait_until(lambda: len(keys(fake)) == 2)
    steering.page.get_by_role("textbox", name="Prompt").focus()
    wait_until(lambda: ReleaseAll() in fake.input)
    steering.page.keyboard.up("a")
    steering.page.keyboard.up("Shift")
    steering.focus()
    steering.page.keyboard.press("b")
    wait_until(lambda: len(keys(fake)) == 4)
    assert keys(fake)[2:] == [(1, 0x62, 48), (0, 0x62, 48)]


def test_keys_go_up_when_the_window_loses_the_focus(
    steering: DesktopPage, fake: FakeDesktop, wait_until
) -> None:
    steering.page.keyboard.down("Alt")
    wait_until(lambda: len(keys(fake)) == 1)
    steering.page.evaluate("dispatchEvent(new Event('blur'))")
    wait_until(lambda: fake.input[-1] == ReleaseAll())


def test_the_mouse(steering: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    fake.input.clear()
    steering.click(123, 45)
    steering.click(639, 399, button="right")
    wait_until(lambda: sum(isinstance(it, Pointer) for it in fake.input) >= 6)
    assert [(it.x, it.y, it.buttons) for it in fake.input if isinstance(it, Pointer)] == [
        (123, 45, 0),
        (123, 45, 1),
        (123, 45, 0),
        (639, 399, 0),
        (639, 399, 4),
        (639, 399, 0),
    ]
    steering.page.mouse.wheel(0, 200)
    wait_until(lambda: isinstance(fake.input[-1], Wheel))
    assert fake.input[-1] == Wheel(0, 240)


def test_dragging_out_of_the_picture_goes_on(
    steering: DesktopPage, fake: FakeDesktop, wait_until
) -> None:
    mouse = steering.page.mouse
    mouse.move(*steering.place(600, 200))
    mouse.down()
    mouse.move(5, 5)
    mouse.up()
    wait_until(lambda: fake.input[-1] == Pointer(0, 0, 0))
    assert Pointer(0, 0, 1) in fake.input


def test_the_cursor_is_drawn_here(
    desktop: DesktopPage, world: DesktopWorld, fake: FakeDesktop
) -> None:
    shape = png(np.full((16, 12, 4), 255, np.uint8))
    world.do(lambda: fake.say(viewer.CursorShape(3, 4, shape)))
    cursor = lambda: desktop.sheet.evaluate("it => getComputedStyle(it).cursor")  # noqa: E731
    desktop.page.wait_for_function(
        "it => getComputedStyle(it).cursor.startsWith('url')", arg=desktop.sheet.element_handle()
    )
    assert cursor().endswith(" 3 4, default")
    world.do(lambda: fake.say(viewer.CursorShape(0, 0, b"")))
    desktop.page.wait_for_function(
        "it => getComputedStyle(it).cursor === 'none'", arg=desktop.sheet.element_handle()
    )


# --- several people ------------------------------------------------------------------------------


def test_who_has_control(
    steering: DesktopPage,
    other_page: Page,
    world: DesktopWorld,
    session: str,
    fake: FakeDesktop,
    wait_until,
    shots: Path,
) -> None:
    world.share(session, "controller")
    otto = opened(other_page, world, session, world.here.other)
    otto.wait_current()
    otto.expect_control("mia has control")
    otto.focus()
    otto.page.keyboard.press("x")
    expect(otto.app.notices.first).to_contain_text("mia has control")
    assert all(number == 1 for number, _ in fake.all_input), "nothing of otto's was sent"

    steering.page.mouse.move(*steering.place(200, 100))
    expect(otto.page.locator("es-desktop-view .pointer")).to_contain_text("mia")
    otto.page.screenshot(path=shots / "desktop-otto.png")

    otto.press_button("Ask")
    expect(steering.app.notices.first).to_contain_text("otto asks for control")
    steering.page.screenshot(path=shots / "desktop-asked.png")
    steering.press_button("Give to otto")
    otto.expect_control("You have control")
    steering.expect_control("otto has control")
    otto.focus()
    otto.page.keyboard.press("x")
    wait_until(lambda: (2, Key(0, 0x78, 45)) in fake.all_input)
    steering.press_button("Take control")
    steering.expect_control("You have control")
    expect(otto.app.notices.last).to_contain_text("mia has taken control")


def test_who_may_only_watch(
    other_page: Page, world: DesktopWorld, session: str, fake: FakeDesktop
) -> None:
    world.share(session, "viewer")
    otto = opened(other_page, world, session, world.here.other)
    otto.wait_current()
    otto.expect_control("You are watching")
    otto.click(100, 100)
    otto.page.keyboard.press("x")
    expect(otto.app.notices.first).to_contain_text("not steer it")
    assert fake.all_input == []


# --- the rest ------------------------------------------------------------------------------------


def test_pasting(steering: DesktopPage, fake: FakeDesktop, wait_until) -> None:
    fake.input.clear()
    steering.page.evaluate("navigator.clipboard.writeText('grüße')")
    steering.page.keyboard.press("Control+v")
    wait_until(lambda: Key(0, 0x76, 47) in fake.input)
    what = [it for it in fake.input if not isinstance(it, Pointer)]
    assert what.index(viewer.Clipboard(0, "grüße".encode())) < what.index(Key(1, 0x76, 47))


def test_what_the_desktop_copies_is_offered(
    steering: DesktopPage, world: DesktopWorld, fake: FakeDesktop
) -> None:
    steering.page.evaluate("navigator.clipboard.writeText('mine')")
    clipboard = "navigator.clipboard.readText()"
    world.do(lambda: fake.say(viewer.Clipboard(0, b"from the desktop")))
    expect(steering.app.notices.first).to_contain_text("16 characters")
    assert steering.page.evaluate(clipboard) == "mine"
    steering.app.notices.first.get_by_role("button", name="Copy").click()
    steering.page.wait_for_function(f"async () => await {clipboard} === 'from the desktop'")

    steering.press_button("Share the clipboard")
    steering.focus()
    world.do(lambda: fake.say(viewer.Clipboard(0, b"at once")))
    steering.page.wait_for_function(f"async () => await {clipboard} === 'at once'")


def test_sound(
    page: Page, world: DesktopWorld, fake: FakeDesktop, session: str, wait_until
) -> None:
    fake.audio = True
    desktop = opened(page, world, session)
    desktop.wait_current()
    desktop.press_button("Statistics")
    desktop.press_button("Sound")
    wait_until(lambda: fake.wishes[-1] == viewer.Watch(audio=True, statistics=True))
    for number, packet in enumerate(opus(60)):
        world.do(partial(fake.say, viewer.Audio(number, number * 20_000, packet)))
        desktop.page.wait_for_timeout(20)  # a tone takes its time
    assert desktop.page.evaluate(f"{VIEW}.viewer.audio.played") > 30
    desktop.press_button("Sound")
    wait_until(lambda: fake.wishes[-1] == viewer.Watch(audio=False, statistics=True))


def test_statistics_and_a_screenshot(desktop: DesktopPage, shots: Path) -> None:
    desktop.press_button("Statistics")
    figures = desktop.page.locator("es-desktop-statistics")
    expect(figures).to_contain_text("640 \u00d7 400")
    expect(figures).not_to_contain_text("Age when drawn\u2013")
    expect(figures).to_contain_text("x264, fake")
    expect(figures).to_contain_text("4.2 ms")
    desktop.page.screenshot(path=shots / "desktop-statistics.png")
    print(figures.inner_text().replace("\n", " "))
    with desktop.page.expect_download() as download:
        desktop.press_button("Screenshot")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_recording_plays(desktop: DesktopPage) -> None:
    desktop.menu("Record to a file")
    desktop.page.wait_for_timeout(2500)  # what is recorded
    with desktop.page.expect_download() as download:
        desktop.press_button("Stop recording")
    data = download.value.path().read_bytes()
    # An empty page: ours may not play anything.
    size = desktop.page.context.new_page().evaluate(
        """async data => {
          const bytes = Uint8Array.from(atob(data), char => char.charCodeAt(0));
          const video = document.createElement('video');
          video.muted = true;
          video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/webm' }));
          await video.play();
          while (video.currentTime < 0.5) await new Promise(requestAnimationFrame);
          return [video.videoWidth, video.videoHeight];
        }""",
        base64.b64encode(data).decode(),
    )
    assert size == [640, 400]


def test_between_terminal_and_desktop(steering: DesktopPage) -> None:
    panel = steering.page.locator("es-desktop-panel")
    steering.page.keyboard.press("Control+F6")
    expect(panel).to_have_count(0)
    steering.page.keyboard.press("Control+F6")
    expect(panel).to_be_visible()
    steering.wait_current()
    steering.show("Both")
    steering.wait_current()


def test_light(desktop: DesktopPage, shots: Path) -> None:
    desktop.page.emulate_media(color_scheme="light")
    desktop.show("Desktop")
    desktop.wait_current()
    desktop.page.screenshot(path=shots / "desktop-light.png")


def test_starting_with_a_desktop(
    page: Page, world: DesktopWorld, fake: FakeDesktop, shots: Path
) -> None:
    app = EarthshinePages(page, world.url)
    app.sign_in(world.code(world.here.member))
    dialog = app.sessions().new_session()
    dialog.dialog.get_by_role("switch", name="With a desktop").check()
    dialog.dialog.get_by_label("Size of the desktop").select_option("1600x900")
    page.screenshot(path=shots / "desktop-start.png")
    dialog.start()
    DesktopPage(app).wait_current()
