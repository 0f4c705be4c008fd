/** Keeps the store current while somebody is signed in. */

import { accounts } from "../api/accounts";
import { Problem } from "../api/problem";
import { Link } from "../feed/link";
import { FeedFormatError } from "../feed/records";
import { parseUpdate } from "./messages";
import type { Store } from "./store";

/** True unless the server says that nobody is signed in; an unreachable server proves nothing. */
export async function stillSignedIn(): Promise<boolean> {
  try {
    await accounts.me();
    return true;
  } catch (error) {
    return !(error instanceof Problem && error.signedOut);
  }
}

export class Updates {
  private readonly link: Link;

  constructor(store: Store) {
    this.link = new Link(
      { target: () => "/api/v1/updates", protocol: "earthshine.updates.v1" },
      {
        text: (text) => {
          try {
            const update = parseUpdate(text);
            if (!update) return;
            store.apply(update);
            if (update.type === "snapshot") {
              this.link.greeted();
              this.link.caughtUp();
            }
            this.link.contentDelivered();
          } catch (error) {
            if (!(error instanceof FeedFormatError)) throw error;
            this.link.broken(`the server sent something unreadable (${error.message})`);
          }
        },
        binary: () => this.link.broken("the server sent something unreadable"),
        restarted: () => {},
        signedIn: stillSignedIn,
        changed: (status) => {
          if (status.end?.code === "signed-out") store.signedOut();
          store.linkChanged(status);
        },
      },
    );
  }

  start(): void {
    this.link.start();
  }

  stop(): void {
    this.link.stop();
  }

  /** This connection has no ping: after a sleep, a fresh snapshot is the sign of life. */
  refresh(): void {
    if (this.link.status.state === "live") {
      this.link.stop();
      this.link.start();
    } else {
      this.link.nudge();
    }
  }
}
