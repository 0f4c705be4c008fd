"""The ways to a desktop on the session page, for tests."""

from __future__ import annotations

import io

import av
from playwright.sync_api import FloatRect, Locator, expect

from tests.e2e.desktop_page import VIEW, DesktopPage
from tests.e2e.fake_ways import HEIGHT, WIDTH

PIXEL = f"""([x, y]) => {{
  const view = {VIEW};
  const whole = view?.viewer?.everDrawn ? view.shadowRoot : null;
  const layers = [...(whole?.querySelectorAll('.sheet canvas') ?? [])].filter(it => it.width > 0);
  // Guacamole's layers are rounded up.
  const canvas = layers.find(it => it.width >= {WIDTH} && it.height >= {HEIGHT});
  if (!canvas) return null;
  return Array.from(canvas.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3));
}}"""
REST_MS = 500


class WaysPage(DesktopPage):
    """A desktop by any way."""

    @property
    def opener(self) -> Locator:
        return self.bar.get_by_role("button", name="See it by")

    def way(self, label: str) -> Locator:
        """A way's entry in the menu."""
        return self.page.get_by_role("menuitemradio").filter(has_text=label)

    def see_by(self, label: str) -> None:
        self.opener.click()
        self.way(label).click()

    def expect_way(self, label: str) -> None:
        expect(self.opener).to_contain_text(label)

    def wait_shown(self) -> None:
        """Until the desktop's picture is there and current."""
        self.page.wait_for_function(f"() => {VIEW}?.viewer?.current === true")

    def pixel(self, x: int, y: int) -> list[int] | None:
        """RGB on the canvas that shows the desktop; None where there is none."""
        found: list[int] | None = self.page.evaluate(PIXEL, [x, y])
        return found

    def spot(self, x: int, y: int) -> tuple[float, float]:
        """Where a pixel of the desktop is on the page."""
        box = self.sheet.bounding_box()
        assert box is not None
        return (
            box["x"] + (x + 0.5) * box["width"] / WIDTH,
            box["y"] + (y + 0.5) * box["height"] / HEIGHT,
        )

    def wait_at_rest(self) -> None:
        """Until the picture has stayed where it is: bars come and take room."""
        before = None
        while (box := self.sheet.bounding_box()) != before:
            before = box
            self.page.wait_for_timeout(REST_MS)

    def seen(self, x: int, y: int) -> list[int]:
        """RGB on the screen, where a pixel of the desktop has to be."""
        left, top = self.spot(x, y)
        clip: FloatRect = {"x": int(left), "y": int(top), "width": 1, "height": 1}
        with av.open(io.BytesIO(self.page.screenshot(clip=clip)), "r") as picture:
            frame = next(picture.decode(video=0)).to_ndarray(format="rgb24")
        found: list[int] = frame[0, 0].tolist()
        return found

    def own_client(self) -> Locator:
        """Opens the dialog."""
        self.opener.click()
        self.page.get_by_role("menuitem", name="Open in your own client").click()
        return self.page.get_by_role("dialog", name="Open in your own client")
