/** The text half of the feed: JSON objects with a `type`. See docs/protocols/feed.md. */

import type { Session } from "../api/types";
import { FeedFormatError } from "./records";

/** What somebody is to a session; each may do what those after it may. */
export type SessionRole = "owner" | "controller" | "approver" | "viewer";

const roles: ReadonlySet<unknown> = new Set<SessionRole>(["owner", "controller", "approver", "viewer"]);

/** The role in a message; where an older server tells none, what follows from `canControl`. */
export function roleIn(message: { role?: unknown; canControl: boolean }): SessionRole {
  if (roles.has(message.role)) return message.role as SessionRole;
  return message.canControl ? "owner" : "viewer";
}

export type ServerMessage =
  | { type: "hello"; session: Session; firstSeq: number; lastSeq: number; canControl: boolean; role?: unknown }
  | { type: "role"; role: unknown; canControl: boolean }
  | { type: "live"; seq: number }
  | { type: "session"; session: Session }
  | { type: "lead"; you: boolean; name: string | null }
  | { type: "accepted"; commandId: string }
  | { type: "error"; code: string; detail: string; remedy?: string | null; commandId?: string | null }
  | { type: "pong"; ts: number };

export type ClientMessage =
  | { type: "prompt"; commandId: string; text: string }
  | { type: "interrupt"; commandId: string }
  | { type: "resize"; cols: number; rows: number }
  | { type: "lead" }
  | { type: "ack"; seq: number }
  | { type: "ping"; ts: number };

/** Fields that must be there, by message type. */
const required: Record<ServerMessage["type"], Record<string, "number" | "string" | "boolean" | "object">> = {
  hello: { session: "object", firstSeq: "number", lastSeq: "number", canControl: "boolean" },
  role: { role: "string", canControl: "boolean" },
  live: { seq: "number" },
  session: { session: "object" },
  lead: { you: "boolean" },
  accepted: { commandId: "string" },
  error: { code: "string", detail: "string" },
  pong: { ts: "number" },
};

/**
 * Read one text message; `null` for a type this client does not know.
 *
 * @throws FeedFormatError when it is not JSON or lacks a field of its type.
 */
export function parseServerMessage(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FeedFormatError("a message is not JSON");
  }
  if (typeof value !== "object" || value === null) throw new FeedFormatError("a message is not an object");
  const message = value as Record<string, unknown>;
  if (typeof message["type"] !== "string") throw new FeedFormatError("a message has no type");
  if (!Object.hasOwn(required, message["type"])) return null;
  for (const [field, type] of Object.entries(required[message["type"] as ServerMessage["type"]])) {
    if (typeof message[field] !== type || message[field] === null) {
      throw new FeedFormatError(`${message["type"]} without ${field}`);
    }
  }
  return message as unknown as ServerMessage;
}
