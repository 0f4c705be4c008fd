/** Drives the table in `machine.ts` with a WebSocket and timers; the feed and the updates share it. */

import { Backoff } from "./backoff";
import { type Verdict, verdictOn } from "./close-codes";
import { type Command, type Event, type State, isOpen, step } from "./machine";

/** Longest silence while connecting or greeting. */
export const ANSWER_TIMEOUT_MS = 12_000;
/** Longest silence of an open connection that answers pings. */
export const SILENCE_MS = 25_000;
/** Longest wait for an answer after the network or the person came back. */
export const PROBE_MS = 4_000;
export const PING_EVERY_MS = 10_000;
/** A quiet connection that answered pings this long counts as content. */
export const STEADY_MS = 60_000;
/** Attempts without a hello after which the sign-in is asked after. */
const SUSPICIOUS_ATTEMPTS = 2;

export interface Status {
  readonly state: State;
  /** Why the connection is not open, as the middle of a sentence. */
  readonly why: string;
  /** When the next attempt is due, as `Date.now()` would say it. */
  readonly retryAt: number | null;
  readonly attempts: number;
  readonly end: Extract<Verdict, { then: "end" }> | null;
}

export interface LinkHandlers {
  text(message: string): void;
  binary(message: ArrayBuffer): void;
  changed(status: Status): void;
  /** The server's log is shorter than our cursor: begin from nothing. */
  restarted(): void;
  /** Is the person still signed in? Asked when connections are refused without a word. */
  signedIn(): Promise<boolean>;
}

export interface LinkOptions {
  /** Path and query, built anew for every attempt. */
  readonly target: () => string;
  readonly protocol: string;
  /** A message that makes the server answer, where there is one. */
  readonly ping?: () => string | Uint8Array<ArrayBuffer>;
  readonly backoff?: Backoff;
  /** What an end means, where it is not as for feeds. */
  readonly verdictOn?: (code: number, reason: string) => Verdict;
  readonly openSocket?: (url: string, protocol: string) => WebSocket;
}

export class Link {
  private state: State = "idle";
  private socket: WebSocket | null = null;
  private why = "";
  private end: Status["end"] = null;
  private retryAt: number | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private watchTimer: ReturnType<typeof setTimeout> | undefined;
  private pingTimer: ReturnType<typeof setInterval> | undefined;
  private liveSince = 0;
  private heardAt = 0;
  private readonly backoff: Backoff;

  constructor(
    private readonly options: LinkOptions,
    private readonly handlers: LinkHandlers,
  ) {
    this.backoff = options.backoff ?? new Backoff();
  }

  get status(): Status {
    return {
      state: this.state,
      why: this.why,
      retryAt: this.retryAt,
      attempts: this.backoff.attempts,
      end: this.end,
    };
  }

  start(): void {
    this.happened("started");
  }

  stop(): void {
    this.happened("stopped");
  }

  /** Somebody is looking again, or the network is back. */
  nudge(): void {
    this.happened("nudged");
  }

  greeted(): void {
    this.happened("greeted");
  }

  caughtUp(): void {
    this.liveSince = Date.now();
    this.happened("caught-up");
  }

  contentDelivered(): void {
    this.backoff.contentDelivered();
  }

  /** What came is not the protocol: treat the connection as broken. */
  broken(why: string): void {
    this.lose({ then: "retry", why });
  }

  send(message: string | Uint8Array<ArrayBuffer>): boolean {
    if (!isOpen(this.state) || this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(message);
    return true;
  }

  private happened(event: Event): void {
    const taken = step(this.state, event);
    if (!taken) return;
    this.state = taken.to;
    if (event === "started") this.end = null;
    for (const command of taken.commands) this.carryOut[command]();
    this.handlers.changed(this.status);
  }

  private lose(verdict: Verdict): void {
    this.why = verdict.why;
    if (verdict.then === "end") {
      this.end = verdict;
      this.happened("refused");
      return;
    }
    if (verdict.then === "restart") this.handlers.restarted();
    const neverGreeted = this.state === "connecting" || this.state === "greeting";
    this.happened("lost");
    if (neverGreeted && this.backoff.attempts >= SUSPICIOUS_ATTEMPTS) void this.askAfterSignIn();
  }

  private async askAfterSignIn(): Promise<void> {
    if (!(await this.handlers.signedIn())) this.lose(verdictOn(4001));
  }

  private readonly carryOut: Record<Command, () => void> = {
    dial: () => {
      const url = new URL(this.options.target(), location.href);
      url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      const open = this.options.openSocket ?? ((to, protocol) => new WebSocket(to, protocol));
      const socket = open(url.href, this.options.protocol);
      socket.binaryType = "arraybuffer";
      this.socket = socket;
      const current = (): boolean => this.socket === socket;
      socket.onopen = () => current() && this.happened("opened");
      const verdict = this.options.verdictOn ?? verdictOn;
      socket.onclose = (event) => current() && this.lose(verdict(event.code, event.reason));
      socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
        if (!current()) return;
        this.heardAt = Date.now();
        if (typeof event.data === "string") this.handlers.text(event.data);
        else this.handlers.binary(event.data);
      };
    },
    "hang-up": () => {
      clearTimeout(this.watchTimer);
      clearInterval(this.pingTimer);
      const socket = this.socket;
      this.socket = null;
      if (socket && socket.readyState <= WebSocket.OPEN) socket.close(1000);
    },
    wait: () => {
      const delay = this.backoff.next();
      this.retryAt = Date.now() + delay;
      this.retryTimer = setTimeout(() => this.happened("waited"), delay);
    },
    "cancel-wait": () => {
      clearTimeout(this.retryTimer);
      this.retryAt = null;
    },
    watch: () => {
      clearTimeout(this.watchTimer);
      clearInterval(this.pingTimer);
      if (!isOpen(this.state)) {
        this.watchTimer = setTimeout(() => this.broken("the server does not answer"), ANSWER_TIMEOUT_MS);
        return;
      }
      if (this.options.ping) this.pingTimer = setInterval(() => this.beat(), PING_EVERY_MS);
    },
    probe: () => {
      if (!this.options.ping) return;
      const askedAt = Date.now();
      this.send(this.options.ping());
      clearTimeout(this.watchTimer);
      this.watchTimer = setTimeout(() => {
        if (this.heardAt < askedAt) this.broken("the line went silent");
      }, PROBE_MS);
    },
  };

  private beat(): void {
    const now = Date.now();
    if (now - this.heardAt > SILENCE_MS) {
      this.broken("the line went silent");
      return;
    }
    if (this.state === "live" && now - this.liveSince > STEADY_MS) this.backoff.contentDelivered();
    if (this.options.ping) this.send(this.options.ping());
  }
}
