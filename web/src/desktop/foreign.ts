/** One person at one desktop by VNC, RDP or Guacamole: connects, comes again, keeps the last picture. */

import type { ConnectionMethod } from "../api/types";
import { Backoff } from "../feed/backoff";
import type { Verdict } from "../feed/close-codes";
import type { Status } from "../feed/link";
import { type Command, type Event as Happening, type State, step } from "../feed/machine";
import type { DesktopClient } from "./client";
import { SharedClipboard } from "./clipboard";
import type { Control } from "./control";
import type { DesktopInput } from "./input";
import type { Line, LineHooks, OpenLine } from "./lines/line";
import type { DesktopIs, Wish } from "./messages";
import { Presence } from "./presence";
import type { Size } from "./scaling";
import type { ViewerHooks } from "./viewer";

/** A line that has shown nothing for so long is given up. xrdp and guacd take their time. */
export const FIRST_PICTURE_MS = 40_000;
/** A picture that lasts this long was worth the attempts. */
const STEADY_MS = 10_000;
/** Longest wait for the desktop's own size, before a usual one is asked for. */
const SIZE_MS = 2_000;
const USUAL: Size = { width: 1280, height: 800 };

export interface ForeignOptions {
  readonly sessionId: string;
  readonly way: Pick<ConnectionMethod, "name" | "control">;
  /** Of the WebSocket. */
  readonly path: string;
  /** Where the other client draws. */
  readonly place: HTMLElement;
  readonly load: () => Promise<OpenLine>;
  readonly backoff?: Backoff;
}

export class ForeignViewer extends EventTarget implements DesktopClient {
  readonly native = null;
  readonly pointer = null;
  readonly input: DesktopInput;
  readonly clipboard: SharedClipboard;
  size: Size = { width: 0, height: 0 };
  cursor = "default";
  reason = "";
  current = false;
  everDrawn = false;
  private state: State = "idle";
  private why = "";
  private end: Status["end"] = null;
  private retryAt: number | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private line: Line | null = null;
  /** Counts connections: what an old one says late means nothing. */
  private generation = 0;
  private readonly backoff: Backoff;
  private readonly presence: Presence;
  /** The last picture, while there is no connection. */
  private readonly kept = document.createElement("canvas");
  private readonly target = document.createElement("div");
  private readonly off = new AbortController();

  constructor(
    private readonly options: ForeignOptions,
    private readonly hooks: ViewerHooks,
  ) {
    super();
    this.backoff = options.backoff ?? new Backoff();
    this.kept.className = "kept";
    this.target.className = "target";
    options.place.replaceChildren(this.kept, this.target);
    this.presence = new Presence(options.sessionId, options.way.control ?? false, {
      changed: () => this.changed(),
      news: (text) => hooks.news(text),
      signedIn: hooks.signedIn,
    });
    this.clipboard = new SharedClipboard({
      send: (kind, data) => this.paste(kind, data),
      offered: (offer) => hooks.offered(offer),
      taken: (offer) => hooks.copied(offer),
      tooLarge: (bytes) => hooks.news("That is too large for the desktop's clipboard.", `${Math.ceil(bytes / 1024)} KiB; up to 1 MiB fits.`),
      shares: () => hooks.sharesClipboard(),
    });
    const through = <K extends keyof DesktopInput>(name: K): DesktopInput[K] =>
      ((...said: unknown[]) => this.state === "live" && (this.line?.input[name] as (...all: unknown[]) => void)(...said)) as DesktopInput[K];
    this.input = {
      key: through("key"),
      text: through("text"),
      pointer: through("pointer"),
      pointerBy: through("pointerBy"),
      wheel: through("wheel"),
      releaseAll: through("releaseAll"),
    };
    const { signal } = this.off;
    // These protocols have no question that would tell whether the line still works.
    addEventListener("online", () => this.reconnect(), { signal });
    addEventListener("pageshow", (event) => event.persisted && this.reconnect(), { signal });
    document.addEventListener("visibilitychange", () => !document.hidden && this.happened("nudged"), { signal });
  }

  get status(): Status {
    return { state: this.state, why: this.why, retryAt: this.retryAt, attempts: this.backoff.attempts, end: this.end };
  }

  get control(): Control {
    return this.presence.control;
  }

  get desktop(): DesktopIs | null {
    return this.presence.desktop;
  }

  get surface(): HTMLCanvasElement | null {
    return this.line?.surface ?? null;
  }

  start(): void {
    this.presence.start();
    this.happened("started");
  }

  close(): void {
    this.off.abort();
    this.presence.stop();
    this.happened("stopped");
    this.options.place.replaceChildren();
  }

  retry(): void {
    if (this.state === "ended") this.happened("started");
    else if (this.state === "waiting") this.happened("nudged");
    else this.reconnect();
  }

  reconnect(): void {
    if (this.state === "idle") return;
    this.keep();
    this.happened("stopped");
    this.happened("started");
  }

  wish(wish: Wish): boolean {
    if (this.presence.wish(wish)) return true;
    if (wish.type === "resize") this.line?.resize(wish);
    return wish.type === "resize";
  }

  steers(): void {
    const { control } = this;
    if (!control.shared && control.mayControl && control.holder === null) this.presence.wish({ type: "take-control" });
  }

  fit(shown: Size): void {
    this.line?.fit(shown);
  }

  file(): Promise<Blob | null> {
    const picture = this.line?.picture();
    return picture ? new Promise((resolve) => picture.toBlob(resolve, "image/png")) : Promise.resolve(null);
  }

  private paste(kind: "text" | "png", data: Uint8Array): boolean {
    if (kind !== "text") {
      this.hooks.news("Only text can be pasted this way.", "Pictures cross with the built-in way.");
      return false;
    }
    if (this.state !== "live" || !this.line) return false;
    this.line.paste(new TextDecoder().decode(data));
    return true;
  }

  private happened(event: Happening): void {
    const taken = step(this.state, event);
    if (!taken) return;
    this.state = taken.to;
    if (event === "started") this.end = null;
    if (this.state !== "live") this.current = false;
    for (const command of taken.commands) this.carryOut[command]();
    this.changed();
  }

  private readonly carryOut: Record<Command, () => void> = {
    dial: () => {
      this.generation += 1;
      void this.dial(this.generation);
    },
    "hang-up": () => {
      this.generation += 1;
      clearTimeout(this.timer);
      const { line } = this;
      this.line = null;
      line?.close();
      this.target.replaceChildren();
    },
    wait: () => {
      const delay = this.backoff.next();
      this.retryAt = Date.now() + delay;
      this.timer = setTimeout(() => this.happened("waited"), delay);
    },
    "cancel-wait": () => {
      clearTimeout(this.timer);
      this.retryAt = null;
    },
    watch: () => {
      clearTimeout(this.timer);
      if (this.state === "live") this.timer = setTimeout(() => this.backoff.contentDelivered(), STEADY_MS);
      else this.timer = setTimeout(() => this.lose({ then: "retry", why: "no picture came" }, ""), FIRST_PICTURE_MS);
    },
    probe: () => {},
  };

  private async dial(generation: number): Promise<void> {
    const current = (): boolean => generation === this.generation;
    let open: OpenLine;
    let size: Size;
    try {
      [open, size] = await Promise.all([this.options.load(), this.desktopSize()]);
    } catch {
      if (current()) this.lose({ then: "retry", why: "the part of the page for this way did not load" }, "");
      return;
    }
    if (!current()) return;
    this.happened("opened");
    const place = document.createElement("div");
    place.className = "client";
    this.target.replaceChildren(place);
    const hooks: LineHooks = {
      connected: () => current() && this.happened("greeted"),
      painted: () => current() && this.painted(),
      sized: (now) => current() && this.sized(now),
      cursor: (shape) => {
        if (!current()) return;
        this.cursor = shape;
        this.changed();
      },
      copied: (text) => current() && void this.clipboard.received({ type: "clipboard", kind: "text", data: new TextEncoder().encode(text) }),
      lost: (verdict, reason) => {
        if (!current()) return;
        this.keep();
        this.lose(verdict, reason);
      },
    };
    this.line = open(place, hooks, { path: this.options.path, size });
  }

  /** The size that the desktop has: asking for another would change it for everybody. */
  private async desktopSize(): Promise<Size> {
    const known = (): Size | null => {
      const { desktop } = this.presence;
      if (desktop && desktop.width > 0) return { width: desktop.width, height: desktop.height };
      return this.size.width > 0 ? this.size : null;
    };
    // RFB says by itself how large the desktop is.
    if (this.options.way.name === "vnc" || known() || this.backoff.attempts > 0) return known() ?? USUAL;
    await new Promise<void>((resolve) => {
      const stop = (): void => {
        clearTimeout(timer);
        this.removeEventListener("change", look);
        resolve();
      };
      const look = (): void => void (known() && stop());
      const timer = setTimeout(stop, SIZE_MS);
      this.addEventListener("change", look);
    });
    return known() ?? USUAL;
  }

  private painted(): void {
    this.happened("caught-up");
    this.current = true;
    this.everDrawn = true;
    this.reason = "";
    this.kept.width = this.kept.height = 0;
    this.changed();
  }

  private sized(size: Size): void {
    if (size.width === 0 || (size.width === this.size.width && size.height === this.size.height)) return;
    this.size = size;
    this.changed();
  }

  private lose(verdict: Verdict, reason: string): void {
    this.why = verdict.why;
    this.reason = reason;
    if (verdict.then === "end") {
      this.end = verdict;
      this.happened("refused");
    } else {
      this.happened("lost");
    }
  }

  /** Whatever breaks, the last picture stays. */
  private keep(): void {
    const picture = this.everDrawn && this.current ? this.line?.picture() : null;
    if (!picture || picture.width === 0) return;
    this.kept.width = picture.width;
    this.kept.height = picture.height;
    this.kept.getContext("2d")?.drawImage(picture, 0, 0);
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
