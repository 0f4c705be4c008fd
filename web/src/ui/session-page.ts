/**
 * One session: its terminal, live, and what steers it.
 *
 * Lives outside a shadow root, because xterm.js listens for touches at the document.
 */

import "@xterm/xterm/css/xterm.css";

import { LitElement, type PropertyValues, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import { api, newCommandId } from "../api/client";
import type { Session } from "../api/types";
import type { SessionRole } from "../feed/messages";
import { replayPath, router } from "../router";
import { preferences } from "../store/preferences";
import { store } from "../store/store";
import { Watches } from "../store/controller";
import { isActive } from "../store/store";
import { copyText } from "../terminal/clipboard";
import type { ExtraKey } from "../terminal/keys";
import type { Destination } from "../terminal/links";
import { Viewing } from "../terminal/viewing";
import { recordings } from "../api/files";
import { Uploads } from "../files/uploads";
import "./audit/session-audit-dialog";
import { confirm } from "./confirm";
import "./condition";
import "./ending";
import "./files/drop-zone";
import "./files/files-dialog";
import { size } from "./format";
import "./key-row";
import "./menu";
import type { Menu, MenuItem } from "./menu";
import "./preview-dialog";
import "./prompt-box";
import type { PromptBox } from "./prompt-box";
import { loadDesktop } from "./parts";
import { PromptHistory } from "./prompt-history";
import "./search-bar";
import "./view-switch";
import { type SessionView, nextView, viewFor } from "./view-switch";
import "./session-bar";
import "./session-missing";
import { sessionMenu } from "./session-menu";
import { shortcutOf } from "./session-shortcuts";
import { watchingWords } from "./sharing/roles";
import "./sharing/share-dialog";
import { titleOf } from "./status";
import "./styles/session-views.css";
import "./text-sheet";
import "./timeline";
import { notify, notifyError } from "./toasts";
import "./watching";

const histories = new Map<string, PromptHistory>();
/** Files on their way go on while one looks at another page. */
const uploads = new Map<string, Uploads>();

@customElement("es-session-page")
export class SessionPage extends LitElement {
  @property() sessionId = "";
  @state() private searching = false;
  @state() private hoveredLink: string | null = null;
  @query(".terminal") private host!: HTMLElement;
  @query("es-prompt-box") private promptBox?: PromptBox;
  @query("es-menu.context") private contextMenu!: Menu;
  private viewing: Viewing | null = null;
  private readonly phone = matchMedia("(max-width: 760px)");
  /** The terminal gets the focus once it shows. */
  private wantsFocus = false;
  private readonly viewingChanged = (): void => this.requestUpdate();

  constructor() {
    super();
    new Watches(this, store, preferences);
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override updated(changed: PropertyValues<this>): void {
    if (changed.has("sessionId")) this.view();
    if (this.wantsFocus && this.viewing?.everDrawn) {
      this.wantsFocus = false;
      if (!this.promptBox?.focused && !document.querySelector("es-app")?.dialogOpen) this.viewing.terminal?.focus();
    }
    const session = this.viewing?.session;
    document.title = session ? `${titleOf(session)} · Earthshine` : "Earthshine";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("keydown", this.pageKey);
    this.phone.addEventListener("change", this.viewingChanged);
    document.fonts.addEventListener("loadingdone", this.fontsArrived);
    if (this.hasUpdated && !this.viewing) this.view();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("keydown", this.pageKey);
    this.phone.removeEventListener("change", this.viewingChanged);
    document.fonts.removeEventListener("loadingdone", this.fontsArrived);
    this.leave();
  }

  /** The terminal draws letters once and keeps the picture; fonts for rare signs come later. */
  private readonly fontsArrived = (): void => this.viewing?.terminal?.fontsArrived();

  private view(): void {
    this.leave();
    this.searching = false;
    const viewing = new Viewing(this.sessionId, store, {
      clipboardOffered: (text) => this.offerClipboard(text),
      followed: (destination) => this.follow(destination),
      hovered: (uri) => (this.hoveredLink = uri),
      shortcut: (event) => this.terminalKey(event),
      typedInVain: () => this.explainSilence(),
      refused: (error) => notifyError("The session refused that.", error),
      roleChanged: (role) => this.explainRole(role),
    });
    this.viewing = viewing;
    viewing.addEventListener("change", this.viewingChanged);
    viewing.open(this.host);
    void document.fonts.load('13px "JetBrains Mono Variable"').then(this.fontsArrived);
    this.wantsFocus = !matchMedia("(pointer: coarse)").matches;
    this.requestUpdate();
  }

  private leave(): void {
    this.viewing?.removeEventListener("change", this.viewingChanged);
    this.viewing?.close();
    this.viewing = null;
    this.host?.replaceChildren();
  }

  private get history(): PromptHistory {
    const known = histories.get(this.sessionId) ?? new PromptHistory();
    histories.set(this.sessionId, known);
    return known;
  }

  private offerClipboard(text: string): void {
    notify({
      key: "clipboard",
      text: `The agent offers ${text.length === 1 ? "a character" : `${text.length} characters`} for your clipboard`,
      detail: text.length > 120 ? `${text.slice(0, 120)}…` : text,
      action: { label: "Copy", run: () => void copyText(text) },
    });
  }

  private follow(destination: Destination): void {
    const open = (): unknown => window.open(destination.url, "_blank", "noopener,noreferrer");
    if (destination.kind === "runner-port" && store.me?.previewEnabled && this.viewing?.canControl) {
      this.querySelector("es-preview-dialog")?.show(this.sessionId, destination.port);
    } else if (this.hoveredLink === null) {
      // A finger sees no address before it taps: show where the link leads.
      notify({ key: "link", text: destination.url, action: { label: "Open", run: open } });
    } else {
      open();
    }
  }

  private explainSilence(): void {
    const { viewing } = this;
    const session = viewing?.session;
    if (!viewing || !session) return;
    let text = "Not connected: keys are not sent until the connection is back.";
    if (!isActive(session)) text = "This session has ended: nothing reads what you type.";
    else if (!viewing.live && viewing.status.state === "live") text = "Catching up: one moment.";
    else if (viewing.live && !viewing.canControl) text = "You may watch this session, but not type.";
    notify({ key: "typed-in-vain", text });
  }

  private explainRole(role: SessionRole): void {
    const steers = this.viewing?.canControl;
    notify({ key: "role", text: steers ? "You can steer this session now." : watchingWords[role === "approver" ? "approver" : "viewer"] });
    if (!steers) this.querySelector("es-share-dialog")?.close();
  }

  private async steer(how: "stop" | "kill" | "interrupt"): Promise<void> {
    if (how === "kill") {
      const sure = await confirm({
        title: "Kill this agent?",
        text: "It ends at once and cannot save what it is doing. Its log stays.",
        yes: "Kill",
      });
      if (!sure) return;
    }
    try {
      if (how === "interrupt" && this.viewing?.live) await this.viewing.interrupt();
      else await api[how](this.sessionId, newCommandId());
    } catch (error) {
      notifyError(`The ${how} did not reach the agent.`, error);
    }
  }

  private async rename(title: string): Promise<void> {
    try {
      store.put(await api.rename(this.sessionId, title));
    } catch (error) {
      notifyError("The title was not changed.", error);
    }
  }

  private async deleteSession(): Promise<void> {
    const sure = await confirm({
      title: "Delete this session?",
      text: "Its log and everything in it are deleted for good. Files it changed stay as they are.",
      yes: "Delete",
    });
    if (!sure) return;
    try {
      await api.remove(this.sessionId);
      store.remove(this.sessionId);
      router.go("/");
    } catch (error) {
      notifyError("The session was not deleted.", error);
    }
  }

  private readonly act = (event: CustomEvent<string>): void => this.perform(event.detail);

  /** Does this person own it, or have an owner's rights? */
  get owns(): boolean {
    return this.viewing?.owns ?? false;
  }

  /** Carry out something of the bar, the menu, the palette or a key. */
  perform(action: string): void {
    const acts: Record<string, () => void> = {
      search: () => this.toggleSearch(),
      timeline: () => preferences.set({ timeline: !preferences.current.timeline }),
      preview: () => this.querySelector("es-preview-dialog")?.show(this.sessionId),
      share: () => this.share(),
      files: () => this.viewing?.canControl && this.querySelector("es-files-dialog")?.show(this.uploads),
      record: () => void this.record(),
      replay: () => router.go(replayPath(this.sessionId)),
      audit: () => this.owns && this.querySelector("es-session-audit-dialog")?.show(this.sessionId),
      retry: () => this.viewing?.retry(),
      lead: () => this.viewing?.takeLead(),
      text: () => void this.querySelector("es-text-sheet")?.show(this.viewing?.terminal?.text() ?? ""),
      rename: () => this.querySelector("es-session-bar")?.startRenaming(),
      delete: () => void this.deleteSession(),
      again: () => this.startAgain(),
      copy: () => this.copySelection(),
      "select-all": () => this.viewing?.terminal?.selectAll(),
      paste: () => void this.paste(),
      "switch-focus": () => (this.viewing?.terminal?.focused ? this.promptBox?.focus() : this.viewing?.terminal?.focus()),
      "switch-view": () => this.show(nextView(this.sessionView, this.phone.matches)),
      palette: () => this.dispatchEvent(new CustomEvent("palette", { bubbles: true })),
      stop: () => void this.steer("stop"),
      kill: () => void this.steer("kill"),
      interrupt: () => void this.steer("interrupt"),
    };
    acts[action]?.();
  }

  private share(): void {
    if (this.owns) this.querySelector("es-share-dialog")?.show(this.sessionId);
    else if (this.viewing?.role) notify({ key: "share", text: "Only its owner can share this session." });
  }

  private get uploads(): Uploads {
    const known = uploads.get(this.sessionId) ?? new Uploads(this.sessionId);
    uploads.set(this.sessionId, known);
    return known;
  }

  /** Why files cannot be dropped here; empty: they can. */
  private get noFilesWhy(): string {
    const session = this.viewing?.session;
    if (!session || !this.viewing?.role) return "One moment: the session is being loaded.";
    if (!this.viewing.canControl) return "You may watch this session, but not send files to it.";
    if (!isActive(session)) return "This session has ended: nobody would read the file.";
    return session.runnerConnected ? "" : "The session's machine is not connected: try again when it is.";
  }

  /** Begin or end recording the desktop. */
  private async record(): Promise<void> {
    const session = this.viewing?.session;
    if (!session?.hasDesktop || !this.viewing?.canControl) return;
    const on = !session.recorded;
    if (!on) {
      const sure = await confirm({ title: "Stop recording?", text: "What was recorded until now stays.", yes: "Stop" });
      if (!sure) return;
    }
    try {
      await recordings.set(this.sessionId, on);
      notify({
        key: "record",
        text: on ? "The desktop is recorded from now on. Everybody in the session sees that." : "The recording has ended.",
        ...(on ? {} : { action: { label: "See it", run: () => this.perform("replay") } }),
      });
    } catch (error) {
      notifyError(on ? "It is not recorded." : "The recording did not end.", error);
    }
  }

  private startAgain(): void {
    this.dispatchEvent(new CustomEvent("start", { bubbles: true, detail: this.viewing?.session }));
  }

  /** Terminal, desktop or both, where this session has a desktop. */
  private get sessionView(): SessionView {
    const session = this.viewing?.session ?? store.session(this.sessionId);
    return viewFor(preferences.current.sessionView, Boolean(session?.hasDesktop && isActive(session)), this.phone.matches);
  }

  private show(view: SessionView): void {
    const session = this.viewing?.session;
    if (!session?.hasDesktop || !isActive(session)) return;
    preferences.set({ sessionView: view });
    void this.updateComplete.then(() => {
      if (view === "terminal") this.viewing?.terminal?.focus();
      else this.querySelector("es-desktop-panel")?.takeFocus();
    });
  }

  private renderDesktop(view: SessionView) {
    if (view === "terminal") return nothing;
    loadDesktop();
    const title = this.viewing?.session ? titleOf(this.viewing.session) : "";
    return html`<es-desktop-panel sessionId=${this.sessionId} sessionTitle=${title} @switch-view=${() => this.perform("switch-view")}></es-desktop-panel>`;
  }

  private toggleSearch(): void {
    if (this.searching) this.querySelector("es-search-bar")?.focus();
    this.searching = true;
  }

  private copySelection(): void {
    const text = this.viewing?.terminal?.selection;
    if (text) void copyText(text).then((copied) => copied && notify({ key: "copied", text: "Copied" }));
  }

  private async paste(): Promise<void> {
    try {
      this.viewing?.terminal?.paste(await navigator.clipboard.readText());
      this.viewing?.terminal?.focus();
    } catch {
      notify({ text: "The browser did not allow reading the clipboard.", detail: "Press Ctrl-Shift-V, or Cmd-V on a Mac." });
    }
  }

  private terminalKey(event: KeyboardEvent): boolean {
    const action = shortcutOf(event, true);
    if (action === null) return false;
    if (action === "browser") return true;
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "keydown") this.perform(action);
    return true;
  }

  private readonly pageKey = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || this.viewing?.terminal?.focused || document.querySelector("es-app")?.dialogOpen) return;
    const action = shortcutOf(event, false);
    if (action === null || action === "browser") return;
    event.preventDefault();
    this.perform(action);
  };

  private readonly openContextMenu = (event: MouseEvent): void => {
    // Shift keeps the browser's own menu; a finger's long press too.
    if (event.shiftKey || (event as PointerEvent).pointerType === "touch") return;
    event.preventDefault();
    this.contextMenu.openAt(event.clientX, event.clientY);
  };

  private get contextItems(): MenuItem[] {
    return [
      { label: "Copy", icon: "copy", hint: "Ctrl-Shift-C", disabled: !this.viewing?.hasSelection, run: () => this.copySelection() },
      { label: "Paste", hint: "Ctrl-Shift-V", disabled: !this.viewing?.canControl, run: () => void this.paste() },
      { label: "Select all", run: () => this.viewing?.terminal?.selectAll() },
      { label: "Find", icon: "search", hint: "Ctrl-F", run: () => this.toggleSearch() },
    ];
  }

  private renderReplay() {
    const { viewing } = this;
    const session = viewing?.session;
    if (!viewing || viewing.drawn || viewing.status.state === "waiting" || viewing.status.state === "ended") return nothing;
    const first = viewing.everDrawn ? "" : "first";
    const { from, at, to } = viewing.replay;
    const share = to > from ? Math.min(1, (at - from) / (to - from)) : 0;
    const known = viewing.status.state === "replaying" || viewing.status.state === "live";
    return html`<div class="replay ${first}" role="progressbar" aria-label="Replaying the log" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}>
      <div class="track"><div class="done" style="width:${(share * 100).toFixed(1)}%"></div></div>
      <div class="note">
        ${known ? html`Replaying ${session ? size(session.logBytes) : ""} · ${Math.floor(share * 100)}%` : "Connecting…"}
      </div>
    </div>`;
  }

  private renderCondition(session: Session) {
    return session.reason ? html`<es-condition .reason=${session.reason}></es-condition>` : nothing;
  }

  private renderBelow() {
    const viewing = this.viewing;
    const session = viewing?.session;
    if (!session) return nothing;
    if (!isActive(session)) {
      return html`<es-ending .session=${session} .stoppedBy=${viewing?.stoppedBy ?? null} ?canControl=${(viewing?.canControl ?? false) && store.mayStart} @again=${this.startAgain}></es-ending>`;
    }
    if (viewing?.role && !viewing.canControl) {
      const owner = session.ownerId === store.me?.personId ? "" : session.ownerName;
      return html`${this.renderCondition(session)}<es-watching as=${viewing.role} owner=${owner}></es-watching>`;
    }
    const touch = matchMedia("(pointer: coarse)").matches;
    return html`${this.renderCondition(session)}
      ${touch
        ? html`<es-key-row
            ?ctrlArmed=${viewing?.terminal?.ctrlArmed ?? false}
            @press=${(event: CustomEvent<ExtraKey>) => this.pressExtra(event.detail)}
          ></es-key-row>`
        : nothing}
      <es-prompt-box
        .send=${(text: string) => this.sendPrompt(text)}
        .history=${this.history}
        disabledWhy=${session.state === "stopping" ? "The agent is stopping" : ""}
        agent=${session.agent === "command" || session.agent === "shell" ? `the ${session.agent}` : session.agent}
      ></es-prompt-box>`;
  }

  private pressExtra(key: ExtraKey): void {
    const terminal = this.viewing?.terminal;
    if (!terminal) return;
    if (key === "Ctrl") terminal.ctrlArmed = !terminal.ctrlArmed;
    else terminal.press(key);
    if (key === "Ctrl") terminal.focus();
    this.requestUpdate();
  }

  private async sendPrompt(text: string): Promise<void> {
    try {
      await this.viewing?.prompt(text);
      this.viewing?.terminal?.scrollToEnd();
    } catch (error) {
      notifyError("The prompt was not sent.", error);
      throw error;
    }
  }

  override render() {
    const viewing = this.viewing;
    const session = viewing?.session ?? store.session(this.sessionId);
    const { timeline } = preferences.current;
    const view = this.sessionView;
    const behind = viewing !== null && viewing.drawn === false && viewing.status.attempts > 0;
    return html`
      ${session
        ? html`<es-session-bar
            .session=${session}
            .pill=${viewing
              ? {
                  status: viewing.status,
                  drawn: viewing.drawn,
                  over: !isActive(session),
                  runnerName: session.runnerName,
                  runnerConnected: session.runnerConnected,
                }
              : null}
            .menu=${sessionMenu(session, viewing, (action) => this.perform(action))}
            ?canControl=${viewing?.canControl ?? false}
            ?owns=${this.owns}
            ?previews=${store.me?.previewEnabled ?? false}
            ?timeline=${timeline}
            terminalTitle=${viewing?.terminalTitle ?? ""}
            @act=${this.act}
            @rename=${(event: CustomEvent<string>) => void this.rename(event.detail)}
          >
            ${session.hasDesktop && isActive(session)
              ? html`<es-view-switch
                  slot="views"
                  view=${view}
                  ?narrow=${this.phone.matches}
                  @view=${(event: CustomEvent<SessionView>) => this.show(event.detail)}
                ></es-view-switch>`
              : nothing}
          </es-session-bar>`
        : html`<es-session-missing .status=${viewing?.status ?? null} @retry=${() => viewing?.retry()}></es-session-missing>`}
      <div class="stage shows-${view}" ?hidden=${!session}>
        <div class="terminal ${behind ? "behind" : ""} ${viewing?.everDrawn === false ? "hidden" : ""}" @contextmenu=${this.openContextMenu}></div>
        ${this.renderReplay()}
        ${session && viewing?.drawn && !viewing.printed && !isActive(session) ? html`<p class="nothing">It printed nothing.</p>` : nothing}
        ${this.searching
          ? html`<es-search-bar
              .search=${viewing?.terminal?.search ?? null}
              @close=${() => {
                this.searching = false;
                viewing?.terminal?.focus();
              }}
            ></es-search-bar>`
          : nothing}
        ${this.hoveredLink ? html`<div class="link-target">${this.hoveredLink}</div>` : nothing}
        <es-menu class="context" .items=${this.contextItems}></es-menu>
        ${this.renderDesktop(view)}
        <es-drop-zone .uploads=${this.uploads} obstacle=${this.noFilesWhy}></es-drop-zone>
      </div>
      ${timeline && session
        ? html`<es-timeline
            .entries=${viewing?.entries ?? []}
            @close=${() => preferences.set({ timeline: false })}
            @reveal=${(event: CustomEvent<number>) => {
              if (!viewing?.terminal?.reveal(event.detail)) notify({ key: "reveal", text: "That is no longer in the terminal's buffer." });
            }}
          ></es-timeline>`
        : nothing}
      <div class="below">${this.renderBelow()}</div>
      <es-preview-dialog></es-preview-dialog>
      <es-text-sheet></es-text-sheet>
      <es-files-dialog obstacle=${this.noFilesWhy}></es-files-dialog>
      <es-share-dialog></es-share-dialog>
      <es-session-audit-dialog></es-session-audit-dialog>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-session-page": SessionPage;
  }
}
