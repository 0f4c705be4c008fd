/** What menus share: the look of their list, where it opens, and the keys that walk through it. */

import { css } from "lit";

/** Between a list and the window's edge. */
export const EDGE = 8;

export const menuList = css`
  .list {
    position: fixed;
    inset: auto;
    margin: 0;
    padding: 5px;
    max-height: 80vh;
    overflow: auto;
    border: 1px solid var(--line-strong);
    border-radius: 10px;
    background: var(--raised);
    color: var(--text);
    box-shadow: var(--shadow);
  }
  .list button {
    width: 100%;
    padding: 0 10px;
    font-weight: 450;
    border-radius: 6px;
  }
  .list button:focus-visible {
    outline: none;
    background: var(--hover);
    box-shadow: inset 0 0 0 1px var(--line-strong);
  }
`;

/** What can be chosen, from top to bottom. */
export function entriesOf(list: HTMLElement): HTMLButtonElement[] {
  return [...list.querySelectorAll<HTMLButtonElement>("button:not(:disabled)")];
}

/** Put the open list with its top left corner here, or where it fits on the window. */
export function place(list: HTMLElement, left: number, top: number): void {
  list.style.left = `${Math.max(EDGE, Math.min(left, innerWidth - list.offsetWidth - EDGE))}px`;
  list.style.top = `${Math.max(EDGE, Math.min(top, innerHeight - list.offsetHeight - EDGE))}px`;
}

/** Arrows, Home and End go through the list's entries; Tab closes it. */
export function walk(list: HTMLElement, event: KeyboardEvent): void {
  const entries = entriesOf(list);
  const at = entries.indexOf((list.getRootNode() as ShadowRoot).activeElement as HTMLButtonElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
  event.stopPropagation();
  if (event.key === "Tab") list.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  entries.at(to % entries.length)?.focus();
}
