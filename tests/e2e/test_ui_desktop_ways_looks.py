"""Every state of the ways to a desktop, wide and on a phone, dark and light: nothing sticks out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_ways import OLA
from tests.e2e.looks import look_at
from tests.e2e.pages import EarthshinePages
from tests.e2e.ways_page import WaysPage

pytestmark = pytest.mark.browser
NO_GUACD = "guacd does not answer at 127.0.0.1:4822. Install `guacd` where Earthshine runs."
NO_XRDP = "xrdp is not installed on workshop. Install `xrdp` and `xorgxrdp` there."


def _menu(desktop: WaysPage, plane: FakeControlPlane) -> None:
    desktop.opener.click()
    expect(desktop.way("Guacamole")).to_be_disabled()


def _vnc(desktop: WaysPage) -> None:
    desktop.see_by("VNC")
    desktop.wait_shown()
    expect(desktop.said).to_have_count(0)


def _guacamole(desktop: WaysPage, plane: FakeControlPlane) -> None:
    plane.ways.missing.pop("guacamole")
    desktop.page.reload()
    desktop.wait_shown()
    desktop.see_by("Guacamole")
    desktop.wait_shown()


def _ola(desktop: WaysPage, plane: FakeControlPlane) -> None:
    _vnc(desktop)
    plane.run(plane.ways.give(OLA))
    desktop.expect_control("Ola has control")


def _fallback(desktop: WaysPage, plane: FakeControlPlane) -> None:
    plane.ways.broken["native"] = (4013, "The runner has no encoder. Install pixelflux.")
    desktop.page.reload()
    desktop.expect_way("VNC")
    desktop.wait_shown()
    expect(desktop.app.notices.last).to_contain_text("did not work")


def _fallback_menu(desktop: WaysPage, plane: FakeControlPlane) -> None:
    _fallback(desktop, plane)
    desktop.opener.click()


def _none(desktop: WaysPage, plane: FakeControlPlane) -> None:
    plane.ways.broken |= {"native": (4013, "The runner has no encoder."), "vnc": (4013, NO_XRDP)}
    desktop.page.reload()
    expect(desktop.app.notices.last).to_contain_text("No way to this desktop")
    expect(desktop.said).to_contain_text("The runner has no encoder.")


def _broken(desktop: WaysPage, plane: FakeControlPlane) -> None:
    _vnc(desktop)
    plane.ways.broken["vnc"] = (4011, "the line to the runner broke; come again")
    plane.run(plane.ways.close("vnc", 4011))
    expect(desktop.said).to_contain_text("the line to the runner broke")


def _own_client(desktop: WaysPage, plane: FakeControlPlane) -> None:
    plane.ways.missing.pop("rdp")
    desktop.page.reload()
    desktop.wait_shown()
    dialog = desktop.own_client()
    expect(dialog.get_by_role("button", name="Get a login")).to_be_visible()


def _login(desktop: WaysPage, plane: FakeControlPlane) -> None:
    _own_client(desktop, plane)
    desktop.page.get_by_role("button", name="Get a login").click()
    expect(desktop.page.get_by_label("Password, for one connection")).to_be_visible()


def _expired(desktop: WaysPage, plane: FakeControlPlane) -> None:
    plane.ways.login_seconds = 0.5
    _own_client(desktop, plane)
    desktop.page.get_by_role("button", name="Get a login").click()
    expect(desktop.page.get_by_role("button", name="Get another")).to_be_visible()


def _no_rdp(desktop: WaysPage, plane: FakeControlPlane) -> None:
    expect(desktop.own_client()).to_contain_text("xrdp is not installed")


def _moonlight(desktop: WaysPage, plane: FakeControlPlane) -> None:
    desktop.see_by("Moonlight")
    expect(desktop.page.get_by_role("dialog")).to_contain_text("It shows four digits")


WALKS: dict[str, tuple[tuple[str, Callable[[WaysPage, FakeControlPlane], None]], ...]] = {
    "menu": (("menu", _menu),),
    "vnc": (("ola", _ola), ("broken", _broken)),
    "guacamole": (("guacamole", _guacamole),),
    "fallback": (("fallback", _fallback), ("fallback-menu", _fallback_menu), ("none", _none)),
    "own-client": (("no-rdp", _no_rdp), ("moonlight", _moonlight), ("login", _login)),
    "expired": (("expired", _expired),),
}


@pytest.mark.parametrize(
    ("look", "walk"),
    [*(("phone", walk) for walk in WALKS), ("wide", "menu"), ("wide", "fallback")],
    indirect=["look"],
)
def test_nothing_sticks_out(
    look: tuple[str, Page], plane: FakeControlPlane, walk: str, shots: Path
) -> None:
    size, page = look
    plane.append(plane.add_session("s1", title="Fix the limiter", hasDesktop=True), "output", b"$ ")
    app = EarthshinePages(page, plane.url)
    app.sign_in(CODE)
    desktop = WaysPage(app)
    for state, go in WALKS[walk]:
        plane.ways.missing |= {"guacamole": NO_GUACD, "rdp": NO_XRDP}
        desktop.open("s1")
        desktop.wait_shown()
        go(desktop, plane)
        look_at(page, shots / f"ways-{state}-{size}.png")
        page.evaluate("document.activeElement?.blur?.()")
        plane.ways.broken.clear()
