/** The few keys that a desktop does not get: ways out of it, and what the browser keeps anyway. */

export type DesktopShortcut = "switch-view" | "full-screen" | "browser";

export function desktopShortcutOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "altKey" | "shiftKey" | "metaKey">, captured: boolean): DesktopShortcut | null {
  const { key, ctrlKey, altKey, shiftKey, metaKey } = event;
  if (metaKey) return null;
  if (key === "F6" && ctrlKey && !altKey && !shiftKey) return "switch-view";
  if (key === "Enter" && ctrlKey && altKey && !shiftKey) return "full-screen";
  // With the keyboard captured, everything else is the desktop's.
  if (captured) return null;
  if (key === "F11" && !ctrlKey && !altKey && !shiftKey) return "browser";
  return null;
}
