/** The desktop's "more" menu. */

import { canDecode } from "../desktop/video";
import type { DesktopViewer } from "../desktop/viewer";
import { preferences } from "../store/preferences";
import type { MenuItem } from "./menu";

/** A connection method, as the menu shows it. */
export interface Way {
  readonly label: string;
  /** Why it cannot be taken; empty when it can. */
  readonly obstacle: string;
  readonly chosen: boolean;
  readonly choose: () => void;
}

export interface DesktopMenuInput {
  readonly viewer: DesktopViewer;
  readonly ways: readonly Way[];
  readonly keys: boolean;
  /** This browser can record. */
  readonly records: boolean;
  readonly recording: boolean;
  readonly act: (action: string) => void;
}

export function desktopMenu({ viewer, ways, keys, records, recording, act }: DesktopMenuInput): MenuItem[] {
  const items: MenuItem[] = [];
  const add = (label: string, action: string, more: Partial<MenuItem> = {}): void => {
    items.push({ label, run: () => act(action), ...more });
  };
  const { control } = viewer;
  const { desktopScale, touchMode, shareClipboard } = preferences.current;
  if (control.mine) {
    for (const other of control.others) {
      if (!["owner", "controller"].includes(other.role)) continue;
      items.push({ label: `Give control to ${other.name}`, icon: "person", run: () => viewer.wish({ type: "give-control", to: other.number }) });
    }
  }
  if (control.mayControl) {
    add(keys ? "Hide the extra keys" : "Extra keys", "keys", { icon: "keyboard" });
    add("Send Ctrl-Alt-Delete", "ctrl-alt-del");
    if (matchMedia("(pointer: fine)").matches) add("Capture the mouse", "lock", { hint: "Esc frees it" });
    if (matchMedia("(any-pointer: coarse)").matches) add(touchMode === "direct" ? "Fingers as a trackpad" : "Fingers point directly", "touch");
  }
  const sizes = { fit: "Fit the picture", actual: "Picture 1:1", follow: "Desktop takes my window's size" };
  for (const [scale, label] of Object.entries(sizes)) {
    items.push({ label, ...(scale === desktopScale ? { icon: "check" as const } : {}), run: () => preferences.set({ desktopScale: scale }) });
  }
  add("Share the clipboard", "clipboard", shareClipboard ? { icon: "check" } : {});
  add("Screenshot", "screenshot", { icon: "down" });
  if (records) add(recording ? "Stop recording" : "Record to a file", "record", recording ? { icon: "stop" } : {});
  add("Statistics", "statistics");
  if (viewer.pictures === "h264") add("Show stills instead of video", "stills");
  else if (canDecode() && viewer.desktop?.codec) add("Show video", "video");
  add("Connect again", "reconnect");
  for (const way of ways) {
    items.push({
      label: `Connection: ${way.label}`,
      disabled: way.obstacle !== "" && !way.chosen,
      ...(way.chosen ? { icon: "check" as const } : {}),
      ...(way.obstacle ? { hint: way.obstacle } : {}),
      run: way.choose,
    });
  }
  return items;
}
