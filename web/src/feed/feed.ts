/** One session's feed: events in order and once, across reconnects; commands and key strokes upwards. */

import type { Session } from "../api/types";
import { Link, type LinkOptions, type Status } from "./link";
import { type ClientMessage, type ServerMessage, type SessionRole, parseServerMessage, roleIn } from "./messages";
import { type CommandMessage, CommandRefused, Outbox } from "./outbox";
import { type FeedEvent, FeedFormatError, decodeRecords } from "./records";

/** Bytes of events that may be under way beyond the last `ack`. */
export const WINDOW_BYTES = 1024 * 1024;
/** Bytes of typed input in one message. */
export const MAX_INPUT = 64 * 1024;

export interface Replay {
  /** The cursor this connection began from. */
  readonly from: number;
  readonly at: number;
  readonly to: number;
}

export interface FeedHandlers {
  /** New events, in order. `done` tells the server that they are drawn. */
  events(events: FeedEvent[], done: () => void): void;
  /** Everything from before this connection has been handed over through `events`. */
  live(): void;
  session(session: Session): void;
  /** What this viewer may do; at first, and whenever it changes. */
  permitted(role: SessionRole, canControl: boolean): void;
  lead(you: boolean, name: string | null): void;
  /** An error that belongs to none of our commands. */
  refused(error: CommandRefused): void;
  /** The log starts over: drop what was drawn. */
  reset(): void;
  changed(status: Status, replay: Replay): void;
  signedIn(): Promise<boolean>;
}

export class Feed {
  private cursor = 0;
  private replay: Replay = { from: 0, at: 0, to: 0 };
  private readonly outbox = new Outbox();
  private readonly link: Link;

  constructor(
    sessionId: string,
    private readonly handlers: FeedHandlers,
    options: Pick<LinkOptions, "backoff" | "openSocket"> = {},
  ) {
    const path = `/api/v1/sessions/${encodeURIComponent(sessionId)}/feed`;
    this.link = new Link(
      {
        ...options,
        target: () => `${path}?after=${this.cursor}&window=${WINDOW_BYTES}`,
        protocol: "earthshine.feed.v1",
        ping: () => JSON.stringify({ type: "ping", ts: Date.now() } satisfies ClientMessage),
      },
      {
        text: (message) => this.guarded(() => this.onText(message)),
        binary: (message) => this.guarded(() => this.onBinary(message)),
        changed: (status) => {
          if (status.end) {
            this.outbox.abandon(new CommandRefused(status.end.code, status.end.why, status.end.remedy));
          }
          this.handlers.changed(status, this.replay);
        },
        restarted: () => {
          this.cursor = 0;
          this.handlers.reset();
        },
        signedIn: handlers.signedIn,
      },
    );
  }

  get status(): Status {
    return this.link.status;
  }

  start(): void {
    this.link.start();
  }

  stop(): void {
    this.link.stop();
    this.outbox.abandon(new CommandRefused("closed", "The page was left before this was sent.", ""));
  }

  nudge(): void {
    this.link.nudge();
  }

  /** Send a command; it outlives a reconnect. Resolves when the server took it. */
  command(message: CommandMessage): Promise<void> {
    const outcome = this.outbox.add(message);
    this.post(message);
    return outcome;
  }

  /** Key strokes. False when there is no connection: they are not kept, for nobody can see them. */
  type(data: Uint8Array<ArrayBuffer>): boolean {
    if (this.link.status.state !== "live") return false;
    for (let offset = 0; offset < data.length; offset += MAX_INPUT) {
      if (!this.link.send(data.subarray(offset, offset + MAX_INPUT))) return false;
    }
    return true;
  }

  resize(cols: number, rows: number): boolean {
    return this.post({ type: "resize", cols, rows });
  }

  takeLead(): boolean {
    return this.post({ type: "lead" });
  }

  private post(message: ClientMessage): boolean {
    return this.link.send(JSON.stringify(message));
  }

  private guarded(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof FeedFormatError)) throw error;
      this.link.broken(`the server sent something unreadable (${error.message})`);
    }
  }

  private onText(text: string): void {
    const message = parseServerMessage(text);
    if (message) this.on[message.type](message as never);
  }

  private onBinary(data: ArrayBuffer): void {
    const { events, lastSeq } = decodeRecords(data);
    const fresh = events.filter((event) => event.seq > this.cursor);
    if (lastSeq > this.cursor) {
      this.cursor = lastSeq;
      this.link.contentDelivered();
    }
    if (this.link.status.state === "replaying") {
      this.replay = { ...this.replay, at: this.cursor };
      this.handlers.changed(this.link.status, this.replay);
    }
    this.handlers.events(fresh, () => this.post({ type: "ack", seq: lastSeq }));
  }

  private readonly on: { [T in ServerMessage["type"]]: (message: Extract<ServerMessage, { type: T }>) => void } = {
    hello: (message) => {
      this.replay = { from: this.cursor, at: this.cursor, to: message.lastSeq };
      this.handlers.session(message.session);
      this.handlers.permitted(roleIn(message), message.canControl);
      this.link.greeted();
      for (const command of this.outbox.unsent()) this.post(command);
    },
    role: (message) => this.handlers.permitted(roleIn(message), message.canControl),
    live: () => {
      this.handlers.live();
      this.link.caughtUp();
    },
    session: (message) => this.handlers.session(message.session),
    lead: (message) => this.handlers.lead(message.you, message.name ?? null),
    accepted: (message) => this.outbox.accepted(message.commandId),
    error: (message) => {
      const error = new CommandRefused(message.code, message.detail, message.remedy ?? "");
      if (!message.commandId || !this.outbox.refused(message.commandId, error)) this.handlers.refused(error);
    },
    pong: () => {},
  };
}
