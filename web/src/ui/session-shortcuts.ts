/** Keys of the session page. In the terminal most keys belong to the agent; only these do not. */

export type SessionShortcut = "search" | "switch-view" | "palette" | "copy" | "switch-focus" | "share" | "browser";

/** As the page writes it. */
export const shareKey = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ Shift L" : "Ctrl Shift L";

const isMac = (): boolean => /Mac|iPhone|iPad/.test(navigator.platform);

/** What a key means; `browser` leaves it to the browser, `null` to whoever has the focus. */
export function shortcutOf(event: KeyboardEvent, inTerminal: boolean, mac = isMac()): SessionShortcut | null {
  const key = event.key.toLowerCase();
  if (key === "f6" && event.ctrlKey && !event.metaKey && !event.altKey) return "switch-view";
  if (key === "f6" && !event.ctrlKey && !event.metaKey && !event.altKey) return "switch-focus";
  const main = mac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
  if (!main || event.altKey) return null;
  if (key === "f" && !event.shiftKey) return "search";
  if (key === "l" && event.shiftKey) return "share";
  if (!inTerminal) return null;
  // On a Mac Cmd is free for us; elsewhere Ctrl-K belongs to the agent, so Shift joins in.
  if (key === "k" && event.shiftKey !== mac) return "palette";
  if (key === "c" && (event.shiftKey || mac)) return mac ? "browser" : "copy";
  if (key === "v" && (event.shiftKey || mac)) return "browser";
  return null;
}
