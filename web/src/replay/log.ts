/** A session's whole log in memory, to be played at any time of it. */

import { Feed } from "../feed/feed";
import type { Status } from "../feed/link";
import type { FeedEvent } from "../feed/records";
import type { Session } from "../api/types";
import { stillSignedIn } from "../store/updates";

/** Bytes of output that are kept; of a longer log the oldest output is left out. */
export const MAX_BYTES = 128 * 1024 * 1024;

export class SessionLog extends EventTarget {
  events: FeedEvent[] = [];
  /** Everything that there was has come. */
  complete = false;
  /** Output was left out at the beginning. */
  cut = false;
  status: Status;
  private bytes = 0;
  private readonly feed: Feed;

  constructor(sessionId: string, session: (session: Session) => void) {
    super();
    this.feed = new Feed(sessionId, {
      events: (events, done) => {
        for (const event of events) this.take(event);
        done();
        this.changed();
      },
      live: () => {
        this.complete = true;
        this.changed();
      },
      session,
      permitted: () => {},
      lead: () => {},
      refused: () => {},
      reset: () => {
        this.events = [];
        this.bytes = 0;
        this.complete = false;
        this.changed();
      },
      changed: (status) => {
        this.status = status;
        this.changed();
      },
      signedIn: stillSignedIn,
    });
    this.status = this.feed.status;
  }

  start(): void {
    this.feed.start();
  }

  stop(): void {
    this.feed.stop();
  }

  retry(): void {
    this.feed.nudge();
  }

  private take(event: FeedEvent): void {
    // A clock that was set back must not send readers back in time.
    const last = this.events.at(-1);
    const kept = last && event.ts < last.ts ? { ...event, ts: last.ts } : event;
    if (kept.kind === "output") {
      // A view into a whole message would keep that alive.
      this.events.push({ ...kept, data: kept.data.slice() });
      this.bytes += kept.data.length;
    } else {
      this.events.push(kept);
    }
    if (this.bytes > MAX_BYTES) this.shorten();
  }

  private shorten(): void {
    this.cut = true;
    let spare = this.bytes - MAX_BYTES * 0.9;
    this.events = this.events.filter((event) => {
      if (spare <= 0 || event.kind !== "output") return true;
      spare -= event.data.length;
      this.bytes -= event.data.length;
      return false;
    });
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
