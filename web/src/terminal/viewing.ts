/** One person watching one session: joins the feed, the terminal and the store. */

import { newCommandId } from "../api/client";
import type { Session } from "../api/types";
import { Feed, type Replay } from "../feed/feed";
import type { Status } from "../feed/link";
import { isOpen } from "../feed/machine";
import type { SessionRole } from "../feed/messages";
import type { CommandRefused } from "../feed/outbox";
import type { FeedEvent } from "../feed/records";
import { preferences } from "../store/preferences";
import type { Store } from "../store/store";
import { stillSignedIn } from "../store/updates";
import { SessionTerminal, type TerminalHooks } from "./terminal";

/** Entries the timeline keeps. */
const MAX_ENTRIES = 1000;
/** While a window is dragged, its size is told this often. */
const RESIZE_PAUSE_MS = 120;

export type TimelineEntry = Exclude<FeedEvent, { kind: "output" | "resized" }>;

export type PageHooks = Pick<
  TerminalHooks,
  "clipboardOffered" | "followed" | "hovered" | "shortcut" | "typedInVain"
> & {
  refused(error: CommandRefused): void;
  /** It was given or taken while one watched. */
  roleChanged(role: SessionRole): void;
};

export class Viewing extends EventTarget {
  status: Status;
  replay: Replay = { from: 0, at: 0, to: 0 };
  /** The last replay has been drawn completely. */
  drawn = false;
  /** Some replay has been: there is something to show meanwhile. */
  everDrawn = false;
  canControl = false;
  /** What this person is to the session; `null` until the server said it. */
  role: SessionRole | null = null;
  leading = false;
  leader: string | null = null;
  terminalTitle = "";
  /** The log has output at all. */
  printed = false;
  hasSelection = false;
  entries: readonly TimelineEntry[] = [];
  terminal: SessionTerminal | null = null;
  private readonly feed: Feed;
  private resizeTimer: ReturnType<typeof setTimeout> | undefined;
  private leadKnown = false;

  constructor(
    readonly sessionId: string,
    private readonly store: Store,
    private readonly page: PageHooks,
  ) {
    super();
    this.feed = new Feed(sessionId, {
      events: (events, done) => this.play(events, done),
      live: () => void this.caughtUp(),
      session: (session) => this.store.put(session),
      permitted: (role, canControl) => this.permitted(role, canControl),
      lead: (you, name) => {
        this.leading = you;
        this.leader = name;
        this.leadKnown = true;
        this.terminal?.lead(you);
        this.changed();
      },
      refused: (error) => this.page.refused(error),
      reset: () => {
        this.entries = [];
        this.everDrawn = false;
        this.printed = false;
        this.terminal?.reset();
      },
      changed: (status, replay) => this.linkChanged(status, replay),
      signedIn: stillSignedIn,
    });
    this.status = this.feed.status;
  }

  get session(): Session | undefined {
    return this.store.session(this.sessionId);
  }

  /** Who asked it to end, where somebody did. */
  get stoppedBy(): string | null {
    return this.entries.findLast((entry) => entry.kind === "stopping")?.by ?? null;
  }

  get owns(): boolean {
    return this.role === "owner";
  }

  get live(): boolean {
    return this.status.state === "live" && this.drawn;
  }

  /** Put the terminal on the page and begin. */
  open(host: HTMLElement): void {
    this.terminal = new SessionTerminal(host, {
      ...this.page,
      typed: (data) => this.feed.type(data),
      titled: (title) => {
        this.terminalTitle = title;
        this.changed();
      },
      sized: ({ cols, rows }) => {
        clearTimeout(this.resizeTimer);
        this.resizeTimer = setTimeout(() => this.feed.resize(cols, rows), RESIZE_PAUSE_MS);
      },
      selected: (hasSelection) => {
        this.hasSelection = hasSelection;
        this.changed();
      },
      ctrlUsed: () => this.changed(),
    });
    this.restyle();
    preferences.addEventListener("change", this.restyle);
    addEventListener("online", this.nudge);
    document.addEventListener("visibilitychange", this.nudge);
    this.feed.start();
  }

  close(): void {
    clearTimeout(this.resizeTimer);
    preferences.removeEventListener("change", this.restyle);
    removeEventListener("online", this.nudge);
    document.removeEventListener("visibilitychange", this.nudge);
    this.feed.stop();
    this.terminal?.dispose();
    this.terminal = null;
  }

  /** Try now what would be tried later; after a final refusal, begin again. */
  retry(): void {
    if (this.status.state === "ended") this.feed.start();
    else this.feed.nudge();
  }

  prompt(text: string): Promise<void> {
    return this.feed.command({ type: "prompt", commandId: newCommandId(), text });
  }

  interrupt(): Promise<void> {
    return this.feed.command({ type: "interrupt", commandId: newCommandId() });
  }

  takeLead(): void {
    this.feed.takeLead();
  }

  private permitted(role: SessionRole, canControl: boolean): void {
    const before = this.role;
    this.role = role;
    this.canControl = canControl;
    if (this.terminal) this.terminal.canControl = canControl;
    if (!canControl && this.leading) {
      this.leading = false;
      this.terminal?.lead(false);
    }
    if (before !== null && before !== role) this.page.roleChanged(role);
    this.changed();
  }

  private readonly restyle = (): void => {
    const { fontSize, screenReader } = preferences.current;
    this.terminal?.style(preferences.shade, fontSize, screenReader);
  };

  private readonly nudge = (): void => {
    if (!document.hidden) this.feed.nudge();
  };

  private play(events: FeedEvent[], done: () => void): void {
    const told = events.filter((event): event is TimelineEntry => event.kind !== "output" && event.kind !== "resized");
    this.printed ||= events.some((event) => event.kind === "output");
    if (told.length > 0) {
      this.entries = [...this.entries, ...told].slice(-MAX_ENTRIES);
      this.changed();
    }
    if (this.terminal) this.terminal.play(events, done);
    else done();
  }

  private async caughtUp(): Promise<void> {
    await this.terminal?.caughtUp();
    if (this.status.state !== "live") return;
    this.drawn = true;
    this.everDrawn = true;
    this.changed();
    // Nobody leads: then the session may as well have this window's size.
    const session = this.session;
    if (this.canControl && this.leadKnown && !this.leading && !this.leader && session?.state === "running" && !document.hidden) {
      this.takeLead();
    }
  }

  private linkChanged(status: Status, replay: Replay): void {
    this.status = status;
    this.replay = replay;
    if (status.state !== "live") {
      this.drawn = false;
      this.terminal?.interrupted();
    }
    if (!isOpen(status.state)) {
      this.leadKnown = false;
      this.leader = null;
      if (this.leading) this.terminal?.lead(false);
      this.leading = false;
    }
    if (status.end?.code === "signed-out") this.store.signedOut();
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
