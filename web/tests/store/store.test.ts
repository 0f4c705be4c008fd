import { describe, expect, it } from "vitest";

import type { Me, Runner, Session } from "../../src/api/types";
import { Store } from "../../src/store/store";

const session = (id: string, change: Partial<Session> = {}): Session => ({
  id,
  title: id,
  agent: "shell",
  command: [],
  prompt: "",
  runnerId: "r1",
  runnerName: "r1",
  runnerConnected: true,
  ownerId: "p",
  ownerName: "p",
  folder: "/",
  worktree: null,
  hasDesktop: false,
  recorded: null,
  state: "running",
  reason: null,
  exitCode: null,
  signal: null,
  cols: 80,
  rows: 24,
  lastSeq: 0,
  logBytes: 0,
  createdAt: "2026-01-01T00:00:00Z",
  startedAt: null,
  endedAt: null,
  lastOutputAt: null,
  ...change,
});

const runner = (id: string, state: Runner["state"] = "connected"): Runner => ({
  id,
  name: id,
  state,
  since: "2026-01-01T00:00:00Z",
  hostname: id,
  platform: "",
  version: "",
  home: "/",
  capabilities: {},
  agents: [],
  runningSessions: 0,
  ownerId: null,
  ownerName: null,
  shared: true,
  credential: "static-token",
  fingerprint: null,
  pairedAt: null,
  address: null,
  revoked: false,
  revokedReason: null,
});

function filled(...sessions: Session[]): Store {
  const store = new Store();
  store.apply({ type: "snapshot", sessions, runners: [runner("r1")] });
  return store;
}

describe("Store", () => {
  it("lists the newest first", () => {
    const store = filled(session("old"), session("new", { createdAt: "2026-02-01T00:00:00Z" }));
    expect(store.sessions.map(({ id }) => id)).toEqual(["new", "old"]);
  });

  it("tells its watchers", () => {
    const store = new Store();
    let told = 0;
    store.addEventListener("change", () => (told += 1));
    store.apply({ type: "session", session: session("a") });
    expect(told).toBe(1);
  });

  it("forgets active sessions that a new snapshot lacks, and keeps ended ones", () => {
    const store = filled(session("gone"), session("over", { state: "exited" }));
    store.apply({ type: "snapshot", sessions: [session("here")], runners: [] });
    expect(store.sessions.map(({ id }) => id).sort()).toEqual(["here", "over"]);
  });

  it("does not let late news wake up what has ended", () => {
    const store = filled(session("a", { state: "exited", exitCode: 0 }));
    store.put(session("a", { state: "running" }));
    expect(store.session("a")?.state).toBe("exited");
  });

  it("does not go back in the log, but takes other changes", () => {
    const store = filled(session("a", { lastSeq: 90, lastOutputAt: "2026-01-01T01:00:00Z" }));
    store.put(session("a", { lastSeq: 80, title: "renamed" }));
    expect(store.session("a")).toMatchObject({ lastSeq: 90, title: "renamed", lastOutputAt: "2026-01-01T01:00:00Z" });
  });

  it("knows which sessions a runner takes with it", () => {
    const store = filled(session("a"), session("b", { runnerId: "r2" }));
    store.apply({ type: "runner", runner: runner("r1", "away") });
    expect(store.session("a")?.runnerConnected).toBe(false);
    expect(store.session("b")?.runnerConnected).toBe(true);
  });

  it("forgets a runner that was taken off the list", () => {
    const store = filled();
    store.apply({ type: "runner-removed", id: "r1" });
    expect(store.runners).toEqual([]);
  });

  it("lets members start sessions, and guests not", () => {
    const store = new Store();
    expect(store.mayStart).toBe(false);
    store.signedIn({ role: "member" } as Me);
    expect(store.mayStart).toBe(true);
    store.signedIn({ role: "guest" } as Me);
    expect(store.mayStart).toBe(false);
  });

  it("removes what was deleted, and everything on sign-out", () => {
    const store = filled(session("a"), session("b"));
    store.apply({ type: "session-removed", id: "a" });
    expect(store.sessions).toHaveLength(1);
    store.signedOut();
    expect(store.sessions).toEqual([]);
    expect(store.loaded).toBe(false);
  });
});
