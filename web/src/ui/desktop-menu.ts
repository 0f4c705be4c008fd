/** The desktop's "more" menu. */

import type { DesktopClient } from "../desktop/client";
import { canDecode } from "../desktop/video";
import { preferences } from "../store/preferences";
import type { MenuItem } from "./menu";

export interface DesktopMenuInput {
  readonly viewer: DesktopClient;
  readonly keys: boolean;
  /** This browser can record. */
  readonly records: boolean;
  readonly recording: boolean;
  readonly act: (action: string) => void;
}

export function desktopMenu({ viewer, keys, records, recording, act }: DesktopMenuInput): MenuItem[] {
  const items: MenuItem[] = [];
  const add = (label: string, action: string, more: Partial<MenuItem> = {}): void => {
    items.push({ label, run: () => act(action), ...more });
  };
  const { control, native } = viewer;
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
  if (native) {
    add("Statistics", "statistics");
    if (native.pictures === "h264") add("Show stills instead of video", "stills");
    else if (canDecode() && native.desktop?.codec) add("Show video", "video");
  }
  add("Connect again", "reconnect");
  add("Open in your own client…", "own-client");
  return items;
}
