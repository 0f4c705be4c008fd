"""The desktop on the session page, for tests."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.e2e import barcode
from tests.e2e.pages import EarthshinePages

VIEW = "document.querySelector('es-desktop-panel')?.shadowRoot?.querySelector('es-desktop-view')"
CANVAS = f"{VIEW}?.shadowRoot?.querySelector('canvas')"
SEEN = f"(document.querySelector('canvas[data-early]') ?? {CANVAS})"
"""What a person sees: a page that is being loaded draws over itself at first."""

SAMPLE = f"""
  () => {{
    const read = {barcode.READ};
    window.samples = [];
    const look = () => {{
      const canvas = {CANVAS};
      window.samples.push([Date.now() % {barcode.PERIOD}, read(canvas)]);
      window.sampler = requestAnimationFrame(look);
    }};
    look();
  }}
"""


class DesktopPage:
    """One person's view of a desktop."""

    def __init__(self, app: EarthshinePages) -> None:
        self.app = app
        self.page = app.page
        self.bar = app.page.locator("es-desktop-bar")
        self.sheet = app.page.locator("es-desktop-view .sheet")
        self.said = app.page.locator("es-desktop-view .frame > .said")
        self.canvas = app.page.locator("es-desktop-view canvas")

    def open(self, session_id: str) -> DesktopPage:
        self.page.goto(f"{self.app.url}/sessions/{session_id}")
        return self

    def time(self) -> int | None:
        """The barcode on the canvas now; None where none can be read."""
        value: int | None = self.page.evaluate(f"() => ({barcode.READ})({CANVAS})")
        return value

    def wait_picture(self, newer_than: int | None = None, seconds: float = 20) -> int:
        """Until the canvas shows a barcode (younger than one); returns it."""
        value: int = self.page.wait_for_function(
            f"""after => {{
              const value = ({barcode.READ})({CANVAS});
              return value !== null && (after === null || value > after) ? {{ value }} : null;
            }}""",
            arg=newer_than,
            timeout=seconds * 1000,
        ).evaluate("it => it.value")
        return value

    def wait_current(self, within_ms: int = 1000, seconds: float = 20) -> None:
        """Until the picture is at most so old."""
        self.page.wait_for_function(
            f"""within => {{
              const value = ({barcode.READ})({CANVAS});
              return value !== null && Math.abs(Date.now() % {barcode.PERIOD} - value) < within;
            }}""",
            arg=within_ms,
            timeout=seconds * 1000,
        )

    def sample(self) -> None:
        """Look at the canvas in every frame from now on."""
        self.page.evaluate(SAMPLE)

    def samples(self) -> list[tuple[int, int | None]]:
        """(time, barcode) of every look."""
        found: list[tuple[int, int | None]] = self.page.evaluate(
            "() => { cancelAnimationFrame(window.sampler); return window.samples; }"
        )
        return found

    def pixels(self, x: int, y: int, width: int, height: int) -> list[int]:
        """RGBA of a part of the canvas."""
        found: list[int] = self.page.evaluate(
            f"([x, y, w, h]) =>"
            f" Array.from({CANVAS}.getContext('2d').getImageData(x, y, w, h).data)",
            [x, y, width, height],
        )
        return found

    def size(self) -> tuple[int, int]:
        width, height = self.page.evaluate(f"() => [{CANVAS}.width, {CANVAS}.height]")
        return width, height

    def wait_size(self, width: int, height: int) -> None:
        self.page.wait_for_function(
            f"([w, h]) => {CANVAS}.width === w && {CANVAS}.height === h", arg=[width, height]
        )

    def click(self, x: int, y: int, **options: Any) -> None:
        """Click a pixel of the desktop."""
        at = self.place(x, y)
        self.page.mouse.click(*at, **options)

    def place(self, x: int, y: int) -> tuple[float, float]:
        """Where a pixel of the desktop is on the page: its middle."""
        box = self.canvas.bounding_box()
        assert box is not None
        width, height = self.size()
        return (
            box["x"] + (x + 0.5) * box["width"] / width,
            box["y"] + (y + 0.5) * box["height"] / height,
        )

    def focus(self) -> None:
        self.page.evaluate(f"() => {VIEW}.takeFocus()")

    def press_button(self, name: str) -> None:
        self.bar.get_by_role("button", name=name, exact=True).click()

    def menu(self, item: str) -> None:
        self.press_button("More of the desktop")
        self.page.get_by_role("menuitem", name=item).click()

    def show(self, view: str) -> None:
        """`Terminal`, `Desktop` or `Both`."""
        self.page.locator("es-view-switch").get_by_role("button", name=view).click()

    @property
    def control(self) -> Locator:
        return self.bar.locator(".control .words")

    def expect_control(self, words: str) -> None:
        expect(self.control).to_have_text(words)
