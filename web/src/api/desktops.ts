/** Ways into desktops, of the JSON API. */

import { client, outcome } from "./call";
import type { ApplicationConnection, GuacamoleConnections, RdpConnection } from "./types";

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

/** What one may join, and whether there is a Guacamole web application as well. */
export function guacamoleConnections(sessionId: string): Promise<GuacamoleConnections> {
  return outcome(client.GET("/api/v1/sessions/{session_id}/guac/connections", { params: { path: { session_id: sessionId } } }));
}

/** A connection there, for this person to open once. */
export function openInGuacamole(sessionId: string): Promise<ApplicationConnection> {
  return outcome(client.POST("/api/v1/sessions/{session_id}/guac/application", { params: { path: { session_id: sessionId } } }));
}
