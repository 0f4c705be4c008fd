"""The newcomer's walk on the real thing: `earthshine up`, a browser, an agent; then a phone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.pages import EarthshinePages
from tests.world import READY, World, free_port, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
LINK = re.compile(r"(http://\S+)/#sign-in=(\S+)")


class Up(World):
    """`earthshine up` in place of control plane and runner apart."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.state = root / "state" / "control"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = root / "up.log"

    def up(self) -> None:
        environment = self.environment(EARTHSHINE_PREVIEW_PORT=str(self.preview_port))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "earthshine.cli",
                    "up",
                    "--port",
                    str(self.port),
                    "--state-dir",
                    str(self.root / "state"),
                ],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def down(self) -> int:
        """Ctrl-C."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)

    def printed(self) -> str:
        return self._log.read_text()

    def link(self) -> tuple[str, str]:
        """The newest link: address and code."""
        wait_for(lambda: READY.search(self.printed()), 20, f"the link: {self.printed()}")
        found: tuple[str, str] = LINK.findall(self.printed())[-1]
        return found

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.down()
        super().close()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    world = Up(tmp_path_factory.mktemp("up"))
    try:
        world.up()
        world.link()
        yield world
    finally:
        world.close()


@pytest.fixture(scope="module")
def newcomer(chromium: Browser, up: Up) -> Iterator[Page]:
    """A signed-in tab, kept through the walk."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    context.set_default_timeout(15_000)
    page = context.new_page()
    address, code = up.link()
    EarthshinePages(page, address).sign_in(code)
    yield page
    context.close()


def test_the_server_says_what_it_could_not_find(up: Up) -> None:
    link = up.link()[1]
    assert link in up.printed()
    assert "npm install -g @openai/codex" in up.printed() or "Codex" not in up.printed()


def test_a_session_begins_with_two_clicks_and_nothing_is_lost_when_the_tab_closes(
    up: Up, newcomer: Page, shots: Path
) -> None:
    app = EarthshinePages(newcomer, up.url)
    newcomer.wait_for_function("() => document.body.innerText.length > 0")
    wait_for(lambda: up.api("GET", "/runners")["runners"], 15, "the local runner")
    session = app.sessions().new_session().start()  # two clicks
    session.wait_live()
    session.type("echo $((6 * 7)) is the answer\n")
    session.wait_text("42 is the answer")
    newcomer.screenshot(path=shots / "newcomer-1-typed.png")
    address = newcomer.url
    session.type("for i in $(seq 400); do echo tick-$i; sleep 0.01; done; echo done-$((40 * 10))\n")
    session.wait_text("tick-3")
    newcomer.close()

    later = newcomer.context.new_page()
    later.goto(address)
    again = EarthshinePages(later, up.url)
    page = again.open_session(address.rsplit("/", 1)[1])
    page.wait_text("done-400", 20)
    text = page.text()
    assert "42 is the answer" in text
    ticks = [int(n) for n in re.findall(r"^tick-(\d+)", text, re.MULTILINE)]
    assert ticks == list(range(1, 401))
    page.wait_live()
    later.screenshot(path=shots / "newcomer-2-came-back.png")


def test_stopping_the_server_does_not_stop_the_agent(up: Up, newcomer: Page, shots: Path) -> None:
    page = newcomer.context.new_page()
    app = EarthshinePages(page, up.url)
    view = up.api("POST", "/sessions", {"agent": "shell", "title": "outlives the server"})
    session = app.open_session(view["id"]).wait_live()
    session.type("mark=kept-$$; echo ready\n")
    session.wait_text("ready")
    assert up.down() == 0
    expect(session.pill).not_to_contain_text("Live")
    page.screenshot(path=shots / "newcomer-3-server-gone.png")
    up.up()
    expect(page.locator("es-connection-pill[tone=ok]")).to_be_visible(timeout=30_000)
    wait_for(lambda: up.session(view["id"])["runnerConnected"], 15, "the runner is back")
    session.type("echo $mark again\n")
    session.wait_text("again")
    assert re.search(r"kept-\d+ again", session.text())
    page.close()


def test_an_ended_session_says_how_it_ended(up: Up, newcomer: Page, shots: Path) -> None:
    page = newcomer.context.new_page()
    view = up.api(
        "POST", "/sessions", {"agent": "command", "command": ["bash", "-c", "echo bye; exit 7"]}
    )
    session = EarthshinePages(page, up.url).open_session(view["id"])
    session.wait_complete()
    expect(session.ending).to_contain_text("7")
    page.screenshot(path=shots / "newcomer-4-ended.png")
    page.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"agent": "shell", "folder": "/no/such/folder"}, "does not exist"),
        ({"agent": "command", "command": ["no-such-program-here"]}, "was not found"),
        ({"agent": "gemini", "command": []}, "was not found"),
        ({"agent": "shell", "worktree": {"repository": "/tmp"}}, "git could not make"),
    ],
)
def test_what_cannot_start_says_why_and_what_to_do(
    up: Up, newcomer: Page, body: dict[str, object], words: str
) -> None:
    if body["agent"] == "gemini" and any(
        (Path(folder) / "gemini").exists() for folder in os.environ["PATH"].split(":")
    ):
        pytest.skip("Gemini CLI is installed on this machine")
    view = up.api("POST", "/sessions", body)
    assert view["state"] == "failed"
    assert words in view["reason"]["detail"]
    assert view["reason"]["remedy"]
    page = newcomer.context.new_page()
    EarthshinePages(page, up.url).open_session(view["id"])
    expect(page.locator("es-ending")).to_contain_text(re.compile(words, re.IGNORECASE))
    page.close()


ASKS = r"""
printf '\033]7501;state=blocked:id=q\007Allow it? '; read answer
printf '\033]7501;state=working:id=q\007answered-%s\n' "$answer"; read prompt
printf 'prompted-%s\n' "$prompt"
"""


def test_a_prompt_waits_while_the_agent_asks_and_the_page_says_so(
    up: Up, newcomer: Page, shots: Path
) -> None:
    page = newcomer.context.new_page()
    view = up.api("POST", "/sessions", {"agent": "command", "command": ["bash", "-c", ASKS]})
    session = EarthshinePages(page, up.url).open_session(view["id"]).wait_live()
    session.wait_text("Allow it?")
    session.send_prompt("carry on")
    condition = page.locator("es-condition")
    expect(condition).to_contain_text("The agent asks something")
    page.screenshot(path=shots / "newcomer-7-asks.png")
    session.type("yes\n")
    session.wait_text("answered-yes")
    session.wait_text("prompted-carry on")
    expect(condition).to_have_count(0)
    page.close()


def test_a_phone_follows_and_types(up: Up, chromium: Browser, newcomer: Page, shots: Path) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    context.add_cookies(newcomer.context.cookies())  # type: ignore[arg-type]
    page = context.new_page()
    view = up.api("POST", "/sessions", {"agent": "shell", "title": "on the phone"})
    session = EarthshinePages(page, up.url).open_session(view["id"]).wait_live()
    session.send_prompt("echo sent from a phone")
    session.wait_text("sent from a phone")
    page.screenshot(path=shots / "newcomer-5-phone.png")
    page.goto(up.url)
    expect(page.locator("es-session-row").first).to_be_visible()
    page.screenshot(path=shots / "newcomer-6-phone-list.png")
    context.close()


HOSTILE = """
<!doctype html><title>hostile</title><body><script>
const control = "CONTROL";
const found = {};
const done = () => { document.body.innerText = JSON.stringify(found); document.title = "done"; };
(async () => {
  try {
    const answer = await fetch(control + "/api/v1/me", {credentials: "include"});
    found.read = await answer.text();
  } catch (error) { found.read = "blocked"; }
  try {
    const answer = await fetch(control + "/api/v1/sessions", {method: "POST", mode: "no-cors",
      credentials: "include", headers: {"content-type": "text/plain"},
      body: JSON.stringify({agent: "shell", title: "planted"})});
    found.write = answer.type + answer.status;
  } catch (error) { found.write = "blocked"; }
  found.cookie = document.cookie;
  try {
    found.opener = window.opener ? String(window.opener.document.title) : "none";
  } catch (error) { found.opener = "blocked"; }
  const socket = new WebSocket(control.replace("http", "ws") + "/api/v1/updates");
  socket.onmessage = () => { found.socket = "read"; done(); };
  socket.onclose = () => { found.socket = found.socket || "closed"; done(); };
})();
</script>
"""


def test_a_hostile_preview_page_cannot_use_the_viewers_sign_in(
    up: Up, newcomer: Page, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(HOSTILE.replace("CONTROL", up.url))
    port = free_port()
    view = up.api(
        "POST",
        "/sessions",
        {
            "agent": "command",
            "command": [
                sys.executable,
                "-m",
                "http.server",
                str(port),
                "--bind",
                "127.0.0.1",
                "--directory",
                str(tmp_path),
            ],
        },
    )
    wait_for(
        lambda: (
            httpx.get(f"http://127.0.0.1:{port}/").status_code == 200 if _listens(port) else False
        ),
        10,
        "the dev server",
    )
    page = newcomer.context.new_page()
    session = EarthshinePages(page, up.url).open_session(view["id"]).wait_live()
    session.press_button("Preview")
    page.get_by_label("Port", exact=False).fill(str(port))
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Open", exact=True).click()
    preview = opened.value
    preview.wait_for_function("() => document.title === 'done'")
    found = preview.evaluate("JSON.parse(document.body.innerText)")
    assert up.preview_port == int(preview.url.split(":")[2].split("/")[0])
    assert found["read"] == "blocked"
    assert found["opener"] in ("none", "blocked")
    assert "earthshine_sign_in" not in found["cookie"]
    assert found["socket"] == "closed"
    titles = [one["title"] for one in up.api("GET", "/sessions")["sessions"]]
    assert "planted" not in titles
    preview.close()
    page.close()
    up.api("POST", f"/sessions/{view['id']}/kill", {})


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
    except httpx.TransportError:
        return False
    return True
