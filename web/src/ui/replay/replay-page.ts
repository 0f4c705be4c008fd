/**
 * A session seen again: the recording of its desktop beside its terminal, on one time line.
 *
 * Lives outside a shadow root, because xterm.js listens for touches at the document.
 */

import "@xterm/xterm/css/xterm.css";

import { LitElement, type PropertyValues, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { recordings } from "../../api/files";
import type { Problem } from "../../api/problem";
import { asProblem } from "../../api/problem";
import type { RecordingList } from "../../api/types";
import { SessionLog } from "../../replay/log";
import { type Line, type Mark, type Span, lineOf, markFrom, marksIn, shownAt } from "../../replay/moments";
import { Player, SPEEDS } from "../../replay/player";
import { sessionPath } from "../../router";
import { Watches } from "../../store/controller";
import { preferences } from "../../store/preferences";
import { store } from "../../store/store";
import { SessionTerminal } from "../../terminal/terminal";
import { confirm } from "../confirm";
import { duration, fullTime, size } from "../format";
import type { MenuItem } from "../menu";
import "../problem-note";
import { titleOf } from "../status";
import "../styles/replay-page.css";
import { notify, notifyError } from "../toasts";
import "./replay-bar";
import "./replay-keys";
import "./replay-line";

const STEP_MS = 5_000;
const LONG_STEP_MS = 30_000;
/** While it is recorded on: whether more has come. */
const REFRESH_MS = 10_000;
/** The terminal is drawn anew at most so often while somebody drags backwards. */
const REWIND_MS = 150;

@customElement("es-replay-page")
export class ReplayPage extends LitElement {
  @property() sessionId = "";
  @state() private list: RecordingList | null = null;
  @state() private problem: Problem | null = null;
  @state() private line: Line | null = null;
  @state() private marks: readonly Mark[] = [];
  @query("video") private video!: HTMLVideoElement;
  @query(".terminal") private host!: HTMLElement;
  player: Player | null = null;
  private log: SessionLog | null = null;
  private terminal: SessionTerminal | null = null;
  private drawn = 0;
  private drawing = false;
  private rewind: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private known = 0;

  constructor() {
    super();
    new Watches(this, store, preferences);
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("keydown", this.key);
    if (this.hasUpdated && !this.log) this.open();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("keydown", this.key);
    this.shut();
  }

  override updated(changed: PropertyValues<this>): void {
    if (changed.has("sessionId")) this.open();
    const session = store.session(this.sessionId);
    document.title = session ? `Replay · ${titleOf(session)} · Earthshine` : "Replay · Earthshine";
  }

  private open(): void {
    this.shut();
    this.terminal = new SessionTerminal(this.host, {
      typed: () => false,
      typedInVain: () => {},
      titled: () => {},
      clipboardOffered: () => {},
      followed: (destination) => {
        if (destination.kind !== "runner-port") window.open(destination.url, "_blank", "noopener,noreferrer");
      },
      hovered: () => {},
      sized: () => {},
      selected: () => {},
      shortcut: (event) => this.terminalKey(event),
      ctrlUsed: () => {},
    });
    this.restyle();
    preferences.addEventListener("change", this.restyle);
    document.fonts.addEventListener("loadingdone", this.fontsArrived);
    void document.fonts.load('13px "JetBrains Mono Variable"').then(this.fontsArrived);
    this.player = new Player(this.video, {
      address: (span) => recordings.address(this.sessionId, span.recording.id, span.recording.pieces),
      changed: () => {
        this.draw();
        this.requestUpdate();
      },
      skipped: (ms) => ms > 10_000 && notify({ key: "skipped", text: `Skipped ${duration(ms)} in which nothing happened` }),
      failed: (why) => notify({ key: "video", tone: "bad", text: "This part of the recording cannot be shown here.", detail: `${why} Download it, and play it with another program.` }),
    });
    this.log = new SessionLog(this.sessionId, (session) => store.put(session));
    this.log.addEventListener("change", this.logChanged);
    this.log.start();
    void this.load();
    this.timer = setInterval(() => this.list?.state.on && void this.load(), REFRESH_MS);
  }

  private shut(): void {
    clearInterval(this.timer);
    clearTimeout(this.rewind);
    preferences.removeEventListener("change", this.restyle);
    document.fonts.removeEventListener("loadingdone", this.fontsArrived);
    this.log?.removeEventListener("change", this.logChanged);
    this.log?.stop();
    this.log = null;
    this.player?.close();
    this.player = null;
    this.terminal?.dispose();
    this.terminal = null;
    this.host?.replaceChildren();
    this.drawn = this.known = 0;
    this.drawing = false;
    this.list = this.line = this.problem = null;
    this.marks = [];
  }

  private readonly restyle = (): void => {
    const { fontSize, screenReader } = preferences.current;
    this.terminal?.style(preferences.shade, fontSize, screenReader);
  };

  private readonly fontsArrived = (): void => this.terminal?.fontsArrived();

  private async load(): Promise<void> {
    const { sessionId } = this;
    try {
      const list = await recordings.list(sessionId);
      if (sessionId !== this.sessionId || !this.isConnected) return;
      this.list = list;
      this.problem = null;
      this.arrange();
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  private readonly logChanged = (): void => {
    const { log } = this;
    // A long log comes in many parts: the line is drawn once, then for what is new.
    if (log?.complete) this.arrange();
    this.requestUpdate();
  };

  private arrange(): void {
    const { log, list } = this;
    if (!log?.complete || !list) return;
    const first = this.line === null;
    this.line = lineOf(list.recordings, log.events);
    if (this.known !== log.events.length || first) this.marks = marksIn(log.events);
    this.known = log.events.length;
    if (!this.line) return;
    const begin = first ? this.line.spans[0] : undefined;
    this.player?.set(this.line, log.events);
    if (begin) this.player?.seek(begin.from);
  }

  // --- the terminal ------------------------------------------------------------------------------

  /** Bring the terminal to the position. */
  private draw(): void {
    const { log, player, terminal, line } = this;
    if (!log || !player || !terminal || !line || this.drawing) return;
    const wanted = shownAt(log.events, line.spans, player.position);
    if (wanted === this.drawn) return;
    if (wanted < this.drawn) {
      // Screens cannot be undone: from the beginning, but not for every pixel of a drag.
      if (this.rewind !== undefined) return;
      this.rewind = setTimeout(() => {
        this.rewind = undefined;
        const now = this.log && this.line && this.player ? shownAt(this.log.events, this.line.spans, this.player.position) : 0;
        if (now < this.drawn) {
          this.terminal?.reset();
          this.drawn = 0;
        }
        this.draw();
      }, REWIND_MS);
      return;
    }
    this.drawing = true;
    const part = log.events.slice(this.drawn, wanted);
    this.drawn = wanted;
    terminal.play(part, () => {
      this.drawing = false;
      this.draw();
    });
  }

  // --- what people do ----------------------------------------------------------------------------

  private seek(at: number): void {
    this.player?.seek(at);
  }

  private step(ms: number): void {
    if (this.player) this.seek(this.player.position + ms);
  }

  private jump(direction: -1 | 1): void {
    const { player } = this;
    const mark = player && markFrom(this.marks, player.position, direction);
    if (!mark) return;
    this.seek(mark.ts);
  }

  private changeSpeed(by: -1 | 1): void {
    const at = SPEEDS.indexOf((this.player?.speed ?? 1) as (typeof SPEEDS)[number]);
    this.player?.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + by))] ?? 1);
  }

  private perform(action: string): void {
    const acts: Record<string, () => void> = {
      toggle: () => this.player?.toggle(),
      back: () => this.step(-STEP_MS),
      on: () => this.step(STEP_MS),
      before: () => this.jump(-1),
      next: () => this.jump(1),
      "normal-speed": () => this.player?.setSpeed(1),
    };
    acts[action]?.();
  }

  private act(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const acts: Record<string, () => void> = {
      " ": () => this.player?.toggle(),
      k: () => this.player?.toggle(),
      ArrowLeft: () => this.step(event.shiftKey ? -LONG_STEP_MS : -STEP_MS),
      ArrowRight: () => this.step(event.shiftKey ? LONG_STEP_MS : STEP_MS),
      ArrowUp: () => this.jump(-1),
      ArrowDown: () => this.jump(1),
      Home: () => this.line && this.seek(this.line.from),
      End: () => this.line && this.seek(this.line.to),
      "<": () => this.changeSpeed(-1),
      ">": () => this.changeSpeed(1),
    };
    const run = acts[event.key];
    run?.();
    return run !== undefined;
  }

  private readonly key = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || document.querySelector("es-app")?.dialogOpen) return;
    const on = event.composedPath()[0];
    if (on instanceof HTMLElement && !on.closest(".terminal")) {
      if (on.matches("input, textarea, select, [role=menuitem]")) return;
      // What has the focus is what Space presses.
      if (event.key === " " && on.matches("button, a")) return;
    }
    if (this.act(event)) event.preventDefault();
  };

  private terminalKey(event: KeyboardEvent): boolean {
    if (event.type !== "keydown" || !this.act(event)) return event.key === " ";
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  private get menu(): MenuItem[] {
    const { player, list } = this;
    const items: MenuItem[] = SPEEDS.map((speed) => ({
      label: `${speed}× speed`,
      ...(player?.speed === speed ? { icon: "check" as const } : {}),
      run: () => player?.setSpeed(speed),
    }));
    const recording = player?.span?.recording;
    if (recording) {
      items.push({ label: "Download this recording", icon: "download", hint: size(recording.size), run: () => this.download(recording.id, recording.pieces) });
      const session = store.session(this.sessionId);
      const owns = session && (session.ownerId === store.me?.personId || store.me?.isAdmin);
      const growing = list?.state.on && list.recordings.at(-1)?.id === recording.id;
      if (owns && !growing) items.push({ label: "Delete this recording", icon: "trash", danger: true, run: () => void this.discard(recording.id) });
    }
    return items;
  }

  private download(id: string, pieces: number): void {
    const link = document.createElement("a");
    link.href = recordings.address(this.sessionId, id, pieces);
    const session = store.session(this.sessionId);
    const name = (session ? titleOf(session) : "desktop").replace(/[^\p{L}\p{N} ._-]+/gu, "").trim() || "desktop";
    link.download = `${name}.mp4`;
    link.click();
  }

  private async discard(id: string): Promise<void> {
    const sure = await confirm({ title: "Delete this recording?", text: "It is deleted for good. The session's log stays.", yes: "Delete" });
    if (!sure) return;
    try {
      await recordings.remove(this.sessionId, id);
      this.line = null;
      await this.load();
    } catch (error) {
      notifyError("The recording was not deleted.", error);
    }
  }

  // --- how it looks ------------------------------------------------------------------------------

  private renderNothing(span: Span | null) {
    if (span || !this.line) return nothing;
    const { list } = this;
    let words = "Nothing was recorded at this time.";
    if (list?.recordings.length === 0) {
      words = list.state.on ? "It is being recorded: the first part comes in a moment." : "The desktop of this session was not recorded.";
    }
    return html`<div class="unrecorded">${words}</div>`;
  }

  private renderState() {
    const { list, log } = this;
    if (this.problem && !list) {
      return html`<div class="waiting"><es-problem .problem=${this.problem} lead="The recordings could not be loaded."></es-problem><button class="outlined" @click=${() => void this.load()}>Try again</button></div>`;
    }
    if (log?.status.state === "ended") return html`<div class="waiting">${log.status.end?.why ?? "The log cannot be loaded."}</div>`;
    if (!this.line) return html`<div class="waiting" role="status">${log?.complete && list ? "There is nothing to replay yet." : "Loading the log…"}</div>`;
    return nothing;
  }

  override render() {
    const session = store.session(this.sessionId);
    const { player, line } = this;
    const position = player?.position ?? 0;
    const sized = player?.span?.recording ?? this.list?.recordings[0];
    const shape = sized ? `${sized.width} / ${sized.height}` : "16 / 10";
    const only = (this.list?.recordings.length ?? 0) === 0 && !this.list?.state.on;
    const latest = (line && player && this.marks.findLast((mark) => mark.ts <= position + 1)) ?? null;
    return html`
      <es-replay-bar
        heading=${session ? titleOf(session) : ""}
        back=${sessionPath(this.sessionId)}
        date=${line ? fullTime(position) : ""}
        ?recording=${this.list?.state.on ?? false}
        ?cut=${this.log?.cut ?? false}
      ></es-replay-bar>
      <div class="both ${only ? "only-terminal" : ""}">
        <div class="picture" style="aspect-ratio:${shape}">
          <video playsinline preload="auto" aria-label="The desktop" ?hidden=${!player?.span} @click=${() => player?.toggle()}></video>
          ${this.renderNothing(player?.span ?? null)}
        </div>
        <div class="pane"><div class="terminal"></div></div>
        ${this.renderState()}
      </div>
      <footer>
        <es-replay-line .line=${line} .marks=${this.marks} .position=${position} @seek=${(event: CustomEvent<number>) => this.seek(event.detail)}></es-replay-line>
        <es-replay-keys
          .line=${line}
          .latest=${latest}
          .menu=${this.menu}
          .position=${position}
          .speed=${player?.speed ?? 1}
          ?playing=${player?.playing ?? false}
          @act=${(event: CustomEvent<string>) => this.perform(event.detail)}
        ></es-replay-keys>
      </footer>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-replay-page": ReplayPage;
  }
}
