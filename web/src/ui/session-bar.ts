/** The head of the session page: what this is, how it is, and how to steer it. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";

import type { Session } from "../api/types";
import { Ticks } from "../store/controller";
import { store } from "../store/store";
import "./connection-pill";
import type { PillInput } from "./connection-pill";
import { desktopIcon } from "./desktop-icons";
import { fullTime, lastPart, shortFolder } from "./format";
import { icon } from "./icons";
import "./menu";
import type { MenuItem } from "./menu";
import { shareKey } from "./session-shortcuts";
import { statusOf, titleOf } from "./status";
import "./status-dot";
import { base, buttons, fields } from "./styles/shared";

@customElement("es-session-bar")
export class SessionBar extends LitElement {
  @property({ attribute: false }) session!: Session;
  @property({ attribute: false }) pill: Omit<PillInput, "now" | "online"> | null = null;
  @property({ attribute: false }) menu: readonly MenuItem[] = [];
  @property({ type: Boolean }) canControl = false;
  /** An owner's rights: to share. */
  @property({ type: Boolean }) owns = false;
  @property({ type: Boolean }) previews = false;
  @property({ type: Boolean }) timeline = false;
  @property() terminalTitle = "";
  @state() private renaming = false;
  @query("input.title") private titleField?: HTMLInputElement;

  constructor() {
    super();
    new Ticks(this, 2_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 10px;
        min-height: 52px;
        padding: 6px 12px 6px 16px;
        border-bottom: 1px solid var(--line);
        background: var(--bg);
        min-width: 0;
      }
      .back {
        display: none;
      }
      .what {
        flex: 1 1 auto;
        min-width: 90px;
        display: grid;
        gap: 1px;
      }
      .first {
        display: flex;
        align-items: center;
        gap: 9px;
        min-width: 0;
      }
      h1 {
        font-size: 14.5px;
        line-height: 20px;
      }
      .rename {
        height: 22px;
        width: 22px;
        padding: 0;
        opacity: 0;
        color: var(--text-3);
      }
      .what:hover .rename,
      .rename:focus-visible {
        opacity: 1;
      }
      input.title:not([type="checkbox"]) {
        font-weight: 600;
        padding: 1px 6px;
        max-width: 420px;
      }
      .second {
        display: flex;
        align-items: center;
        gap: 12px;
        font-size: 12.5px;
        line-height: 17px;
        color: var(--text-3);
        min-width: 0;
        overflow: hidden;
      }
      .second span {
        display: inline-flex;
        gap: 5px;
        align-items: center;
        min-width: 0;
      }
      .second .icon {
        width: 13px;
        height: 13px;
      }
      .second .state,
      .second .agent {
        flex: none;
      }
      .state {
        color: var(--text-2);
        font-weight: 550;
      }
      .state.bad {
        color: var(--bad);
      }
      .state.warn {
        color: var(--warn);
      }
      .recorded {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        flex: none;
        height: 28px;
        padding: 0 9px;
        font-size: 12.5px;
        font-weight: 600;
        color: var(--bad);
        background: var(--bad-soft);
        border-radius: 99px;
      }
      .recorded i {
        width: 8px;
        height: 8px;
        border-radius: 50%;
        background: var(--bad);
      }
      .recorded.held {
        color: var(--warn);
        background: var(--warn-soft);
      }
      .recorded.held i {
        background: var(--warn);
      }
      es-connection-pill {
        flex: 0 1 auto;
        min-width: 74px;
      }
      .actions {
        display: flex;
        align-items: center;
        gap: 4px;
        flex: none;
      }
      .gap {
        width: 1px;
        height: 20px;
        background: var(--line);
        margin: 0 4px;
      }
      @media (max-width: 1100px) {
        .runner,
        .terminal-title {
          display: none !important;
        }
      }
      @media (max-width: 760px) {
        :host {
          padding: 4px 4px 4px 4px;
          gap: 4px;
          min-height: 50px;
        }
        .back {
          display: inline-flex;
        }
        .wide,
        .rename,
        .second .state,
        .second .folder {
          display: none !important;
        }
        .gap {
          display: none;
        }
      }
    `,
  ];

  private tell(name: string): void {
    this.dispatchEvent(new CustomEvent("act", { detail: name }));
  }

  startRenaming(): void {
    this.renaming = true;
    void this.updateComplete.then(() => this.titleField?.select());
  }

  private finishRenaming(keep: boolean): void {
    if (!this.renaming) return;
    const title = this.titleField?.value.trim() ?? "";
    this.renaming = false;
    if (keep && title && title !== this.session.title) this.dispatchEvent(new CustomEvent("rename", { detail: title }));
  }

  private renderTitle() {
    if (!this.renaming) {
      return html`<h1 class="ellipsis" title=${titleOf(this.session)}>${titleOf(this.session)}</h1>
        ${this.canControl
          ? html`<button class="rename" aria-label="Rename" title="Rename" @click=${this.startRenaming}>${icon("pencil")}</button>`
          : nothing}`;
    }
    return html`<input
      class="title"
      aria-label="Title"
      maxlength="200"
      .value=${titleOf(this.session)}
      @blur=${() => this.finishRenaming(true)}
      @keydown=${(event: KeyboardEvent) => {
        event.stopPropagation();
        if (event.key === "Enter") this.finishRenaming(true);
        if (event.key === "Escape") this.finishRenaming(false);
      }}
    />`;
  }

  /** For everybody in the session; who may, stops it here. */
  private renderRecorded() {
    const { recorded } = this.session;
    if (!recorded) return nothing;
    const who = `The desktop is recorded${recorded.by ? `, by the wish of ${recorded.by}` : ""}, since ${fullTime(recorded.since)}.`;
    const title = recorded.problem ? `${who} At the moment it is not: ${recorded.problem}` : who;
    const words = html`<i></i><span>${recorded.problem ? "Not recording" : "Rec"}</span>`;
    return this.canControl
      ? html`<button class="recorded ${recorded.problem ? "held" : ""}" title="${title} Press to stop." aria-label="${title} Stop recording" @click=${() => this.tell("record")}>${words}</button>`
      : html`<span class="recorded ${recorded.problem ? "held" : ""}" role="status" title=${title} aria-label=${title}>${words}</span>`;
  }

  private renderActions() {
    const { session } = this;
    const steerable = this.canControl && (session.state === "running" || session.state === "stopping");
    return html`<div class="actions">
      <button class="square wide" title="Find (Ctrl-F)" aria-label="Find in terminal" @click=${() => this.tell("search")}>${icon("search")}</button>
      <button class="square wide" aria-pressed=${this.timeline} title="Timeline" aria-label="Timeline" @click=${() => this.tell("timeline")}>
        ${icon("timeline")}
      </button>
      ${this.owns
        ? html`<button class="square wide" title="Share (${shareKey})" aria-label="Share" @click=${() => this.tell("share")}>${icon("share")}</button>`
        : nothing}
      ${steerable && session.hasDesktop && !session.recorded
        ? html`<button class="square wide" title="Record the desktop" aria-label="Record the desktop" @click=${() => this.tell("record")}>
            ${desktopIcon("record")}
          </button>`
        : nothing}
      ${this.previews && steerable
        ? html`<button class="square wide" title="Open a port of this machine" aria-label="Preview" @click=${() => this.tell("preview")}>${icon("globe")}</button>`
        : nothing}
      ${steerable
        ? html`<span class="gap"></span>
            <button class="outlined wide" title="What Ctrl-C would do" ?disabled=${session.state !== "running"} @click=${() => this.tell("interrupt")}>
              Interrupt
            </button>
            ${session.state === "stopping"
              ? html`<button class="outlined danger wide" title="End it at once" @click=${() => this.tell("kill")}>Kill</button>`
              : html`<button class="outlined wide" title="Ask the agent to end" @click=${() => this.tell("stop")}>Stop</button>`}`
        : nothing}
      <es-menu .items=${this.menu} label="More"></es-menu>
    </div>`;
  }

  override render() {
    const { session } = this;
    const status = statusOf(session);
    const home = store.runner(session.runnerId)?.home;
    const folder = shortFolder(session.worktree?.repository ?? session.folder, home);
    return html`
      <a class="button square back" href="/" aria-label="Sessions">${icon("back")}</a>
      <div class="what">
        <div class="first">
          <es-status-dot tone=${status.tone} ?busy=${status.busy}></es-status-dot>
          ${this.renderTitle()}
        </div>
        <div class="second">
          <span class="state ${status.tone}">${status.label}</span>
          <span class="agent">${session.agent}</span>
          <span class="folder" title=${session.folder}>${icon("folder")}<span class="ellipsis">${folder}</span></span>
          ${session.worktree
            ? html`<span title=${session.worktree.branch}>${icon("branch")}<span class="ellipsis">${session.worktree.branch}</span></span>`
            : html`<span class="narrow-folder sr-only">${lastPart(session.folder)}</span>`}
          <span class="runner">${icon("server")}${session.runnerName}</span>
          ${session.ownerId === store.me?.personId ? nothing : html`<span class="owner ellipsis" title="Its owner">${icon("person")}${session.ownerName}</span>`}
          ${this.terminalTitle && this.terminalTitle !== session.title
            ? html`<span class="terminal-title ellipsis" title="What the program calls itself">${this.terminalTitle}</span>`
            : nothing}
        </div>
      </div>
      ${this.renderRecorded()}
      <slot name="views"></slot>
      <es-connection-pill .input=${this.pill} @retry=${() => this.tell("retry")}></es-connection-pill>
      ${this.renderActions()}
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-session-bar": SessionBar;
  }
}
