/** How a desktop is, in words for the person who waits. */

import type { DesktopIs } from "../desktop/messages";
import type { Status } from "../feed/link";

export interface Words {
  readonly text: string;
  readonly detail: string;
  readonly tone: "plain" | "bad";
  readonly action: "retry" | null;
}

export interface Situation {
  readonly status: Status;
  /** What the server said when it closed the line. */
  readonly reason: string;
  readonly desktop: DesktopIs | null;
  /** The picture is the newest there is. */
  readonly current: boolean;
  readonly now: number;
}

const says = (text: string, detail = "", tone: Words["tone"] = "plain", action: Words["action"] = null): Words => ({ text, detail, tone, action });

/** What to say over the picture; `null` while all is well. */
export function desktopWords({ status, reason, desktop, current, now }: Situation): Words | null {
  if (status.state === "ended") return says(status.end?.why ?? "Not connected.", reason || (status.end?.remedy ?? ""), "bad", "retry");
  if (status.state === "waiting") {
    const seconds = Math.max(0, Math.ceil(((status.retryAt ?? now) - now) / 1000));
    const why = reason && status.attempts > 1 ? reason : status.why;
    return says(seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting", why, status.attempts > 1 ? "bad" : "plain", "retry");
  }
  if (status.state !== "live" && status.state !== "replaying") return says(status.attempts > 0 ? "Reconnecting" : "Connecting", status.attempts > 0 ? status.why : "");
  if (desktop) {
    const fix = [desktop.detail, desktop.remedy].filter(Boolean).join(" ");
    switch (desktop.state) {
      case "starting":
        return says("The desktop is starting", fix);
      case "restarting":
        return says("The desktop is starting again", fix);
      case "failed":
        return says("The desktop has failed", fix, "bad", "retry");
      case "stopped":
        return says("The desktop has stopped", fix || "It starts again when it is opened.", "plain", "retry");
      case "paused":
      case "ready":
        break;
    }
  }
  return current ? null : says("Waiting for the picture");
}
