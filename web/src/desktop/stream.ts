/** The WebSocket to one session's desktop: reconnects by the rules that all connections here share. */

import { Backoff, watchedPolicy } from "../feed/backoff";
import { Link, type LinkOptions, type Status } from "../feed/link";
import { desktopVerdictOn } from "./endings";
import { rememberShown, reveal, take } from "./early";
import { SUBPROTOCOL, desktopPath } from "./endpoint";
import { type FromDesktop, ViewerFormatError, decode, encode } from "./messages";

/** Bytes that may wait to be sent; input beyond them is not kept, for it would arrive seconds late. */
export const MAX_UNSENT = 1024 * 1024;

export const PING_EVERY_MS = 3_000;
/** Longer than a large picture takes on a slow line, for the answer comes behind it. */
export const SILENCE_MS = 16_000;

export interface StreamHooks {
  /** The line is open: say what is wanted. */
  opened(): void;
  /** `bytes`: how long it was on the line. */
  message(message: FromDesktop, bytes: number): void;
  changed(status: Status): void;
  signedIn(): Promise<boolean>;
}

export class DesktopStream {
  /** What the server said when it last closed the line. */
  reason = "";
  private readonly link: Link;
  private socket: WebSocket | null = null;

  constructor(
    private readonly sessionId: string,
    private readonly hooks: StreamHooks,
    options: Pick<LinkOptions, "backoff" | "openSocket"> = {},
  ) {
    const open = options.openSocket ?? ((url, protocol) => take(url) ?? new WebSocket(url, protocol));
    this.link = new Link(
      {
        backoff: new Backoff(watchedPolicy),
        // An old picture that nobody marks as old misleads: silence is noticed soon.
        pingEveryMs: PING_EVERY_MS,
        silenceMs: SILENCE_MS,
        ...options,
        target: () => desktopPath(sessionId),
        protocol: SUBPROTOCOL,
        verdictOn: desktopVerdictOn,
        ping: () => encode.ping(performance.now() * 1000),
        openSocket: (url, protocol) => {
          const socket = open(url, protocol);
          this.socket = socket;
          socket.addEventListener?.("close", (event) => {
            if (socket === this.socket) this.reason = event.reason;
          });
          return socket;
        },
      },
      {
        text: () => this.link.broken("the desktop sent something unreadable"),
        binary: (data) => this.read(data),
        changed: (status) => this.changed(status),
        restarted: () => {},
        signedIn: hooks.signedIn,
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
    reveal();
    this.link.stop();
  }

  nudge(): void {
    this.link.nudge();
  }

  /** Something of the desktop is on the screen: the connection is worth its attempts. */
  shown(): void {
    reveal();
    rememberShown(this.sessionId);
    this.link.caughtUp();
    this.link.contentDelivered();
  }

  /** False when there is no connection, or it is stuck: then nothing is kept. */
  send(message: Uint8Array<ArrayBuffer>): boolean {
    if ((this.socket?.bufferedAmount ?? 0) > MAX_UNSENT) return false;
    return this.link.send(message);
  }

  private changed(status: Status): void {
    if (status.state === "greeting") {
      // The desktop waits for our wish before it shows anything: there is no other greeting.
      this.link.greeted();
      this.hooks.opened();
      return;
    }
    this.hooks.changed(status);
  }

  private read(data: ArrayBuffer): void {
    let message: FromDesktop | null;
    try {
      message = decode(data);
    } catch (error) {
      if (!(error instanceof ViewerFormatError)) throw error;
      this.link.broken(`the desktop sent something unreadable (${error.message})`);
      return;
    }
    if (message) this.hooks.message(message, data.byteLength);
  }
}
