/** What the pages show: sessions and runners, kept current by the updates connection. */

import type { Me, Runner, Session } from "../api/types";
import type { Status } from "../feed/link";
import type { UpdateMessage } from "./messages";

export const activeStates: ReadonlySet<Session["state"]> = new Set(["queued", "running", "stopping"]);

export function isActive(session: Session): boolean {
  return activeStates.has(session.state);
}

/** Older ended sessions are fetched by page. */
export interface EndedPage {
  readonly cursor: string | null;
  readonly complete: boolean;
}

export class Store extends EventTarget {
  me: Me | null = null;
  loaded = false;
  link: Status | null = null;
  ended: EndedPage = { cursor: null, complete: false };
  private readonly sessionsById = new Map<string, Session>();
  private readonly runnersById = new Map<string, Runner>();

  /** Newest first. */
  get sessions(): Session[] {
    return [...this.sessionsById.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt) || b.id.localeCompare(a.id));
  }

  /** Connected first, then by name. */
  get runners(): Runner[] {
    return [...this.runnersById.values()].sort(
      (a, b) => Number(b.state === "connected") - Number(a.state === "connected") || a.name.localeCompare(b.name),
    );
  }

  /** Guests have what was shared with them, and start nothing. */
  get mayStart(): boolean {
    return this.me !== null && this.me.role !== "guest";
  }

  session(id: string): Session | undefined {
    return this.sessionsById.get(id);
  }

  runner(id: string): Runner | undefined {
    return this.runnersById.get(id);
  }

  apply(message: UpdateMessage): void {
    switch (message.type) {
      case "snapshot":
        // Ended sessions from earlier pages stay; what is active is exactly what the snapshot says.
        for (const [id, session] of this.sessionsById) if (isActive(session)) this.sessionsById.delete(id);
        for (const session of message.sessions) this.sessionsById.set(session.id, session);
        this.runnersById.clear();
        for (const runner of message.runners) this.runnersById.set(runner.id, runner);
        this.loaded = true;
        break;
      case "session":
        this.putNewer(message.session);
        break;
      case "session-removed":
        this.sessionsById.delete(message.id);
        break;
      case "runner-removed":
        this.runnersById.delete(message.id);
        break;
      case "runner":
        this.runnersById.set(message.runner.id, message.runner);
        for (const [id, session] of this.sessionsById) {
          if (session.runnerId !== message.runner.id) continue;
          const runnerConnected = message.runner.state === "connected";
          if (session.runnerConnected !== runnerConnected) this.sessionsById.set(id, { ...session, runnerConnected });
        }
        break;
    }
    this.changed();
  }

  /** A session as an answer or the feed told it. */
  put(...sessions: Session[]): void {
    for (const session of sessions) this.putNewer(session);
    this.changed();
  }

  remove(id: string): void {
    this.sessionsById.delete(id);
    this.changed();
  }

  putRunner(runner: Runner): void {
    this.apply({ type: "runner", runner });
  }

  removeRunner(id: string): void {
    this.apply({ type: "runner-removed", id });
  }

  signedIn(me: Me): void {
    this.me = me;
    this.changed();
  }

  signedOut(): void {
    this.me = null;
    this.loaded = false;
    this.ended = { cursor: null, complete: false };
    this.sessionsById.clear();
    this.runnersById.clear();
    this.changed();
  }

  linkChanged(status: Status): void {
    this.link = status;
    this.changed();
  }

  endedPage(page: EndedPage): void {
    this.ended = page;
    this.changed();
  }

  /** Two connections tell about the same session: the one further in the log, or final, wins. */
  private putNewer(session: Session): void {
    const known = this.sessionsById.get(session.id);
    if (known && !isActive(known) && isActive(session)) return;
    if (known && known.lastSeq > session.lastSeq && isActive(known) === isActive(session)) {
      session = { ...session, lastSeq: known.lastSeq, logBytes: known.logBytes, lastOutputAt: known.lastOutputAt };
    }
    this.sessionsById.set(session.id, session);
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

export const store = new Store();
