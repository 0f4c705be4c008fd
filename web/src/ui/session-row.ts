/** One session in the list, in two lines. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";

import type { Session } from "../api/types";
import { sessionPath } from "../router";
import { isActive, store } from "../store/store";
import "./agent-badge";
import { ago, fullTime, shortFolder, since, shortAge } from "./format";
import { icon } from "./icons";
import { statusOf, titleOf } from "./status";
import "./status-dot";
import { base } from "./styles/shared";

@customElement("es-session-row")
export class SessionRow extends LitElement {
  @property({ attribute: false }) session!: Session;
  @property({ type: Boolean, reflect: true }) chosen = false;

  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      a {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr) minmax(90px, 150px) 104px 92px 52px;
        align-items: center;
        gap: 14px;
        padding: 9px 12px 9px 10px;
        border-radius: 9px;
        color: inherit;
        text-decoration: none;
      }
      a:hover,
      :host([chosen]) a {
        background: var(--hover);
      }
      :host([chosen]) a {
        box-shadow: inset 0 0 0 1px var(--line-strong);
      }
      .main {
        min-width: 0;
        display: grid;
        gap: 1px;
      }
      .title {
        font-weight: 550;
        font-size: 14px;
      }
      .sub {
        display: flex;
        gap: 12px;
        font-size: 12.5px;
        color: var(--text-3);
        min-width: 0;
      }
      .sub > span {
        display: inline-flex;
        align-items: center;
        gap: 5px;
        min-width: 0;
      }
      .sub > span:not(.reason) {
        flex: 0 1 auto;
      }
      .sub .icon {
        width: 13px;
        height: 13px;
      }
      .reason {
        color: var(--bad);
      }
      .cell {
        font-size: 12.5px;
        color: var(--text-3);
        min-width: 0;
      }
      .runner,
      .state {
        display: flex;
        align-items: center;
        gap: 7px;
      }
      .state {
        color: var(--text-2);
        font-weight: 500;
      }
      .state.bad {
        color: var(--bad);
      }
      .state.warn {
        color: var(--warn);
      }
      .state.muted {
        color: var(--text-3);
      }
      .link {
        width: 6px;
        height: 6px;
        border-radius: 50%;
        background: var(--ok);
        flex: none;
      }
      .link.away {
        background: none;
        border: 1.5px solid var(--warn);
      }
      .age {
        text-align: right;
      }
      .small {
        display: none !important;
      }
      @media (max-width: 1000px) {
        a {
          grid-template-columns: auto minmax(0, 1fr) 110px 104px 48px;
        }
        .output {
          display: none;
        }
      }
      @media (max-width: 760px) {
        a {
          grid-template-columns: auto minmax(0, 1fr) auto;
          gap: 12px;
          padding: 11px 10px;
        }
        .runner,
        .age,
        .wide {
          display: none !important;
        }
        .small {
          display: inline-flex !important;
        }
        .state {
          flex-direction: row-reverse;
        }
        .title {
          font-size: 15px;
        }
      }
    `,
  ];

  override focus(): void {
    this.shadowRoot?.querySelector("a")?.focus({ preventScroll: true });
  }

  override render() {
    const { session } = this;
    const status = statusOf(session);
    const home = store.runner(session.runnerId)?.home;
    const active = isActive(session);
    const folder = shortFolder(session.worktree?.repository ?? session.folder, home);
    const began = since(session.createdAt) ?? 0;
    return html`<a href=${sessionPath(session.id)}>
      <es-agent-badge agent=${session.agent} title=${session.agent}></es-agent-badge>
      <div class="main">
        <div class="title ellipsis">${titleOf(session)}</div>
        <div class="sub">
          ${session.state === "failed"
            ? html`<span class="reason"><span class="ellipsis">${session.reason?.detail ?? "Failed"}</span></span>`
            : html`<span title=${session.folder}>${icon("folder")}<span class="ellipsis">${folder}</span></span>
                ${session.worktree
                  ? html`<span title=${session.worktree.branch}>${icon("branch")}<span class="ellipsis">${session.worktree.branch}</span></span>`
                  : nothing}
                <span class="small">${shortAge(began)}</span>`}
        </div>
      </div>
      <div class="cell runner" title=${session.runnerConnected ? "Connected" : "Away"}>
        ${active ? html`<span class="link ${session.runnerConnected ? "" : "away"}"></span>` : nothing}
        <span class="ellipsis">${session.runnerName}</span>
      </div>
      <div class="cell state ${status.tone}">
        <es-status-dot tone=${status.tone} ?busy=${status.busy}></es-status-dot>
        <span class="ellipsis">${status.label}</span>
      </div>
      <div class="cell output wide" title="Last output: ${fullTime(session.lastOutputAt)}">${ago(session.lastOutputAt)}</div>
      <div class="cell age wide" title="Started: ${fullTime(session.createdAt)}">${shortAge(began)}</div>
    </a>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-session-row": SessionRow;
  }
}
