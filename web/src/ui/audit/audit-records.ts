/** Records of the audit log, densely; each opens to show all it holds. */

import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";

import type { AuditRecord } from "../../api/types";
import { sessionPath } from "../../router";
import { store } from "../../store/store";
import { fullTime } from "../format";
import { icon } from "../icons";
import { titleOf } from "../status";
import { base, buttons } from "../styles/shared";
import { type Names, actorOf, auditWords, detailText, isAlarming } from "./audit-words";

const short = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

@customElement("es-audit-records")
export class AuditRecords extends LitElement {
  @property({ attribute: false }) records: readonly AuditRecord[] = [];
  @property({ attribute: false }) names: Names = new Map();
  /** Of one session: its name need not be on every line. */
  @property({ type: Boolean }) one = false;
  @state() private opened: ReadonlySet<number> = new Set();

  static override styles = [
    base,
    buttons,
    css`
      :host {
        display: block;
      }
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        border-top: 1px solid var(--line);
      }
      li > button {
        width: 100%;
        height: auto;
        min-height: 34px;
        padding: 6px 8px;
        display: grid;
        grid-template-columns: 16px 132px minmax(0, 1fr) minmax(0, 220px) 128px;
        gap: 12px;
        text-align: left;
        justify-content: initial;
        font-weight: 400;
        line-height: 1.4;
        white-space: normal;
        border-radius: 0;
      }
      .one li > button {
        grid-template-columns: 16px 132px minmax(0, 1fr) 128px;
      }
      li svg.icon {
        width: 12px;
        height: 12px;
        color: var(--text-3);
      }
      li.alarming .what {
        color: var(--warn);
      }
      time,
      .address,
      .where {
        color: var(--text-3);
        font-size: 12.5px;
      }
      .address {
        text-align: right;
      }
      .what {
        overflow-wrap: anywhere;
      }
      .who {
        font-weight: 600;
      }
      .all {
        padding: 4px 8px 12px 36px;
        font-size: 12.5px;
        color: var(--text-2);
      }
      dl {
        display: grid;
        grid-template-columns: max-content minmax(0, 1fr);
        gap: 3px 16px;
        margin: 0;
      }
      dt {
        color: var(--text-3);
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
      @media (max-width: 760px) {
        li > button,
        .one li > button {
          grid-template-columns: 16px minmax(0, 1fr) auto;
          gap: 2px 8px;
          padding: 8px 4px;
        }
        .what {
          grid-column: 2 / -1;
          grid-row: 1;
        }
        time {
          grid-column: 2;
          grid-row: 2;
        }
        .where {
          display: none;
        }
        .address {
          grid-column: 3;
          grid-row: 2;
          max-width: 40vw;
        }
        .all {
          padding-left: 28px;
        }
      }
    `,
  ];

  private turn(seq: number): void {
    const opened = new Set(this.opened);
    if (!opened.delete(seq)) opened.add(seq);
    this.opened = opened;
  }

  private renderAll(record: AuditRecord) {
    const session = record.sessionId ? store.session(record.sessionId) : undefined;
    const line = (name: string, value: unknown) => html`<dt>${name}</dt><dd>${value}</dd>`;
    return html`<div class="all">
      <dl>
        ${line("When", fullTime(record.at))} ${line("Kind", html`<span class="mono">${record.kind}</span>`)}
        ${record.subject ? line("Subject", record.subject) : nothing} ${line("From", record.address || "this server")}
        ${record.sessionId
          ? line("Session", session ? html`<a href=${sessionPath(record.sessionId)}>${titleOf(session)}</a>` : html`<span class="mono">${record.sessionId}</span>`)
          : nothing}
        ${record.runnerId ? line("Machine", store.runner(record.runnerId)?.name ?? html`<span class="mono">${record.runnerId}</span>`) : nothing}
        ${record.personId ? line("Person's id", html`<span class="mono">${record.personId}</span>`) : nothing}
        ${Object.entries(record.details).map(([name, value]) => line(name, detailText(value)))}
        ${record.sessionId && !this.one
          ? line(
              "More",
              html`<button class="outlined" @click=${() => this.dispatchEvent(new CustomEvent("only", { detail: record.sessionId }))}>
                Only this session
              </button>`,
            )
          : nothing}
        ${line("Record", html`<span class="mono">${record.seq}</span>`)} ${line("Hash", html`<span class="mono">${record.hash}</span>`)}
      </dl>
    </div>`;
  }

  private renderRecord(record: AuditRecord) {
    const open = this.opened.has(record.seq);
    const session = record.sessionId ? store.session(record.sessionId) : undefined;
    const runner = record.runnerId ? store.runner(record.runnerId) : undefined;
    const where = session ? titleOf(session) : (runner?.name ?? "");
    return html`<li class=${isAlarming(record) ? "alarming" : ""}>
      <button aria-expanded=${open} @click=${() => this.turn(record.seq)}>
        ${icon(open ? "chevron-down" : "chevron-right")}
        <time datetime=${record.at}>${short.format(new Date(record.at))}</time>
        <span class="what"><span class="who">${actorOf(record)}</span> ${auditWords(record, this.names)}</span>
        ${this.one ? nothing : html`<span class="where ellipsis">${where}</span>`}
        <span class="address mono ellipsis">${record.address}</span>
      </button>
      ${open ? this.renderAll(record) : nothing}
    </li>`;
  }

  override render() {
    return html`<ol class=${this.one ? "one" : ""} aria-label="Records">
      ${repeat(
        this.records,
        (record) => record.seq,
        (record) => this.renderRecord(record),
      )}
    </ol>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "es-audit-records": AuditRecords;
  }
}
