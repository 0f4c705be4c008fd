/** A session's state in a word, a colour and a sentence. */

import type { Session } from "../api/types";
import { signalName, since } from "./format";

export type Tone = "ok" | "quiet" | "warn" | "bad" | "muted";

export interface StatusText {
  readonly label: string;
  readonly tone: Tone;
  /** The agent printed something a moment ago. */
  readonly busy: boolean;
}

/** Output newer than this counts as being at work. */
export const BUSY_MS = 6_000;

export function statusOf(session: Session, now = Date.now()): StatusText {
  const still = { busy: false };
  switch (session.state) {
    case "queued":
      return { label: "Starting", tone: "warn", busy: true };
    case "running": {
      if (!session.runnerConnected) return { label: "Runner away", tone: "warn", ...still };
      if (session.reason) return { label: session.reason.code === "asking" ? "Asks you" : "Held up", tone: "warn", ...still };
      const quiet = since(session.lastOutputAt, now);
      const busy = quiet !== null && quiet < BUSY_MS;
      return { label: busy ? "Working" : "Quiet", tone: busy ? "ok" : "quiet", busy };
    }
    case "stopping":
      return { label: "Stopping", tone: "warn", busy: true };
    case "exited":
      if (session.signal !== null) return { label: signalName(session.signal), tone: "muted", ...still };
      return session.exitCode === 0
        ? { label: "Done", tone: "muted", ...still }
        : { label: `Exit ${session.exitCode ?? "?"}`, tone: "bad", ...still };
    case "failed":
      return { label: "Failed", tone: "bad", ...still };
  }
}

/** How it ended, as a sentence; empty while it has not. */
export function endingOf(session: Session, stoppedBy: string | null = null): string {
  if (session.state === "failed") return session.reason?.detail ?? "The session failed.";
  if (session.state !== "exited") return "";
  if (stoppedBy !== null) return stoppedBy ? `Stopped by ${stoppedBy}` : "Stopped";
  if (session.signal !== null) return `Ended by ${signalName(session.signal)}`;
  return session.exitCode === 0 ? "Finished" : `Ended with exit code ${session.exitCode ?? "unknown"}`;
}

export function titleOf(session: Session): string {
  if (session.title) return session.title;
  const firstLine = session.prompt.trim().split("\n")[0];
  return firstLine || session.command.join(" ") || session.agent;
}
