/** Keeps the page inside what an on-screen keyboard leaves of the window. */

/** A keyboard takes at least this much. */
const KEYBOARD_MIN_PX = 120;

export function followVisualViewport(): void {
  const viewport = window.visualViewport;
  if (!viewport) return;
  const { style } = document.documentElement;
  const follow = (): void => {
    // Pinch zoom changes the viewport as well; the page must not shrink with it.
    if (viewport.scale > 1.01) return;
    style.setProperty("--viewport-height", `${viewport.height}px`);
    style.setProperty("--viewport-top", `${viewport.offsetTop}px`);
    style.setProperty("--keyboard-closed", innerHeight - viewport.height < KEYBOARD_MIN_PX ? "1" : "0");
  };
  viewport.addEventListener("resize", follow);
  viewport.addEventListener("scroll", follow);
  follow();
}
