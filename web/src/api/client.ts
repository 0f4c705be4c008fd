/** The JSON API, typed by the server's own OpenAPI document. Failures are `Problem`s. */

import createClient from "openapi-fetch";

import { problemFrom, unreachable } from "./problem";
import type { paths } from "./schema.gen";
import type { FolderList, Me, Session, StartSession } from "./types";

const client = createClient<paths>({
  // Looked up at call time, so that tests can put another fetch in its place.
  fetch: (request) => globalThis.fetch(request),
  headers: { "content-type": "application/json" },
  credentials: "same-origin",
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

async function outcome<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch {
    throw unreachable();
  }
  if (!answer.response.ok) throw problemFrom(answer.response.status, answer.error);
  return answer.data as T;
}

const session = (id: string) => ({ params: { path: { session_id: id } } });

export const api = {
  signIn: (code: string): Promise<Me> => outcome(client.POST("/api/v1/sign-in", { body: { code } })),
  me: (): Promise<Me> => outcome(client.GET("/api/v1/me")),
  signOut: async (): Promise<void> => {
    await outcome(client.POST("/api/v1/sign-out"));
  },
  signInCode: () => outcome(client.POST("/api/v1/sign-in-codes", { body: {} })),

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
  remove: async (id: string): Promise<void> => {
    await outcome(client.DELETE("/api/v1/sessions/{session_id}", session(id)));
  },
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
  closePreview: async (id: string, previewId: string): Promise<void> => {
    await outcome(
      client.DELETE("/api/v1/sessions/{session_id}/previews/{preview_id}", {
        params: { path: { session_id: id, preview_id: previewId } },
      }),
    );
  },
};

/** An id for a command: the same one twice has no second effect. */
export function newCommandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
