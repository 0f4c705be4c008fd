/** Where one is, what is at work, and how the page is connected. */

import { LitElement, css, html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import { router, sessionPath } from "../router";
import { Ticks, Watches } from "../store/controller";
import { isActive, store } from "../store/store";
import { lastPart } from "./format";
import { icon, mark } from "./icons";
import "./person-menu";
import { type Place, places } from "./places";
import { statusOf, titleOf } from "./status";
import "./status-dot";
import { base, buttons } from "./styles/shared";

const MAX_LISTED = 30;

@customElement("es-sidebar")
export class Sidebar extends LitElement {
  constructor() {
    super();
    new Watches(this, store, router);
    new Ticks(this, 2_000);
  }

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
        grid-row: 1 / -1;
        border-right: 1px solid var(--line);
        padding: 0 10px;
      }
      .brand {
        display: flex;
        align-items: center;
        gap: 9px;
        height: 52px;
        padding: 0 8px;
        color: var(--text);
        text-decoration: none;
        font-weight: 640;
        font-size: 15px;
        letter-spacing: -0.015em;
      }
      .new {
        margin: 4px 0 12px;
        display: flex;
        gap: 6px;
      }
      .new .primary {
        flex: 1;
        justify-content: flex-start;
        padding: 0 8px 0 10px;
      }
      .new kbd {
        margin-left: auto;
        border-color: transparent;
        background: color-mix(in srgb, var(--on-accent) 14%, transparent);
        color: inherit;
      }
      nav {
        display: grid;
        gap: 1px;
      }
      nav a,
      .sessions a {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 0 8px;
        height: 32px;
        border-radius: 7px;
        color: var(--text-2);
        text-decoration: none;
        font-weight: 500;
        font-size: 13.5px;
      }
      a:hover {
        background: var(--hover);
      }
      a[aria-current="page"] {
        background: var(--hover);
        color: var(--text);
      }
      .count {
        margin-left: auto;
        font-size: 12px;
        color: var(--text-3);
        font-weight: 450;
      }
      h2 {
        font-size: 12px;
        font-weight: 550;
        color: var(--text-3);
        padding: 18px 8px 6px;
      }
      .sessions {
        flex: 1;
        min-height: 0;
        overflow: auto;
        margin: 0 -10px;
        padding: 0 10px;
        scrollbar-width: thin;
        scrollbar-color: var(--line-strong) transparent;
      }
      .sessions a {
        height: auto;
        padding: 6px 8px;
        align-items: flex-start;
        font-size: 13px;
      }
      .sessions a:hover .title,
      .sessions a[aria-current="page"] .title {
        color: var(--text);
      }
      es-status-dot {
        margin: 5px 3px 0 4px;
      }
      .lines {
        min-width: 0;
        display: grid;
        line-height: 1.35;
      }
      .sub {
        font-size: 12px;
        font-weight: 400;
        color: var(--text-3);
      }
      footer {
        padding: 6px 8px 8px;
        border-top: 1px solid var(--line);
        margin: 0 -10px;
      }
      .connection {
        padding: 4px 10px;
        font-size: 12.5px;
        color: var(--text-3);
      }
      .connection.bad {
        color: var(--bad);
      }
    `,
  ];

  private renderPlace({ path, name, icon: sign }: Place, count: number) {
    const here = path === "/" ? router.route.page === "sessions" : location.pathname === path;
    return html`<a href=${path} aria-current=${here ? "page" : nothing}>
      ${icon(sign)}${name}${count ? html`<span class="count">${count}</span>` : nothing}
    </a>`;
  }

  private renderConnection() {
    const link = store.link;
    if (link?.state === "live" || link === null) return nothing;
    if (link.state === "waiting") return html`<div class="connection bad ellipsis" role="status" title=${link.why}>Reconnecting: ${link.why}</div>`;
    return html`<div class="connection" role="status">Connecting…</div>`;
  }

  override render() {
    const active = store.sessions.filter(isActive);
    const { route } = router;
    const counts: Record<string, number> = {
      "/": active.length,
      "/runners": store.runners.filter((runner) => runner.state === "connected").length,
    };
    return html`
      <a class="brand" href="/">${mark(24)}Earthshine</a>
      <div class="new">
        ${store.mayStart
          ? html`<button class="primary" @click=${() => this.dispatchEvent(new Event("start"))}>${icon("plus")}New session<kbd>N</kbd></button>`
          : nothing}
        <button class="square outlined" aria-label="Search and commands" title="Search and commands (Ctrl-K)" @click=${() => this.dispatchEvent(new Event("palette"))}>
          ${icon("search")}
        </button>
      </div>
      <nav aria-label="Pages">
        ${places()
          .filter((place) => !place.aside)
          .map((place) => this.renderPlace(place, counts[place.path] ?? 0))}
      </nav>
      ${active.length > 0 ? html`<h2>At work</h2>` : nothing}
      <div class="sessions">
        ${repeat(
          active.slice(0, MAX_LISTED),
          (session) => session.id,
          (session) => {
            const status = statusOf(session);
            const here = route.page === "session" && route.id === session.id;
            return html`<a href=${sessionPath(session.id)} aria-current=${here ? "page" : nothing} title=${titleOf(session)}>
              <es-status-dot tone=${status.tone} ?busy=${status.busy}></es-status-dot>
              <span class="lines">
                <span class="title ellipsis">${titleOf(session)}</span>
                <span class="sub ellipsis">${lastPart(session.worktree?.repository ?? session.folder)} · ${session.runnerName}</span>
              </span>
            </a>`;
          },
        )}
      </div>
      <footer>${this.renderConnection()}<es-person-menu></es-person-menu></footer>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-sidebar": Sidebar;
  }
}
