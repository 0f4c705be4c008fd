/** Where a session's desktop is on the server. */

export const SUBPROTOCOL = "earthshine.viewer.v1";

export function desktopPath(sessionId: string): string {
  return `/api/v1/sessions/${encodeURIComponent(sessionId)}/desktop`;
}
