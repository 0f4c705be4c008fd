"""The list of sessions, the start dialog, runners, palette and keys."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.pages import EarthshinePages, StartDialog

pytestmark = pytest.mark.browser


@pytest.fixture
def busy(plane: FakeControlPlane, app: EarthshinePages) -> EarthshinePages:
    """Signed in, with a team's worth of sessions."""
    scenes.sessions(plane)
    expect(app.sign_in(CODE).rows).not_to_have_count(0)
    return app


def test_the_empty_list_teaches(app: EarthshinePages, shots: Path) -> None:
    sessions = app.sign_in(CODE)
    empty = app.page.locator("es-sessions-empty")
    expect(empty).to_contain_text("No agent is at work")
    expect(empty).to_contain_text("Connected: home-server, workshop")
    expect(empty).to_contain_text("Claude Code")
    app.page.screenshot(path=shots / "empty.png")
    assert sessions.rows.count() == 0


def test_two_clicks_start_a_session(app: EarthshinePages, plane: FakeControlPlane) -> None:
    session = app.sign_in(CODE).new_session().start()
    session.wait_live().wait_text("mira@workshop")
    assert plane.started["agent"] == "claude"
    assert plane.started["runnerId"] == "r2"
    assert plane.started["cols"] > 100


def test_rows_tell_how_sessions_stand(busy: EarthshinePages, shots: Path) -> None:
    sessions = busy.sessions()
    expect(sessions.rows).to_have_count(6)
    expect(sessions.row("Keep rate limits")).to_contain_text("limits/persist-buckets")
    expect(sessions.row("Train the small reranker")).to_contain_text("Runner away")
    expect(sessions.row("Translate the settings")).to_contain_text("Starting")
    busy.page.screenshot(path=shots / "sessions.png")
    sessions.show("Ended")
    expect(sessions.row("Sketch the new onboarding")).to_contain_text("not installed on workshop")
    expect(sessions.row("npm run e2e")).to_contain_text("Exit 1")
    expect(sessions.row("Add pagination")).to_contain_text("Done")


def test_the_list_follows_what_happens(busy: EarthshinePages, plane: FakeControlPlane) -> None:
    sessions = busy.sessions()
    session = plane.sessions["s2"]
    plane.update(session, title="A new title")
    expect(sessions.row("A new title")).to_be_visible()
    plane.update(session, state="exited", exitCode=0)
    expect(sessions.row("A new title")).to_have_count(0)


def test_searching(busy: EarthshinePages) -> None:
    sessions = busy.sessions()
    busy.page.keyboard.press("/")
    busy.page.keyboard.type("home-server nightly")
    expect(sessions.rows).to_have_count(1)
    busy.page.keyboard.press("Escape")
    expect(sessions.rows).to_have_count(6)
    sessions.search("nothing like it")
    expect(busy.page.get_by_text("Nothing matches")).to_be_visible()


def test_the_list_by_keyboard(busy: EarthshinePages) -> None:
    busy.page.keyboard.press("j")
    busy.page.keyboard.press("j")
    busy.page.keyboard.press("k")
    busy.page.keyboard.press("j")
    busy.page.keyboard.press("Enter")
    expect(busy.page).to_have_url(re.compile("/sessions/limiter$"))


def test_the_palette_goes_to_sessions_and_pages(busy: EarthshinePages) -> None:
    busy.page.keyboard.press("Control+k")
    expect(busy.palette).to_be_focused()
    busy.page.keyboard.type("importer")
    busy.page.keyboard.press("Enter")
    expect(busy.page).to_have_url(re.compile("/sessions/s2$"))
    busy.page.locator("es-session-page").wait_for()
    busy.page.keyboard.press("Control+Shift+k")
    busy.palette.fill("runners")
    busy.page.keyboard.press("Enter")
    expect(busy.page).to_have_url(re.compile("/runners$"))


def test_keys_for_help_and_pages(busy: EarthshinePages) -> None:
    busy.page.keyboard.press("?")
    expect(busy.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    busy.page.keyboard.press("Escape")
    busy.page.keyboard.press("g")
    busy.page.keyboard.press("e")
    expect(busy.page).to_have_url(re.compile("/settings$"))
    busy.page.keyboard.press("n")
    StartDialog(busy)


def test_starting_in_a_worktree_of_a_repository_one_walks_to(
    app: EarthshinePages, plane: FakeControlPlane, shots: Path
) -> None:
    dialog = app.sign_in(CODE).new_session()
    dialog.choose_machine("workshop")
    dialog.choose_agent("Codex")
    dialog.fill("Prompt", "Make the tests faster")
    dialog.use_worktree()
    dialog.browse("src", "lantern")
    dialog.fill("New branch", "agent/faster")
    app.page.screenshot(path=shots / "start.png")
    dialog.start().wait_live()
    assert plane.started["agent"] == "codex"
    assert plane.started["runnerId"] == "r1"
    assert plane.started["worktree"] == {
        "repository": "/home/mira/src/lantern",
        "branch": "agent/faster",
        "base": "",
    }
    assert plane.started["prompt"] == "Make the tests faster"


def test_the_dialog_remembers(app: EarthshinePages, plane: FakeControlPlane) -> None:
    dialog = app.sign_in(CODE).new_session()
    dialog.choose_machine("workshop")
    dialog.choose_agent("Codex")
    dialog.fill("Folder", "/home/mira/website")
    dialog.start().wait_live()
    app.page.goto(app.url)
    again = app.sessions().new_session()
    expect(again.agent("Codex")).to_be_checked()
    expect(again.field("Folder")).to_have_value("/home/mira/website")


def test_agents_that_cannot_be_had_say_why(app: EarthshinePages) -> None:
    dialog = app.sign_in(CODE).new_session()
    dialog.choose_machine("workshop")
    expect(dialog.agent("Gemini CLI")).to_be_disabled()
    dialog.dialog.get_by_text("2 agents are not installed").click()
    expect(dialog.dialog).to_contain_text("npm install -g @google/gemini-cli")


def test_any_command(app: EarthshinePages, plane: FakeControlPlane) -> None:
    dialog = app.sign_in(CODE).new_session()
    dialog.choose_agent("Any command")
    dialog.press_start()
    expect(dialog.problem).to_contain_text("Which command should run?")
    dialog.fill("Command", 'sh -c \'echo "two words"')
    dialog.press_start()
    expect(dialog.problem).to_contain_text("is not closed")
    dialog.fill("Command", "sh -c 'echo \"two words\"'")
    dialog.start().wait_live()
    assert plane.started["command"] == ["sh", "-c", 'echo "two words"']


def test_a_refused_start_says_why_and_keeps_what_was_written(app: EarthshinePages) -> None:
    dialog = app.sign_in(CODE).new_session()
    dialog.fill("Prompt", "long thought")
    dialog.fill("Folder", "/missing")
    dialog.press_start()
    expect(dialog.problem).to_contain_text("does not exist on workshop. Choose an existing folder.")
    expect(dialog.field("Prompt")).to_have_value("long thought")


def test_no_machine_is_connected(app: EarthshinePages, plane: FakeControlPlane) -> None:
    for runner in plane.runners.values():
        runner["state"] = "away"
    app.sign_in(CODE)
    expect(app.page.locator("es-sessions-empty")).to_contain_text("No runner is connected")
    app.page.keyboard.press("n")
    dialog = StartDialog(app)
    expect(dialog.dialog).to_contain_text("No machine is connected")
    expect(dialog.dialog.get_by_role("button", name="Start", exact=True)).to_be_disabled()


def test_runners(busy: EarthshinePages, shots: Path) -> None:
    runners = busy.open_runners()
    workshop = runners.get_by_role("region", name="workshop")
    expect(workshop).to_contain_text("Connected")
    expect(workshop).to_contain_text("/home/mira/.local/bin/claude")
    expect(workshop).to_contain_text("npm install -g opencode-ai")
    expect(runners.get_by_role("region", name="gpu-box")).to_contain_text("Away, last seen 12m ago")
    expect(runners).to_contain_text(f"earthshine runner --url {busy.url}")
    busy.page.screenshot(path=shots / "runners.png")


def test_the_theme(busy: EarthshinePages) -> None:
    def background() -> str:
        return str(busy.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = background()
    busy.open_settings().get_by_role("button", name="Light").click()
    assert background() != dark
    busy.page.reload()
    expect(busy.page.locator("html")).to_have_attribute("data-theme", "light")
