"""What no page may look like, in the dark or in the light."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

SHADES: tuple[Literal["dark", "light"], ...] = ("dark", "light")

OVERFLOW = """() => {
  const found = [];
  const look = root => {
    for (const e of root.querySelectorAll('*')) {
      if (e.closest('.terminal') || e.closest('.sr-only')) continue;
      // Rows of keys for phones scroll, and are made to.
      if (e.getRootNode().host?.matches('es-desktop-keys, es-key-row')) continue;
      const box = e.getBoundingClientRect();
      const style = getComputedStyle(e);
      const hidden = style.visibility === 'hidden' || box.width === 0 || box.height === 0;
      const scrolls = e.closest('pre, code') !== null;
      const out = !hidden && !scrolls && box.right > innerWidth + 1;
      if (out) found.push(e.tagName + '.' + e.className);
      if (e.shadowRoot) look(e.shadowRoot);
    }
  };
  look(document);
  return found;
}"""
"""Names of what sticks out on the right."""


def look_at(page: Page, picture: Path) -> None:
    """Keep `picture` in both shades (its name ends with them); nothing sticks out in either."""
    for shade in SHADES:
        page.emulate_media(color_scheme=shade)
        page.screenshot(path=picture.with_stem(f"{picture.stem}-{shade}"))
        assert page.evaluate(OVERFLOW) == []
