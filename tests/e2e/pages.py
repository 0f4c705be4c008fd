"""The UI as people see it, for tests: pages with things to do on them, no selectors elsewhere."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect


class EarthshinePages:
    """A browser tab on an Earthshine server."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url.rstrip("/")

    def sign_in(self, code: str) -> SessionsPage:
        """Open a sign-in link, as `earthshine up` prints it."""
        self.page.goto(f"{self.url}/#sign-in={code}")
        return self.sessions()

    def sessions(self) -> SessionsPage:
        expect(self.page.locator("es-sessions-page")).to_be_visible()
        return SessionsPage(self)

    def open_session(self, session_id: str) -> SessionPage:
        self.page.goto(f"{self.url}/sessions/{session_id}")
        return SessionPage(self)

    def open_runners(self) -> Locator:
        self.page.goto(f"{self.url}/runners")
        return self.page.locator("es-runners-page")

    def open_settings(self) -> Locator:
        self.page.goto(f"{self.url}/settings")
        return self.page.locator("es-settings-page")

    @property
    def notices(self) -> Locator:
        return self.page.locator("es-toasts .toast")

    @property
    def palette(self) -> Locator:
        return self.page.get_by_role("combobox", name="Search sessions and commands")


class SessionsPage:
    """The list of sessions."""

    def __init__(self, app: EarthshinePages) -> None:
        self.app = app
        self.page = app.page

    @property
    def rows(self) -> Locator:
        return self.page.locator("es-session-row")

    def row(self, title: str) -> Locator:
        return self.rows.filter(has_text=title)

    def show(self, which: str) -> None:
        """`At work`, `Ended` or `All`."""
        self.page.locator("es-sessions-page").get_by_role("button", name=re.compile(which)).click()

    def search(self, text: str) -> None:
        self.page.get_by_role("searchbox", name="Search sessions").fill(text)

    def open(self, title: str) -> SessionPage:
        self.row(title).click()
        return SessionPage(self.app)

    def new_session(self) -> StartDialog:
        self.page.get_by_role("button", name="New session").first.click()
        return StartDialog(self.app)


class StartDialog:
    """Where sessions begin."""

    def __init__(self, app: EarthshinePages) -> None:
        self.app = app
        self.page = app.page
        self.dialog = app.page.get_by_role("dialog", name="New session")
        expect(self.dialog).to_be_visible()

    def choose_agent(self, label: str) -> None:
        self.dialog.get_by_role("radio", name=label).check()

    def agent(self, label: str) -> Locator:
        return self.dialog.get_by_role("radio", name=label)

    def choose_machine(self, name: str) -> None:
        self.dialog.get_by_label("Machine", exact=True).select_option(name)

    def fill(self, label: str, text: str) -> None:
        self.dialog.get_by_label(label, exact=True).fill(text)

    def field(self, label: str) -> Locator:
        return self.dialog.get_by_label(label, exact=True)

    def browse(self, *folders: str) -> None:
        """Open the folder browser and walk into folders."""
        self.dialog.get_by_role("button", name="Browse").click()
        for folder in folders:
            self.dialog.get_by_role("button", name=folder).click()

    def use_worktree(self) -> None:
        self.dialog.get_by_role("switch", name="worktree").check()

    @property
    def problem(self) -> Locator:
        return self.dialog.get_by_role("alert")

    def start(self) -> SessionPage:
        self.press_start()
        return SessionPage(self.app)

    def press_start(self) -> None:
        self.dialog.get_by_role("button", name="Start", exact=True).click()


class SessionPage:
    """One session: terminal, prompt box, and how to steer it."""

    def __init__(self, app: EarthshinePages) -> None:
        self.app = app
        self.page = app.page
        self.bar = app.page.locator("es-session-bar")
        self.pill = app.page.locator("es-connection-pill")
        self.prompt = app.page.get_by_role("textbox", name="Prompt")
        self.ending = app.page.locator("es-ending")
        self.timeline = app.page.locator("es-timeline")
        self.search = app.page.get_by_role("searchbox", name="Find in terminal")

    def wait_live(self, seconds: float = 40) -> SessionPage:
        """Until everything from before is drawn, and the connection stands.

        The longest pause between two attempts to reconnect is 30 s.
        """
        live = self.page.locator("es-connection-pill[tone=ok]")
        expect(live).to_be_visible(timeout=seconds * 1000)
        return self

    def wait_complete(self) -> SessionPage:
        """Until the whole log of an ended session is drawn."""
        expect(self.pill).to_contain_text("Complete log")
        return self

    def text(self) -> str:
        """All text in the terminal's buffer, as `Terminal text` in the menu shows it."""
        return str(
            self.page.evaluate(
                "document.querySelector('es-session-page')?.viewing?.terminal?.text() ?? ''"
            )
        )

    def wait_text(self, text: str, seconds: float = 15) -> None:
        """Until the terminal's buffer holds a text."""
        self.page.wait_for_function(
            "text => (document.querySelector('es-session-page')?.viewing?.terminal?.text() ?? '')"
            ".includes(text)",
            arg=text,
            timeout=seconds * 1000,
        )

    def leading(self) -> bool:
        return bool(
            self.page.evaluate("document.querySelector('es-session-page')?.viewing?.leading")
        )

    def wait_leading(self, leading: bool = True) -> None:
        self.page.wait_for_function(
            "leading => document.querySelector('es-session-page')?.viewing?.leading === leading",
            arg=leading,
        )

    def type(self, text: str) -> None:
        """Key strokes into the terminal."""
        self.focus_terminal()
        self.page.keyboard.type(text)

    def press(self, key: str) -> None:
        self.focus_terminal()
        self.page.keyboard.press(key)

    def focus_terminal(self) -> None:
        self.page.evaluate("document.querySelector('es-session-page').viewing.terminal.focus()")

    def send_prompt(self, text: str) -> None:
        self.prompt.fill(text)
        self.page.get_by_role("button", name="Send").click()

    def press_button(self, name: str) -> None:
        self.bar.get_by_role("button", name=name, exact=True).click()

    def menu(self, item: str) -> None:
        """Something of the `More` menu."""
        self.press_button("More")
        self.page.get_by_role("menuitem", name=item).click()

    def confirm(self, name: str) -> None:
        self.page.locator("es-confirm").get_by_role("button", name=name).click()
