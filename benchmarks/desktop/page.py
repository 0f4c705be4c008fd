"""What the benchmark asks of a page: when which barcode was first seen, and when all was exact."""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.e2e import barcode

WATCH = f"""
(() => {{
  const read = {barcode.READ};
  const width = {barcode.WIDTH}, height = {barcode.BLOCK}, period = {barcode.PERIOD};
  const strip = Object.assign(document.createElement("canvas"), {{ width, height }});
  const code = strip.getContext("2d", {{ willReadFrequently: true }});
  const whole = document.createElement("canvas");
  const all = whole.getContext("2d", {{ willReadFrequently: true }});
  const bench = (window.bench = {{ seen: new Map(), exact: null, reference: null }});
  const size = (e) => [e.videoWidth ?? e.width, e.videoHeight ?? e.height];
  // A page may have several, of which one shows what is new: all are read, the newest counts.
  let candidates = [], searched = -1e9, target = null;
  const find = (root, found) => {{
    found.push(...root.querySelectorAll("canvas, video"));
    for (const e of root.querySelectorAll("*")) if (e.shadowRoot) find(e.shadowRoot, found);
    return found;
  }};
  const readFrom = (e) => {{
    if (!e.isConnected || size(e)[0] < width || size(e)[1] <= height) return null;
    code.clearRect(0, 0, width, height); // a transparent one would leave what another showed
    code.drawImage(e, 0, 0, width, height, 0, 0, width, height);
    return read(strip);
  }};
  const newest = () => {{
    if (performance.now() - searched > 250 || !target?.isConnected) {{
      candidates = find(document, []);
      searched = performance.now();
    }}
    let best = null;
    for (const candidate of candidates) {{
      const value = readFrom(candidate);
      if (value === null || value <= best) continue;
      best = value;
      target = candidate;
    }}
    return best;
  }};
  const look = () => {{
    requestAnimationFrame(look);
    const value = newest();
    const now = Date.now();
    if (value === null) return;
    if (!bench.seen.has(value)) bench.seen.set(value, now % period);
    if (bench.exact !== null || value !== bench.last || !bench.reference) return;
    const [w, h] = size(target);
    if (whole.width !== w || whole.height !== h) Object.assign(whole, {{ width: w, height: h }});
    all.drawImage(target, 0, 0);
    const pixels = new Uint32Array(all.getImageData(0, height, w, h - height).data.buffer);
    const wanted = bench.reference;
    if (pixels.length !== wanted.length) return;
    let off = 0;
    for (let i = 0; i < pixels.length; i += 1) if ((pixels[i] ^ wanted[i]) & 0xffffff) off += 1;
    bench.off = off;
    if (off === 0) bench.exact = now % period;
  }};
  if (document.documentElement) look();
  else document.addEventListener("readystatechange", look, {{ once: true }});
}})()
"""


def watch(context: BrowserContext) -> None:
    """Every page of the context looks at what it shows, from its first moment on."""
    context.add_init_script(WATCH)


def refer(page: Page, rgbx: bytes) -> None:
    """Give the page the exact pixels, without the barcode's rows."""
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
          bench.reference = new Uint32Array(bytes.buffer);
        }""",
        base64.b64encode(rgbx).decode(),
    )


def begin(page: Page) -> None:
    """Forget what was seen."""
    page.evaluate("() => { bench.seen.clear(); bench.exact = null; bench.last = null; }")


def ended(page: Page, last: int) -> None:
    """The scene's last frame: from now on look for exact pixels."""
    page.evaluate("(last) => { bench.last = last; }", last)


def found(page: Page) -> dict[str, Any]:
    """`seen` as pairs (barcode, time of first sight), `exact` the time or None, `off` pixels."""
    answer: dict[str, Any] = page.evaluate(
        "() => ({ seen: [...bench.seen], exact: bench.exact, off: bench.off ?? null })"
    )
    return answer


def wait_current(page: Page, after: int, seconds: float = 30) -> int:
    """Until a barcode drawn after `after` is shown; when it was first seen."""
    at: int = page.wait_for_function(
        """after => {
          for (const [value, at] of window.bench?.seen ?? []) if (value >= after) return { at };
          return null;
        }""",
        arg=after,
        timeout=seconds * 1000,
    ).evaluate("it => it.at")
    return at
