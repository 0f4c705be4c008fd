"""A desktop by VNC, Guacamole and RDP in the browser: seen, typed into, fallen back to, chosen."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_session import FakeSession, iso
from tests.e2e.fake_ways import OLA
from tests.e2e.pages import EarthshinePages
from tests.e2e.ways_page import WaysPage

pytestmark = pytest.mark.browser
NO_GUACD = "guacd does not answer. Install `guacd` where Earthshine runs."
PART_MISSING = 4013
BROKEN = 4011


@pytest.fixture
def session(plane: FakeControlPlane) -> FakeSession:
    session = plane.add_session("s1", title="Fix the limiter", hasDesktop=True)
    plane.append(session, "output", b"$ ")
    return session


def opened(page: Page, plane: FakeControlPlane) -> WaysPage:
    app = EarthshinePages(page, plane.url)
    app.sign_in(CODE)
    shown = WaysPage(app)
    shown.open("s1")
    return shown


@pytest.fixture
def desktop(page: Page, plane: FakeControlPlane, session: FakeSession) -> WaysPage:
    """By the built-in way."""
    shown = opened(page, plane)
    shown.wait_shown()
    return shown


# --- each way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "way"), [("VNC", "vnc"), ("Guacamole", "guacamole")])
def test_seen_and_typed_into(
    desktop: WaysPage, plane: FakeControlPlane, wait_until, shots: Path, label: str, way: str
) -> None:
    desktop.see_by(label)
    desktop.wait_shown()
    desktop.expect_way(label)
    for x, y in ((10, 10), (100, 120), (500, 400), (959, 599)):
        wait_until(lambda x=x, y=y: desktop.pixel(x, y) == plane.ways.screen[y, x].tolist())
    desktop.page.screenshot(path=shots / f"way-{way}.png")
    for x, y in ((300, 376), (30, 20), (900, 590), (80, 60)):  # inside plain areas
        wanted = plane.ways.screen[y, x].tolist()
        assert max(abs(a - b) for a, b in zip(desktop.seen(x, y), wanted, strict=True)) < 12

    desktop.page.mouse.move(*desktop.spot(200, 100))
    desktop.page.mouse.click(*desktop.spot(600, 300))
    wait_until(lambda: (way, 600, 300, 1) in plane.ways.mouse)
    wait_until(lambda: plane.ways.mouse[-1] == (way, 600, 300, 0))
    desktop.expect_control("You have control")
    desktop.page.keyboard.press("h")
    desktop.page.keyboard.press("Enter")
    desktop.page.keyboard.press("Shift+H")
    desktop.page.keyboard.insert_text("ß")
    wanted = [(1, 0x68), (0, 0x68), (1, 0xFF0D), (0, 0xFF0D)]
    wanted += [(1, 0xFFE1), (1, 0x48), (0, 0x48), (0, 0xFFE1), (1, 0xDF), (0, 0xDF)]
    wait_until(lambda: len(plane.ways.keys) == len(wanted))
    assert plane.ways.keys == [(way, *key) for key in wanted]

    desktop.page.mouse.wheel(0, 200)
    wait_until(lambda: (way, 600, 300, 16) in plane.ways.mouse)


def test_keys_go_up_when_the_focus_goes(
    desktop: WaysPage, plane: FakeControlPlane, wait_until
) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    desktop.focus()
    desktop.page.keyboard.down("Shift")
    wait_until(lambda: ("vnc", 1, 0xFFE1) in plane.ways.keys)
    desktop.page.get_by_role("textbox", name="Prompt").focus()
    wait_until(lambda: ("vnc", 0, 0xFFE1) in plane.ways.keys)


def test_the_clipboard_by_vnc(desktop: WaysPage, plane: FakeControlPlane, wait_until) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    desktop.focus()
    desktop.page.evaluate("navigator.clipboard.writeText('grüße')")
    desktop.page.keyboard.press("Control+v")
    wait_until(lambda: ("vnc", "grüße") in plane.ways.pasted)
    wait_until(lambda: ("vnc", 0, 0x76) in plane.ways.keys)
    plane.run(plane.ways.copy("kopié"))
    expect(desktop.app.notices.last).to_contain_text("kopié")
    desktop.app.notices.last.get_by_role("button", name="Copy").click()
    desktop.page.wait_for_function("async () => await navigator.clipboard.readText() === 'kopié'")


def test_a_screenshot_by_guacamole(desktop: WaysPage) -> None:
    desktop.see_by("Guacamole")
    desktop.wait_shown()
    with desktop.page.expect_download() as download:
        desktop.press_button("Screenshot")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_break_keeps_the_last_picture(
    desktop: WaysPage, plane: FakeControlPlane, wait_until
) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    corner = plane.ways.screen[10, 10].tolist()
    plane.ways.broken["vnc"] = (BROKEN, "the line to the runner broke; come again")
    plane.run(plane.ways.close("vnc", BROKEN))
    expect(desktop.said).to_contain_text("Reconnecting")
    assert desktop.pixel(10, 10) == corner
    wait_until(lambda: plane.ways.opened.count("vnc") >= 2)
    assert desktop.pixel(10, 10) == corner
    plane.ways.broken.clear()
    expect(desktop.said).to_have_count(0)
    desktop.wait_shown()
    desktop.expect_way("VNC")


# --- choosing ------------------------------------------------------------------------------------


def test_the_list_says_why_not(desktop: WaysPage, plane: FakeControlPlane, shots: Path) -> None:
    plane.ways.missing |= {"guacamole": NO_GUACD, "rdp": "xrdp is not installed on the runner."}
    desktop.page.reload()
    desktop.wait_shown()
    desktop.opener.click()
    expect(desktop.way("Guacamole")).to_contain_text("Install guacd where Earthshine runs.")
    expect(desktop.way("Guacamole")).to_be_disabled()
    expect(desktop.way("Built in")).to_have_attribute("aria-checked", "true")
    expect(desktop.way("VNC")).to_be_enabled()
    desktop.page.screenshot(path=shots / "ways-menu.png")
    desktop.page.keyboard.press("End")
    desktop.page.keyboard.press("Escape")
    expect(desktop.way("VNC")).to_be_hidden()


def test_the_choice_is_remembered_for_this_session(
    desktop: WaysPage, plane: FakeControlPlane
) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    desktop.page.reload()
    desktop.wait_shown()
    desktop.expect_way("VNC")
    other = plane.add_session("s2", title="Another", hasDesktop=True)
    plane.append(other, "output", b"$ ")
    desktop.open("s2")
    desktop.wait_shown()
    desktop.expect_way("Built in")
    plane.ways.missing["vnc"] = "TigerVNC is gone."
    desktop.open("s1")
    desktop.wait_shown()
    desktop.expect_way("Built in")


def test_what_cannot_be_shown_makes_room_and_can_be_gone_back_to(
    page: Page, plane: FakeControlPlane, session: FakeSession, shots: Path
) -> None:
    plane.ways.broken["native"] = (PART_MISSING, "The runner has no encoder. Install pixelflux.")
    desktop = opened(page, plane)
    desktop.wait_shown()
    desktop.expect_way("VNC")
    notice = desktop.app.notices.filter(has_text="did not work")
    expect(notice).to_contain_text("“Built in” did not work: you see the desktop by “VNC” now.")
    expect(notice).to_contain_text("Install pixelflux.")
    page.screenshot(path=shots / "ways-fallback.png")
    desktop.opener.click()
    expect(desktop.way("Built in")).to_contain_text("It did not work: The runner has no encoder.")
    page.screenshot(path=shots / "ways-fallback-menu.png")
    page.keyboard.press("Escape")

    plane.ways.broken.clear()
    notice.get_by_role("button", name="Go back").click()
    desktop.wait_shown()
    desktop.expect_way("Built in")


def test_it_never_goes_to_and_fro(
    page: Page, plane: FakeControlPlane, session: FakeSession, shots: Path
) -> None:
    for way in ("native", "vnc", "guacamole"):
        plane.ways.broken[way] = (PART_MISSING, f"There is no {way}.")
    plane.ways.broken["rdp"] = (503, "")
    desktop = opened(page, plane)
    expect(desktop.app.notices.last).to_contain_text("No way to this desktop works at the moment")
    desktop.expect_way("Built in")
    expect(desktop.said).to_contain_text("There is no native.")
    page.screenshot(path=shots / "ways-none.png")
    ways = [
        way for at, way in enumerate(plane.ways.opened) if [way] != plane.ways.opened[at - 1 : at]
    ]
    told = list(dict.fromkeys(ways))
    assert told == ["native", "vnc", "rdp", "guacamole"]

    plane.ways.broken.clear()
    with contextlib.suppress(PlaywrightError):  # it tries by itself as well
        desktop.said.get_by_role("button", name="Try now").click(timeout=3000)
    desktop.wait_shown()
    desktop.expect_way("Built in")


def test_rdp_that_is_refused_makes_room(
    desktop: WaysPage, plane: FakeControlPlane, shots: Path
) -> None:
    desktop.see_by("RDP")
    expect(desktop.said).to_contain_text("Reconnecting")
    desktop.page.screenshot(path=shots / "way-rdp-refused.png")
    expect(desktop.app.notices.last).to_contain_text("“RDP” did not work")
    desktop.expect_way("Built in")
    assert plane.ways.opened.count("rdp") == 4


def test_somebody_elses_guacamole_is_joined(
    desktop: WaysPage, plane: FakeControlPlane, shots: Path
) -> None:
    since = iso(time.time())
    plane.ways.running = [
        {"id": "$a-1", "protocol": "rdp", "name": "Ola", "since": since},
        {"id": "$b-2", "protocol": "vnc", "name": "mira", "since": since},
    ]
    desktop.opener.click()
    expect(desktop.way("Guacamole, with Ola")).to_contain_text("What Ola sees by RDP")
    expect(desktop.way("with mira")).to_have_count(0)
    desktop.page.screenshot(path=shots / "ways-join.png")
    desktop.way("Guacamole, with Ola").click()
    desktop.wait_shown()
    assert plane.ways.queries[-1]["join"] == "$a-1"
    desktop.expect_way("Guacamole, with Ola")

    plane.ways.running = []
    plane.run(plane.ways.close("guacamole", BROKEN, "523 Ola has left."))
    expect(desktop.app.notices.last).to_contain_text("Ola's connection has ended")
    desktop.wait_shown()
    expect(desktop.opener).not_to_contain_text("Ola")
    assert "join" not in plane.ways.queries[-1]


# --- on a phone ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "way"), [("VNC", "vnc"), ("Guacamole", "guacamole")])
def test_fingers_and_keys_for_phones(
    phone: Page,
    plane: FakeControlPlane,
    session: FakeSession,
    wait_until,
    label: str,
    way: str,
) -> None:
    desktop = opened(phone, plane)
    desktop.wait_shown()
    desktop.see_by(label)
    desktop.wait_shown()
    expect(phone.locator("es-desktop-keys")).to_be_visible()
    desktop.wait_at_rest()
    phone.touchscreen.tap(*desktop.spot(500, 300))
    wait_until(lambda: [it[3] for it in plane.ways.mouse][-2:] == [1, 0])
    places = [(x, y) for _, x, y, _ in plane.ways.mouse]
    assert all(abs(x - 500) < 3 and abs(y - 300) < 3 for x, y in places), places
    desktop.expect_control("You have control")
    row = phone.locator("es-desktop-keys")
    row.get_by_role("button", name="Ctrl").click()
    row.get_by_role("button", name="Tab").click()
    wanted = [(way, 1, 0xFFE3), (way, 1, 0xFF09), (way, 0, 0xFF09), (way, 0, 0xFFE3)]
    wait_until(lambda: len(plane.ways.keys) == 4)
    assert plane.ways.keys == wanted
    row.get_by_role("button", name="Keyboard").click()
    phone.keyboard.insert_text("é")
    wait_until(lambda: (way, 0, 0xE9) in plane.ways.keys)


# --- control -------------------------------------------------------------------------------------


def test_control_is_asked_for_by_any_way(
    desktop: WaysPage, plane: FakeControlPlane, wait_until, shots: Path
) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    plane.run(plane.ways.give(OLA))
    desktop.expect_control("Ola has control")
    desktop.focus()
    desktop.page.keyboard.press("x")
    expect(desktop.app.notices.last).to_contain_text("Ola has control: ask for it, or take it.")
    assert plane.ways.keys == []
    desktop.page.screenshot(path=shots / "way-vnc-ola.png")
    desktop.press_button("Take control")
    desktop.expect_control("You have control")
    desktop.focus()
    desktop.page.keyboard.press("x")
    wait_until(lambda: ("vnc", 1, 0x78) in plane.ways.keys)
    desktop.press_button("Release")
    desktop.expect_control("Type or click to take control")


def test_without_the_built_in_way_all_who_may_can_steer(
    page: Page, plane: FakeControlPlane, session: FakeSession, wait_until
) -> None:
    plane.ways.missing["native"] = "The runner has no encoder."
    plane.ways.broken["native"] = (PART_MISSING, "The runner has no encoder.")
    desktop = opened(page, plane)
    desktop.wait_shown()
    desktop.expect_way("VNC")
    desktop.expect_control("You can type and click")
    desktop.focus()
    desktop.page.keyboard.press("x")
    wait_until(lambda: ("vnc", 1, 0x78) in plane.ways.keys)


@pytest.mark.parametrize("label", ["VNC", "Guacamole"])
def test_who_may_only_watch(
    page: Page, plane: FakeControlPlane, session: FakeSession, label: str
) -> None:
    plane.role = "viewer"
    desktop = opened(page, plane)
    desktop.wait_shown()
    desktop.see_by(label)
    desktop.wait_shown()
    desktop.expect_control("You are watching")
    desktop.page.mouse.click(*desktop.spot(100, 100))
    desktop.page.keyboard.press("x")
    expect(desktop.app.notices.last).to_contain_text("not steer it")
    assert (plane.ways.keys, plane.ways.mouse) == ([], [])


# --- a client of one's own -----------------------------------------------------------------------


def test_a_login_for_a_client_of_ones_own(
    desktop: WaysPage, plane: FakeControlPlane, shots: Path
) -> None:
    dialog = desktop.own_client()
    assert plane.ways.logins == 0, "none is made before somebody wants it"
    desktop.page.screenshot(path=shots / "own-client.png")
    dialog.get_by_role("button", name="Get a login").click()
    expect(dialog.get_by_label("Address", exact=True)).to_have_value("127.0.0.1:15901")
    expect(dialog.get_by_label("Password, for one connection")).to_have_value("vQ7t-Kd3x-9mZp-1")
    expect(dialog).to_contain_text("It works for another")
    expect(dialog).to_contain_text("xfreerdp /v:127.0.0.1:15901 /u:es-3f9c")
    desktop.page.screenshot(path=shots / "own-client-login.png")
    dialog.get_by_role("tab", name="Remmina").click()
    expect(dialog).to_contain_text("remmina -c rdp://es-3f9c@127.0.0.1:15901")
    dialog.get_by_role("button", name="Copy the user").click()
    desktop.page.wait_for_function("async () => await navigator.clipboard.readText() === 'es-3f9c'")
    with desktop.page.expect_download() as download:
        dialog.get_by_role("button", name="Download .rdp file").click()
    assert download.value.suggested_filename.endswith(".rdp")
    assert b"username:s:es-3f9c" in download.value.path().read_bytes()

    dialog.get_by_role("button", name="Close").click()
    again = desktop.own_client()
    expect(again.get_by_role("button", name="Get a login")).to_be_visible()
    assert "vQ7t" not in desktop.page.content()


def test_a_login_that_has_expired(desktop: WaysPage, plane: FakeControlPlane, shots: Path) -> None:
    plane.ways.login_seconds = 1.0
    dialog = desktop.own_client()
    dialog.get_by_role("button", name="Get a login").click()
    expect(dialog).to_contain_text("That has expired.")
    desktop.page.screenshot(path=shots / "own-client-expired.png")
    plane.ways.login_seconds = 300.0
    dialog.get_by_role("button", name="Get another").click()
    expect(dialog.get_by_label("Password, for one connection")).to_have_value("vQ7t-Kd3x-9mZp-2")


def test_a_login_that_cannot_be_made(
    desktop: WaysPage, plane: FakeControlPlane, shots: Path
) -> None:
    plane.ways.broken["rdp"] = (503, "xrdp does not start on the runner.")
    dialog = desktop.own_client()
    dialog.get_by_role("button", name="Get a login").click()
    expect(dialog).to_contain_text("xrdp does not start on the runner. Install xrdp")
    dialog.get_by_role("tab", name="Moonlight").click()
    expect(dialog).to_contain_text("earthshine moonlight accept 1234")
    desktop.page.screenshot(path=shots / "own-client-moonlight.png")


def test_the_operators_guacamole(desktop: WaysPage, plane: FakeControlPlane, shots: Path) -> None:
    dialog = desktop.own_client()
    expect(dialog.get_by_role("tab")).to_have_text(["RDP", "Moonlight"])
    dialog.get_by_role("button", name="Close").click()

    plane.ways.application = True
    plane.ways.broken["guacamole"] = (503, "Guacamole has no user with the name mia.")
    dialog = desktop.own_client()
    dialog.get_by_role("tab", name="Guacamole").click()
    dialog.get_by_role("button", name="Get a connection").click()
    expect(dialog).to_contain_text("Guacamole has no user with the name mia. Ask its admin.")
    plane.ways.broken.clear()
    dialog.get_by_role("button", name="Get a connection").click()
    there = dialog.get_by_role("link", name="Open Guacamole")
    expect(there).to_have_attribute("href", "https://guacamole.example/#/client/MTc")
    expect(there).to_have_attribute("rel", "noopener noreferrer")
    expect(dialog).to_contain_text("Earthshine s1 for mia")
    desktop.page.screenshot(path=shots / "own-client-guacamole.png")
