/** Ways into desktops, of the JSON API. */

import { client, outcome } from "./call";
import type { GuacamoleConnection, RdpConnection } from "./types";

/** Where a login leads: a session's desktop, or a whole machine. */
export interface RdpTarget {
  readonly kind: "session" | "runner";
  readonly id: string;
}

/** The password works once and is not said again. */
export function rdpConnection({ kind, id }: RdpTarget): Promise<RdpConnection> {
  if (kind === "session") return outcome(client.GET("/api/v1/sessions/{session_id}/rdp-connection", { params: { path: { session_id: id } } }));
  return outcome(client.GET("/api/v1/external-agents/runners/{runner_id}/rdp-connection", { params: { path: { runner_id: id } } }));
}

/** What one may join. */
export async function guacamoleConnections(sessionId: string): Promise<readonly GuacamoleConnection[]> {
  const path = { session_id: sessionId };
  return (await outcome(client.GET("/api/v1/sessions/{session_id}/guac/connections", { params: { path } }))).connections;
}
