/** Keys that work on every page, while no field and no terminal has the focus. */

import { router } from "../router";
import { places } from "./places";

export interface AppShortcuts {
  blocked(): boolean;
  start(): void;
  help(): void;
  palette(): void;
  sidebar(): void;
}

/** Time for the second key of `g s` and the like. */
const CHORD_MS = 1_200;

/** Does typing into `target` mean text? */
export function takesText(target: EventTarget | undefined): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}

export function appShortcuts(to: AppShortcuts): void {
  let chordUntil = 0;
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const key = event.key.toLowerCase();
    const inText = takesText(event.composedPath()[0]);
    const main = event.ctrlKey || event.metaKey;
    if (to.blocked()) return;
    let act: (() => void) | undefined;
    if (main && !event.altKey && key === "k") act = to.palette;
    else if (main && !event.altKey && !event.shiftKey && key === "b" && !inText) act = to.sidebar;
    else if (inText || main || event.altKey) return;
    else if (Date.now() < chordUntil) {
      chordUntil = 0;
      const place = places().find((one) => one.key === key);
      if (place) act = () => router.go(place.path);
    } else if (key === "g") act = () => (chordUntil = Date.now() + CHORD_MS);
    else act = { n: to.start, "?": to.help }[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
