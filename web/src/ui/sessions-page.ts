/** All sessions: what is at work, what is over, and what needs a look. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { api } from "../api/client";
import { asProblem } from "../api/problem";
import type { Session } from "../api/types";
import { router, sessionPath } from "../router";
import { Ticks, Watches } from "../store/controller";
import { isActive, store } from "../store/store";
import { takesText } from "./app-shortcuts";
import { icon } from "./icons";
import "./session-row";
import { matches } from "./session-search";
import "./sessions-empty";
import { base, buttons, fields } from "./styles/shared";

const filters = { active: "At work", ended: "Ended", all: "All" } as const;
type Filter = keyof typeof filters;

@customElement("es-sessions-page")
export class SessionsPage extends LitElement {
  @state() private filter: Filter = "active";
  @state() private searched = "";
  @state() private chosen: string | null = null;
  @state() private loading = false;
  @state() private problem = "";
  @query("input") private input!: HTMLInputElement;

  constructor() {
    super();
    new Watches(this, store);
    new Ticks(this, 1_000);
  }

  static override styles = [
    base,
    buttons,
    fields,
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
      }
      header {
        display: flex;
        align-items: center;
        gap: 14px;
        min-height: 52px;
        padding: 8px 20px;
        border-bottom: 1px solid var(--line);
      }
      .filters {
        display: flex;
        gap: 2px;
        padding: 2px;
        border-radius: 9px;
        background: var(--hover);
      }
      .filters button {
        height: 26px;
        padding: 0 11px;
        color: var(--text-2);
        border-radius: 7px;
      }
      .filters button[aria-pressed="true"] {
        background: var(--surface);
        color: var(--text);
        box-shadow: 0 1px 2px #0002;
      }
      .filters .number {
        color: var(--text-3);
        font-weight: 450;
      }
      .search {
        position: relative;
        margin-left: auto;
        width: 260px;
      }
      .search .icon {
        position: absolute;
        left: 10px;
        top: 50%;
        translate: 0 -50%;
        color: var(--text-3);
        pointer-events: none;
      }
      .search input:not([type="checkbox"]) {
        padding-left: 33px;
        height: 32px;
      }
      .search kbd {
        position: absolute;
        right: 8px;
        top: 50%;
        translate: 0 -50%;
      }
      .search input:focus ~ kbd,
      .search input:not(:placeholder-shown) ~ kbd {
        display: none;
      }
      .scroll {
        overflow: auto;
        overscroll-behavior: contain;
      }
      ul {
        list-style: none;
        margin: 0;
        padding: 6px 12px 24px;
      }
      .more {
        display: grid;
        justify-items: center;
        gap: 8px;
        padding: 4px 0 24px;
      }
      .nothing {
        padding: 56px 24px;
        text-align: center;
        color: var(--text-2);
      }
      .ghost {
        height: 58px;
        margin: 2px 8px;
        border-radius: 9px;
        background: linear-gradient(90deg, var(--hover), transparent);
        opacity: 0.6;
      }
      @media (max-width: 760px) {
        header {
          flex-wrap: wrap;
          padding: 10px 14px;
          gap: 10px;
        }
        h1 {
          flex: 1;
        }
        .search {
          width: 100%;
          order: 3;
        }
        .search input:not([type="checkbox"]) {
          height: 40px;
        }
        .search kbd {
          display: none;
        }
        .filters button {
          height: 34px;
        }
        ul {
          padding: 4px 4px 16px;
        }
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("keydown", this.key);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("keydown", this.key);
  }

  private get shown(): Session[] {
    return store.sessions.filter((session) => {
      if (this.filter !== "all" && isActive(session) !== (this.filter === "active")) return false;
      return matches(session, this.searched);
    });
  }

  private readonly key = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("es-app")?.dialogOpen) return;
    const inSearch = this.shadowRoot?.activeElement === this.input;
    if (inSearch && event.key === "Escape") {
      this.input.value = this.searched = "";
      this.input.blur();
    } else if (inSearch ? event.key === "ArrowDown" : !takesText(event.composedPath()[0]) && event.key === "j") {
      this.move(1);
    } else if (inSearch ? event.key === "ArrowUp" : !takesText(event.composedPath()[0]) && event.key === "k") {
      this.move(-1);
    } else if (event.key === "Enter" && (inSearch || event.composedPath()[0] === document.body || this.chosen === null)) {
      if (!this.chosen) return;
      router.go(sessionPath(this.chosen));
    } else if (event.key === "/" && !takesText(event.composedPath()[0])) {
      this.input.focus();
    } else return;
    event.preventDefault();
  };

  private move(by: number): void {
    const { shown } = this;
    if (shown.length === 0) return;
    const at = shown.findIndex((session) => session.id === this.chosen);
    const to = at < 0 ? (by > 0 ? 0 : shown.length - 1) : Math.min(shown.length - 1, Math.max(0, at + by));
    this.chosen = shown[to]?.id ?? null;
    void this.updateComplete.then(() => {
      const row = this.shadowRoot?.querySelector<HTMLElement>("es-session-row[chosen]");
      row?.scrollIntoView({ block: "nearest" });
      if (this.shadowRoot?.activeElement !== this.input) row?.focus();
    });
  }

  private show(filter: Filter): void {
    this.filter = filter;
    this.chosen = null;
    if (filter !== "active" && !store.ended.complete && store.ended.cursor === null) void this.loadEnded();
  }

  private async loadEnded(): Promise<void> {
    this.loading = true;
    this.problem = "";
    try {
      const page = await api.sessions("ended", store.ended.cursor ?? undefined);
      store.put(...page.sessions);
      store.endedPage({ cursor: page.nextCursor ?? null, complete: !page.nextCursor });
    } catch (error) {
      const problem = asProblem(error);
      this.problem = `Ended sessions could not be loaded. ${problem.message} ${problem.remedy}`;
    } finally {
      this.loading = false;
    }
  }

  private renderList(shown: readonly Session[]) {
    if (!store.loaded) return html`<ul aria-label="Loading">${[1, 2, 3].map(() => html`<li class="ghost"></li>`)}</ul>`;
    if (shown.length === 0) {
      if (this.searched) return html`<p class="nothing" role="status">Nothing matches “${this.searched}”.</p>`;
      if (this.filter === "ended" && !this.loading) return html`<p class="nothing">No session has ended yet.</p>`;
      return this.loading ? nothing : html`<es-sessions-empty></es-sessions-empty>`;
    }
    return html`<ul aria-label="Sessions">
      ${repeat(
        shown,
        (session) => session.id,
        (session) => html`<li><es-session-row .session=${session} ?chosen=${session.id === this.chosen}></es-session-row></li>`,
      )}
    </ul>`;
  }

  override render() {
    const { shown } = this;
    const count = store.sessions.filter(isActive).length;
    const mayHaveMore = this.filter !== "active" && store.loaded && (this.loading || this.problem !== "" || !store.ended.complete);
    return html`
      <header>
        <h1>Sessions</h1>
        <div class="filters" role="group" aria-label="Which sessions">
          ${(Object.keys(filters) as Filter[]).map(
            (filter) => html`<button aria-pressed=${this.filter === filter} @click=${() => this.show(filter)}>
              ${filters[filter]}${filter === "active" && count > 0 ? html`<span class="number">${count}</span>` : nothing}
            </button>`,
          )}
        </div>
        <div class="search">
          ${icon("search")}
          <input
            type="search"
            aria-label="Search sessions"
            placeholder="Title, folder, branch, runner"
            autocomplete="off"
            @input=${(event: Event) => {
              this.searched = (event.target as HTMLInputElement).value;
              this.chosen = null;
            }}
          />
          <kbd>/</kbd>
        </div>
      </header>
      <div class="scroll">
        ${this.renderList(shown)}
        ${mayHaveMore
          ? html`<div class="more">
              ${this.problem ? html`<div class="problem" role="alert">${this.problem}</div>` : nothing}
              <button class="outlined" ?disabled=${this.loading} @click=${this.loadEnded}>
                ${this.loading ? "Loading…" : this.problem ? "Try again" : "Load more"}
              </button>
            </div>`
          : nothing}
      </div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sessions-page": SessionsPage;
  }
}
