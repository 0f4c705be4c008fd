"""Connections that break: what people see, and that nothing is lost or doubled."""

import contextlib
import re

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from tests.e2e import scenes
from tests.e2e.fake_control_plane import CODE, FakeControlPlane
from tests.e2e.fake_session import FakeSession
from tests.e2e.pages import EarthshinePages, SessionPage

pytestmark = pytest.mark.browser


@pytest.fixture
def work(plane: FakeControlPlane) -> FakeSession:
    return plane.add_session("count", cols=100, rows=30)


def print_lines(plane: FakeControlPlane, work: FakeSession, first: int, last: int) -> None:
    for number in range(first, last + 1):
        plane.append(work, "output", b"line %d\r\n" % number)


def lines(session: SessionPage) -> list[str]:
    return session.text().splitlines()


def test_a_reconnect_goes_on_behind_the_cursor(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    print_lines(plane, work, 1, 50)
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    session.wait_text("line 50")
    for last in (100, 150, 200):
        plane.close_feeds(work, 1001)
        print_lines(plane, work, last - 49, last)
        session.wait_text(f"line {last}")
    session.wait_live()
    assert lines(session) == [f"line {number}" for number in range(1, 201)]
    # Events also stand for sizes: the cursors only have to grow.
    assert plane.connections == sorted(plane.connections)
    assert len(plane.connections) == 4
    assert plane.connections[1] >= 50


def test_the_pill_says_why_and_when(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    plane.refuse_feeds = 1001
    plane.close_feeds(work, 1001)
    expect(session.pill).to_contain_text("the server is restarting")
    expect(session.pill).to_contain_text("Reconnecting in")
    session.type("into the void")
    expect(app.notices.filter(has_text="keys are not sent")).to_be_visible()
    expect(session.pill.get_by_role("button", name="Try now")).to_be_visible()
    plane.refuse_feeds = None
    with contextlib.suppress(PlaywrightError):  # it tries by itself as well
        session.pill.get_by_role("button", name="Try now").click(timeout=3000)
    session.wait_live()
    assert bytes(work.typed) == b""


def test_a_prompt_outlives_a_break_and_is_said_once(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession, wait_until
) -> None:
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    plane.refuse_feeds = 1001
    plane.close_feeds(work, 1001)
    expect(session.pill).to_contain_text("Reconnecting")
    session.send_prompt("do it once")
    expect(session.page.locator("es-prompt-box")).to_contain_text("Sending…")
    plane.refuse_feeds = None
    wait_until(lambda: work.prompts)
    session.wait_live()
    expect(session.page.locator("es-prompt-box")).not_to_contain_text("Sending…")
    assert work.prompts == ["do it once"]


def test_a_runner_that_is_away(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    plane.update(work, runnerConnected=False)
    expect(session.pill).to_contain_text("Runner workshop is away; the agent keeps working")
    plane.update(work, runnerConnected=True)
    session.wait_live()


@pytest.mark.parametrize(
    ("code", "says", "button"),
    [
        (4000, "opened again elsewhere", "Take it back"),
        (4003, "not allowed to watch", "Try again"),
        (4009, "did not understand this page", "Try again"),
    ],
)
def test_refusals_say_what_to_do(
    app: EarthshinePages,
    plane: FakeControlPlane,
    work: FakeSession,
    code: int,
    says: str,
    button: str,
) -> None:
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    plane.close_feeds(work, code)
    expect(session.pill).to_contain_text(says)
    session.pill.get_by_role("button", name=button).click()
    session.wait_live()


def test_a_sign_in_that_ended(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    app.sign_in(CODE)
    app.open_session("count").wait_live()
    plane.close_feeds(work, 4001)
    expect(app.page.get_by_role("heading", name="Sign in to Earthshine")).to_be_visible()


def test_a_log_that_starts_over(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession, wait_until
) -> None:
    print_lines(plane, work, 1, 9)
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    session.wait_text("line 9")
    work.log = work.log[:3]
    work.view["lastSeq"] = work.log[-1].seq
    plane.close_feeds(work, 1001)
    wait_until(lambda: len(plane.connections) == 3)
    assert plane.connections[0] == plane.connections[2] == 0
    session.wait_live()
    session.wait_text("line 3")
    assert lines(session) == ["line 1", "line 2", "line 3"]


def test_a_gap_is_shown(app: EarthshinePages, plane: FakeControlPlane, work: FakeSession) -> None:
    print_lines(plane, work, 1, 2)
    plane.append(
        work,
        "gap",
        {"firstSeq": 3, "lastSeq": 900, "bytes": 52_400_000, "reason": "The spool was full."},
    )
    print_lines(plane, work, 901, 902)
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    session.press_button("Timeline")
    expect(session.timeline).to_contain_text("52.4 MB of output missing")
    session.wait_text("line 902")


def test_a_long_replay_shows_its_progress(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    for _ in range(24):
        plane.append(work, "output", b"\x1b[32mout\x1b[0mput " * 6_000)
    plane.append(work, "output", b"the end")
    plane.replay_pause = 0.1
    app.sign_in(CODE)
    session = app.open_session("count")
    progress = app.page.get_by_role("progressbar", name="Replaying the log")
    expect(progress).to_have_attribute("aria-valuenow", re.compile("^[1-9][0-9]$"))
    session.wait_live()
    expect(progress).to_have_count(0)
    session.wait_text("the end")


def test_leaving_and_coming_back_shows_the_same(
    app: EarthshinePages, plane: FakeControlPlane, work: FakeSession
) -> None:
    scenes.sessions(plane)
    print_lines(plane, work, 1, 40)
    app.sign_in(CODE)
    session = app.open_session("count").wait_live()
    session.wait_text("line 40")
    app.page.get_by_role("link", name="Keep rate limits across restarts").click()
    SessionPage(app).wait_live().wait_text("18 passed")
    app.page.go_back()
    session.wait_live()
    session.wait_text("line 40")
    assert lines(session) == [f"line {number}" for number in range(1, 41)]
