/** Type a few letters: go to a session, or do something. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";

import { router, sessionPath } from "../router";
import { Watches } from "../store/controller";
import { preferences } from "../store/preferences";
import { isActive, store } from "../store/store";
import { lastPart } from "./format";
import { rank } from "./fuzzy";
import { type IconName, icon } from "./icons";
import { places } from "./places";
import { shareKey } from "./session-shortcuts";
import { statusOf, titleOf } from "./status";
import "./status-dot";
import { base, dialogs, fields } from "./styles/shared";

interface Entry {
  readonly id: string;
  readonly label: string;
  readonly detail?: string;
  readonly icon?: IconName;
  readonly session?: ReturnType<typeof statusOf>;
  readonly run: () => void;
}

const MAX_SHOWN = 14;
/** Sessions at work that are always offered before the commands. */
const MIN_SESSIONS = 3;

@customElement("es-palette")
export class Palette extends LitElement {
  @state() private searched = "";
  @state() private at = 0;
  @query("dialog") private dialog!: HTMLDialogElement;
  @query("input") private input!: HTMLInputElement;

  static override styles = [
    base,
    dialogs,
    fields,
    css`
      dialog {
        width: 600px;
        margin-top: 12vh;
      }
      .field {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 4px 16px;
        border-bottom: 1px solid var(--line);
        color: var(--text-3);
      }
      input:not([type="checkbox"]),
      input:not([type="checkbox"]):focus {
        border: none;
        background: none;
        box-shadow: none;
        font-size: 16px;
        padding: 11px 0;
      }
      ul {
        list-style: none;
        margin: 0;
        padding: 6px;
        overflow: auto;
      }
      li {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 0 12px;
        height: 40px;
        border-radius: 8px;
        cursor: pointer;
      }
      li[aria-selected="true"] {
        background: var(--hover);
      }
      li .icon {
        color: var(--text-3);
      }
      es-status-dot {
        margin: 0 4px;
      }
      .detail {
        margin-left: auto;
        padding-left: 12px;
        font-size: 12.5px;
        color: var(--text-3);
        flex: none;
        max-width: 45%;
      }
      .none {
        padding: 20px;
        text-align: center;
        color: var(--text-3);
      }
      @media (max-width: 760px) {
        dialog {
          margin-top: 10px;
        }
      }
    `,
  ];

  constructor() {
    super();
    new Watches(this, store, preferences);
  }

  get open(): boolean {
    return this.dialog?.open ?? false;
  }

  show(): void {
    if (this.open) {
      this.dialog.close();
      return;
    }
    this.searched = "";
    this.at = 0;
    this.input.value = "";
    this.requestUpdate();
    this.dialog.showModal();
    this.input.focus();
  }

  private tell(name: string): void {
    this.dispatchEvent(new Event(name));
  }

  /** What the session that is open can do beyond its own keys. */
  private get ofThisSession(): Entry[] {
    const page = document.querySelector("es-session-page");
    if (!page?.owns) return [];
    return [
      { id: "share", label: "Share this session", icon: "share", detail: shareKey, run: () => page.perform("share") },
      { id: "session-audit", label: "What was done in this session", icon: "log", run: () => page.perform("audit") },
    ];
  }

  private get entries(): Entry[] {
    const sessions = store.sessions.map((session): Entry => ({
      id: session.id,
      label: titleOf(session),
      detail: `${lastPart(session.worktree?.repository ?? session.folder)} · ${session.runnerName}`,
      session: statusOf(session),
      run: () => router.go(sessionPath(session.id)),
    }));
    const theme = preferences.shade === "dark" ? "light" : "dark";
    const commands: Entry[] = [
      ...(store.mayStart ? ([{ id: "new", label: "New session", icon: "plus", detail: "N", run: () => this.tell("start") }] satisfies Entry[]) : []),
      ...this.ofThisSession,
      ...places().map(
        ({ path, name, icon, key }): Entry => ({
          id: path,
          label: `Go to ${name.toLowerCase()}`,
          icon,
          detail: `G ${key.toUpperCase()}`,
          run: () => router.go(path),
        }),
      ),
      ...(store.mayStart
        ? ([{ id: "device", label: "Let a command line in", icon: "device", run: () => router.go("/device") }] satisfies Entry[])
        : []),
      { id: "theme", label: `Use the ${theme} theme`, icon: "spark", run: () => preferences.set({ theme }) },
      { id: "sidebar", label: "Show or hide the sidebar beside a session", icon: "expand", detail: "Ctrl B", run: () => preferences.set({ sidebar: !preferences.current.sidebar }) },
      { id: "help", label: "Keyboard shortcuts", icon: "keyboard", detail: "?", run: () => this.tell("help") },
    ];
    if (this.searched === "") {
      const active = sessions.filter((entry) => isActive(store.session(entry.id)!));
      return [...active.slice(0, Math.max(MIN_SESSIONS, MAX_SHOWN - commands.length)), ...commands];
    }
    return rank([...sessions, ...commands], this.searched, (entry) => `${entry.label} ${entry.detail ?? ""}`).slice(0, MAX_SHOWN);
  }

  private choose(entry: Entry | undefined): void {
    if (!entry) return;
    this.dialog.close();
    entry.run();
  }

  private readonly key = (event: KeyboardEvent): void => {
    const { entries } = this;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.at = (this.at + by + entries.length) % Math.max(1, entries.length);
    } else if (event.key === "Enter" && !event.isComposing) {
      this.choose(entries[this.at]);
    } else if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
      this.dialog.close();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  private renderEntry(entry: Entry, index: number) {
    return html`<li
      id="entry-${index}"
      role="option"
      aria-selected=${index === this.at}
      @pointermove=${() => (this.at = index)}
      @click=${() => this.choose(entry)}
    >
      ${entry.session
        ? html`<es-status-dot tone=${entry.session.tone} ?busy=${entry.session.busy}></es-status-dot>`
        : entry.icon
          ? icon(entry.icon)
          : nothing}
      <span class="ellipsis">${entry.label}</span>
      ${entry.detail ? html`<span class="detail ellipsis">${entry.detail}</span>` : nothing}
    </li>`;
  }

  override render() {
    const { entries } = this;
    return html`<dialog
      aria-label="Search and commands"
      @click=${(event: Event) => event.target === this.dialog && this.dialog.close()}
    >
      <div class="field">
        ${icon("search")}
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls="entries"
          aria-activedescendant="entry-${this.at}"
          aria-label="Search sessions and commands"
          placeholder="Go to a session, or do something"
          autocomplete="off"
          spellcheck="false"
          @input=${(event: Event) => {
            this.searched = (event.target as HTMLInputElement).value;
            this.at = 0;
          }}
          @keydown=${this.key}
        />
      </div>
      ${entries.length === 0 ? html`<p class="none">Nothing found.</p>` : nothing}
      <ul id="entries" role="listbox" aria-label="Results">
        ${entries.map((entry, index) => this.renderEntry(entry, index))}
      </ul>
    </dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-palette": Palette;
  }
}
