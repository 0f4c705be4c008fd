"""The session page: terminal, prompts, steering, links, search, ending."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_session import FakeSession
from tests.e2e.pages import EarthshinePages, SessionPage

pytestmark = pytest.mark.browser


@pytest.fixture
def work(plane: FakeControlPlane) -> FakeSession:
    """A running session that leaves its screen alone when the window's size changes."""
    session = scenes.at_work(plane)
    session.on_resized = lambda _session: b""
    return session


@pytest.fixture
def session(app: EarthshinePages, work: FakeSession) -> SessionPage:
    """Its page, live."""
    app.sign_in(CODE)
    return app.open_session(work.view["id"]).wait_live()


def test_the_whole_log_is_replayed(session: SessionPage, shots: Path) -> None:
    session.wait_text("18 passed")
    session.wait_leading()
    session.page.screenshot(path=shots / "session.png")


def test_the_terminal_takes_the_windows_size(session: SessionPage, work: FakeSession) -> None:
    session.wait_leading()
    session.page.wait_for_function(
        "() => document.querySelector('es-session-page')?.viewing?.terminal.term.cols > 120"
    )
    wide = work.sizes[-1]
    session.page.set_viewport_size({"width": 1000, "height": 700})
    session.page.wait_for_function(
        "() => document.querySelector('es-session-page')?.viewing?.terminal.term.cols < 110"
    )
    assert work.sizes[-1][0] < wide[0]
    assert work.sizes[-1][1] < wide[1]


def test_keys_reach_the_agent(session: SessionPage, work: FakeSession, wait_until) -> None:
    session.type("ls")
    session.press("Enter")
    session.press("Control+c")
    session.press("ArrowUp")
    wait_until(lambda: bytes(work.typed) == b"ls\r\x03\x1b[A")


def test_kitty_keyboard_protocol(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    plane.append(work, "output", b"\x1b[>1u!kitty!")
    session.wait_text("!kitty!")
    session.press("Shift+Enter")
    session.press("Control+Enter")
    session.press("Escape")
    wait_until(lambda: bytes(work.typed) == b"\x1b[13;2u\x1b[13;5u\x1b[27u")


def test_queries_of_programs_are_left_to_the_holder(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    session.wait_leading()
    asked = (
        b"\x1b[c\x1b[>c\x1b[5n\x1b]11;?\x07\x1b[?2026$p\x1b[?u\x1b[>q\x1b[?996n\x1bP+q544e\x1b\\"
    )
    plane.append(work, "output", asked + b"\x1b[2J\x1b[5;7H\x1b[6n")
    wait_until(lambda: bytes(work.typed) == b"\x1b[5;7R")


def test_nothing_is_answered_while_replaying(
    app: EarthshinePages, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    plane.append(work, "output", b"\x1b[6n\x1b[cdone!")
    app.sign_in(CODE)
    session = app.open_session(work.view["id"]).wait_live()
    session.wait_leading()
    session.wait_text("done!")
    session.type("x")
    wait_until(lambda: bytes(work.typed) == b"x")


def test_looking_and_pointing_do_not_take_the_lead(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    session.wait_leading()
    plane.append(work, "output", b"\x1b[?1003h\x1b[?1006h\x1b[?1004h!mouse!")
    session.wait_text("!mouse!")
    plane.lead(work, None, "jo")
    session.wait_leading(False)
    session.page.mouse.move(600, 300)
    session.page.mouse.move(640, 340)
    session.focus_terminal()
    session.page.mouse.wheel(0, 200)
    session.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert b"\x1b[<" not in bytes(work.typed)
    session.type("k")
    session.wait_leading()
    session.page.mouse.move(600, 300)
    wait_until(lambda: b"\x1b[<35;" in bytes(work.typed))


def test_a_theme_change_is_told_while_the_program_asks_for_it(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    session.wait_leading()
    plane.append(work, "output", b"\x1b[?2031h!told!")
    session.wait_text("!told!")
    session.page.emulate_media(color_scheme="light")
    wait_until(lambda: b"\x1b[?997;2n" in bytes(work.typed))


def test_pasting_is_bracketed_where_the_program_wants_it(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane, wait_until
) -> None:
    plane.append(work, "output", b"\x1b[?2004h!paste!")
    session.wait_text("!paste!")
    session.page.evaluate("navigator.clipboard.writeText('one\\ntwo')")
    session.press("Control+Shift+v")
    wait_until(lambda: bytes(work.typed) == b"\x1b[200~one\rtwo\x1b[201~")


def test_copying_a_selection(session: SessionPage) -> None:
    session.wait_text("18 passed")
    session.page.evaluate("document.querySelector('es-session-page').viewing.terminal.selectAll()")
    session.press("Control+Shift+c")
    expect(session.app.notices.filter(has_text="Copied")).to_be_visible()
    assert "18 passed" in session.page.evaluate("navigator.clipboard.readText()")


def test_a_program_may_offer_text_but_not_take_the_clipboard(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane
) -> None:
    session.wait_leading()
    session.page.evaluate("navigator.clipboard.writeText('mine')")
    plane.append(work, "output", b"\x1b]52;c;?\x07\x1b]52;c;b2ZmZXJlZA==\x07")
    offer = session.app.notices.filter(has_text="offered")
    expect(offer).to_contain_text("7 characters for your clipboard")
    assert session.page.evaluate("navigator.clipboard.readText()") == "mine"
    offer.get_by_role("button", name="Copy").click()
    session.page.wait_for_function("async () => await navigator.clipboard.readText() === 'offered'")


def test_titles_of_programs_are_text(
    session: SessionPage, work: FakeSession, plane: FakeControlPlane
) -> None:
    plane.append(work, "output", b"\x1b]0;<img src=x onerror=alert(1)>\x07")
    expect(session.bar).to_contain_text("<img src=x onerror=alert(1)>")


def test_prompts(session: SessionPage, work: FakeSession, shots: Path) -> None:
    session.prompt.fill("first line")
    session.prompt.press("Shift+Enter")
    session.page.keyboard.type("second line")
    session.prompt.press("Enter")
    expect(session.prompt).to_have_value("")
    session.press_button("Timeline")
    expect(session.timeline).to_contain_text("mira wrote")
    expect(session.timeline).to_contain_text("second line")
    assert work.prompts == ["first line\nsecond line"]
    session.page.screenshot(path=shots / "timeline.png")
    session.prompt.press("ArrowUp")
    expect(session.prompt).to_have_value("first line\nsecond line")


def test_interrupt_stop_and_kill(session: SessionPage, work: FakeSession) -> None:
    session.press_button("Timeline")
    session.press_button("Interrupt")
    expect(session.timeline).to_contain_text("Interrupted by mira")
    session.press_button("Stop")
    expect(session.bar).to_contain_text("Stopping")
    session.press_button("Kill")
    session.confirm("Cancel")
    assert work.view["state"] == "stopping"
    session.press_button("Kill")
    session.confirm("Kill")
    expect(session.ending).to_contain_text("Ended by SIGKILL")


def test_how_it_ended(
    app: EarthshinePages, work: FakeSession, plane: FakeControlPlane, shots: Path
) -> None:
    plane.append(work, "exited", {"exitCode": 3, "signal": None})
    work.view.update(state="exited", exitCode=3, endedAt=work.view["createdAt"])
    app.sign_in(CODE)
    session = app.open_session(work.view["id"]).wait_complete()
    expect(session.ending).to_contain_text("Ended with exit code 3")
    app.page.screenshot(path=shots / "ended.png")
    session.ending.get_by_role("button", name="Start again").click()
    expect(app.page.get_by_role("dialog", name="New session").get_by_label("Prompt")).to_have_value(
        work.view["prompt"]
    )


def test_why_it_failed_and_what_to_do(app: EarthshinePages, plane: FakeControlPlane) -> None:
    scenes.sessions(plane)
    app.sign_in(CODE)
    session = app.open_session("s9").wait_complete()
    expect(session.ending).to_contain_text("OpenCode is not installed on workshop.")
    expect(session.ending).to_contain_text("npm install -g opencode-ai")


def test_deleting_an_ended_session(app: EarthshinePages, plane: FakeControlPlane) -> None:
    scenes.sessions(plane)
    app.sign_in(CODE)
    session = app.open_session("s8").wait_complete()
    session.menu("Delete")
    session.confirm("Delete")
    app.sessions()
    assert "s8" not in plane.sessions


def test_renaming(session: SessionPage, work: FakeSession) -> None:
    session.menu("Rename")
    session.page.get_by_label("Title").fill("Better name")
    session.page.keyboard.press("Enter")
    expect(session.bar.get_by_role("heading")).to_have_text("Better name")
    assert work.view["title"] == "Better name"


def test_finding_text(app: EarthshinePages, work: FakeSession) -> None:
    app.sign_in(CODE)
    session = app.open_session(work.view["id"]).wait_live()
    session.wait_leading()
    session.press("Control+f")
    expect(session.search).to_be_focused()
    session.page.keyboard.type("bucket")
    count = session.page.locator("es-search-bar .count")
    expect(count).to_have_text(re.compile(r"^\d+ of \d+$"))
    before = count.inner_text()
    session.page.keyboard.press("Enter")
    expect(count).not_to_have_text(before)
    session.search.fill("no such words")
    expect(count).to_have_text("No match")
    session.page.keyboard.press("Escape")
    expect(session.search).to_have_count(0)


def test_a_link_to_the_runners_own_port_offers_a_preview(
    session: SessionPage, plane: FakeControlPlane, shots: Path
) -> None:
    session.press_button("Preview")
    dialog = session.page.get_by_role("dialog", name="Preview")
    dialog.get_by_label("Port").fill("5173")
    session.page.screenshot(path=shots / "preview.png")
    with session.page.context.expect_page() as opened:
        dialog.get_by_role("button", name="Open").click()
    opened.value.wait_for_url(re.compile(r"/\.earthshine/enter$"))
    assert plane.previews[0]["port"] == 5173
    assert "one-time" not in opened.value.url
    assert opened.value.evaluate("window.opener") is None


def test_focus_goes_between_terminal_and_prompt(session: SessionPage) -> None:
    session.press("F6")
    expect(session.prompt).to_be_focused()
    session.page.keyboard.press("F6")
    assert session.page.evaluate(
        "document.querySelector('es-session-page')?.viewing?.terminal.focused"
    )


def test_somebody_who_may_only_watch(
    app: EarthshinePages, work: FakeSession, plane: FakeControlPlane
) -> None:
    plane.role = "viewer"
    app.sign_in(CODE)
    session = app.open_session(work.view["id"]).wait_live()
    expect(session.prompt).to_have_count(0)
    expect(app.page.locator("es-watching")).to_contain_text("You are watching.")
    session.type("x")
    expect(app.notices.filter(has_text="watch this session, but not type")).to_be_visible()
    assert bytes(work.typed) == b""
    assert not session.leading()


def test_there_is_no_such_session(app: EarthshinePages) -> None:
    app.sign_in(CODE)
    app.open_session("never-was")
    expect(app.page.get_by_role("heading", name="There is no such session.")).to_be_visible()
    app.page.get_by_role("link", name="All sessions").click()
    app.sessions()
