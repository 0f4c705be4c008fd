/** xterm.js as a session's viewer: plays events, sends keys, answers only what it may. */

import { UnicodeGraphemesAddon } from "@xterm/addon-unicode-graphemes";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { WebglAddon } from "@xterm/addon-webgl";
import { type IMarker, Terminal } from "@xterm/xterm";

import type { FeedEvent } from "../feed/records";
import { readOffer } from "./clipboard";
import { bytesOf, type ExtraKey, withCtrl } from "./keys";
import { type Destination, destinationOf } from "./links";
import { silenceQueries } from "./queries";
import { needsLead, reportIn } from "./reports";
import { Search } from "./search";
import { type Cells, MIN_FONT, cellsIn, fontFor, letterSpacing } from "./sizing";
import { FONT_FAMILY, themes } from "./theme";

const SCROLLBACK = 20_000;
/** Kept free for the scroll bar, in CSS pixels. */
const GUTTER = 14;
/** Pixels by which letters are made smaller at most, when cells turn out wider than reckoned. */
const MAX_STEPS = 2;
/** Positions of timeline entries that are remembered. */
const MAX_MARKS = 500;

export interface TerminalHooks {
  /** Bytes for the session. False when they could not be sent. */
  typed(data: Uint8Array<ArrayBuffer>): boolean;
  /** Somebody typed although nothing can be typed now. */
  typedInVain(): void;
  titled(title: string): void;
  clipboardOffered(text: string): void;
  followed(destination: Destination): void;
  /** A link is under the pointer, or no longer. */
  hovered(uri: string | null): void;
  /** This window's size in cells, for the session while it leads. */
  sized(cells: Cells): void;
  selected(hasSelection: boolean): void;
  /** A key that the page, not the session, handles. True when it was one. */
  shortcut(event: KeyboardEvent): boolean;
  ctrlUsed(): void;
}

export class SessionTerminal {
  readonly search: Search;
  canControl = false;
  /** Ctrl of the extra key row waits for its key. */
  ctrlArmed = false;
  private readonly term: Terminal;
  private readonly encoder = new TextEncoder();
  private readonly marks = new Map<number, IMarker>();
  private readonly resizes: ResizeObserver;
  private session: Cells = { cols: 80, rows: 24 };
  private wantedFont = 13;
  private leading = false;
  private live = false;
  private lastSized = "";

  constructor(
    private readonly host: HTMLElement,
    private readonly hooks: TerminalHooks,
  ) {
    this.term = new Terminal({
      allowProposedApi: true,
      cols: this.session.cols,
      rows: this.session.rows,
      scrollback: SCROLLBACK,
      fontFamily: FONT_FAMILY,
      fontSize: this.wantedFont,
      lineHeight: 1,
      cursorBlink: false,
      cursorInactiveStyle: "outline",
      minimumContrastRatio: 3,
      rescaleOverlappingGlyphs: true,
      macOptionClickForcesSelection: true,
      rightClickSelectsWord: false,
      vtExtensions: { kittyKeyboard: true },
      linkHandler: {
        activate: (_event, uri) => this.follow(uri),
        hover: (_event, uri) => hooks.hovered(uri),
        leave: () => hooks.hovered(null),
      },
    });
    silenceQueries(this.term.parser, () => this.leading && this.live);
    this.term.parser.registerOscHandler(52, (data) => {
      const text = this.live && this.leading ? readOffer(data) : null;
      if (text !== null) hooks.clipboardOffered(text);
      return true;
    });
    this.term.loadAddon(new UnicodeGraphemesAddon());
    this.term.loadAddon(
      new WebLinksAddon((_event, uri) => this.follow(uri), {
        hover: (_event, uri) => hooks.hovered(uri),
        leave: () => hooks.hovered(null),
      }),
    );
    this.search = new Search(this.term);
    this.term.onData((data) => this.send(data));
    this.term.onBinary((data) => this.sendBytes(Uint8Array.from(data, (char) => char.charCodeAt(0)), reportIn(data)));
    this.term.onTitleChange((title) => hooks.titled(title));
    this.term.onSelectionChange(() => hooks.selected(this.term.hasSelection()));
    this.term.attachCustomKeyEventHandler((event) => !hooks.shortcut(event));
    this.term.open(host);
    this.accelerate();
    this.resizes = new ResizeObserver(() => this.fit());
    this.resizes.observe(host);
  }

  dispose(): void {
    this.resizes.disconnect();
    this.term.dispose();
  }

  /** Draw events in order; `done` is called when the last of them is drawn. */
  play(events: readonly FeedEvent[], done: () => void): void {
    for (const event of events) {
      if (event.kind === "output") this.term.write(event.data);
      else if (event.kind === "started" || event.kind === "resized") this.resizeTo(event);
      else this.mark(event.seq);
    }
    this.term.write("", done);
  }

  /** What was written until now is history; what follows is news. Resolves when history is drawn. */
  caughtUp(): Promise<void> {
    return new Promise((resolve) => {
      this.term.write("", () => {
        this.live = true;
        this.fit();
        resolve();
      });
    });
  }

  /** The connection is gone: nobody may be answered until the next `caughtUp`. */
  interrupted(): void {
    this.live = false;
  }

  reset(): void {
    this.live = false;
    // Behind what is still on its way to the screen.
    this.term.write("", () => {
      this.marks.clear();
      this.term.reset();
    });
  }

  lead(leading: boolean): void {
    this.leading = leading;
    this.lastSized = "";
    this.fit();
  }

  style(shade: "dark" | "light", fontSize: number, screenReader: boolean): void {
    if (this.term.options.theme !== themes[shade]) this.term.options.theme = themes[shade];
    if (this.term.options.screenReaderMode !== screenReader) this.term.options.screenReaderMode = screenReader;
    this.wantedFont = fontSize;
    this.fit();
  }

  /** Letters were measured before their font had arrived: measure again. */
  fontsArrived(): void {
    this.term.options.fontFamily = `${FONT_FAMILY}, monospace`;
    this.term.options.fontFamily = FONT_FAMILY;
    this.term.options.letterSpacing = letterSpacing(letterWidth(this.term.options.fontSize ?? this.wantedFont), devicePixelRatio);
    this.fit();
  }

  focus(): void {
    this.term.focus();
  }

  get focused(): boolean {
    return this.host.contains(document.activeElement);
  }

  get selection(): string {
    return this.term.getSelection();
  }

  selectAll(): void {
    this.term.selectAll();
  }

  paste(text: string): void {
    this.term.paste(text);
  }

  press(key: ExtraKey): void {
    const bytes = bytesOf(key, this.term.modes.applicationCursorKeysMode);
    if (bytes !== null) this.term.input(bytes, true);
  }

  /** All text in the buffer, wrapped lines joined. */
  text(): string {
    const buffer = this.term.buffer.active;
    const lines: string[] = [];
    for (let row = 0; row < buffer.length; row += 1) {
      const line = buffer.getLine(row);
      if (!line) continue;
      const text = line.translateToString(true);
      if (line.isWrapped && lines.length > 0) lines[lines.length - 1] += text;
      else lines.push(text);
    }
    return lines.join("\n").trimEnd();
  }

  /** Scroll to where an event of the timeline happened. False when that is no longer in the buffer. */
  reveal(seq: number): boolean {
    const marker = this.marks.get(seq);
    if (!marker || marker.isDisposed || marker.line < 0 || this.term.buffer.active.type !== "normal") return false;
    this.term.scrollToLine(marker.line);
    return true;
  }

  scrollToEnd(): void {
    this.term.scrollToBottom();
  }

  private mark(seq: number): void {
    this.term.write("", () => {
      if (this.term.buffer.active.type !== "normal") return;
      this.marks.set(seq, this.term.registerMarker());
      if (this.marks.size <= MAX_MARKS) return;
      const oldest = this.marks.entries().next().value;
      if (oldest) {
        oldest[1].dispose();
        this.marks.delete(oldest[0]);
      }
    });
  }

  private resizeTo(cells: Cells): void {
    this.session = { cols: cells.cols, rows: cells.rows };
    this.term.resize(cells.cols, cells.rows);
    this.fit();
  }

  private get box(): { width: number; height: number } {
    const style = getComputedStyle(this.host);
    return {
      width: this.host.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - GUTTER,
      height: this.host.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
    };
  }

  /** Leading: tell the session our size. Else: show the session's size in letters that fit. */
  private fit(): void {
    const cell = this.term.dimensions?.css.cell;
    const font = this.term.options.fontSize ?? this.wantedFont;
    if (!cell || !cell.width || this.box.width <= 0) return;
    if (this.leading) {
      this.setFont(this.wantedFont);
      const now = this.term.dimensions?.css.cell ?? cell;
      const cells = cellsIn(this.box, now);
      if (!cells) return;
      const key = `${cells.cols}x${cells.rows}`;
      if (key === this.lastSized) return;
      this.lastSized = key;
      this.hooks.sized(cells);
    } else {
      const perPixel = { width: cell.width / font, height: cell.height / font };
      this.setFont(fontFor(this.session, this.box, perPixel, this.wantedFont));
      // Cells are whole pixels wide: what was reckoned may be a little too much.
      for (let step = 0; step < MAX_STEPS && this.overflows; step += 1) {
        this.setFont((this.term.options.fontSize ?? this.wantedFont) - 1);
      }
    }
  }

  private get overflows(): boolean {
    const width = this.term.dimensions?.css.cell.width ?? 0;
    return width * this.session.cols > this.box.width + 1 && (this.term.options.fontSize ?? 0) > MIN_FONT;
  }

  private setFont(size: number): void {
    if (this.term.options.fontSize === size) return;
    this.term.options.fontSize = size;
    this.term.options.letterSpacing = letterSpacing(letterWidth(size), devicePixelRatio);
  }

  private send(data: string): void {
    if (this.ctrlArmed && data.length === 1) {
      data = withCtrl(data);
      this.ctrlArmed = false;
      this.hooks.ctrlUsed();
    }
    this.sendBytes(this.encoder.encode(data), reportIn(data));
  }

  private sendBytes(data: Uint8Array<ArrayBuffer>, report: ReturnType<typeof reportIn>): void {
    if (report !== null && (!this.live || !this.canControl)) return;
    if (needsLead(report) && !this.leading) return;
    if (!this.live || !this.canControl || !this.hooks.typed(data)) this.hooks.typedInVain();
  }

  private follow(uri: string): void {
    const destination = destinationOf(uri);
    if (destination) this.hooks.followed(destination);
  }

  /** Draw with WebGL; where it is missing, made by software or gets lost, the DOM renderer stays. */
  private accelerate(): void {
    if (!hasFastWebgl()) return;
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.term.loadAddon(webgl);
    } catch {
      // No WebGL 2 here: xterm.js draws with the DOM.
    }
  }
}

/** Drawing by software is slower than the DOM: seven times, when a large log is replayed. */
function hasFastWebgl(): boolean {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

const measure = document.createElement("canvas").getContext("2d");

/** Width of a letter of the terminal's font, in CSS pixels. */
function letterWidth(fontSize: number): number {
  if (!measure) return fontSize * 0.6;
  measure.font = `${fontSize}px ${FONT_FAMILY}`;
  return measure.measureText("W").width;
}
