/** Sessions, folders and previews of the JSON API. */

import { client, done, outcome } from "./call";
import type { FolderList, Session, StartSession } from "./types";

const session = (id: string) => ({ params: { path: { session_id: id } } });

export const api = {
  folders: (runnerId: string, path: string): Promise<FolderList> =>
    outcome(
      client.GET("/api/v1/runners/{runner_id}/folders", {
        params: { path: { runner_id: runnerId }, query: { path } },
      }),
    ),

  sessions: (state: "active" | "ended" | "all", cursor?: string, limit = 100) =>
    outcome(client.GET("/api/v1/sessions", { params: { query: { state, limit, ...(cursor ? { cursor } : {}) } } })),
  session: (id: string): Promise<Session> => outcome(client.GET("/api/v1/sessions/{session_id}", session(id))),
  start: (body: StartSession): Promise<Session> => outcome(client.POST("/api/v1/sessions", { body })),
  rename: (id: string, title: string): Promise<Session> =>
    outcome(client.PATCH("/api/v1/sessions/{session_id}", { ...session(id), body: { title } })),
  remove: (id: string): Promise<void> =>
    done(client.DELETE("/api/v1/sessions/{session_id}", session(id))),
  interrupt: (id: string, commandId: string) =>
    outcome(client.POST("/api/v1/sessions/{session_id}/interrupt", { ...session(id), body: { commandId } })),
  stop: (id: string, commandId: string) =>
    outcome(client.POST("/api/v1/sessions/{session_id}/stop", { ...session(id), body: { commandId } })),
  kill: (id: string, commandId: string) =>
    outcome(client.POST("/api/v1/sessions/{session_id}/kill", { ...session(id), body: { commandId } })),

  connectionMethods: (id: string) =>
    outcome(client.GET("/api/v1/sessions/{session_id}/connection-methods", session(id))),
  stopDesktop: async (id: string): Promise<void> => {
    await outcome(client.DELETE("/api/v1/sessions/{session_id}/desktop", session(id)));
  },

  previews: (id: string) => outcome(client.GET("/api/v1/sessions/{session_id}/previews", session(id))),
  openPreview: (id: string, port: number) =>
    outcome(client.POST("/api/v1/sessions/{session_id}/previews", { ...session(id), body: { port } })),
  closePreview: (id: string, previewId: string): Promise<void> =>
    done(
      client.DELETE("/api/v1/sessions/{session_id}/previews/{preview_id}", {
        params: { path: { session_id: id, preview_id: previewId } },
      }),
    ),
};

/** An id for a command: the same one twice has no second effect. */
export function newCommandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
