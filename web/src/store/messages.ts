/** The updates connection's messages (docs/protocols/feed.md, "Updates"). */

import type { Runner, Session } from "../api/types";
import { FeedFormatError } from "../feed/records";

export type UpdateMessage =
  | { type: "snapshot"; sessions: Session[]; runners: Runner[] }
  | { type: "session"; session: Session }
  | { type: "session-removed"; id: string }
  | { type: "runner"; runner: Runner }
  | { type: "runner-removed"; id: string };

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

const complete: Record<UpdateMessage["type"], (message: Record<string, unknown>) => boolean> = {
  snapshot: (m) => Array.isArray(m["sessions"]) && Array.isArray(m["runners"]),
  session: (m) => isRecord(m["session"]),
  "session-removed": (m) => typeof m["id"] === "string",
  runner: (m) => isRecord(m["runner"]),
  "runner-removed": (m) => typeof m["id"] === "string",
};

/**
 * Read one message; `null` for a type this client does not know.
 *
 * @throws FeedFormatError when it is not JSON or lacks what its type calls for.
 */
export function parseUpdate(text: string): UpdateMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FeedFormatError("an update is not JSON");
  }
  if (!isRecord(value) || typeof value["type"] !== "string") throw new FeedFormatError("an update has no type");
  if (!Object.hasOwn(complete, value["type"])) return null;
  if (!complete[value["type"] as UpdateMessage["type"]](value)) {
    throw new FeedFormatError(`an update of type ${value["type"]} is incomplete`);
  }
  return value as unknown as UpdateMessage;
}
