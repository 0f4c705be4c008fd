/** The "more" menu of a session: everything the bar has no room for. */

import type { Session } from "../api/types";
import { preferences } from "../store/preferences";
import { isActive, store } from "../store/store";
import type { Viewing } from "../terminal/viewing";
import type { MenuItem } from "./menu";
import { shareKey } from "./session-shortcuts";

export function sessionMenu(session: Session, viewing: Viewing | null, perform: (action: string) => void): MenuItem[] {
  const items: MenuItem[] = [];
  const add = (label: string, action: string, more: Partial<MenuItem> = {}): void => {
    items.push({ label, run: () => perform(action), ...more });
  };
  const control = viewing?.canControl ?? false;
  const owns = viewing?.owns ?? false;
  const { fontSize } = preferences.current;
  if (control && session.state === "running") {
    add("Interrupt", "interrupt", { icon: "hand" });
    add("Stop", "stop", { icon: "stop" });
  }
  if (control && viewing?.live && !viewing.leading && isActive(session)) {
    add("Use my window's size", "lead", { icon: "expand", ...(viewing.leader ? { hint: `now ${viewing.leader}` } : {}) });
  }
  if (control) add("Files", "files", { icon: "folder" });
  if (session.hasDesktop) {
    if (control && isActive(session)) {
      if (session.recorded) add("Stop recording the desktop", "record", { icon: "stop" });
      else add("Record the desktop", "record", { icon: "eye" });
    }
    add("Replay", "replay", { icon: "timeline" });
  }
  if (control && session.state === "running") add("Preview a port", "preview", { icon: "globe" });
  if (owns) {
    add("Share", "share", { icon: "share", hint: shareKey });
    add("Audit", "audit", { icon: "log" });
  }
  add("Find", "search", { icon: "search", hint: "Ctrl-F" });
  add("Timeline", "timeline", { icon: "timeline" });
  add("Terminal text", "text", { icon: "copy" });
  items.push(
    { label: "Larger letters", hint: `${fontSize} px`, run: () => preferences.set({ fontSize: fontSize + 1 }) },
    { label: "Smaller letters", run: () => preferences.set({ fontSize: fontSize - 1 }) },
  );
  if (control) {
    add("Rename", "rename", { icon: "pencil" });
    if (store.mayStart) add("Start another like this", "again", { icon: "plus" });
    if (isActive(session)) add("Kill", "kill", { icon: "close", danger: true });
  }
  if (owns && !isActive(session)) add("Delete", "delete", { icon: "trash", danger: true });
  return items;
}
