/** Ways into desktops, of the JSON API. */

import { client, outcome } from "./call";

/** A login for an RDP client of one's own; the password works once and is not said again. */
export interface RdpConnection {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** An .rdp file, without the password. */
  readonly file: string;
  readonly expiresAt: string;
  readonly viewOnly: boolean;
}

/** Where a login leads: a session's desktop, or a whole machine. */
export interface RdpTarget {
  readonly kind: "session" | "runner";
  readonly id: string;
}

export function rdpConnection({ kind, id }: RdpTarget): Promise<RdpConnection> {
  const owner = kind === "session" ? "sessions" : "external-agents/runners";
  const path = `/api/v1/${owner}/${encodeURIComponent(id)}/rdp-connection`;
  return outcome(client.GET(path as never)) as Promise<RdpConnection>;
}
